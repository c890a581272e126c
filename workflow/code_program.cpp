#include "workflow/code_program.hpp"

#include <algorithm>

#include "workflow/watched.hpp"

namespace pawl::engine {

namespace {

/// Lines kept of one decision; code that logs more is cut short.
constexpr std::size_t most_lines = 1000;
/// Wants that are named to people when code and history do not fit.
constexpr std::size_t most_asked = 8;

std::string in_quotes(std::string_view name) { return "'" + std::string(name) + "'"; }

}  // namespace

code_program::code_program(std::shared_ptr<const pawl::detail::code_definition> definition)
    : definition_(std::move(definition)),
      context_(*this) {}

code_program::~code_program() { tear_down(); }

// ---- events

void code_program::on(const event& e) noexcept {
  if (broken_) return;
  wants_are_old_ = true;
  const watched watch;
  take(e);
  if (watch.seen() && !broken_) misbehaved(e, *watch.seen());
}

void code_program::take(const event& e) noexcept {
  try {
    // It comes whenever it comes, so it does not tell which way the code went: that is for what the code caused.
    const bool comes = e.kind == event_kind::signal_received || e.kind == event_kind::update_received;
    if (comes && changes_.waits()) return held_.push_back(e);
    // Nor does how an attempt ended that another one follows: the code is not told.
    const bool untold = e.kind >= event_kind::attempt_failed && e.kind <= event_kind::attempt_not_begun;
    if (untold && changes_.waits()) {
      now_ = std::max(now_, e.at);
      seq_ = std::max(seq_, e.seq);
      return;
    }
    answer_changes(e);
    if (broken_) return;
    give(e);
    give_held();
  } catch (const std::exception& x) {
    broken_ = std::make_unique<failure>(failure{.code = std::string(paused_diverged),
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
  while (!held_.empty() && !changes_.waits() && !broken_) {
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
    case event_kind::timer_started:
    case event_kind::timer_fired:
    case event_kind::timer_cancelled:
      return on_timer(e);
    case event_kind::signal_received:
      return signals_.on_received(e);
    case event_kind::update_received:
      return updates_.on_received(e);
    case event_kind::status_published:
      return status_.on_published();
    case event_kind::change_noted:  // code that does not ask any more has left the old way behind
      return changes_.answer(e.name, true);
    case event_kind::cancel_requested:
    case event_kind::deadline_passed:
      return on_stop(e);
    case event_kind::code_failed:
    case event_kind::run_failed:
    case event_kind::run_cancelled:
    case event_kind::run_killed:
    case event_kind::run_reset:
      ended_ = true;
      updates_.end();
      return tear_down();
    default:
      if (!is_asked(e)) diverged(e);
  }
}

// What the code must have asked for, or caused, for such an event to be on record.
bool code_program::is_asked(const event& e) {
  switch (e.kind) {
    case event_kind::step_scheduled:
    case event_kind::attempt_started:
      return steps_.on_seen(e);
    case event_kind::attempt_completed:
    case event_kind::step_skipped:
      return steps_.on_done(e);
    case event_kind::step_failed:
      return steps_.on_failed(e);
    case event_kind::step_abandoned:
      return steps_.on_abandoned(e);
    case event_kind::child_asked:
    case event_kind::signal_sent:
      return calls_.on_asked(e, is_kept(e.seq));
    case event_kind::child_ended:
    case event_kind::child_dropped:
    case event_kind::signal_answered:
      return calls_.on_answered(e);
    case event_kind::update_answered:
      return updates_.on_answered(e);
    case event_kind::run_completed:
    case event_kind::run_continued:
      return false;  // it has not ended
    default:
      return true;  // attempts that end otherwise are the engine's alone
  }
}

void code_program::on_started(const event& e) {
  facts_ = *e.start;
  names_.clear();
  if (const auto& from = facts_.origin; from && from->kind != origin_kind::continued) {
    for (const auto& part : from->earlier) names_.push_back({part.seq, part.workflow_id, part.run, to_text(part.uid)});
    names_.push_back({from->seq, from->workflow_id, from->run, to_text(from->uid)});
  }
  names_.push_back({UINT64_MAX, facts_.workflow_id, facts_.run, to_text(facts_.uid)});
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

// Something else than the note is on record behind a changed place: the run went on there with the code as it was, and
// does so now, before the event is given to it.
void code_program::answer_changes(const event& e) {
  while (changes_.waits() && !broken_) {
    if (e.kind == event_kind::change_noted && changes_.waits_for(e.name)) return;
    changes_.answer(std::string(changes_.first()), false);
    run_ready();
    give_held();
  }
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
  signals_.forget_waiters();
  changes_.forget_waiters();
  updates_.forget_waiters();
  steps_.drop_all();
  for (auto& t : timers_) {
    t.waiter = nullptr;
    t.dropped = true;
  }
  std::erase_if(timers_, [](const auto& t) { return !t.on_record; });
  calls_.drop_all();
  tearing_down_ = false;
}

void code_program::diverged(const event& e) {
  auto what = std::string(to_text(e.kind));
  if (e.step != no_step) what += " of step " + std::to_string(e.step) + (e.name.empty() ? "" : " " + in_quotes(e.name));
  if (e.kind == event_kind::update_answered) what += " " + in_quotes(e.name);
  if (e.number != 0) what += " of timer " + std::to_string(e.number) + (e.name.empty() ? "" : " " + in_quotes(e.name));
  broken_ = std::make_unique<failure>(failure{
      .code = std::string(paused_diverged),
      .message =
          "event " + std::to_string(e.seq) + " is " + what + ", but the code asks for " + asked() +
          ". Start a binary that has the code that the run was written with, or give changed code a new version"});
  tear_down();
}

// Only a checked build sees it.
void code_program::misbehaved(const event& e, const misdeed& m) {
  broken_ = std::make_unique<failure>(failure{
      .code = std::string(paused_side_effect),
      .message = "given event " + std::to_string(e.seq) + " (" + std::string(to_text(e.kind)) + "), the code " +
                 m.what + (m.where.empty() ? "" : " " + m.where) +
                 ", so it may do something else in a replay: " + m.instead +
                 ". Start a binary whose code does, or, where it is the same every time, say so with pawl::unchecked"});
  tear_down();
}

std::string code_program::asked() const {
  std::vector<std::string> all;
  steps_.add_asked(all);
  for (const auto& t : timers_) all.push_back("timer " + std::to_string(t.number) + " " + in_quotes(t.name));
  signals_.add_asked(all);
  changes_.add_asked(all);
  updates_.add_asked(all);
  calls_.add_asked(all);
  if (ended_)
    all.emplace_back(failure_   ? "the end, failed: " + failure_->message
                     : renewal_ ? "to continue as new"
                                : "the end, completed");
  std::string out;
  for (std::size_t n = 0; n < all.size() && n < most_asked; ++n) out += (n > 0 ? ", " : "") + all[n];
  if (all.size() > most_asked) out += " and " + std::to_string(all.size() - most_asked) + " more";
  return all.empty() ? "nothing" : out;
}

// ---- what the engine asks

std::span<const want> code_program::wants() const {
  if (!wants_are_old_) return wants_;
  wants_are_old_ = false;
  wants_.clear();
  if (broken_) {
    wants_.push_back({.kind = want_kind::broken, .error = broken_.get()});
    return wants_;
  }
  changes_.add_wants(wants_);
  steps_.add_dropped(wants_);
  for (const auto& t : timers_)
    if (t.dropped) wants_.push_back({.kind = want_kind::drop_timer, .number = t.number});
  calls_.add_dropped(wants_);
  status_.add_wants(wants_);
  updates_.add_wants(wants_);
  steps_.add_wants(wants_);
  for (const auto& t : timers_)
    if (!t.dropped) wants_.push_back({.kind = want_kind::timer, .number = t.number, .due = t.due, .text = t.name});
  signals_.add_wants(wants_);
  updates_.add_awaited(wants_);
  calls_.add_wants(wants_);
  if (!ended_) return wants_;
  if (failure_)
    wants_.push_back({.kind = want_kind::fail, .error = failure_.get()});
  else if (renewal_)
    wants_.push_back({.kind = want_kind::renew, .text = *renewal_});
  else
    wants_.push_back({.kind = want_kind::finish, .text = result_});
  return wants_;
}

std::vector<log_line> code_program::take_log() { return std::exchange(lines_, {}); }

// ---- what the code asks

std::uint32_t code_program::begin_step(pawl::detail::leaf& who, std::shared_ptr<const pawl::detail::code_step> call) {
  queries_.no_change("awaits a step");
  return steps_.ask(who, std::move(call));
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
  signals_.await(who, name, check);
  return ++signals_asked_;
}

std::uint32_t code_program::begin_call(pawl::detail::leaf& who, pawl::detail::code_call call) {
  queries_.no_change("asks another workflow for something");
  return calls_.ask(who, std::move(call), names_.back().uid);
}

std::uint32_t code_program::begin_renewal(pawl::detail::leaf&, std::string input) {
  queries_.no_change("continues as new");
  renewal_ = std::move(input);
  return 1;
}

std::uint32_t code_program::begin_change(pawl::detail::leaf& who, std::string_view id) {
  queries_.no_change("asks for a change");
  changes_.await(who, id);
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
    case pawl::detail::leaf::kind::step:
      return steps_.let_go(who.number());
    case pawl::detail::leaf::kind::timer:
      for (auto& t : timers_)
        if (t.waiter == &who) {
          t.waiter = nullptr;
          t.dropped = true;
        }
      std::erase_if(timers_, [](const auto& t) { return t.dropped && !t.on_record; });
      return;
    case pawl::detail::leaf::kind::signal:
      return signals_.let_go(who);
    case pawl::detail::leaf::kind::call:
      return calls_.let_go(who);
    case pawl::detail::leaf::kind::renewal:
      return;
    case pawl::detail::leaf::kind::change:
      return changes_.let_go(who);
    case pawl::detail::leaf::kind::update:
      return updates_.let_go(who);
  }
}

void code_program::resume_soon(std::coroutine_handle<> who) noexcept { ready_.push_back(who); }

// In what a run has from another one, the other's names: its code does there what it did.
const code_program::run_names& code_program::names() const {
  auto at = names_.begin();
  while (seq_ >= at->below && at + 1 != names_.end()) ++at;
  return *at;
}

std::uint64_t code_program::draw() {
  queries_.no_change("draws random numbers");
  std::uint64_t z = stable_hash(run_uid(), 0x70617765) + 0x9e3779b97f4a7c15ULL * ++drawn_;
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
  status_.set_text(text);
}

void code_program::publish_attribute(std::string_view name, std::string value) {
  queries_.no_change("publishes an attribute");
  if (tearing_down_) return;
  status_.set_attribute(name, std::move(value));
}

}  // namespace pawl::engine
