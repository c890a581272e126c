// What durable code costs: replay, memory, timers, children. One JSON line a part (clang only).
//
//     bench_code --dir D [--parts replay,memory,timers,children] [--timers 100000] [--children 1000] [--runs 5]
//
//     replay    a history of 10,000 events is given to new frames
//     memory    what a live coroutine with three locals that waits on a timer keeps, frames and instance together
//     timers    N workflows whose timers are due within one second: how fast they begin, how fast they are drained,
//     what
//               each of them costs of a processor in both, and how long a workflow of one step takes meanwhile, beside
//               how long it takes before
//     children  a parent that waits for N children, on a node without a broker
//
// D must not exist or be empty. Exit code 1: something that was to end did not, or with another result.
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <filesystem>
#include <future>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <CLI/CLI.hpp>
#include <pawl/pawl.hpp>

#include "actors/node_system.hpp"
#include "bench/closed_loop.hpp"
#include "node/command_reader.hpp"
#include "node/local_journal.hpp"
#include "node/local_post.hpp"
#include "store/embedded_journal.hpp"
#include "workflow/decide.hpp"

#if defined(__clang__)
namespace {

using namespace std::chrono_literals;
using bench::steady;
namespace engine = pawl::engine;
namespace actors = pawl::actors;

double processor_seconds() {
  timespec t{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}
double seconds_since(steady::time_point t) { return std::chrono::duration<double>(steady::now() - t).count(); }

// ---- the code

pawl::task<int> chats(pawl::workflow_context& wf, int turns) {
  int sum = 0;
  for (int n = 0; n < turns; ++n) sum += co_await wf.signal<int>("say");
  co_return sum;
}

pawl::task<int> holds(pawl::workflow_context& wf, int n) {
  const std::string name = "a text of forty bytes, more or less, yes";
  const std::vector<int> some(8, n);
  const int third = n;
  co_await wf.sleep(24h);
  co_return static_cast<int>(name.size() + some.size()) + third;
}

pawl::task<int> sleeps_until(pawl::workflow_context& wf, std::int64_t ms) {
  co_await wf.sleep_until(std::chrono::sys_time<std::chrono::milliseconds>(std::chrono::milliseconds(ms)));
  co_return 1;
}

int twice(pawl::step_context&, const int& n) { return 2 * n; }
pawl::task<int> doubles(pawl::workflow_context& wf, int n) { co_return co_await wf.step("twice", twice, n); }
pawl::task<int> sums(pawl::workflow_context& wf, int n) {
  std::vector<int> all;
  for (int k = 0; k < n; ++k) all.push_back(k);
  int sum = 0;
  for (const auto v : co_await pawl::each(all, all.size(), [&](int k) { return wf.child("doubles", doubles, k); }))
    sum += v;
  co_return sum;
}

// ---- the engine alone

class grants final : public engine::allowance {
 public:
  bool take_slot(const engine::slot_request&) override { return true; }
  bool still_running(const engine::instance&, std::uint32_t) const override { return false; }
};

template <class F>
std::shared_ptr<const pawl::detail::workflow_definition> definition_of(F f) {
  pawl::registry types;
  types.add("w", {.version = 1}, f);
  return types.find("w", 1);
}

engine::command start_of(const pawl::detail::workflow_definition& d, std::string input) {
  engine::start_command s;
  s.facts.workflow_id = s.facts.type = "w";
  s.facts.digest = d.digest;
  s.facts.uid = {{1, 2}, 3};
  s.facts.code = true;
  s.input = std::move(input);
  return {.id = "start", .body = std::move(s)};
}

bool replay(int runs) {
  const auto d = definition_of(chats);
  grants a;
  a.limits.command_ids = 1 << 20;
  constexpr int turns = 9'998;
  auto live = engine::make_instance(d);
  std::vector<engine::event> history;
  engine::time_point now = engine::from_micros(1'700'000'000'000'000);
  const auto say = [&](const engine::command& c) {
    for (auto& e : engine::carry_out(*live, c, a, now).events) history.push_back(std::move(e));
  };
  say(start_of(*d, pawl::encode(turns)));
  for (int n = 0; n < turns; ++n)
    say({.id = "s" + std::to_string(n), .body = engine::signal_command{.name = "say", .payload = pawl::encode(n)}});
  std::vector<double> ms;
  for (int n = 0; n < runs; ++n) {
    const auto begun = steady::now();
    auto again = engine::make_instance(d);
    for (const auto& e : history) engine::evolve(*again, e);
    ms.push_back(1000 * seconds_since(begun));
    if (again->phase != live->phase || !again->broken.empty()) return false;
  }
  std::sort(ms.begin(), ms.end());
  std::printf("{\"part\":\"replay\",\"events\":%zu,\"ms\":%.2f,\"runs\":%d}\n", history.size(),
              bench::quantile(ms, 0.5), runs);
  return live->phase == engine::phase::completed;
}

double resident_bytes() {
  long pages = 0;
  if (std::FILE* f = std::fopen("/proc/self/statm", "r")) {
    if (std::fscanf(f, "%*d %ld", &pages) != 1) pages = 0;
    std::fclose(f);
  }
  return static_cast<double>(pages) * static_cast<double>(::sysconf(_SC_PAGESIZE));
}

bool memory() {
  const auto d = definition_of(holds);
  grants a;
  constexpr std::size_t many = 50'000;
  std::vector<std::unique_ptr<engine::instance>> all;
  all.reserve(many);
  const auto now = engine::from_micros(1'700'000'000'000'000);
  const auto before = resident_bytes();
  for (std::size_t n = 0; n < many; ++n) {
    all.push_back(engine::make_instance(d));
    engine::carry_out(*all.back(), start_of(*d, pawl::encode(1)), a, now);
  }
  const auto bytes = (resident_bytes() - before) / many;
  std::printf("{\"part\":\"memory\",\"bytes\":%.0f,\"of\":%zu}\n", bytes, many);
  return all.front()->timers.size() == 1;
}

// ---- a node

// As pawl node without a broker.
class node {
 public:
  node(const std::string& directory, const pawl::registry& types)
      : journal_(open(directory)),
        mail_(*journal_),
        system_(types, {}) {
    system_.lead({.number = 0,
                  .journal = mail_,
                  .may_exist = [this](std::string_view id) { return journal_->may_exist(id); },
                  .open_view = [this] { return journal_->open_view(); },
                  .pack = pawl::node::make_message_packer(1)});
    post_ = std::make_unique<pawl::node::local_post>(
        pawl::node::local_post_options{
            .directory = directory,
            .handler = pawl::node::make_command_handler(types, system_, {}),
            .want_batch = [this] { system_.barrier(0, [](bool) {}); },
            .warn = [](const std::string& text) { std::fprintf(stderr, "%s\n", text.c_str()); }},
        mail_.outbox());
  }
  ~node() {
    post_.reset();
    system_.drain(0s);
  }
  actors::node_system& system() { return system_; }

  void start(const char* type, std::string id, std::string input, std::function<void()> begun,
             actors::result_function ended) {
    actors::command_request r;
    r.workflow_id = id;
    r.command.id = "c-" + id;
    engine::start_command s;
    s.facts.type = type;
    s.input = std::move(input);
    r.command.body = std::move(s);
    r.reply = actors::owed_reply([begun = std::move(begun), ended](const actors::command_reply& reply) {
      const bool taken = reply.state == actors::command_reply::status::recorded;
      if (!taken) std::fprintf(stderr, "refused: %s\n", reply.message.c_str());
      if (begun) begun();
      if (!taken && ended) ended({});
    });
    r.on_result = std::move(ended);
    system_.submit(std::move(r));
  }
  std::uint64_t closed() {
    std::promise<std::uint64_t> n;
    system_.status([&](const actors::node_status& s) { n.set_value(s.partition.closed); });
    return n.get_future().get();
  }
  /// In seconds; negative: it failed.
  double time_of(const char* type, const std::string& id, std::string input,
                 const std::function<bool(std::string_view)>& right) {
    std::promise<bool> done;
    const auto at = steady::now();
    start(type, id, std::move(input), {}, [&](const actors::run_result& r) {
      done.set_value(r.phase == engine::phase::completed && right(r.payload));
    });
    return done.get_future().get() ? seconds_since(at) : -1;
  }

 private:
  static std::unique_ptr<pawl::store::embedded_journal> open(const std::string& directory) {
    std::filesystem::create_directories(directory);
    return pawl::store::open_embedded({.directory = directory});
  }
  std::unique_ptr<pawl::store::embedded_journal> journal_;
  pawl::node::local_journal mail_;
  actors::node_system system_;
  std::unique_ptr<pawl::node::local_post> post_;
};

bool children(const std::string& directory, int n, int runs) {
  pawl::registry types;
  types.add("doubles", {}, doubles).add("sums", {}, sums);
  node it(directory, types);
  std::vector<double> all;
  for (int k = 0; k < runs; ++k) {
    all.push_back(it.time_of("sums", "parent-" + std::to_string(k), pawl::encode(n),
                             [n](std::string_view r) { return pawl::decode<int>(r) == n * (n - 1); }));
    if (all.back() < 0) return false;
  }
  std::sort(all.begin(), all.end());
  std::printf("{\"part\":\"children\",\"children\":%d,\"seconds\":%.3f,\"runs\":%d}\n", n, bench::quantile(all, 0.5),
              runs);
  return true;
}

// How long a workflow of one step takes, again and again, on a thread of its own.
class probe {
 public:
  explicit probe(node& n) : node_(n), thread_([this] { run(); }) {}
  ~probe() { stop(); }
  void stop() {
    over_ = true;
    if (thread_.joinable()) thread_.join();
  }
  double worst_ms() const { return worst_; }
  int count() const { return count_; }
  int refused() const { return refused_; }

 private:
  void run() {
    static std::atomic<int> number{0};
    while (!over_) {
      const auto s = node_.time_of("doubles", "probe-" + std::to_string(++number), pawl::encode(4),
                                   [](std::string_view r) { return pawl::decode<int>(r) == 8; });
      worst_ = std::max(worst_, 1000 * s);
      ++(s < 0 ? refused_ : count_);
      std::this_thread::sleep_for(5ms);
    }
  }
  node& node_;
  std::atomic<bool> over_{false};
  double worst_ = 0;
  std::atomic<int> count_{0};
  std::atomic<int> refused_{0};
  std::thread thread_;
};

bool timers(const std::string& directory, int many) {
  pawl::registry types;
  types.add("doubles", {}, doubles).add("sleeps", {}, sleeps_until);
  node it(directory, types);
  const auto now_ms = [] {
    return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
        .count();
  };
  std::atomic<int> begun{0}, under_way{0};
  // Due when all have begun: as long again as that may take.
  const auto due = now_ms() + 20'000 + many / 2;
  const auto from = steady::now();
  const auto idle = processor_seconds();
  for (int k = 0; k < many; ++k) {
    while (under_way >= 1'000) std::this_thread::sleep_for(100us);
    ++under_way;
    it.start(
        "sleeps", "t-" + std::to_string(k), pawl::encode<std::int64_t>(due + k % 1'000), [&] { ++begun, --under_way; },
        nullptr);
  }
  while (begun < many) std::this_thread::sleep_for(1ms);
  const auto starting = seconds_since(from);
  const auto start_cpu = processor_seconds() - idle;
  if (now_ms() > due) {
    std::fprintf(stderr, "the starts took longer than the timers\n");
    return false;
  }
  double quiet = 0;
  {
    probe p(it);
    std::this_thread::sleep_for(2s);
    p.stop();
    quiet = p.worst_ms();
  }
  while (now_ms() < due) std::this_thread::sleep_for(1ms);
  const auto closed_before = it.closed();
  probe p(it);
  const auto drain_from = steady::now();
  const auto before = processor_seconds();
  // Probes are closed runs too.
  const auto ended = [&] { return static_cast<int>(it.closed() - closed_before) - p.count(); };
  while (ended() < many && seconds_since(drain_from) < 120) std::this_thread::sleep_for(10ms);
  const auto draining = seconds_since(drain_from);
  const auto drain_cpu = processor_seconds() - before;
  p.stop();
  const auto drained = ended();
  const double start_rate = many / starting;
  const double drain_rate = drained / draining;
  std::printf(
      "{\"part\":\"timers\",\"timers\":%d,\"starts_per_s\":%.0f,\"drained_per_s\":%.0f,\"of_start_rate\":%.2f,"
      "\"start_cpu_us\":%.1f,\"drain_cpu_us\":%.1f,\"probe_worst_ms\":%.1f,\"probe_worst_ms_before\":%.1f,\"probes\":%"
      "d,\"probes_refused\":%d}\n",
      many, start_rate, drain_rate, drain_rate / start_rate, 1e6 * start_cpu / many, 1e6 * drain_cpu / drained,
      p.worst_ms(), quiet, p.count(), p.refused());
  return drained >= many && p.refused() == 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::string directory;
  std::vector<std::string> parts{"replay", "memory", "timers", "children"};
  int many = 100'000;
  int n = 1'000;
  int runs = 5;
  CLI::App app{"what durable code costs"};
  app.add_option("--dir", directory, "an empty or new data directory")->required();
  app.add_option("--parts", parts)->delimiter(',')->check(CLI::IsMember({"replay", "memory", "timers", "children"}));
  app.add_option("--timers", many)->check(CLI::Range(1, 10'000'000));
  app.add_option("--children", n)->check(CLI::Range(1, 10'000));
  app.add_option("--runs", runs)->check(CLI::Range(1, 1'000));
  CLI11_PARSE(app, argc, argv);
  bool well = true;
  for (const auto& part : parts) {
    if (part == "replay") well = replay(runs) && well;
    if (part == "memory") well = memory() && well;
    if (part == "timers") well = timers(directory + "/timers", many) && well;
    if (part == "children") well = children(directory + "/children", n, runs) && well;
    std::fflush(stdout);
  }
  return well ? 0 : 1;
}
#else
int main() {
  std::fputs("durable code needs clang\n", stderr);
  return 1;
}
#endif
