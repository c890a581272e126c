// Closed-loop callers of workflows of S trivial steps on a real Kafka, in one process with a node's engine: each start
// is a command on `<ns>.commands`, read back, decided, journaled in Kafka and in the view; every event goes to the
// feed, and the journal is read back, as by every leader. Default step options, every result checked.
//
//     bench_kafka_workflows --brokers HOST:PORT --dir D [--callers 128] [--steps 3] [--seconds 30] [--warmup 5]
//                           [--partitions 1]
//
// Prints one JSON line. The topics are made, in a namespace of their own, with one copy. Afterwards every view is
// verified; a run or an event that is missing makes the exit code 1. The commands are JSON, as of foreign producers.
#include <filesystem>
#include <unordered_map>

#include <CLI/CLI.hpp>

#include "actors/node_system.hpp"
#include "bench/closed_loop.hpp"
#include "broker/command_intake.hpp"
#include "broker/command_sender.hpp"
#include "broker/feed_publisher.hpp"
#include "broker/kafka_journal.hpp"
#include "broker/partitioner.hpp"
#include "broker/topics.hpp"
#include "node/command_reader.hpp"
#include "node/feed_json.hpp"
#include "store/embedded_journal.hpp"
#include "store/verify.hpp"

namespace {

using namespace std::chrono_literals;
using bench::phase;
using bench::quantile;
using bench::steady;

struct options {
  std::string brokers;
  std::string directory;
  int callers = 128;
  int steps = 3;
  double seconds = 30;
  double warmup = 5;
  int partitions = 1;
};

/// Whoever waits for a start that is on its way through Kafka.
class waiting_callers {
 public:
  void put(pawl::actors::command_request r) {
    const std::lock_guard lock(mutex_);
    auto id = r.workflow_id;
    waiting_.emplace(std::move(id), std::move(r));
  }
  pawl::actors::command_request take(const std::string& id) {
    const std::lock_guard lock(mutex_);
    const auto it = waiting_.find(id);
    if (it == waiting_.end()) return {};
    auto r = std::move(it->second);
    waiting_.erase(it);
    return r;
  }

 private:
  std::mutex mutex_;
  std::unordered_map<std::string, pawl::actors::command_request> waiting_;
};

/// A partition as a node leads it.
struct partition {
  std::string directory;
  std::unique_ptr<pawl::store::embedded_journal> view;
  std::unique_ptr<pawl::broker::kafka_journal> journal;
  std::unique_ptr<pawl::broker::feed_publisher> feed;
  std::unique_ptr<pawl::broker::command_intake> commands;
};

class node {
 public:
  node(const options& o, const pawl::registry& types)
      : types_(types),
        name_space_("bench" + std::to_string(steady::now().time_since_epoch().count())),
        system_(types, node_options(o)) {
    client_.brokers = o.brokers;
    pawl::broker::create_topics(client_,
                                {.name_space = name_space_, .partitions = o.partitions, .single_broker = true});
    for (int p = 0; p < o.partitions; ++p) open(o.directory + "/p" + std::to_string(p), p);
    starts_.emplace(pawl::broker::command_sender_options{
        .client = client_, .topic = name_space_ + ".commands", .partitions = o.partitions});
  }
  void submit(pawl::actors::command_request r) {
    const auto id = r.workflow_id;
    auto body = R"({"command":"start","command_id":")" + r.command.id + R"(","type":"chain","input":""})";
    waiting_.put(std::move(r));
    if (!starts_->send({.key = id, .value = std::move(body), .headers = {}}, {}))
      throw std::runtime_error("too many starts at once");
  }
  void stop() {
    for (auto& p : partitions_) p.commands->stop();
    system_.drain(5s);
    for (auto& p : partitions_) {
      p.feed->stop(5s);
      published_ += p.feed->stats().published;
      p.commands.reset();
      p.feed.reset();
      p.journal->release();
      p.journal.reset();
      p.view.reset();
    }
  }
  std::uint64_t published() const { return published_; }
  const std::vector<partition>& partitions() const { return partitions_; }

