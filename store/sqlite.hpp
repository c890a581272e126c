// SQLite, as thin as it can be held: a connection, a statement, an error. Inside of store/ only.
//
// The database file must never be opened in this process by anything but SQLite: POSIX drops a process's locks on a
// file when any descriptor of it is closed.
#pragma once

#include <sqlite3.h>

#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace pawl::store {

/// Thrown inside of store/; its boundaries turn it into an append_result, a view_error or a store_error.
class sqlite_error : public std::runtime_error {
 public:
  sqlite_error(const std::string& what, int code, int os_error)
      : std::runtime_error(what),
        code_(code),
        os_error_(os_error) {}
  int code() const { return code_; }                  ///< extended
  int primary() const { return code_ & 0xff; }
  int os_error() const { return os_error_; }          ///< errno, 0 when none is known
  /// The file system has no room: by SQLite's own code or by the errno of the call that failed.
  bool no_space() const;

 private:
  int code_;
  int os_error_;
};

[[noreturn]] void raise(sqlite3* db, int code);

enum class column_type : std::uint8_t {
  integer = SQLITE_INTEGER,
  real = SQLITE_FLOAT,
  text = SQLITE_TEXT,
  blob = SQLITE_BLOB,
  null = SQLITE_NULL,
};

/// A prepared statement. Bound texts and blobs are not copied: they must live until run() or reset().
class statement {
 public:
  statement() = default;
  statement(sqlite3* db, std::string_view sql);
  statement(statement&& o) noexcept : handle_(std::exchange(o.handle_, nullptr)) {}
  statement& operator=(statement&& o) noexcept {
    std::swap(handle_, o.handle_);
    return *this;
  }
  ~statement() { sqlite3_finalize(handle_); }

  statement& bind(int n, std::int64_t v) {
    check(sqlite3_bind_int64(handle_, n, v));
    return *this;
  }
  statement& bind(int n, std::string_view text) {
    check(sqlite3_bind_text64(handle_, n, text.data() ? text.data() : "", text.size(), SQLITE_STATIC, SQLITE_UTF8));
    return *this;
  }
  statement& bind_blob(int n, std::string_view bytes) {
    check(sqlite3_bind_blob64(handle_, n, bytes.data() ? bytes.data() : "", bytes.size(), SQLITE_STATIC));
    return *this;
  }
  statement& bind_null(int n) {
    check(sqlite3_bind_null(handle_, n));
    return *this;
  }

  /// True: a row is there.
  bool step() {
    const int code = sqlite3_step(handle_);
    if (code == SQLITE_ROW) return true;
    if (code != SQLITE_DONE) fail(code);
    return false;
  }
  /// For what returns no rows.
  void run() {
    step();
    sqlite3_reset(handle_);
  }
  void reset() { sqlite3_reset(handle_); }

  std::int64_t integer(int n) const { return sqlite3_column_int64(handle_, n); }
  /// Valid until the next step() or reset().
  std::string_view bytes(int n) const {
    const auto* p = static_cast<const char*>(sqlite3_column_blob(handle_, n));
    return p ? std::string_view(p, static_cast<std::size_t>(sqlite3_column_bytes(handle_, n))) : std::string_view();
  }
  std::string text(int n) const { return std::string(bytes(n)); }
  column_type type(int n) const { return static_cast<column_type>(sqlite3_column_type(handle_, n)); }
  int columns() const { return sqlite3_column_count(handle_); }
  bool null(int n) const { return sqlite3_column_type(handle_, n) == SQLITE_NULL; }
  explicit operator bool() const { return handle_ != nullptr; }

 private:
  void check(int code) {
    if (code != SQLITE_OK) fail(code);
  }
  [[noreturn]] void fail(int code);

  sqlite3_stmt* handle_ = nullptr;
};

/// Ends the reading of a statement when its scope ends, so that no snapshot stays open.
class reading {
 public:
  explicit reading(statement& s) : statement_(s) {}
  ~reading() { statement_.reset(); }
  reading(const reading&) = delete;
  reading& operator=(const reading&) = delete;
  bool next() { return statement_.step(); }

 private:
  statement& statement_;
};

/// A connection. One thread at a time. Closing it never writes: no checkpoint is made.
class database {
 public:
  enum class mode : std::uint8_t { create, read_write, read_only };

  database() = default;
  /// `vfs` empty: the default. Throws sqlite_error.
  database(const std::string& path, mode m, std::chrono::milliseconds busy_timeout, const std::string& vfs = {});
  database(database&& o) noexcept : handle_(std::exchange(o.handle_, nullptr)) {}
  database& operator=(database&& o) noexcept {
    std::swap(handle_, o.handle_);
    return *this;
  }
  ~database() { close(); }

  /// Every statement must be gone.
  void close();
  void execute(const std::string& sql);
  statement prepare(std::string_view sql) { return statement(handle_, sql); }
  /// The first column of the first row; `otherwise` when there is none.
  std::int64_t integer(const std::string& sql, std::int64_t otherwise = 0);
  std::string text(const std::string& sql);
  bool in_transaction() const { return handle_ && sqlite3_get_autocommit(handle_) == 0; }
  sqlite3* handle() const { return handle_; }
  explicit operator bool() const { return handle_ != nullptr; }

 private:
  sqlite3* handle_ = nullptr;
};

/// Several readings of one snapshot. Rolls back (nothing was written) when its scope ends.
class snapshot {
 public:
  explicit snapshot(database& db) : db_(db) { db_.execute("BEGIN"); }
  ~snapshot() { sqlite3_exec(db_.handle(), "ROLLBACK", nullptr, nullptr, nullptr); }
  snapshot(const snapshot&) = delete;
  snapshot& operator=(const snapshot&) = delete;

 private:
  database& db_;
};

}  // namespace pawl::store
