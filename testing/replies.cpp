// What is asked of runs in an environment: updates and queries, and what comes of them.
//
// Whoever has sent an update hears of its answer when that is on record. After a crash he sends the update again under
// the same command id, whether he has heard or not, and hears the same.
#include <algorithm>
#include <utility>

#include "testing/world.hpp"

#include "workflow/queries.hpp"

namespace pawl::testing {

namespace detail {

using engine::command;
using engine::command_result;
using engine::event;
using engine::event_kind;
using engine::query_answer;

namespace {

std::string came_to(const reply_state& s) {
  if (s.refusal) return "refused with '" + s.refusal->code + "': " + s.refusal->message;
  if (s.answer) return "answered: " + value_text(*s.answer);
  return s.sent ? "not answered" : "not sent yet";
}

bool same(const std::optional<run_error>& a, const std::optional<run_error>& b) {
  return a.has_value() == b.has_value() && (!a || (a->code == b->code && a->message == b->message));
}

/// Why it was not answered; nothing when it was.
std::optional<run_error> refusal_of(const query_answer& a) {
  using status = query_answer::status;
  switch (a.state) {
    case status::answered:
      return std::nullopt;
    case status::failed:
      return run_error{a.code, a.message};
    case status::conflict:
      return run_error{"conflict", a.message};
    case status::too_large:
      return run_error{"too_large", a.message};
    default:
      return run_error{"invalid", a.message};
  }
}

const event* answer_to(const life& r, std::uint64_t seq) {
  const auto at = std::find_if(r.history.begin(), r.history.end(), [&](const event& e) {
    return e.kind == event_kind::update_answered && e.answers == seq;
  });
  return at == r.history.end() ? nullptr : &*at;
}

std::optional<run_error> error_of(const event& e) {
  return e.error ? std::optional(run_error{e.error->code, e.error->message}) : std::nullopt;
}

}  // namespace

std::shared_ptr<const reply_state> world::update(life& r, const engine::update_command& u, const update_options& o) {
  const auto id = o.command_id.empty() ? "command-" + std::to_string(++r.commands) : o.command_id;
  auto& known = r.updates[id];
  if (!known) {
    known = std::make_shared<reply_state>();
    known->what = "update '" + u.name + "'";
    known->run = r.id;
    known->command_id = id;
    known->sent = false;
  }
  const auto state = known;
  const auto give = [this, &r, c = command{.id = id, .body = u}] { send(r, c); };
  if (o.after > engine::milliseconds{0}) {
    after(o.after, give);
    return state;
  }
  give();
  while (step_until(now)) {
  }
  return state;
}

void world::send(life& r, const command& c) {
  const bool known = std::any_of(r.sent.begin(), r.sent.end(), [&](const auto& s) { return s.id == c.id; });
  auto& state = *r.updates.at(c.id);
  state.sent = true;
  // Nodes find the answers of earlier runs in their histories.
  if (!known && !state.is_open()) return;
  if (!known) r.sent.push_back(c);
  send_again(r, c);
}

// Like somebody whose connection broke: what is on record is a duplicate, and answered as it was.
void world::send_again(life& r, const command& c) {
  const auto update = r.updates.find(c.id);
  const bool is_update = update != r.updates.end();
  if (!is_update && r.state->applied_at(c.id) != 0) return;
  const auto process = r.process;
  const auto outcome = say(r, c);
  if (!is_update || process != r.process) return;
  auto& state = *update->second;
  if (outcome.result == command_result::applied) return;
  if (outcome.result == command_result::duplicate) {
    const auto* told = answer_to(r, outcome.seq);
    if (told)
      hear(state, told->error ? std::nullopt : std::optional(told->payload), error_of(*told), r);
    else if (!state.is_open() && !is_closed(r.state->phase))
      throw mismatch(state.what + " was " + came_to(state) + ", and that is not on record any more" + context_of(r));
    return;
  }
  std::erase_if(r.sent, [&](const auto& s) { return s.id == c.id; });
  hear(state, std::nullopt, run_error{std::string(to_text(outcome.result)), outcome.message}, r);
}

// What is on record, as those hear it who have sent updates.
void world::hear(life& r, const event& e) {
  if (e.kind == event_kind::update_answered) {
    const auto& received = r.history.at(e.answers - 1);
    if (const auto to = r.updates.find(received.command_id); to != r.updates.end())
      hear(*to->second, e.error ? std::nullopt : std::optional(e.payload), error_of(e), r);
  }
  if (!is_terminal(e.kind)) return;
  for (const auto& c : r.sent)
    if (const auto to = r.updates.find(c.id);
        to != r.updates.end() && to->second->is_open() && r.state->applied_at(c.id) != 0)
      hear(*to->second, std::nullopt, run_error{"ended", "the run has ended without answering " + to->second->what}, r);
}

void world::hear(reply_state& s, std::optional<std::string> answer, std::optional<run_error> refusal, const life& r) {
  reply_state told = s;
  told.answer = std::move(answer);
  told.refusal = std::move(refusal);
  if (!s.is_open() && (s.answer != told.answer || !same(s.refusal, told.refusal)))
    throw mismatch(s.what + " was " + came_to(s) + ", and then " + came_to(told) + context_of(r));
  s = std::move(told);
}

std::shared_ptr<const reply_state> world::query(life& r, std::string_view name, std::string_view input) {
  const engine::limits limits{};
  auto state = std::make_shared<reply_state>();
  state->what = "query '" + std::string(name) + "'";
  state->run = r.id;
  const auto ask = [&](engine::instance& i) {
    auto got = engine::ask(i, name, input, limits);
    reply_state out = *state;
    out.refusal = refusal_of(got);
    if (!out.refusal) out.answer = std::move(got.value);
    return out;
  };
  const auto check = [&](engine::instance& i, const std::string& when, const std::string& why) {
    const auto other = ask(i);
    if (other.answer == state->answer && same(other.refusal, state->refusal)) return;
    throw mismatch(state->what + " is " + came_to(*state) + ", and " + when + " " + came_to(other) + ". " + why +
                   context_of(r));
  };
  const auto waits = wants_text(*r.state);
  *state = ask(*r.state);
  check(*r.state, "asked again", "Its handler changes what it looks at; a query changes nothing");
  if (wants_text(*r.state) != waits)
    throw mismatch(state->what + " changes what the run waits for, from " + in_words(waits) + " to " +
                   in_words(wants_text(*r.state)) + context_of(r));
  // The frames that were asked stay: what another handler has changed in them shows when the next query is asked.
  if (r.history.size() <= replayed_always && !is_closed(r.state->phase))
    check(*replayed(r), "in a replay of the same history",
          "A handler has changed what is looked at, or the code reads a clock, random numbers, a global or the "
          "environment");
  return state;
}

}  // namespace detail

bool reply::is_open() const { return state_->is_open(); }
std::optional<run_error> reply::refusal() const { return state_->refusal; }

std::string reply::answer_bytes() const {
  expect_answered();
  return *state_->answer;
}

const reply& reply::expect_open() const {
  if (is_open()) return *this;
  throw mismatch("expected that " + state_->what + " is not answered yet; it is " + detail::came_to(*state_) +
                 world_->context_of(world_->find(state_->run)));
}

const reply& reply::expect_answered() const {
  if (state_->answer) return *this;
  throw mismatch("expected that " + state_->what + " is answered; it is " + detail::came_to(*state_) +
                 world_->context_of(world_->find(state_->run)));
}

const reply& reply::expect_answer_bytes(const std::string& expected) const {
  expect_answered();
  if (*state_->answer == expected) return *this;
  throw mismatch("expected that " + state_->what + " is answered with " + detail::value_text(expected) + "; it is " +
                 detail::came_to(*state_) + world_->context_of(world_->find(state_->run)));
}

const reply& reply::expect_refused(std::string_view code) const {
  if (state_->refusal && state_->refusal->code == code) return *this;
  throw mismatch("expected that " + state_->what + " is refused with '" + std::string(code) + "'; it is " +
                 detail::came_to(*state_) + world_->context_of(world_->find(state_->run)));
}

const std::string& sent_update::command_id() const { return state_->command_id; }

sent_update& sent_update::run_to_answer() {
  while (is_open()) {
    if (world_->step_until(engine::latest_time)) continue;
    const auto& r = world_->find(state_->run);
    throw mismatch(state_->what + " is not answered: the run " +
                   (r.state->paused ? "is paused (" + r.state->pause_cause + ")"
                                    : "waits for " + detail::in_words(detail::wants_text(*r.state))) +
                   ", and nothing will come" + world_->context_of(r));
  }
  return *this;
}

}  // namespace pawl::testing
