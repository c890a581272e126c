#include "node/render_history.hpp"

#include "config/setting.hpp"
#include "node/answer.hpp"

#include <algorithm>
#include <array>

namespace pawl::node {
namespace {

constexpr std::size_t seq_columns = 5;
constexpr std::size_t kind_columns = 20;
constexpr std::size_t step_columns = 18;
constexpr std::size_t longest_payload = 500;
constexpr std::size_t narrow_columns = 110;
constexpr std::size_t date_columns = 11;  // "2026-05-09 "

paint color_of(const std::string& kind) {
  const auto has = [&](std::string_view part) { return kind.find(part) != std::string::npos; };
  if (kind == "run_completed" || kind == "attempt_completed" || kind == "step_skipped") return paint::good;
  if (has("failed") || has("exhausted") || has("timed_out") || has("killed") || has("deadline")) return paint::bad;
  if (has("lost") || has("interrupted") || has("paused") || has("cancel") || has("compensation") || has("warning") ||
      has("waiting"))
    return paint::warn;
  return paint::plain;
}

void add(std::string& out, const std::string& part) {
  if (!part.empty()) out += (out.empty() ? "" : "  ") + part;
}

std::string cut_payload(const json& value, bool wide) {
  auto text = to_text(value);
  return wide || text.size() <= longest_payload ? text : text.substr(0, longest_payload) + "...";
}

}  // namespace

std::string event_details(const json& event, bool wide) {
  std::string out;
  if (const auto& start = part_at(event, "start"); start.is_object()) {
    add(out, text_at(start, "type") + " version " + std::to_string(number_at(start, "version")));
    if (const auto at = time_at(start, "start_at")) add(out, "delayed to " + time_text(*at));
  }
  if (const auto what = text_at(event, "timer_for"); !what.empty()) add(out, what);
  if (const auto type = text_at(event, "child_type"); !type.empty()) add(out, type);
  if (const auto& child = part_at(event, "child"); child.is_object()) add(out, "as " + text_at(child, "workflow_id"));
  if (const auto other = text_at(event, "other_workflow_id"); !other.empty()) add(out, "to " + other);
  if (const auto due = time_at(event, "due_at")) add(out, "until " + time_text(*due));
  for (const auto* payload : {"input", "result", "details", "status", "payload", "answer"})
    if (event.contains(payload)) add(out, std::string(payload) + "=" + cut_payload(event[payload], wide));
  if (const auto cause = text_at(event, "cause"); !cause.empty()) add(out, "cause=" + cause);
  if (const auto error = failure_at(event, "error"); !error.empty()) add(out, error);
  if (const auto due = time_at(event, "next_attempt_at")) {
    const auto at = time_at(event, "at").value_or(*due);
    add(out, "next attempt in " + elapsed_text(std::chrono::microseconds(*due - at)));
  }
  if (const auto& order = part_at(event, "order"); order.is_array()) {
    std::string names;
    for (const auto& o : order)
      names += (names.empty() ? "" : ", ") + (o.is_string() ? o.get<std::string>() : std::string());
    add(out, "undoes " + (names.empty() ? "nothing" : names));
  }
  if (flag_at(event, "in_child")) add(out, "in a child process");
  if (flag_at(event, "may_still_run")) add(out, "the step may still run");
  if (wide) {
    if (const auto& policy = part_at(event, "policy"); policy.is_object()) add(out, "policy=" + to_text(policy));
    if (const auto id = text_at(event, "command_id"); !id.empty()) add(out, "command=" + id);
  }
  return out;
}

std::string draw_event(const canvas& c, const json& event, bool wide) {
  const bool narrow = c.cut && !wide && c.width < narrow_columns;
  const auto kind = text_at(event, "kind");
  auto step = text_at(event, "step");
  if (!step.empty() && flag_at(event, "undo")) step = "undo " + step;
  if (const auto attempt = number_at(event, "attempt"); attempt > 1 && !step.empty())
    step += " #" + std::to_string(attempt);
  for (const auto* named : {"signal", "update", "change"})
    if (const auto name = text_at(event, named); !name.empty()) step = name;
  if (const auto timer = number_at(event, "timer"); timer > 0) step = "timer " + std::to_string(timer);
  if (const auto call = number_at(event, "call"); call > 0 && step.empty()) step = "call " + std::to_string(call);
  step = config::printable(step);
  const auto at = time_at(event, "at");
  auto time = at ? precise_time_text(*at) : std::string();
  if (narrow && time.size() > date_columns) time = time.substr(date_columns, time.size() - date_columns - 1);
  const auto left = padded(std::to_string(number_at(event, "seq")), seq_columns, true) + "  " + time + "  ";
  // Where it is narrow the day is left out and the step takes no more than it needs.
  step = narrow ? step + (step.empty() ? "" : " ") : padded(step, step_columns) + " ";
  auto details = config::printable(event_details(event, wide));
  const auto used = display_width(left) + kind_columns + 1 + display_width(step);
  if (c.cut && !wide) details = shortened(details, c.width > used ? c.width - used : 0);
  std::string line = painted(c, paint::faint, left) + painted(c, color_of(kind), kind) +
                     std::string(kind_columns + 1 - std::min(kind.size(), kind_columns), ' ') + step + details;
  line.erase(line.find_last_not_of(' ') + 1);
  return line + "\n";
}

}  // namespace pawl::node
