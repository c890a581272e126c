#include "actors/attempt.hpp"

#include <algorithm>

#include <pawl/errors.hpp>

namespace pawl::actors {

namespace {

engine::failure failure_now() noexcept {
  try {
    throw;
  } catch (const step_error& e) {
    return {.code = e.code(), .message = e.what(), .permanent = dynamic_cast<const permanent_error*>(&e) != nullptr,
            .retry_in = e.retry_in()};
  } catch (const std::exception& e) {
    return {.code = "error", .message = e.what()};
  } catch (...) {
    return {.code = "error", .message = "the function threw something that is not a std::exception"};
  }
}

}  // namespace

call_result run_function(const attempt_call& c, std::uint32_t step, bool undo, step_context& context) noexcept {
  call_result out;
  try {
    const auto& s = c.definition->steps[step];
    const std::vector<std::string_view> views(c.arguments.begin(), c.arguments.end());
    if (undo)
      s.undo(context, views, c.result ? std::optional<std::string_view>(*c.result) : std::nullopt);
    else
      out.result = s.invoke(context, views);
    out.ok = true;
  } catch (...) {
    out.error = failure_now();
  }
  return out;
}

attempt::attempt(attempt_id i, attempt_call c, watch w, bool child, slot s, std::shared_ptr<attempt_table> table)
    : pool_task(w.timeout, w.heartbeat), id(i), call(std::move(c)), limits(w), in_child(child), table_(std::move(table)), slot_(std::move(s)) {}

void attempt::execute() noexcept {
  began_ = true;
  call_result r;
  if (!ended_) {
    step_context context(call.facts, *this, stop_.get_token());
    r = run_function(call, id.step, id.undo, context);
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
    signal_();
}

void attempt::overdue(overdue_kind kind) noexcept {
  overdue_ = static_cast<std::uint8_t>(static_cast<std::uint8_t>(kind) + 1);
  signal_();
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
  e.step = id.step;
  e.undo = id.undo;
  e.attempt = id.attempt;
  table_->on_end(*this, std::move(e));
  return true;
}

attempt::settled attempt::settle() {
  if (ended_) return settled::before;
  engine::attempt_ended e;
  if (returned_) {
    const std::lock_guard lock(mutex_);
    e.end = result_.ok ? engine::attempt_end::completed : engine::attempt_end::failed;
    if (result_.ok)
      e.result = std::move(result_.result);
    else
      e.error = std::move(result_.error);
  } else if (const auto kind = overdue_.load(); kind != 0) {
    const bool silent = kind == static_cast<std::uint8_t>(overdue_kind::heartbeat) + 1;
    const auto ms = silent ? limits.heartbeat.value_or(limits.timeout) : limits.timeout;
    const std::string message = silent ? "no heartbeat for " + std::to_string(ms.count()) + " ms"
                                       : "the function did not return within " + std::to_string(ms.count()) + " ms";
    if (!give_up(engine::attempt_end::timed_out, {.code = silent ? "heartbeat_timeout" : "timeout", .message = message}))
      return settled::before;
    return settled::timed_out;
  } else {
    return settled::no;
  }
  return end(std::move(e)) ? settled::ended : settled::before;
}

bool attempt::give_up(engine::attempt_end how, engine::failure error) {
  engine::attempt_ended e;
  e.end = how;
  e.error = std::move(error);
  if (!end(std::move(e))) return false;
  stop_.request_stop();
  signal_();
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

void attempt::log(log_level level, std::string_view text) {
  if (table_->log_) table_->log_(level, call.facts, text);
}

bool attempt_table::enter(std::shared_ptr<attempt> a, std::shared_ptr<attempt_listener> listener) {
  auto& s = shard_of(a->id.key);
  const std::lock_guard lock(s.mutex);
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
    if (it == s.entries.end()) return false;
    it->second.listener = listener;
    end = it->second.end;
  }
  if (end) listener->ended(*end);
  return true;
}

void attempt_table::disown(const attempt_id& id) {
  auto& s = shard_of(id.key);
  std::shared_ptr<attempt_listener> dropped;
  const std::lock_guard lock(s.mutex);
  const auto it = s.entries.find(id);
  if (it == s.entries.end()) return;
  dropped = std::move(it->second.listener);
  if (it->second.end) s.entries.erase(it);
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

void attempt_table::on_end(const actors::attempt& a, engine::attempt_ended end) {
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
  for (auto& s : shards_) {
    decltype(s.entries) entries;
    decltype(s.lingering) lingering;
    const std::lock_guard lock(s.mutex);
    entries.swap(s.entries);
    lingering.swap(s.lingering);
  }
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
