// The commands that read: list, show, history, status, types.
#include "config/nearest_name.hpp"
#include "config/setting.hpp"
#include "node/answer.hpp"
#include "node/cli.hpp"
#include "node/present.hpp"
#include "node/render_history.hpp"
#include "node/render_lists.hpp"
#include "node/render_run.hpp"

#include <algorithm>
#include <cstdio>
#include <thread>

namespace pawl::node {
namespace {

std::string number_or_nothing(std::uint64_t n) { return n > 0 ? std::to_string(n) : std::string(); }

std::string flag_text(bool flag) { return flag ? "true" : std::string(); }

/// Asks the node, or the data where none runs.
cli_result<json> ask(const cli_context& c, const question& q) {
  auto target = c.target(false);
  if (!target) return std::move(target).error();
  auto answer = target.value()->ask(q);
  if (!answer) return std::move(answer).error();
  auto& [status, body, stale] = answer.value();
  note_age(c, stale, body);
  return std::move(body);
}

bool is_terminal(const std::string& kind) {
  return kind == "run_completed" || kind == "run_failed" || kind == "run_cancelled" || kind == "run_killed" ||
         kind == "run_continued" || kind == "run_reset";
}

/// Prints events as they come; remembers the newest.
class event_printer {
 public:
  explicit event_printer(const cli_context& c) : context_(c) {}
  void print(const json& event) {
    newest_ = number_at(event, "seq");
    kind_ = text_at(event, "kind");
    say(context_.wants_json() ? to_text(event) + "\n" : draw_event(context_.screen, event, context_.wide()));
  }
  std::uint64_t newest() const { return newest_; }
  bool ended() const { return is_terminal(kind_); }
  bool continued() const { return kind_ == "run_continued"; }
  /// What comes now is of the next run.
  void begin_next() {
    newest_ = 0;
    kind_.clear();
  }

