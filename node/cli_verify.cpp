// verify: looks at everything on disk, with or without a node.
#include "config/setting.hpp"
#include "node/cli.hpp"
#include "node/data_layout.hpp"
#include "store/verify.hpp"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>

namespace pawl::node {
namespace {

using clock_type = std::chrono::steady_clock;

/// How far it is, on standard error: one line that changes on a terminal, otherwise a line every few seconds.
class progress_line {
 public:
  explicit progress_line(const cli_context& c) : context_(c), terminal_(::isatty(STDERR_FILENO) == 1) {
    show("checking the database");
  }
  ~progress_line() { clear(); }
  progress_line(const progress_line&) = delete;
  progress_line& operator=(const progress_line&) = delete;

  void at(std::uint64_t done, std::uint64_t of) {
    const auto now = clock_type::now();
    const auto pause = terminal_ ? std::chrono::milliseconds(100) : std::chrono::milliseconds(5'000);
    if (now - last_ < pause) return;
    last_ = now;
    std::string text = "checking workflow " + std::to_string(done) + " of " + std::to_string(of);
    if (of > 0) text += " (" + std::to_string(std::min<std::uint64_t>(100, done * 100 / of)) + "%)";
    show(text);
  }

 private:
  void show(const std::string& text) {
    if (terminal_) {
      const auto line = "\r\x1b[K" + shortened(text, context_.screen.width - 1);
      std::fwrite(line.data(), 1, line.size(), stderr);
      drawn_ = true;
    } else if (last_ != began_) {
      note(context_, text);
    }
  }
  void clear() {
    if (drawn_) std::fputs("\r\x1b[K", stderr);
  }

  const cli_context& context_;
  const bool terminal_;
  const clock_type::time_point began_ = clock_type::now();
  clock_type::time_point last_ = began_;
  bool drawn_ = false;
};

json to_json_report(const store::verify_report& r) {
  json findings = json::array();
  for (const auto& f : r.findings)
    findings.push_back({{"workflow_id", f.workflow_id}, {"run", f.run}, {"seq", f.seq}, {"what", f.what}});
  return {{"clean", r.clean()},         {"runs", r.runs},
          {"open_runs", r.open_runs},   {"events", r.events},
          {"heartbeats", r.heartbeats}, {"outcomes", r.outcomes},
          {"found", r.found},           {"findings", std::move(findings)}};
}

std::string counted(std::uint64_t n, const std::string& what) {
  return std::to_string(n) + " " + what + (n == 1 ? "" : "s");
}

void add(store::verify_report& sum, store::verify_report one, const std::string& prefix) {
  sum.runs += one.runs;
  sum.open_runs += one.open_runs;
  sum.events += one.events;
  sum.heartbeats += one.heartbeats;
  sum.outcomes += one.outcomes;
  sum.found += one.found;
  for (auto& f : one.findings) {
    if (sum.findings.size() >= store::verify_report::most_findings) break;
    f.what = prefix + f.what;
    sum.findings.push_back(std::move(f));
  }
}

/// What is to be looked at, and what its findings begin with.
std::vector<std::pair<std::string, std::string>> directories_of(const config::settings& s) {
  if (s.kafka.brokers.empty()) return {{s.data.dir, ""}};
  std::vector<std::pair<std::string, std::string>> out;
  for (const auto& [number, directory] : partition_directories(s.data.dir))
    out.emplace_back(directory, "partition " + std::to_string(number) + ": ");
  return out;
}

}  // namespace

command_result verify_data(const cli_context& c) {
  const auto& settings = c.settings();
  const auto directories = directories_of(settings);
  if (settings.kafka.brokers.empty() || directories.empty())
    if (auto wrong = check_readable(c.global, settings)) return std::move(*wrong);
  store::verify_report report;
  const auto began = clock_type::now();
  try {
    progress_line progress(c);
    for (const auto& [directory, prefix] : directories)
      add(report, store::verify(directory, [&](std::uint64_t done, std::uint64_t of) { progress.at(done, of); }),
          prefix);
  } catch (const store::view_error& e) {
    return cli_error{exit_code::failed, config::printable(e.what()), {}, {}};
  }
  const auto took = std::chrono::duration_cast<std::chrono::microseconds>(clock_type::now() - began);
  if (c.wants_json()) {
    say_json(to_json_report(report));
    return report.clean() ? exit_code::ok : exit_code::failed;
  }
  for (const auto& f : report.findings) say(config::printable(f.text()) + "\n");
  if (report.found > report.findings.size())
    say("... and " + std::to_string(report.found - report.findings.size()) + " more\n");
  say("checked " + counted(report.runs, "run") + " (" + std::to_string(report.open_runs) + " open) with " +
      counted(report.events, "event") + " in " + elapsed_text(took) + (report.clean() ? ": all is well\n" : "\n"));
  if (report.clean()) return exit_code::ok;
  return cli_error{
      exit_code::failed,
      "the data in " + config::in_quotes(settings.data.dir) + " is damaged: " + counted(report.found, "finding"),
      settings.kafka.brokers.empty()
          ? "Stop the node, keep a copy of the directory, and restore it from a backup"
          : "Stop the node, keep a copy of the partition's directory, and remove it: the next start builds "
            "the view anew from the journal",
      {}};
}

}  // namespace pawl::node
