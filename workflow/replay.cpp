#include "workflow/replay.hpp"

#include "workflow/decide.hpp"

namespace pawl::engine {

namespace {

using verdict = replay_report::verdict;

replay_report& found(replay_report& r, verdict what, std::uint64_t seq, std::string message) {
  r.what = what;
  r.seq = seq;
  r.message = std::move(message);
  return r;
}

}  // namespace

std::string_view to_text(verdict v) {
  switch (v) {
    case verdict::as_recorded:
      return "as_recorded";
    case verdict::diverged:
      return "diverged";
    case verdict::changed:
      return "changed";
    case verdict::no_code:
      return "no_code";
    case verdict::broken:
      return "broken";
  }
  return "unknown";
}

replay_report replay(const registry& types, const std::vector<event>& history) {
  replay_report r;
  if (history.empty() || !history.front().start)
    return found(r, verdict::broken, 1, "the history does not begin with run_started");
  const auto& facts = *history.front().start;
  r.workflow_id = facts.workflow_id;
  r.type = facts.type;
  r.version = facts.version;
  r.run = facts.run;
  const auto definition = types.find(facts.type, facts.version);
  const auto named = "workflow type " + facts.type + " version " + std::to_string(facts.version);
  if (!definition) return found(r, verdict::no_code, 1, "this binary has no " + named);
  if (definition->digest != facts.digest)
    return found(r, verdict::changed, 1,
                 "this binary has another definition of " + named +
                     " than the run started with (steps, edges or types differ); give the changed one a new version");
  const auto i = make_instance(definition);
  for (const auto& e : history) {
    evolve(*i, e);
    if (!i->broken.empty()) return found(r, verdict::broken, e.seq, "the history cannot be followed: " + i->broken);
    if (is_broken(*i)) return found(r, verdict::diverged, e.seq, i->program->wants().front().error->message);
    ++r.events;
  }
  return r;
}

}  // namespace pawl::engine
