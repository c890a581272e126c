// Closed-loop callers of workflows of S trivial steps, in one process with the engine: default step options (the
// blocking pool), random workflow and command ids, every result checked, everything on disk before anybody hears of it.
//
//     bench_workflows --dir D [--callers 128] [--steps 3] [--seconds 30] [--warmup 5] [--peer] [--kafka HOST:PORT]
//
// Prints one JSON line. D must not exist or be empty. Afterwards the store is verified, and a run with an event missing
// makes the exit code 1. --kafka: the journal is in the Kafka of that one broker, under a namespace of its own; callers
// still start workflows in this process. --peer speaks the protocol of a benchmark harness: `measuring`, `measured`,
// then the line.
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <future>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <CLI/CLI.hpp>
#include <pawl/pawl.hpp>

#include "actors/node_system.hpp"
#include "broker/kafka_journal.hpp"
#include "broker/topics.hpp"
#include "store/embedded_journal.hpp"
#include "store/verify.hpp"

namespace {

using steady = std::chrono::steady_clock;

struct options {
  std::string directory;
  int callers = 128;
  int steps = 3;
  double seconds = 30;
  double warmup = 5;
  bool peer = false;
  std::string kafka{};
};

pawl::workflow<std::string> chain(int steps) {
  pawl::workflow<std::string> g{"chain", {}};
  auto last = g.input();
  for (int k = 1; k <= steps; ++k)
    last = g.step(
        "step" + std::to_string(k),
        [k](pawl::step_context&, const std::string& before) { return before + "s" + std::to_string(k); }, {}, last);
  g.returns(last);
  return g;
}

enum class phase { warming, measuring, done };

class load {
 public:
  load(pawl::actors::node_system& node, const options& o) : node_(node), active_(o.callers) {
    for (int k = 1; k <= o.steps; ++k) text_ += "s" + std::to_string(k);
    std::random_device device;
    for (int k = 0; k < o.callers; ++k) {
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
    node_.submit(std::move(r));
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

  pawl::actors::node_system& node_;
  std::string text_;
  std::vector<std::unique_ptr<caller>> callers_;
  std::atomic<phase> phase_{phase::warming};
  std::atomic<int> active_;
  std::atomic<long> failures_{0};
  std::atomic<long> finished_{0};
  mutable std::mutex mutex_;
  std::string first_failure_;
};

double quantile(const std::vector<double>& sorted, double q) {
  return sorted.empty()
             ? 0
             : sorted[std::min(sorted.size() - 1, static_cast<std::size_t>(q * static_cast<double>(sorted.size())))];
}

struct figures {
  double seconds = 0;
  std::vector<double> ms;
  long failures = 0;
  long finished = 0;
  double cpu_us = 0;  // of the process, in the measured seconds, a workflow
  pawl::actors::commit_stats commits;  // over the whole run, warm-up included, as what follows
  pawl::store::journal_stats journal;
};

double cpu_seconds() {
  rusage u{};
  ::getrusage(RUSAGE_SELF, &u);
  return static_cast<double>(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
         static_cast<double>(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

std::unique_ptr<pawl::broker::kafka_journal> journal_in_kafka(const options& o, pawl::store::embedded_journal& view) {
  pawl::broker::kafka_journal_options k;
  k.client.brokers = o.kafka;
  const auto name_space = "bench" + std::to_string(steady::now().time_since_epoch().count());
  pawl::broker::create_topics(k.client, {.name_space = name_space, .partitions = 1, .single_broker = true});
  k.topic = name_space + ".journal";
  k.who = {.node_id = "bench", .incarnation = 1};
  return pawl::broker::open_kafka_journal(std::move(k), view);
}

figures measure(const options& o, const pawl::registry& types) {
  figures out;
  std::filesystem::create_directories(o.directory);
  auto opened = pawl::store::open_embedded({.directory = o.directory, .truth = o.kafka.empty()});
  const auto in_kafka = o.kafka.empty() ? nullptr : journal_in_kafka(o, *opened);
  pawl::actors::node_options n;
  n.open_view = [&] { return opened->open_view(); };
  pawl::actors::node_system node(
      types, in_kafka ? static_cast<pawl::store::journal&>(*in_kafka) : *opened,
      [&](std::string_view id) { return opened->may_exist(id); }, std::move(n));
  load l(node, o);
  l.start();
  std::this_thread::sleep_for(std::chrono::duration<double>(o.warmup));
  l.set(phase::measuring);
  const auto begun = steady::now();
  const auto cpu_begun = cpu_seconds();
  const auto finished_before = l.finished();
  if (o.peer) std::puts("measuring"), std::fflush(stdout);
  std::this_thread::sleep_for(std::chrono::duration<double>(o.seconds));
  l.set(phase::done);
  out.seconds = std::chrono::duration<double>(steady::now() - begun).count();
  out.cpu_us = (cpu_seconds() - cpu_begun) * 1e6 / static_cast<double>(std::max(1L, l.finished() - finished_before));
  if (o.peer) std::puts("measured"), std::fflush(stdout);
  l.wait();
  out.ms = l.latencies();
  out.failures = l.failures();
  out.finished = l.finished();
  if (out.failures > 0) std::fprintf(stderr, "first failure: %s\n", l.first_failure().c_str());
  std::promise<pawl::actors::node_status> status;
  node.status([&](const pawl::actors::node_status& s) { status.set_value(s); });
  out.commits = status.get_future().get().commits;
  out.journal = opened->stats();
  node.drain(std::chrono::seconds(5));
  return out;
}

}  // namespace

int main(int argc, char** argv) {
  options o;
  CLI::App app{"closed-loop callers of workflows of trivial steps"};
  app.add_option("--dir", o.directory, "an empty or new data directory")->required();
  app.add_option("--callers", o.callers)->check(CLI::Range(1, 100000));
  app.add_option("--steps", o.steps)->check(CLI::Range(1, 1000));
  app.add_option("--seconds", o.seconds)->check(CLI::PositiveNumber);
  app.add_option("--warmup", o.warmup)->check(CLI::NonNegativeNumber);
  app.add_flag("--peer", o.peer);
  app.add_option("--kafka", o.kafka);
  CLI11_PARSE(app, argc, argv);
  pawl::registry types;
  types.add(chain(o.steps));
  const auto f = measure(o, types);
  if (o.peer) std::this_thread::sleep_for(std::chrono::seconds(1));
  const auto report = pawl::store::verify(o.directory);
  for (std::size_t k = 0; k < std::min<std::size_t>(report.findings.size(), 5); ++k)
    std::fprintf(stderr, "verify: %s\n", report.findings[k].text().c_str());
  const auto events = static_cast<std::uint64_t>(f.finished) * (2 + 2 * static_cast<std::uint64_t>(o.steps));
  const bool whole = report.clean() && report.runs == static_cast<std::uint64_t>(f.finished) && report.events == events;
  const auto per_commit = [&](double n) {
    return n / static_cast<double>(std::max<std::uint64_t>(f.commits.commits, 1));
  };
  std::printf(
      "{\"seconds\":%.2f,\"workflows\":%zu,\"workflows_per_s\":%.0f,\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"failures\":%ld,"
      "\"callers\":%d,\"steps\":%d,\"verified\":%s,\"cpu_us\":%.1f,\"commits\":%llu,\"decisions_per_commit\":%.1f,"
      "\"commit_ms\":%.3f,"
      "\"checkpoint_s\":%.2f}\n",
      f.seconds, f.ms.size(), static_cast<double>(f.ms.size()) / f.seconds, quantile(f.ms, 0.5), quantile(f.ms, 0.99),
      f.failures, o.callers, o.steps, whole ? "true" : "false", f.cpu_us,
      static_cast<unsigned long long>(f.commits.commits), per_commit(static_cast<double>(f.commits.decisions)),
      per_commit(static_cast<double>(f.commits.busy_ns) / 1e6), static_cast<double>(f.journal.checkpoint_us) / 1e6);
  return whole && f.failures == 0 ? 0 : 1;
}
