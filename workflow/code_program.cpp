#include "workflow/code_program.hpp"

#include <algorithm>
#include <stdexcept>

#include <pawl/codec.hpp>
#include <pawl/value_stream.hpp>

namespace pawl::engine {

namespace {

/// Lines kept of one decision; code that logs more is cut short.
constexpr std::size_t most_lines = 1000;
/// Bytes of status and attributes together; they are recorded whole whenever they change.
constexpr std::size_t most_status = 16 * 1024;
/// Wants that are named to people when code and history do not fit.
constexpr std::size_t most_asked = 8;

std::string in_quotes(std::string_view name) { return "'" + std::string(name) + "'"; }

}  // namespace

code_program::code_program(std::shared_ptr<const pawl::detail::code_definition> definition)
    : definition_(std::move(definition)),
      context_(*this) {}

code_program::~code_program() { tear_down(); }

// --- events
// ------------------------------------------------------------------------------------------------------------

void code_program::on(const event& e) noexcept {
  if (broken_) return;
  wants_are_old_ = true;
  try {
    // It comes whenever it comes, so it does not tell which way the code went: that is for what the code caused.
    const bool comes = e.kind == event_kind::signal_received || e.kind == event_kind::update_received;
    if (comes && !change_waiters_.empty()) return held_.push_back(e);
    answer_changes(e);
    if (broken_) return;
    give(e);
    give_held();
  } catch (const std::exception& x) {
    broken_ = std::make_unique<failure>(failure{.code = "code_diverged",
                                                .message = "event " + std::to_string(e.seq) + " (" +
                                                           std::string(to_text(e.kind)) +
                                                           ") could not be given to the code: " + x.what()});
    tear_down();
  }
}

void code_program::give(const event& e) {
  now_ = std::max(now_, e.at);
  seq_ = std::max(seq_, e.seq);  // one that was held comes behind the note
  follow(e);
  run_ready();
}

void code_program::give_held() {
  while (!held_.empty() && change_waiters_.empty() && !broken_) {
    const auto next = std::move(held_.front());
    held_.erase(held_.begin());
    give(next);
  }
}

void code_program::follow(const event& e) {
  if (e.undo || (is_terminal(e.kind) && ended_)) return;
  switch (e.kind) {
    case event_kind::run_started:
      return on_started(e);
    case event_kind::step_scheduled:
    case event_kind::attempt_started:
      return on_step_seen(e);
    case event_kind::attempt_completed:
    case event_kind::step_skipped:
      return on_step_done(e);
    case event_kind::step_failed:
      return on_step_failed(e);
    case event_kind::step_abandoned:
      return on_step_abandoned(e);
    case event_kind::timer_started:
    case event_kind::timer_fired:
    case event_kind::timer_cancelled:
      return on_timer(e);
    case event_kind::signal_received:
      return on_signal(e);
    case event_kind::child_asked:
    case event_kind::signal_sent:
      return on_call(e);
    case event_kind::child_ended:
    case event_kind::child_dropped:
    case event_kind::signal_answered:
      return on_call_answered(e);
    case event_kind::update_received:
      return updates_.on_received(e);
    case event_kind::update_answered:
      if (!updates_.on_answered(e)) diverged(e);
      return;
    case event_kind::status_published:
      unpublished_.clear();
      return;
    case event_kind::change_noted:
      return on_change(e);
    case event_kind::cancel_requested:
    case event_kind::deadline_passed:
      return on_stop(e);
    case event_kind::code_failed:
    case event_kind::run_failed:
    case event_kind::run_cancelled:
    case event_kind::run_killed:
      ended_ = true;
      updates_.end();
      return tear_down();
    case event_kind::run_completed:
    case event_kind::run_continued:
      return diverged(e);
    default:
      return;  // attempts that end otherwise are the engine's alone
  }
}

void code_program::on_started(const event& e) {
  facts_ = *e.start;
  uid_ = to_text(facts_.uid);
  input_ = e.payload;
  if (!facts_.start_at || *facts_.start_at <= e.at) return begin_code();
  start_timer_ = ++timers_made_;
  timers_.push_back({.number = start_timer_, .due = *facts_.start_at, .name = "start"});
}

void code_program::begin_code() {
  try {
    root_ = definition_->call(context_, input_);
    input_.clear();
    root_->whole().begin(*this);
  } catch (...) {
    end_code(std::current_exception());
  }
}

code_program::step_record* code_program::record_of(const event& e) {
  if (e.step < steps_.size()) {
    auto& s = steps_[e.step];
    if (!s.over && s.call && (e.name.empty() || e.name == s.call->name)) return &s;
  }
  diverged(e);
  return nullptr;
}

void code_program::on_step_seen(const event& e) {
  if (auto* s = record_of(e)) s->on_record = true;
}

void code_program::on_step_done(const event& e) {
  auto* s = record_of(e);
  if (!s) return;
  if (s->call->undo_options) s->result = std::make_unique<std::string>(e.payload);
  auto* waiter = std::exchange(s->waiter, nullptr);
  close(e.step);
  if (waiter) waiter->complete(e.payload);
}

void code_program::on_step_failed(const event& e) {
  auto* s = record_of(e);
  if (!s) return;
  auto* waiter = std::exchange(s->waiter, nullptr);
  const auto name = s->call->name;
  close(e.step);
  const auto error = e.error.value_or(failure{.code = "failed", .message = "step " + in_quotes(name) + " has failed"});
  if (waiter) waiter->fail(std::make_exception_ptr(step_failed(name, error.message, error.code)));
}

// An attempt that is under way may still complete it, and then there is something to undo.
void code_program::on_step_abandoned(const event& e) {
  auto* s = record_of(e);
  if (!s) return;
  if (s->waiter) return diverged(e);
  s->dropped = false;
  std::erase(open_steps_, e.step);
}

// What is left of a step that is over is what its undo needs.
void code_program::close(std::uint32_t k) {
  auto& s = steps_[k];
  s.over = true;
  s.dropped = false;
  std::erase(open_steps_, k);
  if (!s.call->undo_options) s.call.reset();
}

void code_program::on_timer(const event& e) {
  const auto at = std::find_if(timers_.begin(), timers_.end(), [&](const auto& t) { return t.number == e.number; });
  const bool starts = e.kind == event_kind::timer_started;
  if (at == timers_.end() || (starts && at->due != e.due) || (e.kind == event_kind::timer_cancelled && at->waiter))
    return diverged(e);
  if (starts) return void(at->on_record = true);
  auto* waiter = at->waiter;
  const bool begins = e.kind == event_kind::timer_fired && e.number == start_timer_;
  timers_.erase(at);
  if (waiter) waiter->complete({});
  if (begins && !ended_) begin_code();
}

void code_program::on_signal(const event& e) {
  const auto at =
      std::find_if(signal_waiters_.begin(), signal_waiters_.end(), [&](const auto& w) { return w.name == e.name; });
  if (at == signal_waiters_.end())
    return void(signals_.push_back({.name = e.name, .payload = e.payload, .command_id = e.command_id}));
  auto* waiter = at->waiter;
  signal_waiters_.erase(at);
  waiter->complete(e.payload);
}

void code_program::on_call(const event& e) {
  const auto at = std::find_if(calls_.begin(), calls_.end(), [&](const auto& c) { return c.number == e.number; });
  const auto asks_for_this = [&](const call_record& c) {
    if (c.name != e.name) return false;
    if (e.kind == event_kind::child_asked)
      return (c.is_child || c.request.detached) && e.child->workflow_id == c.request.workflow_id;
    return !c.is_child && !c.request.detached && e.target == c.request.workflow_id;
  };
  if (at == calls_.end() || !asks_for_this(*at)) return diverged(e);
  at->on_record = true;
  at->request.payload.clear();
}

void code_program::on_call_answered(const event& e) {
  const auto at = std::find_if(calls_.begin(), calls_.end(), [&](const auto& c) { return c.number == e.number; });
  if (at == calls_.end() || !at->on_record || (e.kind == event_kind::child_dropped && at->waiter)) return diverged(e);
  auto* waiter = at->waiter;
  const auto call = std::move(*at);
  calls_.erase(at);
  if (!waiter) return;
  if (!e.error) return waiter->complete(call.request.detached ? pawl::encode(call.request.workflow_id) : e.payload);
  const auto& id = call.request.workflow_id;
  waiter->fail(call.is_child || call.request.detached
                   ? std::make_exception_ptr(child_failed(id, e.error->message, e.error->code))
                   : std::make_exception_ptr(signal_failed(id, e.error->message, e.error->code)));
}

// In the order of their coming, with the commands that brought them: those are remembered by the next run.
std::vector<event> code_program::unread() const {
  std::vector<event> out;
  for (const auto& s : signals_) {
    event e;
    e.kind = event_kind::signal_received;
    e.name = s.name;
    e.payload = s.payload;
    e.command_id = s.command_id;
    out.push_back(std::move(e));
  }
  return out;
}

// Code that does not ask any more has left the old way behind.
void code_program::on_change(const event& e) { answer_change(e.name, true); }

// Something else than the note is on record behind a changed place: the run went on there with the code as it was, and
// does so now, before the event is given to it.
void code_program::answer_changes(const event& e) {
  while (!change_waiters_.empty() && !broken_) {
    const bool noted = e.kind == event_kind::change_noted && std::any_of(change_waiters_.begin(), change_waiters_.end(),
                                                                         [&](const auto& w) { return w.id == e.name; });
    if (noted) return;
    answer_change(std::string(change_waiters_.front().id), false);
    run_ready();
    give_held();
  }
}

void code_program::answer_change(const std::string& id, bool answer) {
  if (std::none_of(changes_.begin(), changes_.end(), [&](const auto& c) { return c.first == id; }))
    changes_.emplace_back(id, answer);
  std::vector<pawl::detail::leaf*> told;
  std::erase_if(change_waiters_, [&](const auto& w) {
    if (w.id != id) return false;
    told.push_back(w.waiter);
    return true;
  });
  for (auto* waiter : told) waiter->complete(pawl::encode(answer));
}

void code_program::on_stop(const event& e) {
  const cancelled why(e.error ? e.error->message : std::string{});
  if (root_ && !root_done_) return root_->whole().cancel(why);
  if (!root_ && !ended_) end_code(std::make_exception_ptr(why));
}

void code_program::run_ready() {
  while (next_ready_ < ready_.size()) {
    const auto next = ready_[next_ready_++];
    if (next_ready_ == ready_.size()) {
      ready_.clear();
      next_ready_ = 0;
    }
    next.resume();
    if (renewal_) return ended_ ? void() : end_code(nullptr);
  }
  if (!root_done_ || ended_) return;
  std::exception_ptr error;
  try {
    result_ = root_->take();
  } catch (...) {
    error = std::current_exception();
  }
  end_code(std::move(error));
}

void code_program::end_code(std::exception_ptr error) {
  ended_ = true;
  if (error) {
    auto what = pawl::detail::describe_exception(error);
    failure_ = std::make_unique<failure>(
        failure{.code = std::move(what.code), .message = std::move(what.message), .permanent = true});
  }
  error = nullptr;  // what it refers to may be in a frame
  updates_.end();
  tear_down();
}

// The newest first: a frame is destroyed before those that call it, however many there are, without recursion.
void code_program::tear_down() noexcept {
  tearing_down_ = true;
  ready_.clear();
  next_ready_ = 0;
  while (auto* f = newest()) f->handle.destroy();
  root_.reset();
  signal_waiters_.clear();
  change_waiters_.clear();
  updates_.forget_waiters();
  for (auto& s : steps_) s.waiter = nullptr;
  for (const auto k : open_steps_) steps_[k].dropped = true;
  for (auto& t : timers_) {
    t.waiter = nullptr;
    t.dropped = true;
  }
  std::erase_if(timers_, [](const auto& t) { return !t.on_record; });
  for (auto& c : calls_) {
    c.waiter = nullptr;
    c.dropped = true;
  }
  drop_calls();
  std::erase_if(open_steps_, [&](std::uint32_t k) { return !steps_[k].on_record; });
  tearing_down_ = false;
}

void code_program::diverged(const event& e) {
  auto what = std::string(to_text(e.kind));
  if (e.step != no_step) what += " of step " + std::to_string(e.step) + (e.name.empty() ? "" : " " + in_quotes(e.name));
  if (e.kind == event_kind::update_answered) what += " " + in_quotes(e.name);
  if (e.number != 0) what += " of timer " + std::to_string(e.number) + (e.name.empty() ? "" : " " + in_quotes(e.name));
  broken_ = std::make_unique<failure>(failure{
      .code = "code_diverged",
      .message =
          "event " + std::to_string(e.seq) + " is " + what + ", but the code asks for " + asked() +
          ". Start a binary that has the code that the run was written with, or give changed code a new version"});
  tear_down();
}

std::string code_program::asked() const {
  std::vector<std::string> all;
  for (const auto k : open_steps_)
    if (steps_[k].waiter) all.push_back("step " + std::to_string(k) + " " + in_quotes(steps_[k].call->name));
  for (const auto& t : timers_) all.push_back("timer " + std::to_string(t.number) + " " + in_quotes(t.name));
  for (const auto& s : signal_waiters_) all.push_back("a signal " + in_quotes(s.name));
  for (const auto& c : change_waiters_) all.push_back("the change " + in_quotes(c.id));
  updates_.add_asked(all);
  for (const auto& c : calls_)
    if (c.waiter)
      all.push_back(c.request.cancels || !c.is_child ? "call " + std::to_string(c.number) + " " + in_quotes(c.name)
                                                     : "child " + std::to_string(c.number) + " " + in_quotes(c.name));
  if (ended_)
    all.emplace_back(failure_   ? "the end, failed: " + failure_->message
                     : renewal_ ? "to continue as new"
                                : "the end, completed");
  std::string out;
  for (std::size_t n = 0; n < all.size() && n < most_asked; ++n) out += (n > 0 ? ", " : "") + all[n];
  if (all.size() > most_asked) out += " and " + std::to_string(all.size() - most_asked) + " more";
  return all.empty() ? "nothing" : out;
}

// --- what the engine asks
// ------------------------------------------------------------------------------------------------

std::span<const want> code_program::wants() const {
  if (!wants_are_old_) return wants_;
  wants_are_old_ = false;
  wants_.clear();
  if (broken_) {
    wants_.push_back({.kind = want_kind::broken, .error = broken_.get()});
    return wants_;
  }
  if (!change_waiters_.empty()) wants_.push_back({.kind = want_kind::note_change, .text = change_waiters_.front().id});
  for (const auto k : open_steps_)
    if (steps_[k].dropped) wants_.push_back({.kind = want_kind::drop_step, .step = k});
  for (const auto& t : timers_)
    if (t.dropped) wants_.push_back({.kind = want_kind::drop_timer, .number = t.number});
  for (const auto& c : calls_)
    if (c.dropped) wants_.push_back({.kind = want_kind::drop_child, .number = c.number, .call = &c.request});
  if (!unpublished_.empty()) wants_.push_back({.kind = want_kind::publish, .text = unpublished_});
  updates_.add_wants(wants_);
  for (const auto k : open_steps_)
    if (!steps_[k].dropped) wants_.push_back({.kind = want_kind::step, .step = k});
  for (const auto& t : timers_)
    if (!t.dropped) wants_.push_back({.kind = want_kind::timer, .number = t.number, .due = t.due, .text = t.name});
  for (const auto& s : signal_waiters_) wants_.push_back({.kind = want_kind::signal, .text = s.name});
  updates_.add_awaited(wants_);
  // What is on record is somebody else's to do.
  for (const auto& c : calls_)
    if (!c.dropped && !c.on_record)
      wants_.push_back({.kind = c.is_child || c.request.detached ? want_kind::child : want_kind::message,
                        .number = c.number,
                        .text = c.name,
                        .call = &c.request});
  if (!ended_) return wants_;
  if (failure_)
    wants_.push_back({.kind = want_kind::fail, .error = failure_.get()});
  else if (renewal_)
    wants_.push_back({.kind = want_kind::renew, .text = *renewal_});
  else
    wants_.push_back({.kind = want_kind::finish, .text = result_});
  return wants_;
}

step_info code_program::step(std::uint32_t k) const {
  if (k >= steps_.size() || !steps_[k].call) return {};
  const auto& c = *steps_[k].call;
  return {.name = c.name, .options = &c.options, .undo_options = c.undo_options.get()};
}

std::optional<std::uint32_t> code_program::step_named(std::string_view name) const {
  for (auto k = static_cast<std::uint32_t>(steps_.size()); k-- > 0;)
    if (steps_[k].call && steps_[k].call->name == name) return k;
  return std::nullopt;
}

step_call code_program::call(std::uint32_t k, bool undo, const std::string&) const {
  const auto& s = steps_.at(k);
  step_call c;
  if (undo) {
    c.undo = {s.call, &s.call->undo};
    c.held = &s.call->undo_arguments;
    if (s.result) c.result = *s.result;
  } else {
    c.invoke = {s.call, &s.call->invoke};
    c.held = &s.call->arguments;
  }
  c.returns = s.call->result;
  return c;
}

std::string_view code_program::value_of(std::uint32_t k) const {
  return k < steps_.size() && steps_[k].result ? std::string_view(*steps_[k].result) : std::string_view{};
}

std::string code_program::refusal_of_signal(std::string_view name, std::string_view payload) const {
  for (const auto& w : signal_waiters_)
    if (w.name == name) return w.check(payload);
  return {};
}

std::string code_program::refusal_of_result(std::uint32_t k, std::string_view payload) const {
  const auto* call = k < steps_.size() ? steps_[k].call.get() : nullptr;
  return call && call->check_result ? call->check_result(payload) : std::string{};
}

std::vector<log_line> code_program::take_log() { return std::exchange(lines_, {}); }

// --- what the code asks
// --------------------------------------------------------------------------------------------------

std::uint32_t code_program::begin_step(pawl::detail::leaf& who, std::shared_ptr<const pawl::detail::code_step> call) {
  queries_.no_change("awaits a step");
  const auto k = static_cast<std::uint32_t>(steps_.size());
  steps_.push_back({.call = std::move(call), .waiter = &who, .result = nullptr});
  open_steps_.push_back(k);
  return k;
}

std::uint32_t code_program::begin_timer(pawl::detail::leaf& who, pawl::detail::code_time due, std::string_view name) {
  queries_.no_change("awaits a time");
  const auto number = ++timers_made_;
  timers_.push_back(
      {.number = number, .due = std::clamp(due, time_point{}, latest_time), .name = std::string(name), .waiter = &who});
  return number;
}

std::uint32_t code_program::begin_signal(pawl::detail::leaf& who, std::string_view name,
                                         std::string (*check)(std::string_view)) {
  queries_.no_change("awaits a signal");
  const auto at = std::find_if(signals_.begin(), signals_.end(), [&](const auto& s) { return s.name == name; });
  if (at == signals_.end()) {
    signal_waiters_.push_back({.name = std::string(name), .waiter = &who, .check = check});
    return ++signals_asked_;
  }
  const auto payload = std::move(at->payload);
  signals_.erase(at);
  who.complete(payload);
  return ++signals_asked_;
}

std::uint32_t code_program::begin_call(pawl::detail::leaf& who, pawl::detail::code_call call) {
  using kind = pawl::detail::code_call::kind;
  queries_.no_change("asks another workflow for something");
  const auto number = ++calls_made_;
  call_record c;
  c.number = number;
  c.name = std::move(call.name);
  c.waiter = &who;
  c.is_child = call.what == kind::child;
  c.request.workflow_id = std::move(call.workflow_id);
  if (c.request.workflow_id.empty()) c.request.workflow_id = uid_ + "/" + std::to_string(number);
  c.request.payload = std::move(call.payload);
  c.request.version = call.options.version;
  c.request.policy = static_cast<child_policy>(call.options.when_dropped);
  c.request.detached = call.what == kind::detached;
  c.request.deadline = call.options.deadline;
  c.request.cancels = call.what == kind::cancel;
  calls_.push_back(std::move(c));
  return number;
}

std::uint32_t code_program::begin_renewal(pawl::detail::leaf&, std::string input) {
  queries_.no_change("continues as new");
  renewal_ = std::move(input);
  return 1;
}

// What is not on record yet never was. A message that is on record is answered some time; nobody hears it.
void code_program::drop_calls() noexcept {
  std::erase_if(calls_, [](const auto& c) { return c.dropped && !c.on_record; });
  for (auto& c : calls_)
    if (!c.is_child) c.dropped = false;
}

std::uint32_t code_program::begin_change(pawl::detail::leaf& who, std::string_view id) {
  queries_.no_change("asks for a change");
  const auto known = std::find_if(changes_.begin(), changes_.end(), [&](const auto& c) { return c.first == id; });
  if (known != changes_.end())
    who.complete(pawl::encode(known->second));
  else
    change_waiters_.push_back({.id = std::string(id), .waiter = &who});
  return ++changes_asked_;
}

std::uint32_t code_program::begin_update(pawl::detail::leaf& who, std::string_view name,
                                         std::string (*check)(std::string_view)) {
  queries_.no_change("awaits an update");
  wants_are_old_ = true;
  updates_.await(who, name, check);
  return ++updates_asked_;
}

// While frames are destroyed because they are a cache, nothing is dropped for good.
void code_program::answer_update(std::uint64_t seq, std::string value) {
  queries_.no_change("answers an update");
  if (tearing_down_) return;
  updates_.answer(seq, std::move(value));
}

void code_program::refuse_update(std::uint64_t seq, std::string code, std::string message) {
  queries_.no_change("refuses an update");
  if (tearing_down_) return;
  updates_.refuse(seq, {.code = std::move(code), .message = std::move(message), .permanent = true});
}

void code_program::drop_update(std::uint64_t seq) noexcept {
  if (tearing_down_ || queries_.is_closed_to("drops an update")) return;
  updates_.refuse(seq, {.code = "unanswered", .message = {}, .permanent = true});
}

std::uint64_t code_program::add_query(std::shared_ptr<const pawl::detail::query_handler> handler) {
  return queries_.add(std::move(handler));
}

// What is not on record yet never was.
void code_program::let_go(pawl::detail::leaf& who) noexcept {
  if (tearing_down_) return;
  wants_are_old_ = true;
  switch (who.what()) {
    case pawl::detail::leaf::kind::step: {
      auto& s = steps_[who.number()];
      s.waiter = nullptr;
      s.dropped = true;
      if (s.on_record) return;
      s.over = true;
      s.call.reset();
      std::erase(open_steps_, who.number());
      return;
    }
    case pawl::detail::leaf::kind::timer:
      for (auto& t : timers_)
        if (t.waiter == &who) {
          t.waiter = nullptr;
          t.dropped = true;
        }
      std::erase_if(timers_, [](const auto& t) { return t.dropped && !t.on_record; });
      return;
    case pawl::detail::leaf::kind::signal:
      std::erase_if(signal_waiters_, [&](const auto& w) { return w.waiter == &who; });
      return;
    case pawl::detail::leaf::kind::call:
      for (auto& c : calls_)
        if (c.waiter == &who) {
          c.waiter = nullptr;
          c.dropped = true;
        }
      return drop_calls();
    case pawl::detail::leaf::kind::renewal:
      return;
    case pawl::detail::leaf::kind::change:
      std::erase_if(change_waiters_, [&](const auto& w) { return w.waiter == &who; });
      return;
    case pawl::detail::leaf::kind::update:
      return updates_.let_go(who);
  }
}

void code_program::resume_soon(std::coroutine_handle<> who) noexcept { ready_.push_back(who); }

std::uint64_t code_program::draw() {
  queries_.no_change("draws random numbers");
  std::uint64_t z = stable_hash(uid_, 0x70617765) + 0x9e3779b97f4a7c15ULL * ++drawn_;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

void code_program::log(log_level level, std::string_view text) {
  queries_.no_change("logs");
  if (!live_ || tearing_down_ || lines_.size() > most_lines) return;
  if (lines_.size() == most_lines) {
    level = log_level::warn;
    text = "the code logs more than can be kept; what follows is left out";
  }
  lines_.push_back({.level = static_cast<std::uint8_t>(level), .text = std::string(text)});
}

void code_program::publish_status(std::string_view text) {
  queries_.no_change("publishes a status");
  if (tearing_down_) return;
  status_ = text;
  publish();
}

void code_program::publish_attribute(std::string_view name, std::string value) {
  queries_.no_change("publishes an attribute");
  if (tearing_down_) return;
  const auto at = std::find_if(attributes_.begin(), attributes_.end(), [&](const auto& a) { return a.first == name; });
  if (at == attributes_.end())
    attributes_.emplace_back(name, std::move(value));
  else
    at->second = std::move(value);
  publish();
}

void code_program::publish() {
  pawl::detail::encoder e;
  e.map(2);
  e.string("text");
  e.string(status_);
  e.string("attributes");
  e.map(attributes_.size());
  for (const auto& [name, value] : attributes_) {
    e.string(name);
    e.raw(value);
  }
  e.leave();
  e.leave();
  auto bytes = std::move(e).take();
  if (bytes.size() > most_status)
    throw std::length_error("status and attributes together have " + std::to_string(bytes.size()) +
                            " bytes and may have " + std::to_string(most_status) + ": they are for people to look at");
  unpublished_ = std::move(bytes);
}

}  // namespace pawl::engine
