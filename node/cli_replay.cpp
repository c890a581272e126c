// history --export, and replay: histories that leave the store, and what the code of this binary makes of them.
#include "config/setting.hpp"
#include "node/answer.hpp"
#include "node/cli.hpp"
#include "workflow/history_file.hpp"
#include "workflow/replay.hpp"

#include <sys/stat.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>

namespace pawl::node {
namespace {

cli_error unreadable_answer() {
  return {exit_code::failed, "the node's answer is no history", "Is it of the same version as this binary?", {}};
}

std::optional<engine::stored_event> stored_of(const json& e) {
  engine::stored_event s;
  s.seq = number_at(e, "seq");
  s.kind = static_cast<std::uint8_t>(number_at(e, "kind"));
  s.attempt = static_cast<std::uint32_t>(number_at(e, "attempt"));
  s.name = text_at(e, "name");
  const auto& at = part_at(e, "at_us");
  if (!at.is_number_integer() || !from_base64(text_at(e, "body"), s.body)) return std::nullopt;
  s.at = at.get<std::int64_t>();
  return s;
}

/// The whole history of a run, as it is stored.
cli_result<std::vector<engine::stored_event>> fetch_stored(cli_target& target, const std::string& id, std::uint32_t run,
                                                           bool stale_ok) {
  std::vector<engine::stored_event> out;
  for (std::uint64_t from = 1; from > 0;) {
    auto answer = target.ask({.path = {"workflows", id, "history"},
                              .query = {{"run", run > 0 ? std::to_string(run) : ""},
                                        {"from", std::to_string(from)},
                                        {"raw", "true"},
                                        {"stale_ok", stale_ok ? "true" : ""}},
                              .workflow_id = id});
    if (!answer) return std::move(answer).error();
    const auto& body = answer.value().body;
    if (!body.contains("raw")) return unreadable_answer();
    for (const auto& e : part_at(body, "raw")) {
      auto one = stored_of(e);
      if (!one) return unreadable_answer();
      out.push_back(std::move(*one));
    }
    run = static_cast<std::uint32_t>(number_at(body, "run"));  // not of a run that begins meanwhile
    from = number_at(body, "next");
  }
  return out;
}

cli_error not_written(const std::string& path) {
  return {exit_code::failed,
          "the file " + config::in_quotes(path) + " cannot be written: " + std::strerror(errno),
          "Make room, or name another file",
          {}};
}

/// Beside its place first, so that no half of a file is ever taken for one.
std::optional<cli_error> write_file(const std::string& path, const std::string& bytes) {
  const auto aside = path + ".new";
  {
    std::ofstream out(aside, std::ios::binary | std::ios::trunc);
    out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    out.close();
    if (!out) {
      auto wrong = not_written(path);
      std::remove(aside.c_str());
      return wrong;
    }
  }
  if (std::rename(aside.c_str(), path.c_str()) != 0) return not_written(path);
  return std::nullopt;
}

bool is_file(const std::string& what) {
  struct stat found{};
  return ::stat(what.c_str(), &found) == 0;
}

cli_result<std::vector<engine::event>> read_file(const std::string& path) {
  std::error_code wrong_size;
  const auto size = std::filesystem::file_size(path, wrong_size);
  const auto name = "the file " + config::in_quotes(path);
  if (wrong_size) return usage_error(name + " cannot be read: " + wrong_size.message(), "Name a file");
  if (size > engine::longest_history_file) return usage_error(name + " is over 1 GiB", "Name an exported history");
  std::string bytes(size, '\0');
  std::ifstream in(path, std::ios::binary);
  in.read(bytes.data(), static_cast<std::streamsize>(size));
  if (!in) return usage_error(name + " cannot be read: " + std::strerror(errno), "Name a file that can be read");
  engine::history_file read;
  if (const auto wrong = engine::read_history_file(bytes, read); !wrong.empty())
    return usage_error(name + " is no exported history: " + wrong, "`history ID --export FILE` writes one");
  return std::move(read.events);
}

cli_result<std::vector<engine::event>> fetch(const cli_context& c, const std::string& id, std::uint32_t run) {
  auto target = c.target(false);
  if (!target) return std::move(target).error();
  auto stored = fetch_stored(*target.value(), id, run, false);
  if (!stored) {
    auto e = std::move(stored).error();
    if (e.code == exit_code::not_found) e.mend = "There is no file of that name either";
    return e;
  }
  std::vector<engine::event> out;
  for (const auto& s : stored.value())
    if (const auto wrong = engine::read_stored(s, out.emplace_back()); !wrong.empty())
      return cli_error{exit_code::failed,
                       "event " + std::to_string(s.seq) + " of workflow " + config::in_quotes(id) +
                           " cannot be read: " + config::printable(wrong),
                       "Start a binary that knows it",
                       {}};
  return out;
}

json to_json_report(const std::string& what, const engine::replay_report& r) {
  json out{{"source", what},
           {"verdict", to_text(r.what)},
           {"workflow_id", r.workflow_id},
           {"run", r.run},
           {"type", r.type},
           {"version", r.version},
           {"events", r.events}};
  if (r.seq > 0) out["seq"] = r.seq;
  if (!r.message.empty()) out["detail"] = r.message;
  return out;
}

}  // namespace

command_result export_history(const cli_context& c, const history_args& args) {
  auto target = c.target(false);
  if (!target) return std::move(target).error();
  auto stored = fetch_stored(*target.value(), args.id, args.run, args.stale_ok);
  if (!stored) return std::move(stored).error();
  const auto bytes = engine::write_history_file(stored.value(), PAWL_VERSION);
  if (args.export_to == "-") {
    say(bytes);
    return exit_code::ok;
  }
  if (auto wrong = write_file(args.export_to, bytes)) return std::move(*wrong);
  if (!c.wants_json())
    note(c, "wrote " + std::to_string(stored.value().size()) + " events to " + config::printable(args.export_to, 200));
  return exit_code::ok;
}

command_result replay_histories(const cli_context& c, const replay_args& args) {
  auto reports = json::array();
  bool all_fit = true;
  for (const auto& what : args.what) {
    auto history = is_file(what) ? read_file(what) : fetch(c, what, args.run);
    if (!history) return std::move(history).error();
    const auto r = engine::replay(c.types, history.value());
    all_fit = all_fit && r.what == engine::replay_report::verdict::as_recorded;
    if (c.wants_json()) {
      reports.push_back(to_json_report(what, r));
      continue;
    }
    const auto named = config::printable(what, 200) + ": ";
    if (r.what == engine::replay_report::verdict::as_recorded)
      say(named + "replayed " + std::to_string(r.events) + (r.events == 1 ? " event" : " events") + ": as recorded\n");
    else
      say(named + std::string(to_text(r.what)) + " at event " + std::to_string(r.seq) + ": " +
          config::printable(r.message, 2000) + "\n");
  }
  if (c.wants_json()) say_json({{"ok", all_fit}, {"replays", std::move(reports)}});
  if (all_fit || c.wants_json()) return all_fit ? exit_code::ok : exit_code::failed;
  return cli_error{exit_code::failed,
                   "not every history fits the code of this binary",
                   "Give changed code a new version, or ask wf.changed where it differs (docs/durable-code.md)",
                   {}};
}

}  // namespace pawl::node
