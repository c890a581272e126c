// One run, as tests see it.
#include <algorithm>

#include <pawl/value_stream.hpp>

#include "testing/world.hpp"

namespace pawl::testing {

using engine::event_kind;

namespace {

std::string quoted(const std::vector<std::string>& names) {
  std::string out = "{";
  for (const auto& n : names) out += (out.size() > 1 ? ", " : "") + std::string("\"") + n + "\"";
  return out + "}";
}

bool has_completed(const engine::event& e) {
  return e.kind == event_kind::attempt_completed || e.kind == event_kind::step_skipped;
}

std::vector<std::string> completed(const detail::life& r, bool undo) {
  std::vector<std::string> out;
  for (const auto& e : r.history)
    if (has_completed(e) && e.undo == undo) out.push_back(e.name);
  return out;
}

std::string state_text(const detail::life& r) {
  const auto& i = *r.state;
  std::string out(to_text(i.phase));
  if (i.paused) out += ", paused (" + i.pause_cause + ")";
  if (!r.history.empty() && r.history.back().error)
    out += ": " + r.history.back().error->code + ": " + r.history.back().error->message;
  return out;
}

}  // namespace

bool run::is_open() const { return !is_closed(world_->find(id_).state->phase); }
bool run::is_paused() const { return world_->find(id_).state->paused; }
std::string run::state() const { return std::string(to_text(world_->find(id_).state->phase)); }

run& run::run_to_end() {
  while (is_open()) {
    if (world_->step_until(engine::latest_time)) continue;
    const auto& r = world_->find(id_);
    if (r.state->paused)
      throw mismatch("the run is paused (" + r.state->pause_cause + ") and does not end" + world_->context_of(r));
    throw mismatch("the run does not end: it waits for " + detail::in_words(waits_for()) + ", and nothing will come" +
                   world_->context_of(r));
  }
  return *this;
}

run& run::send_signal(std::string_view name, std::string payload) {
  world_->ask(world_->find(id_), engine::signal_command{.name = std::string(name), .payload = std::move(payload)});
  return *this;
}
sent_update run::send_update(std::string_view name, std::string payload, const update_options& o) {
  const engine::update_command u{.name = std::string(name), .payload = std::move(payload)};
  return {world_, world_->update(world_->find(id_), u, o)};
}
reply run::ask_query(std::string_view name, std::string input) const {
  return {world_, world_->query(world_->find(id_), name, input)};
}
run& run::cancel(std::string_view reason) {
  world_->ask(world_->find(id_), engine::cancel_command{std::string(reason)});
  return *this;
}
run& run::kill(std::string_view reason) {
  world_->ask(world_->find(id_), engine::kill_command{std::string(reason)});
  return *this;
}
run& run::pause(std::string_view reason) {
  world_->ask(world_->find(id_), engine::pause_command{.reason = std::string(reason)});
  return *this;
}
run& run::resume() {
  world_->ask(world_->find(id_), engine::resume_command{});
  return *this;
}
run& run::send_skip(std::string_view step, std::string result) {
  world_->ask(world_->find(id_), engine::skip_command{.step = std::string(step), .result = std::move(result)});
  return *this;
}

std::string run::result_bytes() const {
  expect_completed();
  return world_->find(id_).history.back().payload;
}

std::optional<run_error> run::error() const {
  const auto& r = world_->find(id_);
  if (is_open() || r.state->phase == engine::phase::completed) return std::nullopt;
  const auto& error = r.history.back().error;
  return error ? run_error{error->code, error->message} : run_error{};
}

std::vector<std::string> run::steps() const { return completed(world_->find(id_), false); }
std::vector<std::string> run::undone() const { return completed(world_->find(id_), true); }

std::uint64_t run::attempts(std::string_view step) const {
  const auto& h = world_->find(id_).history;
  return static_cast<std::uint64_t>(std::count_if(h.begin(), h.end(), [&](const auto& e) {
    return e.kind == event_kind::attempt_started && !e.undo && e.name == step;
  }));
}

std::vector<std::string> run::waits_for() const { return detail::wants_text(*world_->find(id_).state); }

std::string run::status() const {
  const auto& bytes = world_->find(id_).state->status;
  if (bytes.empty()) return {};
  pawl::detail::decoder d(bytes, "status");
  for (auto n = d.map(); n > 0; --n) {
    if (d.string() == "text") return std::string(d.string());
    d.skip();
  }
  return {};
}

std::string run::history() const { return detail::history_text(world_->find(id_).history); }
std::uint64_t run::events() const { return world_->find(id_).history.size(); }

const run& run::expect_completed() const {
  const auto& r = world_->find(id_);
  if (r.state->phase == engine::phase::completed) return *this;
  throw mismatch("expected that it completes; it is " + state_text(r) + world_->context_of(r));
}

const run& run::expect_result_bytes(const std::string& expected) const {
  const auto got = result_bytes();
  if (got == expected) return *this;
  throw mismatch("expected the result " + detail::value_text(expected) + "; it is " + detail::value_text(got) +
                 world_->context_of(world_->find(id_)));
}

const run& run::expect_failed(std::string_view code) const {
  const auto& r = world_->find(id_);
  if (r.state->phase == engine::phase::failed && error()->code == code) return *this;
  throw mismatch("expected that it fails with '" + std::string(code) + "'; it is " + state_text(r) +
                 world_->context_of(r));
}

const run& run::expect_cancelled() const {
  const auto& r = world_->find(id_);
  if (r.state->phase == engine::phase::cancelled) return *this;
  throw mismatch("expected that it is cancelled; it is " + state_text(r) + world_->context_of(r));
}

const run& run::expect_steps(const std::vector<std::string>& names) const {
  if (const auto got = steps(); got != names)
    throw mismatch("expected the steps " + quoted(names) + "; they are " + quoted(got) +
                   world_->context_of(world_->find(id_)));
  return *this;
}

const run& run::expect_undone(const std::vector<std::string>& names) const {
  if (const auto got = undone(); got != names)
    throw mismatch("expected the undone steps " + quoted(names) + "; they are " + quoted(got) +
                   world_->context_of(world_->find(id_)));
  return *this;
}

}  // namespace pawl::testing
