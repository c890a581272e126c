// The attempts of an environment: what they come to, and the calls of the functions of steps or of what stands in for
// them, on the test's thread.
#include <algorithm>

#include "testing/world.hpp"

#include "workflow/ids.hpp"

namespace pawl::testing::detail {

using engine::attempt_end;
using engine::event;
using engine::event_kind;
using engine::step_status;

namespace {

class port final : public pawl::detail::attempt_port {
 public:
  void heartbeat(std::optional<std::string> d) override {
    if (d) details = std::move(d);
  }
  void log(log_level, std::string_view) override {}
  std::optional<std::string> details;
};

std::string type_name(const type_descriptor* t) { return t ? t->name : "void"; }

}  // namespace

void refuse_arguments(const step_context& context, std::size_t wanted) {
  throw mismatch("what stands in for step '" + context.step() + "' takes " + std::to_string(wanted) +
                 " arguments of types that the step is not called with: give it the parameters of the step's function, "
                 "or none");
}

planned_ending world::plan(life& r, attempt& a) {
  if (auto* s = find_script(a.name, a.undo); s && !s->endings.empty()) {
    auto next = s->endings.front();
    a.by_script = true;
    if (s->endings.front().times != always && --s->endings.front().times == 0) s->endings.pop_front();
    next.times = 1;
    a.called = false;
    return next;
  }
  if (!given.faults) return {};
  const auto& f = *given.faults;
  const auto what = r.id + (a.undo ? " undo " : " step ") + std::to_string(a.step);
  const auto* s = r.state->find(a.step, a.undo);
  const bool last = s && s->counted + 1 >= s->policy.max_attempts && f.spare_last_attempt;
  auto dice = drawn(what, a.number);
  a.called = drawn(what + " called", a.number) < 0.5;
  if (!last && dice < f.fails) {
    ++counts.failures;
    return {ending::fails, 1, "injected", "a fault of the test"};
  }
  dice -= f.fails;
  if (!last && dice >= 0 && dice < f.times_out) {
    ++counts.time_outs;
    return {ending::times_out, 1, {}, {}};
  }
  dice -= f.times_out;
  if (dice >= 0 && dice < f.lost) {
    ++counts.losses;
    return {a.called ? ending::lost_when_done : ending::lost, 1, {}, {}};
  }
  return {};
}

void world::give_back(const attempt& a) {
  if (!a.by_script) return;
  auto& s = scripts[{a.name, a.undo}];
  const bool more_of_it = !s.endings.empty() && s.endings.front().times == always;
  if (!more_of_it) s.endings.push_front(a.planned);
}

void world::launch(life& r, const event& e) {
  auto a = std::make_shared<attempt>();
  a->step = e.step;
  a->undo = e.undo;
  a->number = e.attempt;
  a->process = r.process;
  a->name = e.name;
  a->planned = plan(r, *a);
  auto takes = engine::milliseconds{0};
  if (const auto* s = find_script(e.name, e.undo)) takes = s->takes;
  if (given.faults) {
    const auto slow = drawn(r.id + " latency " + std::to_string(e.step) + (e.undo ? " undo" : ""), e.attempt);
    takes += engine::milliseconds(static_cast<std::int64_t>(slow * static_cast<double>(given.faults->latency.count())));
  }
  const auto timeout = e.begun->policy.timeout;
  if (takes > timeout && a->planned.how == ending::as_it_returns) {
    a->planned.how = ending::times_out;
    a->called = false;
  }
  if (a->planned.how == ending::times_out) takes = timeout;
  r.under_way.push_back(a);
  agenda.emplace(now + takes, [this, &r, a] { end_attempt(r, a); });
}

void world::end_attempt(life& r, const std::shared_ptr<attempt>& a) {
  if (a->process != r.process) return;  // its process is gone
  std::erase(r.under_way, a);
  const auto* s = r.state->find(a->step, a->undo);
  if (is_closed(r.state->phase) || !s || s->status != step_status::running || s->attempt != a->number) return;
  auto end = call(r, *a);
  say(r, {.id = {}, .body = std::move(end)});
  if (a->process == r.process) return;
  const bool recorded = std::any_of(r.history.begin(), r.history.end(), [&](const event& e) {
    return e.step == a->step && e.undo == a->undo && e.attempt == a->number && e.kind > event_kind::attempt_started &&
           e.kind < event_kind::attempt_lost;
  });
  if (!recorded) give_back(*a);
}

engine::attempt_ended world::call(life& r, const attempt& a) {
  engine::attempt_ended end{.step = a.step, .undo = a.undo, .attempt = a.number, .end = attempt_end::failed};
  const auto quietly = [&] {
    try {
      perform(r, a);
    } catch (const mismatch&) {
      throw;
    } catch (...) {  // nobody hears of it
    }
  };
  switch (a.planned.how) {
    case ending::fails:
    case ending::fails_for_good:
      end.error = engine::failure{
          .code = a.planned.code, .message = a.planned.message, .permanent = a.planned.how == ending::fails_for_good};
      return end;
    case ending::times_out:
      if (a.called) quietly();
      end.end = attempt_end::timed_out;
      end.error = engine::failure{.code = "timed_out", .message = "the function did not return in time"};
      return end;
    case ending::lost_when_done:
      quietly();
      end.end = attempt_end::lost;
      return end;
    case ending::lost:
      end.end = attempt_end::lost;
      return end;
    case ending::as_it_returns:
      break;
  }
  try {
    end.result = perform(r, a);
    end.end = attempt_end::completed;
  } catch (const mismatch&) {
    throw;
  } catch (const step_error& e) {
    end.error = engine::failure{.code = e.code(),
                                .message = e.what(),
                                .permanent = dynamic_cast<const permanent_error*>(&e) != nullptr,
                                .retry_in = e.retry_in()};
  } catch (const std::exception& e) {
    end.error = engine::failure{.code = "error", .message = e.what()};
  } catch (...) {
    end.error =
        engine::failure{.code = "error", .message = "the function threw something that is not a std::exception"};
  }
  return end;
}

// Calls the function of the attempt, or what stands in for it.
std::string world::perform(life& r, const attempt& a) {
  const auto& i = *r.state;
  const auto& s = *i.find(a.step, a.undo);
  auto what = i.program->call(a.step, a.undo, i.input);
  const auto* of = i.find(a.step, false);
  const bool done = of && (of->status == step_status::completed || of->status == step_status::skipped);
  pawl::detail::attempt_facts f;
  f.workflow_id = i.facts.workflow_id;
  f.run = i.facts.run;
  f.run_uid = to_text(i.facts.uid);
  f.step = a.name;
  f.attempt = a.number;
  f.idempotency_key = engine::idempotency_key(i, a.step, a.undo);
  f.fencing_token = (std::uint64_t{i.facts.run} << 32) | s.token;
  if (!s.details.empty()) f.details = s.details;
  f.is_undo = a.undo;
  f.outcome_unknown = a.undo && !done;
  port told;
  step_context context(f, told, {});
  const std::vector<std::string_view> views(what.arguments.begin(), what.arguments.end());
  const auto known = a.undo && done && what.result ? std::optional<std::string_view>(*what.result) : std::nullopt;
  const auto keep_details = [&] {
    if (!told.details) return;
    r.details[{a.step, a.undo}] = *told.details;
    if (auto* live = r.state->find(a.step, a.undo)) live->details = *told.details;
  };
  try {
    std::string result;
    const auto* scripted = find_script(a.name, a.undo);
    if (scripted && scripted->stands_in) {
      const auto& fake = *scripted->stands_in;
      if (!a.undo && type_name(fake.result) != type_name(what.returns))
        throw mismatch("what stands in for step '" + a.name + "' returns " + type_name(fake.result) + ", the step " +
                       type_name(what.returns) + context_of(r));
      result = fake.function(context, {.held = what.held, .arguments = views, .result = known});
    } else if (given.only_fakes) {
      throw mismatch((a.undo ? "the undo of step '" : "step '") + a.name +
                     "' is called, and nothing stands in for it (options.only_fakes)" + context_of(r));
    } else if (a.undo) {
      (*what.undo)(context, views, known);
    } else {
      result = (*what.invoke)(context, views);
    }
    keep_details();
    return a.undo ? std::string() : result;
  } catch (...) {
    keep_details();
    throw;
  }
}

}  // namespace pawl::testing::detail
