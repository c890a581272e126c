#include "store/verify_run.hpp"

#include <algorithm>

#include "store/event_chunk.hpp"
#include "workflow/event_codec.hpp"

namespace pawl::store {

namespace {

using engine::event_kind;

std::string words(event_kind k) { return std::string(to_text(k)); }
std::string words(std::uint64_t n) { return std::to_string(n); }
std::string words(std::int64_t n) { return std::to_string(n); }
std::string words(std::uint32_t n) { return std::to_string(n); }
std::string words(bool b) { return b ? "yes" : "no"; }
std::string words(const std::string& s) { return "'" + s + "'"; }
std::string words(engine::phase p) { return std::string(to_text(p)); }
std::string words(const engine::run_uid& u) { return to_text(u); }

std::string step_words(const engine::event& e) {
  return std::string(e.undo ? "the undo of step '" : "step '") + e.name + "'";
}

// What the order of undoing goes by: the event that closed the step; where the run stopped before any did, the end of
// its newest attempt.
std::uint64_t closed_at(const engine::step_state& s) { return s.closed_seq > 0 ? s.closed_seq : s.ended_seq; }

bool is_done(const engine::step_state* s) {
  return s && (s->status == engine::step_status::completed || s->status == engine::step_status::skipped);
}

}  // namespace

run_check::run_check(const run_row& row, report r)
    : row_(row),
      report_(std::move(r)),
      instance_(engine::make_instance(nullptr)) {}

void run_check::chunk(std::uint64_t first_seq, std::int64_t at, std::string_view heads, std::string_view bodies) {
  if (first_seq > expected_) {
    say(expected_, first_seq == expected_ + 1 ? "the event is missing"
                                              : "the events up to " + words(first_seq - 1) + " are missing");
    replayed_ = false;
  } else if (first_seq < expected_) {
    say(first_seq, "the event is there twice");
    replayed_ = false;
  }
  std::vector<chunk_entry> entries;
  if (auto wrong = read_chunk(heads, bodies, entries); !wrong.empty()) {
    say(first_seq, "the row cannot be decoded: " + wrong);
    replayed_ = false;
    expected_ = std::max(expected_, first_seq + chunk_size(heads));
    return;
  }
  auto seq = first_seq;
  for (auto& entry : entries) {
    engine::event e;
    e.kind = static_cast<event_kind>(entry.kind);
    e.seq = seq++;
    e.at = engine::from_micros(at + entry.later);
    e.attempt = entry.attempt;
    e.name = std::move(entry.step);
    ++events_;
    std::string wrong;
    if (!is_known(e.kind))
      wrong = "its kind " + words(entry.kind) + " is not known";
    else
      wrong = decode_body(entry.body, e);
    if (wrong.empty() && entry.undo != e.undo) wrong = "its head and its body disagree on whether it is of an undo";
    if (!wrong.empty()) {
      say(e.seq, "the event cannot be decoded: " + wrong);
      replayed_ = false;
      continue;
    }
    event(e);
  }
  expected_ = std::max(expected_, seq);
}

void run_check::event(engine::event& e) {
  order_in_time(e);
  ends(e);
  completions(e);
  commands(e);
  if (e.seq == 1) compare_start(e);
  if (!replayed_) return;
  const bool at_once = e.kind == event_kind::run_killed || e.kind == event_kind::run_reset;
  if (is_terminal(e.kind) && !at_once && !instance_->updates.empty())
    say(e.seq, words(e.kind) + " although the update of event " + words(instance_->updates.front().seq) +
                   " has not been answered");
  compensation(e);
  undo_in_turn(e);
  evolve(*instance_, e);
  if (instance_->broken.empty()) return;
  say(e.seq, "the history cannot be replayed: " + instance_->broken);
  replayed_ = false;
}

void run_check::order_in_time(const engine::event& e) {
  const auto at = engine::to_micros(e.at);
  if (at < last_at_) say(e.seq, "the event is earlier than the one before it");
  last_at_ = std::max(last_at_, at);
}

void run_check::ends(const engine::event& e) {
  if (terminal_ != 0)
    say(e.seq, is_terminal(e.kind)
                   ? "a second terminal event, " + words(e.kind) + " (the first is event " + words(terminal_) + ")"
                   : words(e.kind) + " follows the terminal event " + words(terminal_));
  if (is_terminal(e.kind) && terminal_ == 0) terminal_ = e.seq;
}

void run_check::completions(const engine::event& e) {
  if (e.kind != event_kind::attempt_completed && e.kind != event_kind::step_skipped) return;
  if (!completed_.emplace(e.step, e.undo).second) say(e.seq, step_words(e) + " is completed a second time");
}

void run_check::commands(const engine::event& e) {
  if (!e.command_id.empty() && !command_ids_.insert(e.command_id).second)
    say(e.seq, "command " + words(e.command_id) + " is applied a second time");
}

// The reverse of the order in which the steps were closed. Which steps have an undo only the code knows.
void run_check::compensation(const engine::event& e) {
  if (e.kind == event_kind::run_completed && instance_->running_attempts > 0)
    say(e.seq, "the run completes although an attempt is under way");
  if (e.kind != event_kind::compensation_started) return;
  if (instance_->running_attempts > 0) say(e.seq, "compensation starts although an attempt is under way");
  std::uint64_t before = UINT64_MAX;
  for (const auto k : e.order) {
    const auto* s = instance_->find(k, false);
    if (!s || closed_at(*s) == 0) {
      say(e.seq, "compensation undoes step number " + words(k) + ", which has not run");
      continue;
    }
    if (closed_at(*s) >= before)
      say(e.seq, "compensation is not the reverse of the order in which the steps were closed");
    before = closed_at(*s);
  }
}

void run_check::undo_in_turn(const engine::event& e) {
  const bool undone_end = e.kind == event_kind::run_failed || e.kind == event_kind::run_cancelled;
  const bool begins = e.undo && e.kind == event_kind::attempt_started;
  if (!begins && !undone_end) return;
  const auto& order = instance_->undo_order;
  if (begins && std::find(order.begin(), order.end(), e.step) == order.end())
    return say(e.seq, step_words(e) + " starts without being part of a compensation");
  for (const auto k : order) {
    if (begins && k == e.step) return;
    if (is_done(instance_->find(k, true))) continue;
    say(e.seq, begins ? step_words(e) + " starts before that of step number " + words(k) + " is done"
                      : words(e.kind) + " although step number " + words(k) + " has not been undone");
    return;
  }
}

void run_check::compare_start(const engine::event& e) {
  if (!e.start) return;  // evolve has a word for it
  const auto same = [&](const char* what, const auto& in_row, const auto& in_event) {
    if (!(in_row == in_event))
      say(1, std::string("the row's ") + what + " is " + words(in_row) + ", its first event's is " + words(in_event));
  };
  const auto& h = row_.header;
  same("workflow id", h.workflow_id, e.start->workflow_id);
  same("run number", h.run, e.start->run);
  same("run_uid", h.uid, e.start->uid);
  same("type", h.type, e.start->type);
  same("version", h.version, e.start->version);
  same("start time", h.started_at, engine::to_micros(e.at));
  same("start command", h.start_command, e.command_id);
}

void run_check::end() {
  if (events_ == 0 && expected_ == 1) return say(0, "the run has no events");
  const bool closed = row_.summary.closed_at != 0;
  if (closed && terminal_ == 0) say(0, "the row says that the run is closed, and there is no terminal event");
  if (!closed && terminal_ != 0) say(terminal_, "the row says that the run is open, and there is a terminal event");
  if (!replayed_) return;
  compare_row();
  wake_rules();
}

void run_check::compare_row() {
  const auto same = [&](const char* what, const auto& in_row, const auto& replayed) {
    if (!(in_row == replayed))
      say(instance_->last_seq,
          std::string("the row's ") + what + " is " + words(in_row) + ", the history's is " + words(replayed));
  };
  const auto& s = row_.summary;
  same("phase", s.phase, instance_->phase);
  same("paused", s.paused, instance_->paused);
  if (s.closed_at != 0) same("closing time", s.closed_at, engine::to_micros(instance_->last_time));
}

// An open run that a restart would not wake in time is lost without anybody noticing.
void run_check::wake_rules() {
  const auto& i = *instance_;
  const auto wake = row_.summary.wake_at;
  if (row_.summary.closed_at != 0 || is_closed(i.phase)) return;
  const auto late = [&](const std::string& why) {
    say(i.last_seq, "the row's wake_at is " + words(wake) + ", but " + why);
  };
  if (i.running_attempts > 0 && wake != wake_now)
    return late("an attempt is under way, which a restart has to deal with at once");
  if (i.lacks_code && wake != wake_now) return late("the run waits for its code, which any start may bring");
  if (i.paused) return;
  // Code may wait for a person, or for another workflow.
  if (wake == wake_never && (!i.facts.code || !i.timers.empty()))
    return late("the run is not paused, so that nothing will ever wake it");
  if (i.phase != engine::phase::running) return;
  if (i.steps.empty() && i.facts.start_at && wake > engine::to_micros(*i.facts.start_at))
    return late("the run is to begin before that");
  for (const auto& t : i.timers)
    if (wake > engine::to_micros(t.due)) return late("timer " + words(t.number) + " fires before that");
  for (const auto& step : i.steps)
    if (!step.undo && step.status == engine::step_status::waiting && wake > engine::to_micros(step.due))
      return late("an attempt of step number " + words(step.step) + " is due before that");
}

}  // namespace pawl::store
