#include "store/sqlite.hpp"

#include <cerrno>
#include <cstring>

namespace pawl::store {

namespace {

// Its statistics cost a lock an allocation. Without effect when somebody else has initialised SQLite before.
void configure_once() {
  static const int done = sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
  static_cast<void>(done);
}

int flags_of(database::mode m) {
  switch (m) {
    case database::mode::create:
      return SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
    case database::mode::read_write:
      return SQLITE_OPEN_READWRITE;
    case database::mode::read_only:
      break;
  }
  return SQLITE_OPEN_READONLY;
}

}  // namespace

bool sqlite_error::no_space() const { return primary() == SQLITE_FULL || os_error_ == ENOSPC || os_error_ == EDQUOT; }

void raise(sqlite3* db, int code) {
  if (!db) throw sqlite_error(sqlite3_errstr(code), code, 0);
  // SQLite leaves its errno alone when a call succeeds, so it says something about an I/O error only.
  const int primary = code & 0xff;
  const bool of_system = primary == SQLITE_IOERR || primary == SQLITE_CANTOPEN;
  const int os = of_system ? sqlite3_system_errno(db) : 0;
  std::string what = sqlite3_errmsg(db);
  if (os != 0) what += std::string(" (") + std::strerror(os) + ")";
  const int extended = sqlite3_extended_errcode(db);
  throw sqlite_error(what, (extended & 0xff) == primary ? extended : code, os);
}

statement::statement(sqlite3* db, std::string_view sql) {
  const int code =
      sqlite3_prepare_v3(db, sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT, &handle_, nullptr);
  if (code != SQLITE_OK) raise(db, code);
}

void statement::fail(int code) {
  auto* db = sqlite3_db_handle(handle_);
  try {
    raise(db, code);
  } catch (...) {
    sqlite3_reset(handle_);
    throw;
  }
}

database::database(const std::string& path, mode m, std::chrono::milliseconds busy_timeout, const std::string& vfs) {
  configure_once();
  const int code = sqlite3_open_v2(path.c_str(), &handle_, flags_of(m) | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
                                   vfs.empty() ? nullptr : vfs.c_str());
  try {
    if (code != SQLITE_OK) raise(handle_, code);
    sqlite3_busy_timeout(handle_, static_cast<int>(busy_timeout.count()));
    sqlite3_db_config(handle_, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
    execute("PRAGMA wal_autocheckpoint=0");
  } catch (...) {
    close();
    throw;
  }
}

void database::close() { sqlite3_close_v2(std::exchange(handle_, nullptr)); }

void database::execute(const std::string& sql) {
  const int code = sqlite3_exec(handle_, sql.c_str(), nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) raise(handle_, code);
}

std::int64_t database::integer(const std::string& sql, std::int64_t otherwise) {
  auto s = prepare(sql);
  if (!s.step()) return otherwise;
  const auto out = s.null(0) ? otherwise : s.integer(0);
  s.step();  // as in text()
  return out;
}

std::string database::text(const std::string& sql) {
  auto s = prepare(sql);
  if (!s.step()) return {};
  auto out = s.text(0);
  s.step();  // what writes, as some pragmas do, commits after its row, and tells an error of that only here
  return out;
}

}  // namespace pawl::store
