#include "workflow/instance.hpp"

#include <algorithm>

#include "workflow/code_program.hpp"
#include "workflow/graph_program.hpp"

namespace pawl::engine {

instance::instance(std::shared_ptr<const pawl::detail::workflow_definition> d, std::unique_ptr<engine::program> p)
    : definition(std::move(d)),
      program(std::move(p)) {}

std::unique_ptr<instance> make_instance(std::shared_ptr<const pawl::detail::workflow_definition> definition) {
  std::unique_ptr<program> p;
  if (auto graph = pawl::detail::as_graph(definition)) p = std::make_unique<graph_program>(std::move(graph));
  if (auto code = pawl::detail::as_code(definition)) p = std::make_unique<code_program>(std::move(code));
  return std::make_unique<instance>(std::move(definition), std::move(p));
}

std::unique_ptr<instance> make_onlooker(std::shared_ptr<const pawl::detail::workflow_definition> definition) {
  if (definition && definition->as_code()) return std::make_unique<instance>(std::move(definition), nullptr);
  return make_instance(std::move(definition));
}

bool same_definition(const instance& i) { return i.definition && i.definition->digest == i.facts.digest; }

const step_state* instance::find(std::uint32_t step, bool undo) const {
  const auto at = std::size_t{2} * step + (undo ? 1 : 0);
  if (at >= step_index.size() || step_index[at] < 0) return nullptr;
  return &steps[static_cast<std::size_t>(step_index[at])];
}

step_state* instance::find(std::uint32_t step, bool undo) {
  return const_cast<step_state*>(static_cast<const instance*>(this)->find(step, undo));
}

const timer_state* instance::find_timer(std::uint32_t number) const {
  const auto at = std::find_if(timers.begin(), timers.end(), [&](const auto& t) { return t.number == number; });
  return at == timers.end() ? nullptr : &*at;
}

const call_state* instance::find_call(std::uint32_t number) const {
  const auto at = std::find_if(calls.begin(), calls.end(), [&](const auto& c) { return c.number == number; });
  return at == calls.end() ? nullptr : &*at;
}

bool is_code_phase(const instance& i) {
  return i.phase == phase::running || (i.phase == phase::stopping && i.facts.code);
}

const update_state* instance::find_update(std::uint64_t seq) const {
  const auto at = std::find_if(updates.begin(), updates.end(), [&](const auto& u) { return u.seq == seq; });
  return at == updates.end() ? nullptr : &*at;
}

bool is_over(const instance& i, const step_state& s) {
  return is_closed(s.status) && (i.facts.code || s.status != step_status::exhausted);
}

bool is_wanted(const instance& i, const step_state& s) {
  if (s.undo) return i.phase == phase::compensating;
  if (s.abandoned) return false;
  const auto cleans_up = [&] { return i.program && i.program->catches() && !i.program->has_ended(); };
  return i.phase == phase::running || (i.phase == phase::stopping && cleans_up());
}

std::string idempotency_key(const instance& i, std::uint32_t step, bool undo) {
  return idempotency_key(i, to_text(i.facts.uid), step, undo);
}

std::string idempotency_key(const instance& i, std::string_view uid, std::uint32_t step, bool undo) {
  const std::string_view name = i.program->step(step).name;
  std::string key;
  key.reserve(uid.size() + 1 + name.size() + (i.facts.code ? 11 : 0) + (undo ? 5 : 0));
  key.append(uid).append("/").append(name);
  if (i.facts.code) key += "#" + std::to_string(step);
  if (undo) key += "/undo";
  return key;
}

std::uint64_t instance::applied_at(std::string_view command_id) const {
  if (command_id.empty()) return 0;
  if (command_id == start_command) return 1;
  if (!command_ids) return 0;
  const auto it = command_ids->find(std::string(command_id));
  return it == command_ids->end() ? 0 : it->second;
}

std::size_t size_of(const event& e) {
  constexpr std::size_t overhead = 24;  // columns: seq, time, kind, attempt
  return overhead + e.name.size() + e.command_id.size() + e.payload.size() + e.cause.size() + 4 * e.order.size() +
         (e.error ? e.error->code.size() + e.error->message.size() + 8 : 0) + (e.begun ? 40 : 0) +
         (e.start ? 64 + e.start->workflow_id.size() + e.start->type.size() : 0) +
         (e.child ? 32 + e.child->workflow_id.size() : 0) + e.target.size();
}

std::string_view to_text(step_status s) {
  switch (s) {
    case step_status::scheduled:
      return "scheduled";
    case step_status::running:
      return "running";
    case step_status::waiting:
      return "waiting";
    case step_status::spent:
      return "spent";
    case step_status::exhausted:
      return "exhausted";
    case step_status::completed:
      return "completed";
    case step_status::skipped:
      return "skipped";
    case step_status::abandoned:
      return "abandoned";
  }
  return "unknown";
}

std::string_view to_text(phase p) {
  switch (p) {
    case phase::none:
      return "none";
    case phase::running:
      return "running";
    case phase::stopping:
      return "stopping";
    case phase::compensating:
      return "compensating";
    case phase::completed:
      return "completed";
    case phase::failed:
      return "failed";
    case phase::cancelled:
      return "cancelled";
    case phase::killed:
      return "killed";
    case phase::continued:
      return "continued";
  }
  return "unknown";
}

}  // namespace pawl::engine
