// One run of durable code by hand: the rig of tests/workflow, with functions that are really called. After every step
// the rig folds the whole history again, with new frames, and the result must be the live state.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <pawl/pawl.hpp>

#include "tests/workflow/rig.hpp"

namespace pawl::engine {

template <class R, class... A>
any_definition code_of(task<R> (*function)(workflow_context&, A...), std::uint32_t version = 1) {
  registry types;
  types.add("code", {.version = version}, function);
  return types.find("code", version);
}

class silent_port final : public pawl::detail::attempt_port {
 public:
  void heartbeat(std::optional<std::string>) override {}
  void log(log_level, std::string_view) override {}
};

class code_rig : public rig {
 public:
  template <class R, class... A>
  explicit code_rig(task<R> (*function)(workflow_context&, A...)) : rig(code_of(function)) {}

  template <class T>
  outcome begin(const T& input) {
    return start(encode(input));
  }
  outcome begin() { return start("\xc0"); }

  /// Calls the function of a step whose attempt is on record, and hands in how it ended.
  outcome perform(std::uint32_t step, bool undo = false) {
    const auto* s = state->find(step, undo);
    if (!s || s->status != step_status::running) throw std::logic_error("no attempt of the step is under way");
    const auto call = state->program->call(step, undo, state->input);
    pawl::detail::attempt_facts about;
    about.step = state->program->step(step).name;
    about.attempt = s->attempt;
    about.is_undo = undo;
    silent_port port;
    step_context context(about, port, {});
    attempt_ended end{.step = step, .undo = undo, .attempt = s->attempt, .end = attempt_end::completed};
    try {
      if (undo)
        (*call.undo)(context, {}, call.result ? std::optional<std::string_view>(*call.result) : std::nullopt);
      else
        end.result = (*call.invoke)(context, {});
    } catch (const step_error& e) {
      end.end = attempt_end::failed;
      end.error = failure{.code = e.code(),
                          .message = e.what(),
                          .permanent = dynamic_cast<const permanent_error*>(&e) != nullptr,
                          .retry_in = {}};
    }
    return say({.id = {}, .body = std::move(end)});
  }
  /// Performs whatever is under way, and undoes, until nothing is.
  void perform_all() {
    for (bool any = true; any;) {
      any = false;
      for (std::size_t n = 0; n < state->steps.size(); ++n) {
        if (state->steps[n].status != step_status::running) continue;
        perform(state->steps[n].step, state->steps[n].undo);
        any = true;
      }
    }
  }
  template <class T>
  outcome signal(std::string name, const T& value) {
    return ask(signal_command{.name = std::move(name), .payload = encode(value)});
  }
  template <class T>
  outcome update(std::string name, const T& value, std::string command_id = {}) {
    update_command u{.name = std::move(name), .payload = encode(value)};
    return command_id.empty() ? ask(std::move(u)) : ask(std::move(u), std::move(command_id));
  }
  /// What the newest update_answered says.
  template <class T>
  T answer() const {
    return decode<T>(newest(event_kind::update_answered).payload);
  }
  query_answer query(std::string_view name, std::string_view input = "\xc0") {
    return state->program->query(name, input);
  }
  /// The result of the run that has completed.
  template <class T>
  T result() const {
    return decode<T>(newest(event_kind::run_completed).payload);
  }
};

}  // namespace pawl::engine
