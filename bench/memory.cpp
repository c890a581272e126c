// What waiting workflows cost in memory: starts N of them with a delay and a 100-byte input, and reads the process's
// RSS before and after.
//
//     bench_memory --dir D --count 100000 --keep      eviction off: bytes a live waiting workflow
//     bench_memory --dir D --count 1000000            eviction on: RSS of the whole process
//
// Prints one JSON line.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include <CLI/CLI.hpp>
#include <pawl/pawl.hpp>

#include "actors/node_system.hpp"
#include "store/embedded_journal.hpp"

namespace {

struct parcel {
  std::string text;
  PAWL_FIELDS(text)
};

// Proportional to nothing: the whole resident set, shared libraries included.
std::size_t rss_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.rfind("VmRSS:", 0) == 0) return std::stoull(line.substr(6)) * 1024;
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::string directory;
  std::size_t count = 100'000;
  bool keep = false;
  CLI::App app{"memory of waiting workflows"};
  app.add_option("--dir", directory, "an empty or new data directory")->required();
  app.add_option("--count", count);
  app.add_flag("--keep", keep, "eviction off");
  CLI11_PARSE(app, argc, argv);

  pawl::workflow<parcel> g{"sleeper", {}};
  auto in = g.input();
  g.returns(g.step("wake", [](pawl::step_context&, const parcel& p) { return p.text; }, {}, in));
  pawl::registry types;
  types.add(g);

  std::filesystem::create_directories(directory);
  auto journal = pawl::store::open_embedded({.directory = directory});
  pawl::actors::node_options options;
  options.partition.evict = !keep;
  if (keep) options.partition.live = count + 1000;
  pawl::actors::node_system node(
      types, std::move(options),
      pawl::actors::partition_options{.number = 0,
                                      .journal = *journal,
                                      .may_exist = [&](std::string_view id) { return journal->may_exist(id); },
                                      .open_view = [&] { return journal->open_view(); }});

  std::atomic<std::size_t> answered{0};
  std::atomic<std::size_t> refused{0};
  const auto start = [&](std::size_t n) {
    pawl::actors::command_request r;
    r.workflow_id = "sleeper-" + std::to_string(n);
    r.command.id = "start-" + std::to_string(n);
    pawl::engine::start_command c;
    c.facts.type = "sleeper";
    c.facts.version = 1;
    c.facts.start_at = std::chrono::time_point_cast<std::chrono::microseconds>(std::chrono::system_clock::now() +
                                                                               std::chrono::hours(24 * 30));
    c.input = pawl::encode(parcel{std::string(93, 'p')});  // 100 bytes of msgpack
    r.command.body = std::move(c);
    r.reply = pawl::actors::owed_reply([&](const pawl::actors::command_reply& a) {
      if (a.state != pawl::actors::command_reply::status::recorded) ++refused;
      ++answered;
    });
    node.submit(std::move(r));
  };
  const auto run_to = [&](std::size_t from, std::size_t to) {
    for (std::size_t n = from; n < to; ++n) {
      while (n - answered > 2000) std::this_thread::sleep_for(std::chrono::microseconds(200));
      start(n);
    }
    while (answered < to) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  };

  // The first thousand pay for what every process needs once.
  const std::size_t first = std::min<std::size_t>(1000, count / 2);
  run_to(0, first);
  const auto before = rss_bytes();
  run_to(first, count);
  const auto after = rss_bytes();
  std::printf(
      "{\"count\":%zu,\"evict\":%s,\"refused\":%zu,\"rss_before_mb\":%.1f,\"rss_after_mb\":%.1f,\"bytes_each\":%.0f}\n",
      count, keep ? "false" : "true", refused.load(), static_cast<double>(before) / 1e6,
      static_cast<double>(after) / 1e6, static_cast<double>(after - before) / static_cast<double>(count - first));
  node.drain(std::chrono::seconds(1));
  return refused == 0 ? 0 : 1;
}
