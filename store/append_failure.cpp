#include "store/append_failure.hpp"

#include <sqlite3.h>

namespace pawl::store {

append_result describe_failure(const std::string& file, const sqlite_error& e) {
  if (e.no_space())
    return {append_status::no_space, file + ": no space is left: " + e.what() + "; make room on its file system"};
  switch (e.primary()) {
    case SQLITE_IOERR:
      if (e.code() == SQLITE_IOERR_NOMEM) break;
      return {append_status::broken,
              file + ": the disk fails: " + e.what() +
                  "; look at the machine's disk and its log, then start the node again: it checks the store first"};
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return {append_status::broken,
              file + ": the file is damaged: " + e.what() +
                  "; keep a copy, see what `pawl verify` finds, and restore the data directory from a backup"};
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_CANTOPEN:
      return {append_status::broken, file + " cannot be written: " + e.what() +
                                         "; see that the node's user may write the directory and its files"};
    case SQLITE_BUSY:
      return {append_status::unknown,
              file + ": another process holds a lock on it: " + e.what() + "; end that process"};
    default:
      break;
  }
  return {append_status::unknown, file + ": " + e.what() + " (SQLite code " + std::to_string(e.code()) + ")"};
}

}  // namespace pawl::store
