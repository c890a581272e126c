// The directory that a node keeps everything in: made on first use, locked while a node uses it.
//
//     pawl.db, pawl.db-wal, pawl.db-shm   the store
//     pawl.lock                           the pid of the node that has the directory; flock(2) is the lock, not the
//     file node_id                             16 hex digits that name this directory's node for ever pawl.check there
//     after an I/O error: the next start checks the store's integrity first
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

namespace pawl::store {

class data_directory {
 public:
  /// Makes the directory (0700, its parents as the umask says), checks it and locks it. Throws store_error: cannot be
  /// made, is not a directory, is not writable, is in use by another node (the text has its pid).
  explicit data_directory(const std::string& path);
  /// Gives the lock back.
  ~data_directory();
  data_directory(const data_directory&) = delete;
  data_directory& operator=(const data_directory&) = delete;

  /// Absolute.
  const std::string& path() const { return path_; }
  const std::string& node_id() const { return node_id_; }
  /// On a file system that lives in memory (tmpfs): nothing in it survives the machine. Allowed, but worth a warning.
  bool in_memory() const { return in_memory_; }

  /// The pid of the node that has the directory locked; nothing when none has, 0 when it cannot be told. Does not take
  /// the lock for longer than it takes to look.
  static std::optional<pid_t> holder(const std::string& path);
  /// Whether files under `path` live in memory only.
  static bool is_in_memory(const std::string& path);

 private:
  std::string path_;
  std::string node_id_;
  bool in_memory_ = false;
  int lock_ = -1;
};

/// The store's file in a data directory.
std::string database_file(const std::string& directory);
/// Leaves word that the integrity is to be checked before the next use. False when even that could not be written.
bool ask_for_check(const std::string& directory);
bool check_is_asked(const std::string& directory);
void check_is_done(const std::string& directory);

}  // namespace pawl::store
