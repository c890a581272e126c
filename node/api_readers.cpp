#include "node/api_readers.hpp"

namespace pawl::node {

api_readers::api_readers(std::size_t threads, std::size_t queued) : most_threads_(threads), most_queued_(queued) {}
api_readers::~api_readers() { stop(); }

api_readers::posted api_readers::post(std::function<void()> task, room r) {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) return posted::stopped;
    if (most_threads_ > 0) {
      if (r == room::limited && queue_.size() >= most_queued_) return posted::full;
      queue_.push_back(std::move(task));
      if (threads_.empty())
        for (std::size_t i = 0; i < most_threads_; ++i) threads_.emplace_back([this] { run(); });
    }
  }
  if (most_threads_ == 0)
    task();
  else
    wake_.notify_one();
  return posted::yes;
}

void api_readers::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [&] { return stopping_ || !queue_.empty(); });
    if (stopping_) return;
    auto task = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    task();
    task = nullptr;  // what it holds may answer a request: not under the lock
    lock.lock();
  }
}

void api_readers::stop() {
  std::deque<std::function<void()>> dropped;
  std::vector<std::thread> threads;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    dropped.swap(queue_);
    threads.swap(threads_);
  }
  wake_.notify_all();
  for (auto& t : threads) t.join();
}

}  // namespace pawl::node
