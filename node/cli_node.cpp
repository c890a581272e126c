// node and run: the commands that have an engine in this process.
#include "config/setting.hpp"
#include "node/answer.hpp"
#include "node/cli.hpp"
#include "node/node_process.hpp"
#include "node/signals.hpp"

#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <thread>

namespace pawl::node {
namespace {

using namespace std::chrono_literals;
using clock_type = std::chrono::steady_clock;

constexpr auto progress_every = 1s;
constexpr auto patience_in_a_hurry = 5s;  // for the disk, once a second signal has come

/// Ends the process without unwinding it: functions that hang still use what the destructors would take away.
[[noreturn]] void leave_at_once(exit_code code) {
  std::fflush(stdout);
  std::fflush(stderr);
  std::_Exit(static_cast<int>(code));
}

/// The node of a command, with its log and its signals.
class hosted_node {
 public:
  static cli_result<std::unique_ptr<hosted_node>> start(const cli_context& c, bool quiet) {
    auto h = std::unique_ptr<hosted_node>(new hosted_node(c));
    auto log_settings = c.settings().log;
    if (quiet && c.configuration.source_of("log.level").from == config::source::origin::by_default)
      log_settings.level = config::log_level::warn;
    auto opened = node_log::open(log_settings, c.settings().node.name);
    if (!opened) return std::move(opened).error();
    h->log_ = std::move(opened).value();
    auto node =
        node_process::start({c.types, c.configuration, h->log_, c.global.program, [s = &h->signals_] { s->wake(); }});
    if (!node) return std::move(node).error();
    h->node_ = std::move(node).value();
    h->log_.write(log_level::info, "node is up",
                  {{"name", c.settings().node.name},
                   {"pid", std::to_string(::getpid())},
                   {"version", PAWL_VERSION},
                   {"data", h->node_->directory()},
                   {"socket", h->node_->socket()},
                   {"types", std::to_string(c.types.types().size())}});
    return h;
  }

  node_process& node() { return *node_; }
  held_signals& signals() { return signals_; }
  const node_log& log() const { return log_; }

  /// Drains: a second signal cuts the grace short, and the one after that, or five more seconds, ends the process as it
  /// is. Progress goes to the log. Nothing that was acknowledged can get lost on any of these ways.
  node_process::stopped drain(const std::string& why) {
    const auto grace = node_->broken().empty() ? context_.settings().node.drain_grace : 0ms;
    const auto began = clock_type::now();
    log_.write(log_level::info, "draining",
               {{"why", why},
                {"attempts", std::to_string(node_->running_attempts())},
                {"grace", config::format_duration(grace)}});
    std::atomic<bool> hurry{false}, over{false};
    node_process::stopped result;
    std::thread worker([&] {
      result = node_->stop(grace, [&] { return hurry.load(); });
      over = true;
      signals_.wake();
    });
    std::optional<clock_type::time_point> hurry_until;
    while (!over) {
      const auto signal = signals_.wait(progress_every);
      if (over) break;
      if ((signal && hurry) || (hurry_until && clock_type::now() > *hurry_until)) {
        log_.write(log_level::error,
                   "ended without waiting for the disk; attempts under way are taken as lost by the next node");
        leave_at_once(exit_code::failed);
      }
      if (signal) {
        log_.write(log_level::warn, "stopping at once", {{"signal", signal_name(*signal)}});
        hurry = true;
        hurry_until = clock_type::now() + patience_in_a_hurry;
      } else {
        report_progress(began, grace);
      }
    }
    worker.join();
    log_.write(
        log_level::info, "node has stopped",
        {{"interrupted", std::to_string(result.interrupted)},
         {"hung", std::to_string(result.hung)},
         {"took_ms",
          std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(clock_type::now() - began).count())}});
    return result;
  }

 private:
  explicit hosted_node(const cli_context& c) : context_(c) {}

