// What the benchmarks of whole workflows share: closed-loop callers with one workflow under way each, every result
// checked.
#pragma once

#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <functional>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <pawl/pawl.hpp>

#include "actors/partition_api.hpp"

namespace bench {

using steady = std::chrono::steady_clock;

/// S steps, each of which appends its name to a text.
inline pawl::workflow<std::string> chain(int steps) {
  pawl::workflow<std::string> g{"chain", {}};
  auto last = g.input();
  for (int k = 1; k <= steps; ++k)
    last = g.step(
        "step" + std::to_string(k),
        [k](pawl::step_context&, const std::string& before) { return before + "s" + std::to_string(k); }, {}, last);
  g.returns(last);
  return g;
}

/// How many steps chain_code has; set once, before the node starts.
inline int code_steps = 3;

inline std::string append_number(pawl::step_context&, const std::string& before, const int& k) {
  return before + "s" + std::to_string(k);
}

#if defined(__clang__)
/// The same as chain(), as durable code.
inline pawl::task<std::string> chain_code(pawl::workflow_context& wf, std::string text) {
  for (int k = 1; k <= code_steps; ++k) text = co_await wf.step("step" + std::to_string(k), append_number, text, k);
  co_return text;
}
#endif

enum class phase { warming, measuring, done };

class load {
 public:
  /// Takes a start; answers it, and calls on_result when the run has ended. Any thread.
  using submit_function = std::function<void(pawl::actors::command_request)>;

  load(submit_function submit, int callers, int steps) : submit_(std::move(submit)), active_(callers) {
    for (int k = 1; k <= steps; ++k) text_ += "s" + std::to_string(k);
    std::random_device device;
    for (int k = 0; k < callers; ++k) {
      callers_.push_back(std::make_unique<caller>());
      callers_.back()->random.seed((std::uint64_t{device()} << 32) ^ device());
    }
  }

  void start() {
    for (auto& c : callers_) next(*c);
  }
  void set(phase p) { phase_ = p; }
  void wait() const {
    while (active_ > 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  std::vector<double> latencies() const {
    std::vector<double> out;
    for (const auto& c : callers_) out.insert(out.end(), c->ms.begin(), c->ms.end());
    std::sort(out.begin(), out.end());
    return out;
  }
  long failures() const { return failures_; }
  long finished() const { return finished_; }
  std::string first_failure() const {
    const std::lock_guard lock(mutex_);
    return first_failure_;
  }

 private:
  struct caller {
    std::mt19937_64 random;
    steady::time_point begun;
    std::vector<double> ms;
  };

  // A caller has one workflow under way at a time, so its members are never touched by two threads at once.
  void next(caller& c) {
    if (phase_ == phase::done) {
      --active_;
      return;
    }
    char id[40];
    std::snprintf(id, sizeof id, "%016llx", static_cast<unsigned long long>(c.random()));
    pawl::actors::command_request r;
    r.workflow_id = id;
    std::snprintf(id, sizeof id, "%016llx", static_cast<unsigned long long>(c.random()));
    r.command.id = id;
    pawl::engine::start_command start;
    start.facts.type = "chain";
    start.facts.version = 1;
    start.input = pawl::encode(std::string());
    r.command.body = std::move(start);
    r.reply = pawl::actors::owed_reply([this, &c](const pawl::actors::command_reply& reply) {
      if (reply.state != pawl::actors::command_reply::status::recorded) refused(c, reply);
    });
    r.on_result = [this, &c](const pawl::actors::run_result& result) { ended(c, result); };
    c.begun = steady::now();
    submit_(std::move(r));
  }

  void refused(caller&, const pawl::actors::command_reply& reply) {
    fail("refused: " + reply.message);
    --active_;
  }

  void ended(caller& c, const pawl::actors::run_result& result) {
    ++finished_;
    const bool right =
        result.phase == pawl::engine::phase::completed && pawl::decode<std::string>(result.payload) == text_;
    if (!right) fail(result.error ? result.error->message : "a wrong result");
    if (right && phase_ == phase::measuring)
      c.ms.push_back(std::chrono::duration<double, std::milli>(steady::now() - c.begun).count());
    next(c);
  }

  void fail(const std::string& why) {
    const std::lock_guard lock(mutex_);
    if (failures_++ == 0) first_failure_ = why;
  }

  submit_function submit_;
  std::string text_;
  std::vector<std::unique_ptr<caller>> callers_;
  std::atomic<phase> phase_{phase::warming};
  std::atomic<int> active_;
  std::atomic<long> failures_{0};
  std::atomic<long> finished_{0};
  mutable std::mutex mutex_;
  std::string first_failure_;
};

inline double quantile(const std::vector<double>& sorted, double q) {
  return sorted.empty()
             ? 0
             : sorted[std::min(sorted.size() - 1, static_cast<std::size_t>(q * static_cast<double>(sorted.size())))];
}

inline double cpu_seconds() {
  rusage u{};
  ::getrusage(RUSAGE_SELF, &u);
  return static_cast<double>(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
         static_cast<double>(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

}  // namespace bench
