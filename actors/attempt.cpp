#include "actors/attempt.hpp"

#include <algorithm>

#include <pawl/errors.hpp>

namespace pawl::actors {

namespace {

engine::failure failure_now() noexcept {
  try {
    throw;
  } catch (const step_error& e) {
    return {.code = e.code(),
            .message = e.what(),
            .permanent = dynamic_cast<const permanent_error*>(&e) != nullptr,
            .retry_in = e.retry_in()};
  } catch (const std::exception& e) {
    return {.code = "error", .message = e.what()};
  } catch (...) {
    return {.code = "error", .message = "the function threw something that is not a std::exception"};
  }
}

}  // namespace

call_result run_function(const attempt_call& c, step_context& context) noexcept {
  call_result out;
  try {
    const std::vector<std::string_view> views(c.arguments.begin(), c.arguments.end());
    if (c.undo)
      (*c.undo)(context, views, c.result ? std::optional<std::string_view>(*c.result) : std::nullopt);
    else
      out.result = (*c.invoke)(context, views);
    out.ok = true;
  } catch (...) {
    out.error = failure_now();
  }
  return out;
}

attempt::attempt(attempt_id i, attempt_call c, watch w, bool child, slot s, std::shared_ptr<attempt_table> table)
    : pool_task(w.timeout, w.heartbeat),
      id(i),
      call(std::move(c)),
      limits(w),
      in_child(child),
      table_(std::move(table)),
      slot_(std::move(s)) {}

void attempt::execute() noexcept {
  began_ = true;
  call_result r;
  if (!ended_) {
    step_context context(call.facts, *this, stop_.get_token());
    r = run_function(call, context);
  }
  {
    const std::lock_guard lock(mutex_);
    result_ = std::move(r);
  }
  release_slot();
  returned_ = true;
  if (ended_)
    table_->on_returned(*this);
  else
    signal();
}

void attempt::on_signal(std::function<void()> f) {
  signal_ = std::move(f);
  hooked_ = true;
  // Given up since it is in the table and before its worker was there to hear it.
  if (ended_) signal_();
}

void attempt::signal() {
  if (hooked_) signal_();
}

void attempt::overdue(overdue_kind kind) noexcept {
  overdue_ = static_cast<std::uint8_t>(static_cast<std::uint8_t>(kind) + 1);
  signal();
}

void attempt::report(call_result r) {
  {
    const std::lock_guard lock(mutex_);
    result_ = std::move(r);
  }
  began_ = true;
  returned_ = true;
}

void attempt::release_slot() {
  slot s;
  {
    const std::lock_guard lock(mutex_);
    s = std::move(slot_);
  }
}

bool attempt::end(engine::attempt_ended e) {
  if (ended_.exchange(true)) return false;
  put_on_record(std::move(e));
  return true;
}

void attempt::put_on_record(engine::attempt_ended e) {
  e.step = id.step;
  e.undo = id.undo;
  e.attempt = id.attempt;
  table_->on_end(*this, e);
}

attempt::settled attempt::settle() {
  if (ended_) return settled::before;
  if (returned_) {
    if (ended_.exchange(true)) return settled::before;
    engine::attempt_ended e;
    {
      const std::lock_guard lock(mutex_);
      e.end = result_.ok ? engine::attempt_end::completed : engine::attempt_end::failed;
      if (result_.ok)
        e.result = std::move(result_.result);
      else
        e.error = std::move(result_.error);
    }
    put_on_record(std::move(e));
    return settled::ended;
  }
  const auto kind = overdue_.load();
  if (kind == 0) return settled::no;
  const bool silent = kind == static_cast<std::uint8_t>(overdue_kind::heartbeat) + 1;
  const auto ms = silent ? limits.heartbeat.value_or(limits.timeout) : limits.timeout;
  const std::string message = silent ? "no heartbeat for " + std::to_string(ms.count()) + " ms"
                                     : "the function did not return within " + std::to_string(ms.count()) + " ms";
  const bool mine =
      give_up(engine::attempt_end::timed_out, {.code = silent ? "heartbeat_timeout" : "timeout", .message = message});
  return mine ? settled::timed_out : settled::before;
}

bool attempt::give_up(engine::attempt_end how, engine::failure error) {
  engine::attempt_ended e;
  e.end = how;
  e.error = std::move(error);
  if (!end(std::move(e))) return false;
  stop_.request_stop();
  signal();
  return true;
}

void attempt::heartbeat(std::optional<std::string> details) {
  beat();
  if (!details || ended_) return;
  const auto now = std::chrono::steady_clock::now();
  const auto gap = std::max<std::chrono::milliseconds>(std::chrono::seconds(1), limits.timeout / 3);
  {
    const std::lock_guard lock(mutex_);
    if (now - details_sent_ < gap && details_sent_ != std::chrono::steady_clock::time_point{}) {
      unsent_details_ = std::move(details);
      return;
    }
    details_sent_ = now;
    unsent_details_.reset();
  }
  table_->on_heartbeat(*this, std::move(*details));
}

std::optional<std::string> attempt::take_details() {
  const std::lock_guard lock(mutex_);
  return std::exchange(unsent_details_, std::nullopt);
}

void attempt::log(log_level level, std::string_view text) { table_->log(level, call.facts, text); }

bool attempt_table::enter(std::shared_ptr<attempt> a, std::shared_ptr<attempt_listener> listener) {
  auto& s = shard_of(a->id.key);
  const std::lock_guard lock(s.mutex);
  if (listener->generation() < s.generation) return false;
  const auto id = a->id;
  return s.entries.try_emplace(id, entry{std::move(a), std::move(listener)}).second;
}

std::shared_ptr<attempt> attempt_table::find(const attempt_id& id) const {
  auto& s = shard_of(id.key);
  const std::lock_guard lock(s.mutex);
  const auto it = s.entries.find(id);
  return it == s.entries.end() ? nullptr : it->second.attempt;
}

bool attempt_table::adopt(const attempt_id& id, std::shared_ptr<attempt_listener> listener) {
  std::optional<engine::attempt_ended> end;
  {
    auto& s = shard_of(id.key);
    const std::lock_guard lock(s.mutex);
    const auto it = s.entries.find(id);
    // An actor of a generation that is over, which does not know it yet, must not take the attempt from the one that
    // has its run now.
    if (it == s.entries.end() || listener->generation() < s.generation) return false;
    it->second.listener = listener;
    end = it->second.end;
  }
  if (end) listener->ended(*end);
  return true;
}

class attempt_table::orphan_listener final : public attempt_listener {
 public:
  orphan_listener(std::int32_t partition, const std::shared_ptr<actors::attempt>& a, orphan_function tell,
                  std::uint64_t generation)
      : end_{.partition = partition, .id = a->id, .workflow_id = a->call.facts.workflow_id, .end = {}},
        attempt_(a),
        tell_(std::move(tell)),
        generation_(generation) {}
  void ended(const engine::attempt_ended& end) override {
    auto e = end_;
    e.end = end;
    {
      const std::lock_guard lock(mutex_);
      e.details = details_;
    }
    if (const auto a = attempt_.lock())
      if (auto unsent = a->take_details()) e.details = std::move(unsent);
    tell_(e);
  }
  void heartbeat(std::uint32_t, bool, std::string details) override {
    const std::lock_guard lock(mutex_);
    details_ = std::move(details);
  }
  void returned() override {}
  std::uint64_t generation() const override { return generation_; }

