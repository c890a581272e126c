#include "tests/node/child_steps.hpp"

#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <thread>

#include <pawl/pawl.hpp>

namespace pawl::node {

using namespace std::chrono_literals;

namespace {

void leave_word(const child_job& job, const std::string& word) {
  std::ofstream(job.file, std::ios::app) << word << '\n';
}

std::string until_stopped(step_context& c, bool beats) {
  while (!c.stop_token().stop_requested()) {
    if (beats) c.heartbeat();
    std::this_thread::sleep_for(5ms);
  }
  return "stopped";
}

std::string perform(step_context& c, const child_job& job) {
  const bool again = std::ifstream(job.file).good();
  leave_word(job, "began " + std::to_string(::getpid()));
  const auto& what = job.what;
  if (what.ends_with("the second time")) {
    if (!again) return until_stopped(c, true);
    if (what.starts_with("abort")) std::abort();
  }
  if (what == "return") {
    c.log(log_level::info, "hello from the child");
    c.heartbeat(std::string("half"));
    return c.idempotency_key() + " " + std::to_string(c.attempt()) + " " +
           c.last_details<std::string>().value_or("none");
  }
  if (what == "throw") throw step_error("no luck", "unlucky", 1500ms);
  if (what == "throw for good") throw permanent_error("never", "hopeless");
  if (what == "abort") std::abort();
  if (what == "exit") std::exit(0);
  if (what == "segfault") {
    std::signal(SIGSEGV, SIG_DFL);  // not the sanitizer's report
    ::raise(SIGSEGV);
  }
  if (what == "kill") ::kill(::getpid(), SIGKILL);
  if (what == "silence") return until_stopped(c, false);
  if (what == "beat") return until_stopped(c, true);
  if (what == "large") return std::string(std::size_t{9} << 20, 'x');
  return what;
}

}  // namespace

const registry& child_types() {
  static const registry types = [] {
    registry out;
    workflow<child_job> w{"child", {}};
    auto in = w.input();
    auto done = w.step("perform", perform, {.timeout = 30s}, in);
    w.undo(
        done,
        [](step_context& c, const child_job& job, const std::optional<std::string>& result) {
          leave_word(job, std::string(c.outcome_unknown() ? "undo unknown " : "undo ") + result.value_or("nothing"));
        },
        in);
    w.returns(done);
    out.add(w);
    return out;
  }();
  return types;
}

}  // namespace pawl::node
