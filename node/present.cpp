#include "node/present.hpp"

#include <date/date.h>

#include <algorithm>
#include <sstream>

namespace pawl::node {

namespace {

constexpr auto latest_shown =
    date::sys_days(date::year(9999) / 12 / 31) + std::chrono::hours(24) - std::chrono::microseconds(1);

json time_or_null(std::int64_t us) { return us == 0 ? json(nullptr) : json(time_to_text(engine::from_micros(us))); }

json head(const store::run_row& row) {
  return {{"id", row.header.workflow_id}, {"run", row.header.run}, {"run_uid", to_text(row.header.uid)}};
}

}  // namespace

std::string time_to_text(engine::time_point t) {
  const auto shown = std::clamp(t, engine::time_point(), engine::time_point(latest_shown.time_since_epoch()));
  const auto day = date::floor<date::days>(shown);
  const date::year_month_day ymd(day);
  const date::hh_mm_ss<std::chrono::microseconds> time(shown - day);
  std::string text = "0000-00-00T00:00:00.000000Z";
  const auto put = [&](std::size_t at, std::int64_t two_digits) {
    const auto n = static_cast<unsigned>(two_digits);
    text[at] = static_cast<char>('0' + n / 10);
    text[at + 1] = static_cast<char>('0' + n % 10);
  };
  const auto year = static_cast<int>(ymd.year());
  put(0, year / 100);
  put(2, year % 100);
  put(5, static_cast<unsigned>(ymd.month()));
  put(8, static_cast<unsigned>(ymd.day()));
  put(11, time.hours().count());
  put(14, time.minutes().count());
  put(17, time.seconds().count());
  const auto us = static_cast<unsigned>(time.subseconds().count());
  put(20, us / 10'000);
  put(22, us / 100 % 100);
  put(24, us % 100);
  return text;
}

std::optional<engine::time_point> time_from_text(std::string_view text) {
  constexpr std::size_t longest = 40;
  if (text.size() > longest) return std::nullopt;
  std::string copy(text);
  if (copy.ends_with('Z') || copy.ends_with('z')) copy.replace(copy.size() - 1, 1, "+00:00");
  // The library takes "+1:00" and a blank before a number as well.
  constexpr std::string_view form = "dddd-dd-ddTdd:dd:dd";
  if (copy.size() < form.size()) return std::nullopt;
  for (std::size_t i = 0; i < form.size(); ++i)
    if (form[i] == 'd' ? copy[i] < '0' || copy[i] > '9' : copy[i] != form[i]) return std::nullopt;
  std::istringstream in(copy);
  engine::time_point out;
  in >> date::parse("%FT%T%Ez", out);
  if (in.fail() || in.peek() != std::istringstream::traits_type::eof()) return std::nullopt;
  return out;
}

json present_row(const store::run_row& row) {
  const bool closed = row.summary.closed_at != 0;
  auto out = head(row);
  out["type"] = row.header.type;
  out["version"] = row.header.version;
  out["state"] = to_text(row.summary.phase);
  out["paused"] = row.summary.paused;
  out["started_at"] = time_or_null(row.header.started_at);
  out["closed_at"] = time_or_null(row.summary.closed_at);
  out["events"] = row.last_seq;
  const bool sleeps = !closed && row.summary.wake_at != store::wake_now && row.summary.wake_at != store::wake_never;
  out["wake_at"] = sleeps ? time_or_null(row.summary.wake_at) : json(nullptr);
  return out;
}

json present_result(const store::run_row& row) {
  auto out = head(row);
  out["state"] = to_text(row.summary.phase);
  if (row.summary.closed_at == 0) out["paused"] = row.summary.paused;
  out["started_at"] = time_or_null(row.header.started_at);
  out["closed_at"] = time_or_null(row.summary.closed_at);
  return out;
}

void add_end(json& body, engine::phase phase, const std::string& payload, const std::optional<engine::failure>& error) {
  if (phase == engine::phase::completed)
    body["result"] = to_json(payload);
  else if (error)
    body["error"] = present_failure(*error);
  else
    body["error"] = present_failure({.code = std::string(to_text(phase)), .message = ""});
}

json present_outcome(const std::string& workflow_id, const actors::command_reply& r, const std::string& command_id) {
  return {{"id", workflow_id},           {"run", r.run},
          {"run_uid", r.run_uid},        {"outcome", to_text(r.outcome.result)},
          {"seq", r.outcome.seq},        {"command_id", command_id},
          {"remembered_for_ms", nullptr}};
}

json present_started(const std::string& workflow_id, const engine::start_facts& facts, const actors::command_reply& r,
                     const std::string& command_id, const actors::run_result* result) {
  // Of a repeat the version is that of the run which the first one has started.
  json out{{"id", workflow_id},
           {"run", r.run},
           {"run_uid", r.run_uid},
           {"type", facts.type},
           {"version", r.version != 0 ? r.version : facts.version}};
  out["outcome"] = to_text(r.outcome.result);
  out["seq"] = r.outcome.seq;
  out["command_id"] = command_id;
  out["remembered_for_ms"] = nullptr;
  if (result == nullptr) return out;
  out["state"] = to_text(result->phase);
  add_end(out, result->phase, result->payload, result->error);
  return out;
}

json present_counts(const store::view_counts& c) {
  return {{"open", c.open}, {"paused", c.paused}, {"closed", c.closed}};
}

json present_status(const actors::node_status& s) {
  const auto& p = s.partition;
  json out;
  out["partition"] = {{"live", p.live},
                      {"resting", p.resting},
                      {"timers", p.timers},
                      {"waiters", p.waiters},
                      {"backlog", p.backlog},
                      {"started", p.started},
                      {"closed", p.closed},
                      {"loaded", p.loaded},
                      {"evicted", p.evicted},
                      {"restarts", p.restarts},
                      {"refused_busy", p.refused_busy},
                      {"generation", p.generation}};
  const auto& c = s.commits;
  constexpr std::uint64_t ns_in_ms = 1'000'000;
  out["commits"] = {{"commits", c.commits},
                    {"decisions", c.decisions},
                    {"failures", c.failures},
                    {"waiting", c.waiting},
                    {"busy_ms", c.busy_ns / ns_in_ms}};
  out["attempts"] = {{"running", s.attempts},         {"lingering", s.lingering},
                     {"started", s.attempts_started}, {"timed_out", s.attempts_timed_out},
                     {"lost", s.attempts_lost},       {"late_results", s.late_results}};
  const auto& t = s.slots;
  out["slots"] = {{"capacity", t.capacity}, {"taken", t.taken}, {"children", t.children}, {"waiting", t.waiting}};
  const auto& l = s.pool;
  out["pool"] = {{"threads", l.threads},
                 {"busy", l.busy},
                 {"idle", l.idle},
                 {"queued", l.queued},
                 {"oldest_queued_ms", std::chrono::duration_cast<std::chrono::milliseconds>(l.oldest_queued).count()},
                 {"written_off", l.written_off_now},
                 {"written_off_total", l.written_off_total}};
  return out;
}

}  // namespace pawl::node