 private:
  const orphan_end end_;
  const std::weak_ptr<actors::attempt> attempt_;
  const orphan_function tell_;
  const std::uint64_t generation_;
  std::mutex mutex_;
  std::optional<std::string> details_;
};

void attempt_table::orphan(std::int32_t partition, const orphan_function& tell) {
  std::vector<std::pair<std::shared_ptr<attempt_listener>, engine::attempt_ended>> ended;
  for (auto& s : shards_) {
    const std::lock_guard lock(s.mutex);
    for (auto& l : s.lingering) l.second = nullptr;
    for (auto& [id, e] : s.entries) {
      if (!e.listener) continue;
      e.listener = std::make_shared<orphan_listener>(partition, e.attempt, tell, s.generation);
      if (e.end) ended.emplace_back(e.listener, *e.end);
    }
  }
  for (const auto& [listener, end] : ended) listener->ended(end);
}

void attempt_table::delivered(const attempt_id& id) {
  auto& s = shard_of(id.key);
  entry dropped;
  const std::lock_guard lock(s.mutex);
  const auto it = s.entries.find(id);
  // Adopted meanwhile: its run's actor has its end.
  if (it == s.entries.end() || dynamic_cast<orphan_listener*>(it->second.listener.get()) == nullptr) return;
  dropped = std::move(it->second);
  s.entries.erase(it);
  if (s.delivered.size() >= most_delivered) {
    s.delivered.clear();
    forgotten_ = true;
  }
  s.delivered.insert(id);
  any_delivered_ = true;
}

bool attempt_table::was_delivered(const attempt_id& id) const {
  if (!any_delivered_.load(std::memory_order_relaxed)) return false;
  auto& s = shard_of(id.key);
  const std::lock_guard lock(s.mutex);
  return s.delivered.contains(id);
}

std::vector<attempt_id> attempt_table::held() const {
  std::vector<attempt_id> out;
  for (auto& s : shards_) {
    const std::lock_guard lock(s.mutex);
    for (const auto& e : s.entries) out.push_back(e.first);
    out.insert(out.end(), s.delivered.begin(), s.delivered.end());
  }
  return out;
}

void attempt_table::take_over(engine::run_key key, const std::shared_ptr<attempt_listener>& listener,
                              const std::function<bool(const attempt_id&)>& under_way) {
  auto& s = shard_of(key);
  std::vector<entry> dropped;
  const std::lock_guard lock(s.mutex);
  // What an actor of a generation that is over has read may be older than what its successor has done since.
  if (listener && listener->generation() < s.generation) return;
  for (auto& l : s.lingering)
    if (l.first.key == key) l.second = listener;
  std::erase_if(s.delivered, [&](const attempt_id& id) { return id.key == key && !under_way(id); });
  for (auto it = s.entries.begin(); it != s.entries.end();) {
    if (it->first.key != key || under_way(it->first)) {
      ++it;
      continue;
    }
    it->second.listener = nullptr;
    const bool ended = it->second.end.has_value();
    if (ended) dropped.push_back(std::move(it->second));
    it = ended ? s.entries.erase(it) : std::next(it);
  }
}

void attempt_table::disown(engine::run_key key) {
  take_over(key, nullptr, [](const attempt_id&) { return false; });
  for (auto& a : of(key)) a->request_stop();
}

void attempt_table::stop_steps(engine::run_key key) {
  for (auto& a : of(key))
    if (!a->id.undo) a->request_stop();
}

std::vector<std::shared_ptr<attempt>> attempt_table::of(engine::run_key key) const {
  std::vector<std::shared_ptr<attempt>> out;
  auto& s = shard_of(key);
  const std::lock_guard lock(s.mutex);
  for (const auto& e : s.entries)
    if (e.first.key == key) out.push_back(e.second.attempt);
  return out;
}

void attempt_table::begin_generation(std::uint64_t generation) {
  for (auto& s : shards_) {
    const std::lock_guard lock(s.mutex);
    s.generation = std::max(s.generation, generation);
  }
}

void attempt_table::leave(const attempt_id& id) {
  auto& s = shard_of(id.key);
  entry dropped;
  const std::lock_guard lock(s.mutex);
  const auto it = s.entries.find(id);
  if (it == s.entries.end()) return;
  dropped = std::move(it->second);
  s.entries.erase(it);
}

bool attempt_table::lingers(engine::run_key key, std::uint32_t step) const {
  auto& s = shard_of(key);
  const std::lock_guard lock(s.mutex);
  return std::any_of(s.lingering.begin(), s.lingering.end(),
                     [&](const auto& l) { return l.first.key == key && l.first.step == step && !l.first.undo; });
}

bool attempt_table::lingers(engine::run_key key) const {
  auto& s = shard_of(key);
  const std::lock_guard lock(s.mutex);
  return std::any_of(s.lingering.begin(), s.lingering.end(), [&](const auto& l) { return l.first.key == key; });
}

std::vector<std::shared_ptr<attempt>> attempt_table::all() const {
  std::vector<std::shared_ptr<attempt>> out;
  for (auto& s : shards_) {
    const std::lock_guard lock(s.mutex);
    for (const auto& e : s.entries) out.push_back(e.second.attempt);
  }
  return out;
}

std::size_t attempt_table::size() const {
  std::size_t n = 0;
  for (auto& s : shards_) {
    const std::lock_guard lock(s.mutex);
    n += s.entries.size();
  }
  return n;
}

std::size_t attempt_table::lingering() const {
  std::size_t n = 0;
  for (auto& s : shards_) {
    const std::lock_guard lock(s.mutex);
    n += s.lingering.size();
  }
  return n;
}

void attempt_table::on_end(const actors::attempt& a, const engine::attempt_ended& end) {
  std::shared_ptr<attempt_listener> listener;
  {
    auto& s = shard_of(a.id.key);
    const std::lock_guard lock(s.mutex);
    const auto it = s.entries.find(a.id);
    if (it == s.entries.end()) return;
    // Under the lock: either the function's return sees it here, or we see that it has returned.
    if (a.lingers()) s.lingering.emplace(a.id, it->second.listener);
    listener = it->second.listener;
    if (listener)
      it->second.end = end;
    else
      s.entries.erase(it);
  }
  if (listener) listener->ended(end);
}

void attempt_table::on_returned(const actors::attempt& a) {
  std::shared_ptr<attempt_listener> listener;
  {
    auto& s = shard_of(a.id.key);
    const std::lock_guard lock(s.mutex);
    const auto it = s.lingering.find(a.id);
    if (it == s.lingering.end()) return;
    ++late_results_;
    listener = std::move(it->second);
    s.lingering.erase(it);
  }
  if (listener) listener->returned();
}

void attempt_table::silence() {
  silent_ = true;
  for (auto& s : shards_) {
    decltype(s.entries) entries;
    decltype(s.lingering) lingering;
    const std::lock_guard lock(s.mutex);
    entries.swap(s.entries);
    lingering.swap(s.lingering);
  }
}

// What the sink of the log refers to may be gone when a function that hung comes back.
void attempt_table::log(log_level level, const pawl::detail::attempt_facts& facts, std::string_view text) const {
  if (log_ && !silent_) log_(level, facts, text);
}

void attempt_table::on_heartbeat(const actors::attempt& a, std::string details) {
  std::shared_ptr<attempt_listener> listener;
  {
    auto& s = shard_of(a.id.key);
    const std::lock_guard lock(s.mutex);
    const auto it = s.entries.find(a.id);
    if (it == s.entries.end()) return;
    listener = it->second.listener;
  }
  if (listener) listener->heartbeat(a.id.step, a.id.undo, std::move(details));
}

}  // namespace pawl::actors
