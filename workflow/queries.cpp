#include "workflow/queries.hpp"

#include "workflow/decide.hpp"

namespace pawl::engine {

namespace {

/// Why the code of a run cannot be asked; empty: it can.
std::string obstacle(const instance& i) {
  const auto what = "workflow '" + i.facts.workflow_id + "'";
  if (!i.broken.empty()) return what + " cannot be restored: " + i.broken;
  if (!i.definition || !i.program)
    return what + " waits for its code: this node does not have type " + i.facts.type + " version " +
           std::to_string(i.facts.version);
  if (!same_definition(i))
    return what + " is paused (" + i.pause_cause + "): this node has other code under its type and version";
  if (is_broken(i)) {
    const auto* error = i.program->wants().front().error;
    return what + " is paused (" + error->code + "): " + error->message;
  }
  if (is_closed(i.phase) || i.phase == phase::compensating || i.program->has_ended())
    return what + " is " + std::string(to_text(i.phase)) + ": its code has ended, and answers no queries any more";
  return {};
}

}  // namespace

query_answer ask(instance& i, std::string_view name, std::string_view input, const limits& l) {
  using status = query_answer::status;
  if (auto why = obstacle(i); !why.empty()) return {.state = status::conflict, .message = std::move(why)};
  if (!i.facts.code)
    return {.state = status::invalid,
            .message = "the workflow is a graph of steps, which answers no queries; `show` tells what it does"};
  auto out = i.program->query(name, input);
  if (out.state == status::unknown) out.message = "there is no query '" + std::string(name) + "': " + out.message;
  if (out.value.size() > l.payload)
    return {.state = status::too_large,
            .message = "the answer has " + std::to_string(out.value.size()) + " bytes, limits.payload is " +
                       std::to_string(l.payload)};
  return out;
}

}  // namespace pawl::engine
