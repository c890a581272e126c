// Closed-loop callers of workflows of S trivial steps, in one process with the engine: default step options (the
// blocking pool), random workflow and command ids, every result checked, everything on disk before anybody hears of it.
//
//     bench_workflows --dir D [--callers 128] [--steps 3] [--seconds 30] [--warmup 5] [--code] [--peer]
//
// --code: the same steps as durable code instead of a graph (clang only).
//
// Prints one JSON line. D must not exist or be empty. Afterwards the store is verified, and a run with an event missing
// makes the exit code 1. --peer speaks the protocol of a benchmark harness: `measuring`, `measured`,
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
#include "bench/closed_loop.hpp"
#include "store/embedded_journal.hpp"
#include "store/verify.hpp"

namespace {

using bench::phase;
using bench::quantile;
using bench::steady;

struct options {
  std::string directory;
  int callers = 128;
  int steps = 3;
  double seconds = 30;
  double warmup = 5;
  bool code = false;
  bool peer = false;
};

struct figures {
  double seconds = 0;
  std::vector<double> ms;
  long failures = 0;
  long finished = 0;
  double cpu_us = 0;  // of the process, in the measured seconds, a workflow
  pawl::actors::commit_stats commits;  // over the whole run, warm-up included, as what follows
  pawl::store::journal_stats journal;
};

figures measure(const options& o, const pawl::registry& types) {
  figures out;
  std::filesystem::create_directories(o.directory);
  auto opened = pawl::store::open_embedded({
      .directory = o.directory,
  });
  pawl::actors::node_system node(types, pawl::actors::node_options{});
  node.lead({.number = 0,
             .journal = *opened,
             .may_exist = [&](std::string_view id) { return opened->may_exist(id); },
             .open_view = [&] { return opened->open_view(); }});
  bench::load l([&](pawl::actors::command_request r) { node.submit(std::move(r)); }, o.callers, o.steps);
  l.start();
  std::this_thread::sleep_for(std::chrono::duration<double>(o.warmup));
  l.set(phase::measuring);
  const auto begun = steady::now();
  const auto cpu_begun = bench::cpu_seconds();
  const auto finished_before = l.finished();
  if (o.peer) std::puts("measuring"), std::fflush(stdout);
  std::this_thread::sleep_for(std::chrono::duration<double>(o.seconds));
  l.set(phase::done);
  out.seconds = std::chrono::duration<double>(steady::now() - begun).count();
  out.cpu_us =
      (bench::cpu_seconds() - cpu_begun) * 1e6 / static_cast<double>(std::max(1L, l.finished() - finished_before));
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
  app.add_flag("--code", o.code);
  app.add_flag("--peer", o.peer);
  CLI11_PARSE(app, argc, argv);
  pawl::registry types;
  bench::code_steps = o.steps;
  if (!o.code) types.add(bench::chain(o.steps));
#if defined(__clang__)
  if (o.code) types.add("chain", {}, bench::chain_code);
#endif
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
      "\"callers\":%d,\"steps\":%d,\"code\":%s,\"verified\":%s,\"cpu_us\":%.1f,\"commits\":%llu,\"decisions_per_"
      "commit\":%.1f,"
      "\"commit_ms\":%.3f,"
      "\"checkpoint_s\":%.2f}\n",
      f.seconds, f.ms.size(), static_cast<double>(f.ms.size()) / f.seconds, quantile(f.ms, 0.5), quantile(f.ms, 0.99),
      f.failures, o.callers, o.steps, o.code ? "true" : "false", whole ? "true" : "false", f.cpu_us,
      static_cast<unsigned long long>(f.commits.commits), per_commit(static_cast<double>(f.commits.decisions)),
      per_commit(static_cast<double>(f.commits.busy_ns) / 1e6), static_cast<double>(f.journal.checkpoint_us) / 1e6);
  return whole && f.failures == 0 ? 0 : 1;
}
