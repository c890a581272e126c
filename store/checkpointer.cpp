#include "store/checkpointer.hpp"

#include <sqlite3.h>

#include <utility>

namespace pawl::store {

checkpointer::checkpointer(std::string file, std::chrono::milliseconds busy_timeout, std::string vfs)
    : file_(std::move(file)),
      busy_timeout_(busy_timeout),
      vfs_(std::move(vfs)) {}

checkpointer::~checkpointer() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  asked_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void checkpointer::ask() {
  if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
  {
    const std::lock_guard lock(mutex_);
    at_work_.store(true, std::memory_order_release);
  }
  asked_.notify_one();
}

void checkpointer::wait() {
  std::unique_lock lock(mutex_);
  done_.wait(lock, [this] { return !at_work_; });
}

std::optional<checkpointer::result> checkpointer::take() {
  const std::lock_guard lock(mutex_);
  return std::exchange(result_, std::nullopt);
}

void checkpointer::run() {
  database db;
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      asked_.wait(lock, [this] { return at_work_ || stopping_; });
      if (stopping_) return;
    }
    auto r = copy(db);
    const std::lock_guard lock(mutex_);
    result_ = std::move(r);
    at_work_.store(false, std::memory_order_release);
    done_.notify_one();
  }
}

checkpointer::result checkpointer::copy(database& db) const {
  result r;
  const auto begun = std::chrono::steady_clock::now();
  try {
    if (!db) {
      db = database(file_, database::mode::read_write, busy_timeout_, vfs_);
      db.integer("SELECT 1 FROM sqlite_schema LIMIT 1");  // a connection that has read nothing has no WAL to copy
    }
    const int code = sqlite3_wal_checkpoint_v2(db.handle(), nullptr, SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr);
    if (code != SQLITE_OK) raise(db.handle(), code);
  } catch (const sqlite_error& e) {
    if (e.primary() != SQLITE_BUSY) r.error = e;
    db = database();
  }
  r.took = std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - begun);
  return r;
}

}  // namespace pawl::store