 private:
  const cli_context& context_;
  std::uint64_t newest_ = 0;
  std::string kind_;
};

/// What a stream says last when it ends before the run; none: it was not said.
std::optional<cli_error> last_words(std::string_view line, const std::string& workflow_id) {
  const auto body = json::parse(line, nullptr, false);
  if (!body.is_object() || body.contains("seq") || text_at(body, "type").empty()) return std::nullopt;
  return to_cli_error({.status = static_cast<int>(number_at(body, "status")), .body = std::string(line)}, workflow_id);
}

/// One stream, printed. An error: it has ended before the run, and why.
cli_result<done> follow_once(cli_target& target, const question& q, event_printer& out) {
  std::optional<cli_error> ended;
  const auto followed = target.follow(q, [&](std::string_view line) {
    ended = last_words(line, q.workflow_id);
    if (ended) return false;
    if (const auto event = json::parse(line, nullptr, false); event.is_object()) out.print(event);
    std::fflush(stdout);
    return std::ferror(stdout) == 0;
  });
  if (!followed) return followed.error();
  if (ended) return std::move(*ended);
  return done{};
}

question history_question(const history_args& args, std::uint64_t run) {
  return {.path = {"workflows", args.id, "history"},
          .query = {{"run", number_or_nothing(run)}, {"stale_ok", flag_text(args.stale_ok)}},
          .workflow_id = args.id};
}

/// The newest run, for who has named none and stays with it, whichever is the newest later.
cli_result<std::uint64_t> newest_run(cli_target& target, const history_args& args) {
  auto q = history_question(args, 0);
  q.query.emplace_back("limit", "1");
  const auto answer = target.ask(q);
  if (!answer) return answer.error();
  return number_at(answer.value().body, "run");
}

/// Follows one run from behind what has been printed of it; finds out first which one, where that is not known.
cli_result<done> follow_run(cli_target& target, const history_args& args, std::uint64_t& run, std::uint64_t from,
                            event_printer& out) {
  if (run == 0) {
    const auto newest = newest_run(target, args);
    if (!newest) return newest.error();
    run = newest.value();
  }
  auto q = history_question(args, run);
  q.query.emplace_back("follow", "true");
  if (const auto next = std::max(from, out.newest() + 1); next > 1) q.query.emplace_back("from", std::to_string(next));
  return follow_once(target, q, out);
}

/// Over changes of the leader: each time from the event behind the last one on. And over the runs that continue as new,
/// where none is named.
command_result follow_history(const cli_context& c, cli_target& target, const history_args& args) {
  event_printer out(c);
  std::uint64_t run = args.run;
  auto from = args.from;
  auto give_up = std::chrono::steady_clock::now() + leader_change_patience;
  bool told = false;
  for (;;) {
    const auto before = out.newest();
    const auto followed = follow_run(target, args, run, from, out);
    if (std::ferror(stdout) != 0) return exit_code::ok;
    if (out.newest() > before) {
      give_up = std::chrono::steady_clock::now() + leader_change_patience;
      told = false;
    }
    if (out.continued() && args.run == 0) {
      note(c, "workflow " + config::in_quotes(args.id) + " continues as new; following run " + std::to_string(++run));
      out.begin_next();
      from = 1;
      continue;
    }
    if (followed || out.ended()) break;
    const auto& why = followed.error();
    if (!is_leader_change(c, why) || std::chrono::steady_clock::now() > give_up) {
      // What the node has said itself is told below, with what is known of the run.
      if (why.json.empty() || out.newest() == 0) return why;
      break;
    }
    if (!std::exchange(told, true)) note(c, why.what + "; following on with the next leader");
    std::this_thread::sleep_for(leader_change_pause);
  }
  if (out.ended()) return exit_code::ok;
  // It may have been closed before the event that was asked for, too.
  const auto result = target.ask(
      {.path = {"workflows", args.id, "result"}, .query = {{"run", number_or_nothing(run)}}, .workflow_id = args.id});
  if (result && result.value().status == 200) return exit_code::ok;
  const auto what = "workflow " + config::in_quotes(args.id) + " is still open";
  if (!target.has_node())
    return cli_error{exit_code::unavailable,
                     what + ", and no node runs that would go on with it",
                     "Start one: `" + how_to_start(c.global, c.settings()) + "`",
                     {}};
  return cli_error{exit_code::unavailable,
                   what + ", and the node sends no more",
                   "It is stopping: follow again with --from " + std::to_string(out.newest() + 1),
                   {}};
}

}  // namespace

command_result show_list(const cli_context& c, const list_args& args) {
  const auto answer = ask(c, {.path = {"workflows"},
                              .query = {{"type", args.type},
                                        {"prefix", args.prefix},
                                        {"state", args.state},
                                        {"limit", std::to_string(args.limit)},
                                        {"cursor", args.cursor},
                                        {"stale_ok", flag_text(args.stale_ok)}}});
  if (!answer) return answer.error();
  if (c.wants_json()) {
    say_json(answer.value());
    return exit_code::ok;
  }
  say(draw_workflows(c.screen, answer.value(), now_micros(), c.wide()));
  if (const auto next = text_at(answer.value(), "next"); !next.empty()) note(c, "there are more: --cursor " + next);
  std::string missing;
  for (const auto& p : part_at(answer.value(), "missing_partitions"))
    missing += (missing.empty() ? "" : ", ") + p.dump();
  if (!missing.empty()) note(c, "without the workflows of partitions " + missing + ", whose leaders do not answer");
  return exit_code::ok;
}

command_result show_run(const cli_context& c, const show_args& args) {
  const auto answer = ask(c, {.path = {"workflows", args.id},
                              .query = {{"run", number_or_nothing(args.run)}, {"stale_ok", flag_text(args.stale_ok)}},
                              .workflow_id = args.id});
  if (!answer) return answer.error();
  if (c.wants_json())
    say_json(answer.value());
  else
    say(draw_run(c.screen, answer.value(), now_micros(), c.wide()));
  return exit_code::ok;
}

command_result show_history(const cli_context& c, const history_args& args) {
  auto target = c.target(false);
  if (!target) return std::move(target).error();
  if (args.follow) {
    if (args.limit > 0) return usage_error("--limit and --follow do not go together", "Leave one of them out");
    return follow_history(c, *target.value(), args);
  }
  const auto q = history_question(args, args.run);
  event_printer out(c);
  bool told_age = false;
  std::uint64_t from = args.from, left = args.limit > 0 ? args.limit : UINT64_MAX;
  while (from > 0 && left > 0) {
    auto page = q;
    page.query.emplace_back("from", std::to_string(from));
    page.query.emplace_back("limit", std::to_string(std::min<std::uint64_t>(left, 1000)));
    auto answer = target.value()->ask(page);
    if (!answer) return answer.error();
    auto& body = answer.value().body;
    if (!std::exchange(told_age, true)) note_age(c, answer.value().stale, body);
    for (const auto& event : part_at(body, "events")) {
      out.print(event);
      --left;
    }
    if (const auto broken = text_at(body, "broken"); !broken.empty())
      return cli_error{exit_code::failed,
                       "the history of workflow " + config::in_quotes(args.id) +
                           " cannot be read further: " + config::printable(broken),
                       "Run `" + c.global.program + " verify`",
                       {}};
    from = number_at(body, "next");
  }
  return exit_code::ok;
}

command_result show_status(const cli_context& c) {
  const auto answer = ask(c, {.path = {"status"}});
  if (!answer) return answer.error();
  if (c.wants_json())
    say_json(answer.value());
  else
    say(draw_status(c.screen, answer.value(), c.wide()));
  if (flag_at(answer.value(), "running")) return exit_code::ok;
  // What the data says is above; that nothing goes on is not what a script may take for well.
  if (!c.wants_json()) note(c, "no node runs; start one: `" + how_to_start(c.global, c.settings()) + "`");
  return exit_code::unavailable;
}

namespace {

// What this binary has needs neither node nor data; a node that runs is asked, since it may be another binary, and
// knows what is marked. So does the data where none runs.
json all_types(const cli_context& c) {
  auto target = c.target(false);
  if (!target) return present_types(c.types);
  const auto answer = target.value()->ask({.path = {"types"}});
  return answer && answer.value().body.is_object() ? answer.value().body : present_types(c.types);
}

}  // namespace

command_result show_types(const cli_context& c, const types_args& args) {
  const auto answer = all_types(c);
  if (args.type.empty()) {
    if (c.wants_json())
      say_json(answer);
    else
      say(draw_types(c.screen, answer));
    return exit_code::ok;
  }
  std::vector<std::string> names;
  for (const auto& type : part_at(answer, "types")) {
    names.push_back(text_at(type, "type"));
    if (names.back() != args.type) continue;
    if (c.wants_json())
      say_json(type);
    else
      say(draw_type(c.screen, type, c.wide()));
    return exit_code::ok;
  }
  const auto nearest = config::nearest_name(args.type, names);
  return cli_error{exit_code::not_found,
                   "there is no workflow type " + config::in_quotes(args.type),
                   nearest ? "Did you mean " + *nearest + "?" : "`" + c.global.program + " types` lists them",
                   {}};
}

}  // namespace pawl::node
