#include "node/render_run.hpp"

#include "config/setting.hpp"
#include "node/answer.hpp"
#include "node/render_table.hpp"

#include <algorithm>
#include <map>

namespace pawl::node {
namespace {

/// Children and other workflows that are waited for; of more only the number is said.
constexpr std::size_t most_calls = 10;

constexpr std::size_t most_bars = 200;
constexpr std::size_t most_payload = 2000;  // of an input or a result, unless it is asked for

using pairs = std::vector<std::pair<std::string, cell>>;

bar_end end_of(const std::string& outcome) {
  static const std::map<std::string, bar_end, std::less<>> ends{
      {"completed", bar_end::completed},  {"skipped", bar_end::completed}, {"failed", bar_end::failed},
      {"timed_out", bar_end::timed_out},  {"lost", bar_end::lost},         {"interrupted", bar_end::interrupted},
      {"not_begun", bar_end::interrupted}};
  const auto found = ends.find(outcome);
  return found == ends.end() ? bar_end::running : found->second;
}

std::string step_label(const json& entry) { return (flag_at(entry, "undo") ? "undo " : "") + text_at(entry, "step"); }

std::string note_of(const json& entry) {
  const auto outcome = text_at(entry, "outcome");
  auto note = failure_at(entry, "error");
  if (outcome == "skipped" || outcome == "not_begun") note = outcome == "skipped" ? "skipped" : "not begun";
  if (flag_at(entry, "in_child")) note += note.empty() ? "in a child process" : " (in a child process)";
  return note;
}

std::string payload_text(const json& value, bool wide) {
  auto text = to_text(value);
  if (!wide && text.size() > most_payload)
    text = text.substr(0, most_payload) + "... (" + std::to_string(text.size()) + " bytes; -o json has all)";
  return text;
}

std::string at_and_when(const json& run, const char* key, std::int64_t now) {
  const auto at = time_at(run, key);
  return at ? time_text(*at) + " (" + relative_text(*at, now) + ")" : std::string();
}

pairs head_of(const json& run, std::int64_t now, bool wide) {
  pairs out;
  const auto number = number_at(run, "run");
  out.emplace_back("id", cell(text_at(run, "id") + (number > 1 || wide ? " (run " + std::to_string(number) + ")" : ""),
                              paint::strong));
  out.emplace_back("type", cell(text_at(run, "type") + " version " + std::to_string(number_at(run, "version"))));
  out.emplace_back("state", cell(state_text(run), color_of_state(text_at(run, "state"), flag_at(run, "paused"))));
  out.emplace_back("started", cell(at_and_when(run, "started_at", now)));
  const auto began = time_at(run, "started_at");
  const auto closed = time_at(run, "closed_at");
  if (closed) {
    std::string text = time_text(*closed) + " (" + relative_text(*closed, now) + ")";
    if (began) text += ", took " + elapsed_text(std::chrono::microseconds(*closed - *began));
    out.emplace_back("closed", cell(std::move(text)));
  }
  if (!closed && time_at(run, "start_at")) out.emplace_back("delayed to", cell(at_and_when(run, "start_at", now)));
  if (!closed && time_at(run, "deadline_at")) out.emplace_back("deadline", cell(at_and_when(run, "deadline_at", now)));
  if (wide) out.emplace_back("run uid", cell(text_at(run, "run_uid")));
  out.emplace_back("events", cell(std::to_string(number_at(run, "events"))));
  return out;
}

void add_trouble(pairs& out, const json& run) {
  if (const auto& pause = part_at(run, "pause"); pause.is_object()) {
    auto why = text_at(pause, "cause");
    if (const auto step = text_at(pause, "step"); !step.empty()) why += ", at " + step_label(pause);
    if (const auto error = failure_at(pause, "error"); !error.empty()) why += ": " + error;
    out.emplace_back("paused", cell(std::move(why), paint::warn));
  }
  if (const auto& stopping = part_at(run, "stopping"); stopping.is_object())
    out.emplace_back(flag_at(stopping, "cancelled") ? "cancelled" : "failing",
                     cell(failure_at(stopping, "error"), paint::bad));
  if (const auto error = failure_at(run, "error"); !error.empty()) out.emplace_back("error", cell(error, paint::bad));
  if (const auto broken = text_at(run, "broken"); !broken.empty()) out.emplace_back("broken", cell(broken, paint::bad));
  const auto code = text_at(run, "code");
  if (code == "missing") out.emplace_back("code", cell("this node does not have this type and version", paint::warn));
  if (code == "changed")
    out.emplace_back("code", cell("this node has another definition under this type and version", paint::warn));
}

// What code shows, and what it waits for that is no step.
void add_code(pairs& out, const json& run, std::int64_t now) {
  if (const auto& status = part_at(run, "status"); status.is_object()) {
    if (const auto text = text_at(status, "text"); !text.empty()) out.emplace_back("status", cell(text));
    if (const auto& attributes = part_at(status, "attributes"); attributes.is_object())
      for (const auto& [name, value] : attributes.items()) out.emplace_back("  " + name, cell(to_text(value)));
  }
  if (const auto& timers = part_at(run, "timers"); timers.is_array())
    for (const auto& t : timers)
      if (time_at(t, "due_at"))
        out.emplace_back("timer " + std::to_string(number_at(t, "timer")), cell(at_and_when(t, "due_at", now)));
  if (const auto& calls = part_at(run, "calls"); calls.is_array()) {
    std::size_t shown = 0;
    for (const auto& call : calls) {
      if (shown++ == most_calls) {
        out.emplace_back("...", cell(std::to_string(calls.size() - most_calls) + " more"));
        break;
      }
      out.emplace_back(text_at(call, "what") + " " + std::to_string(number_at(call, "call")),
                       cell(text_at(call, "workflow_id")));
    }
  }
  if (const auto& parent = part_at(run, "parent"); parent.is_object())
    out.emplace_back("parent", cell(text_at(parent, "workflow_id")));
  if (const auto& from = part_at(run, "origin"); from.is_object())
    out.emplace_back(text_at(from, "kind"),
                     cell("behind event " + std::to_string(number_at(from, "seq")) + " of " +
                          text_at(from, "workflow_id") + ", run " + std::to_string(number_at(from, "run"))));
}

std::string draw_pending(const canvas& c, const json& pending, std::int64_t now) {
  table t({"waiting for", "status", "attempt", "next try", "last error"});
  for (const auto& p : pending) {
    if (!p.is_object()) continue;
    const auto due = time_at(p, "next_retry_at");
    const auto status = text_at(p, "status");
    std::string attempt = std::to_string(number_at(p, "attempt"));
    if (const auto most = number_at(p, "max_attempts"); most > 0)
      attempt += ", " + std::to_string(number_at(p, "counted")) + " of " + std::to_string(most) + " used";
    auto error = failure_at(p, "last_error");
    if (flag_at(p, "suspect")) error = "(suspect) " + error;
    t.add({cell(step_label(p)), cell(status, status == "exhausted" ? paint::bad : paint::busy),
           cell(std::move(attempt)), cell(due ? (*due > now ? relative_text(*due, now) : "now") : ""),
           cell(std::move(error), paint::bad)});
  }
  return t.empty() ? std::string() : "\n" + t.draw(c);
}

}  // namespace

paint color_of_state(const std::string& state, bool paused) {
  if (paused) return paint::warn;
  if (state == "completed") return paint::good;
  if (state == "failed" || state == "killed") return paint::bad;
  if (state == "cancelled" || state == "compensating" || state == "stopping") return paint::warn;
  return paint::busy;
}

std::string state_text(const json& row) { return text_at(row, "state") + (flag_at(row, "paused") ? ", paused" : ""); }

run_bars bars_of(const json& run, std::int64_t now) {
  run_bars out;
  const auto& entries = part_at(run, "timeline");
  if (!entries.is_array() || entries.empty()) return out;
  std::optional<std::int64_t> first;
  std::int64_t last = 0;
  bool under_way = false;
  for (const auto& e : entries) {
    const auto from = time_at(e, "started_at").value_or(0), to = time_at(e, "ended_at").value_or(0);
    first = std::min(first.value_or(from), from);
    last = std::max({last, from, to});
    under_way = under_way || to == 0;
  }
  // Only a delayed start, or a timeline that was cut, begins with its first attempt.
  const bool whole = number_at(entries.front(), "attempt") <= 1 && !time_at(run, "start_at");
  const auto begin = whole ? std::min(time_at(run, "started_at").value_or(*first), *first) : *first;
  auto end = time_at(run, "closed_at").value_or(under_way ? std::max(now, last) : last);
  const auto relative = [&](std::int64_t at) {
    return std::chrono::microseconds(std::max<std::int64_t>(0, at - begin));
  };

  std::map<std::string, std::size_t> newest;  // of each step: its row
  for (const auto& e : entries) {
    const auto label = step_label(e);
    const auto attempt = number_at(e, "attempt");
    const auto from = time_at(e, "started_at").value_or(begin);
    const auto to = time_at(e, "ended_at");
    bar b{label + (attempt > 1 ? " #" + std::to_string(attempt) : ""),
          relative(from),
          relative(to.value_or(end)),
          to ? end_of(text_at(e, "outcome")) : bar_end::running,
          {},
          note_of(e)};
    b.to = std::max(b.to, b.from);
    if (const auto before = newest.find(label); before != newest.end()) out.rows[before->second].waits_until = b.from;
    newest[label] = out.rows.size();
    out.rows.push_back(std::move(b));
  }
  for (const auto& p : part_at(run, "pending"))
    if (const auto due = time_at(p, "next_retry_at"); due && newest.contains(step_label(p))) {
      end = std::max(end, std::min(*due, now));
      out.rows[newest[step_label(p)]].waits_until = relative(std::min(*due, now));
    }
  out.total = relative(end);
  return out;
}

std::string draw_run(const canvas& c, const json& run, std::int64_t now, bool wide) {
  auto head = head_of(run, now, wide);
  add_trouble(head, run);
  add_code(head, run, now);
  if (const auto& input = part_at(run, "input"); !input.is_null())
    head.emplace_back("input", cell(payload_text(input, wide)));
  if (run.is_object() && run.contains("result"))
    head.emplace_back("result", cell(payload_text(part_at(run, "result"), wide), paint::good));
  auto on = c;
  on.cut = c.cut && !wide;
  std::string out = draw_pairs(on, head);
  if (const auto& pending = part_at(run, "pending"); pending.is_array() && !pending.empty())
    out += draw_pending(on, pending, now);

  auto bars = bars_of(run, now);
  if (bars.rows.empty()) return out;
  out += "\n";
  if (!wide && bars.rows.size() > most_bars) {
    const auto left_out = bars.rows.size() - most_bars;
    bars.rows.erase(bars.rows.begin(), bars.rows.begin() + static_cast<std::ptrdiff_t>(left_out));
    out += painted(c, paint::faint, std::to_string(left_out) + " earlier attempts are left out; -o wide has them\n");
  }
  return out + draw_bars(c, bars.rows, bars.total);
}

}  // namespace pawl::node
