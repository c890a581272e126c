#include "node/api_waiters.hpp"

#include <algorithm>

namespace pawl::node {

bool result_waiters::wait::finish(const actors::run_result* r) {
  callback f;
  {
    const std::lock_guard lock(mutex_);
    f = std::exchange(f_, nullptr);
  }
  if (f) f(r);
  return static_cast<bool>(f);
}

std::shared_ptr<result_waiters::wait> result_waiters::begin(std::chrono::milliseconds within, callback f) {
  const std::lock_guard lock(mutex_);
  if (stopping_ || open_.size() >= most_) return nullptr;
  if (!clock_) clock_ = std::make_unique<actors::clock>();
  const auto number = ++last_number_;
  // Whoever ends it, it leaves with its timer. The clock's callback holds it weakly, so an early end frees it.
  auto timer = std::make_shared<actors::clock::timer_id>();
  auto w = std::make_shared<wait>([this, number, timer, f = std::move(f)](const actors::run_result* r) {
    leave(number);
    clock_->cancel(*timer);
    f(r);
  });
  *timer = clock_->at(std::chrono::steady_clock::now() + within, [weak = std::weak_ptr<wait>(w)] {
    if (const auto late = weak.lock()) late->finish(nullptr);
  });
  open_.emplace(number, w);
  return w;
}

void result_waiters::leave(std::uint64_t number) {
  std::shared_ptr<wait> gone;
  const std::lock_guard lock(mutex_);
  if (const auto it = open_.find(number); it != open_.end()) {
    gone = std::move(it->second);
    open_.erase(it);
  }
}

/// What the node holds for a run. Dropped without a result (the node ends, or lost the run with a failed commit), those
/// who wait hear so.
class result_waiters::asked {
 public:
  asked(std::shared_ptr<table> t, run_name n) : table_(std::move(t)), name_(std::move(n)) {}
  asked(const asked&) = delete;
  asked& operator=(const asked&) = delete;
  ~asked() {
    if (!resolved_) resolve({.state = actors::run_result::status::unknown});
  }
  void resolve(const actors::run_result& r) {
    resolved_ = true;
    table_->resolve(name_, r);
  }

 private:
  const std::shared_ptr<table> table_;
  const run_name name_;
  bool resolved_ = false;
};

void result_waiters::table::resolve(const run_name& name, const actors::run_result& r) {
  std::vector<std::shared_ptr<wait>> waits;
  {
    const std::lock_guard lock(mutex);
    if (const auto it = runs.find(name); it != runs.end()) {
      waits = std::move(it->second.waits);
      runs.erase(it);
    }
  }
  for (const auto& w : waits) w->finish(&r);
}

void result_waiters::attach(actors::node_system& system, const std::string& workflow_id, std::uint32_t run,
                            std::shared_ptr<wait> w) {
  const run_name name{workflow_id, run};
  {
    const std::lock_guard lock(table_->mutex);
    const auto [it, first] = table_->runs.try_emplace(name);
    auto& [waits, sweep_at] = it->second;
    waits.push_back(std::move(w));
    if (waits.size() >= sweep_at) {  // of those whose time is over
      std::erase_if(waits, [](const auto& other) { return other.use_count() == 1; });
      sweep_at = std::max<std::size_t>(64, 2 * waits.size());
    }
    if (!first) return;
  }
  system.await_result(
      {.workflow_id = workflow_id,
       .run = run,
       .on_result = [a = std::make_shared<asked>(table_, name)](const actors::run_result& r) { a->resolve(r); }});
}

std::size_t result_waiters::waiting() const {
  const std::lock_guard lock(mutex_);
  return open_.size();
}

void result_waiters::stop() {
  std::unordered_map<std::uint64_t, std::shared_ptr<wait>> open;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    open = open_;
  }
  for (const auto& [number, w] : open) w->finish(nullptr);
  if (clock_) clock_->stop();
}

}  // namespace pawl::node