  void report_progress(clock_type::time_point began, std::chrono::milliseconds grace) const {
    const auto left = std::chrono::ceil<std::chrono::seconds>(grace - (clock_type::now() - began));
    log_.write(log_level::info, "draining: waiting for attempts; a second signal stops at once",
               {{"seconds_left", std::to_string(std::max<std::int64_t>(0, left.count()))}});
  }

  const cli_context& context_;
  held_signals signals_;
  node_log log_;
  std::unique_ptr<node_process> node_;
};

cli_error broken_error(const std::string& why) {
  return {exit_code::failed, "the journal is broken, and the node has stopped: " + config::printable(why), {}, {}};
}

/// A start and its end, on a thread of its own, so that this one can hear signals.
class asked_start {
 public:
  asked_start(const cli_context& c, hosted_node& host, const start_args& args, const question& q)
      : target_(cli_target::over(host.node().door(), c.global, c.configuration)),
        thread_([this, &c, &host, &args, &q] {
          result_ = start_on(c, *target_, args, q);
          over_ = true;
          host.signals().wake();
        }) {}
  ~asked_start() { thread_.join(); }
  asked_start(const asked_start&) = delete;
  asked_start& operator=(const asked_start&) = delete;
  bool is_over() const { return over_; }
  /// Once it is over.
  command_result take() { return std::move(*result_); }

 private:
  std::unique_ptr<cli_target> target_;
  std::optional<command_result> result_;
  std::atomic<bool> over_{false};
  std::thread thread_;
};

/// Waits for the end of the start, for a signal or for a journal that breaks; in the end the start is over.
command_result await_start(const cli_context& c, hosted_node& host, const start_args& args, const question& q) {
  asked_start asked(c, host, args, q);
  std::optional<int> signal;
  while (!asked.is_over() && !signal && host.node().broken().empty()) signal = host.signals().wait(1h);
  if (asked.is_over()) return asked.take();
  host.node().door().stop();  // whoever waits is answered
  const auto until = clock_type::now() + patience_in_a_hurry;
  while (!asked.is_over())
    if (host.signals().wait(100ms) || clock_type::now() > until) leave_at_once(exit_code::unavailable);
  auto result = asked.take();
  if (result) return result;
  if (const auto why = host.node().broken(); !why.empty()) return broken_error(why);
  return cli_error{
      exit_code::unavailable,
      "stopped by " + signal_name(signal.value_or(0)) + " before workflow " + config::in_quotes(text_at(q.body, "id")) +
          " had ended",
      "Nothing is lost: it goes on with the next node on this data: `" + how_to_start(c.global, c.settings()) + "`",
      {}};
}

}  // namespace

command_result run_node(const cli_context& c) {
  if (c.types.types().empty())
    return cli_error{exit_code::failed,
                     "this binary has no workflow types registered",
                     "Add them to the registry before pawl::run",
                     {}};
  auto started = hosted_node::start(c, false);
  if (!started) return std::move(started).error();
  auto& host = *started.value();
  std::optional<int> signal;
  while (!signal && host.node().broken().empty()) signal = host.signals().wait(1h);
  const auto why = host.node().broken();
  const auto stopped = host.drain(signal ? signal_name(*signal) : "broken journal");
  if (!why.empty() && stopped.hung == 0) return broken_error(why);
  if (stopped.hung > 0) leave_at_once(why.empty() ? exit_code::ok : exit_code::failed);
  return exit_code::ok;
}

command_result run_in_process(const cli_context& c, const start_args& args) {
  const auto q = start_question(c, args);  // first, as a wrong input costs nothing yet
  if (!q) return q.error();
  auto started = hosted_node::start(c, true);
  if (!started) {
    auto e = std::move(started).error();
    if (e.code == exit_code::conflict)
      e.mend = "Or start the workflow on that node: `" + c.global.program + " start " +
               config::printable(args.type, 80) + " ... --wait`";
    return e;
  }
  auto& host = *started.value();
  const auto result = await_start(c, host, args, q.value());
  const auto stopped = host.drain("the command is over");
  if (stopped.hung == 0) return result;
  leave_at_once(result ? result.value() : tell_error(c, result.error()));
}

}  // namespace pawl::node