 private:
  static pawl::actors::node_options node_options(const options& o) {
    pawl::actors::node_options n;
    n.partitions = o.partitions;
    n.partition_of = [count = o.partitions](std::string_view id) { return pawl::broker::partition_of(id, count); };
    return n;
  }
  void open(const std::string& directory, int number) {
    std::filesystem::create_directories(directory);
    partition p;
    p.directory = directory;
    p.view = pawl::store::open_embedded({.directory = directory, .truth = false});
    p.journal = pawl::broker::open_kafka_journal({.client = client_,
                                                  .topic = name_space_ + ".journal",
                                                  .partition = number,
                                                  .who = {.node_id = "bench", .incarnation = 1}},
                                                 *p.view);
    auto* view = p.view.get();
    system_.lead({.number = number,
                  .journal = *p.journal,
                  .may_exist = [view](std::string_view id) { return view->may_exist(id); },
                  .open_view = [view] { return view->open_view(); }});
    pawl::broker::feed_options f;
    f.client = client_;
    f.name_space = name_space_;
    f.partition = number;
    f.render = [this](const pawl::broker::feed_event& e) { return pawl::node::present_for_feed(e, types_); };
    f.find_run = [v = std::shared_ptr<pawl::store::view>(view->open_view())](pawl::engine::run_key key) {
      const auto row = v->get(key);
      return row ? std::optional(row->header) : std::nullopt;
    };
    p.feed = std::make_unique<pawl::broker::feed_publisher>(std::move(f), *p.journal);
    p.commands = std::make_unique<pawl::broker::command_intake>(
        pawl::broker::command_intake_options{.client = client_,
                                             .topic = name_space_ + ".commands",
                                             .partition = number,
                                             .dead_letters = name_space_ + ".dlq"},
        *p.journal,
        [this](const pawl::broker::incoming_command& m, pawl::broker::command_done done) { take(m, std::move(done)); });
    partitions_.push_back(std::move(p));
  }
  // As a node does, but that whoever waits for the result is in this process.
  void take(const pawl::broker::incoming_command& m, pawl::broker::command_done done) {
    pawl::node::message_command read;
    if (pawl::node::read_message(m, types_, {}, read)) return done({.what = pawl::broker::command_verdict::kind::dead});
    const auto asked = std::make_shared<pawl::actors::command_request>(waiting_.take(read.workflow_id));
    pawl::actors::command_request r;
    r.workflow_id = std::move(read.workflow_id);
    r.command = std::move(read.command);
    r.closed_id = read.closed_id;
    r.reply = pawl::actors::owed_reply([done, asked](const pawl::actors::command_reply& answer) {
      asked->reply.answer(answer);
      done(pawl::node::verdict_on(answer));
    });
    r.on_result = std::move(asked->on_result);
    system_.submit(std::move(r));
  }

  const pawl::registry& types_;
  const std::string name_space_;
  pawl::broker::kafka_options client_;
  pawl::actors::node_system system_;
  waiting_callers waiting_;
  std::vector<partition> partitions_;
  std::optional<pawl::broker::command_sender> starts_;
  std::uint64_t published_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  options o;
  CLI::App app{"closed-loop callers of workflows of trivial steps, on a real Kafka"};
  app.add_option("--brokers", o.brokers)->required();
  app.add_option("--dir", o.directory, "an empty or new directory for the views")->required();
  app.add_option("--callers", o.callers)->check(CLI::Range(1, 100000));
  app.add_option("--steps", o.steps)->check(CLI::Range(1, 1000));
  app.add_option("--seconds", o.seconds)->check(CLI::PositiveNumber);
  app.add_option("--warmup", o.warmup)->check(CLI::NonNegativeNumber);
  app.add_option("--partitions", o.partitions)->check(CLI::Range(1, 64));
  CLI11_PARSE(app, argc, argv);
  pawl::registry types;
  types.add(bench::chain(o.steps));
  node n(o, types);
  bench::load l([&](pawl::actors::command_request r) { n.submit(std::move(r)); }, o.callers, o.steps);
  l.start();
  std::this_thread::sleep_for(std::chrono::duration<double>(o.warmup));
  l.set(phase::measuring);
  const auto begun = steady::now();
  const auto cpu_begun = bench::cpu_seconds();
  const auto before = l.finished();
  std::this_thread::sleep_for(std::chrono::duration<double>(o.seconds));
  l.set(phase::done);
  const auto seconds = std::chrono::duration<double>(steady::now() - begun).count();
  const auto cpu_us =
      (bench::cpu_seconds() - cpu_begun) * 1e6 / static_cast<double>(std::max(1L, l.finished() - before));
  l.wait();
  const auto ms = l.latencies();
  if (l.failures() > 0) std::fprintf(stderr, "first failure: %s\n", l.first_failure().c_str());
  n.stop();
  std::uint64_t runs = 0;
  std::uint64_t events = 0;
  bool clean = true;
  for (const auto& p : n.partitions()) {
    const auto report = pawl::store::verify(p.directory);
    for (std::size_t k = 0; k < std::min<std::size_t>(report.findings.size(), 5); ++k)
      std::fprintf(stderr, "verify: %s\n", report.findings[k].text().c_str());
    clean = clean && report.clean();
    runs += report.runs;
    events += report.events;
  }
  const auto finished = static_cast<std::uint64_t>(l.finished());
  const auto wanted = finished * (2 + 2 * static_cast<std::uint64_t>(o.steps));
  const bool whole = clean && runs == finished && events == wanted && n.published() >= wanted;
  std::printf(
      "{\"seconds\":%.2f,\"workflows\":%zu,\"workflows_per_s\":%.0f,\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"failures\":%ld,"
      "\"callers\":%d,\"steps\":%d,\"partitions\":%d,\"verified\":%s,\"cpu_us\":%.1f,\"published\":%llu,\"finished\":%"
      "llu}\n",
      seconds, ms.size(), static_cast<double>(ms.size()) / seconds, quantile(ms, 0.5), quantile(ms, 0.99), l.failures(),
      o.callers, o.steps, o.partitions, whole ? "true" : "false", cpu_us,
      static_cast<unsigned long long>(n.published()), static_cast<unsigned long long>(finished));
  return whole && l.failures() == 0 ? 0 : 1;
}
