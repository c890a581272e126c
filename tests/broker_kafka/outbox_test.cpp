// Two partitions on a real Kafka: what is on the wrong one is forwarded, once, whoever leads and whatever is sent
// twice.
#include <gmock/gmock.h>
#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <thread>

#include "broker/command_codec.hpp"
#include "broker/command_intake.hpp"
#include "broker/outbox_sender.hpp"
#include "broker/partitioner.hpp"
#include "broker/topics.hpp"
#include "tests/broker_kafka/kafka_fixture.hpp"
#include "tests/store/fixture.hpp"

namespace pawl::broker {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::int32_t partitions = 2;

std::string key_of(std::int32_t partition, int nth = 0) {
  for (int k = 0;; ++k)
    if (auto key = "k" + std::to_string(k); partition_of(key, partitions) == partition && nth-- == 0) return key;
}

/// One partition on one node: leads, reads commands, sends. Every command is dealt with at once.
class node {
 public:
  node(const kafka_options& client, const std::string& name_space, std::int32_t partition)
      : client_(client),
        name_space_(name_space),
        partition_(partition) {}
  ~node() { stop(); }

  void lead() {
    view_ = store::open_embedded({.directory = directory_.path(), .truth = false});
    journal_ = open_kafka_journal({.client = client_,
                                   .topic = name_space_ + ".journal",
                                   .partition = partition_,
                                   .who = {.node_id = "node", .incarnation = 1},
                                   .append_timeout = 4s},
                                  *view_);
    stopping_ = false;
    appender_ = std::thread([this] { append_when_wanted(); });
  }
  void read() {
    intake_ =
        std::make_unique<command_intake>(command_intake_options{.client = client_,
                                                                .topic = name_space_ + ".commands",
                                                                .partition = partition_,
                                                                .dead_letters = name_space_ + ".dlq",
                                                                .partitions = partitions,
                                                                .want_batch = [this] { batch(); },
                                                                .warn = [this](const std::string& w) { say(w); }},
                                         *journal_, [this](const incoming_command& m, const command_done& done) {
                                           {
                                             const std::lock_guard lock(mutex_);
                                             const auto* origin = find_header(m.headers, origin_header);
                                             seen_.push_back(m.value + (origin != nullptr ? " from " + *origin : ""));
                                           }
                                           done({});
                                         });
  }
  void send() {
    sender_ = std::make_unique<outbox_sender>(outbox_sender_options{.client = client_,
                                                                    .topic = name_space_ + ".commands",
                                                                    .partition = partition_,
                                                                    .directory = directory_.path(),
                                                                    .warn = [this](const std::string& w) { say(w); }},
                                              journal_->outbox());
  }
  void start() {
    lead();
    read();
    send();
  }
  /// As a kill: nothing is said to anybody.
  void stop() {
    sender_.reset();
    intake_.reset();
    if (appender_.joinable()) {
      {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
      }
      wanted_.notify_all();
      appender_.join();
    }
    journal_.reset();
    view_.reset();
  }
  /// A batch, soon.
  void batch() {
    const std::lock_guard lock(mutex_);
    ++batches_wanted_;
    wanted_.notify_all();
  }
  bool has_batched() {
    std::uint64_t want = 0;
    {
      const std::lock_guard lock(mutex_);
      want = ++batches_wanted_;
      wanted_.notify_all();
    }
    return eventually([&] {
      const std::lock_guard lock(mutex_);
      return batches_done_ >= want;
    });
  }

  std::vector<std::string> seen() {
    const std::lock_guard lock(mutex_);
    return seen_;
  }
  std::string said() {
    const std::lock_guard lock(mutex_);
    return said_;
  }
  command_intake_stats stats() const { return intake_->stats(); }
  outbox_desk& outbox() { return journal_->outbox(); }
  kafka_journal& journal() { return *journal_; }

 private:
  void append_when_wanted() {
    for (;;) {
      std::uint64_t upto = 0;
      {
        std::unique_lock lock(mutex_);
        wanted_.wait(lock, [this] { return stopping_ || batches_done_ < batches_wanted_; });
        if (stopping_) return;
        upto = batches_wanted_;
      }
      const auto r = journal_->append({});
      const std::lock_guard lock(mutex_);
      if (r.status != store::append_status::committed) said_ += "append: " + r.message + "\n";
      batches_done_ = upto;
    }
  }
  void say(const std::string& w) {
    const std::lock_guard lock(mutex_);
    said_ += w + "\n";
  }

  const kafka_options client_;
  const std::string name_space_;
  const std::int32_t partition_;
  store::temporary_directory directory_;
  std::mutex mutex_;
  std::condition_variable wanted_;
  std::uint64_t batches_wanted_ = 0, batches_done_ = 0;
  bool stopping_ = false;
  std::vector<std::string> seen_;
  std::string said_;
  std::unique_ptr<store::embedded_journal> view_;
  std::unique_ptr<kafka_journal> journal_;
  std::thread appender_;
  std::unique_ptr<command_intake> intake_;
  std::unique_ptr<outbox_sender> sender_;
};

class outbox_on_kafka : public on_kafka {
 protected:
  void SetUp() override {
    on_kafka::SetUp();
    name_space += "-two";
    create_topics(client(), {.name_space = name_space, .partitions = partitions, .single_broker = true});
  }
  void produce(std::int32_t partition, std::optional<std::string_view> key, std::string_view value,
               const kafka_producer::headers& h = {}) {
    kafka_producer p(client(), {});
    p.send(name_space + ".commands", partition, key, value, {}, h);
    ASSERT_TRUE(p.flush(10s));
  }
  std::vector<std::string> causes() {
    kafka_reader r(client(), name_space + ".dlq", 0);
    std::vector<std::string> out;
    const auto end = r.offsets(10s).end;
    r.seek(0);
    for (std::int64_t at = 0; at < end;) {
      const auto* m = r.next(1s);
      if (m == nullptr) break;
      at = m->offset + 1;
      for (const auto& [name, value] : r.headers())
        if (name == "pawl-cause") out.emplace_back(value);
    }
    return out;
  }
  std::string at(int offset) const { return " from " + name_space + ".commands/0/" + std::to_string(offset); }
};

TEST_F(outbox_on_kafka, what_is_on_the_wrong_partition_is_forwarded_once_in_order) {
  const auto key = key_of(1), other = key_of(1, 1);
  produce(0, key, "a1");
  produce(0, key_of(0), "stays");
  produce(0, key, "a2");
  produce(0, other, "b1");
  produce(1, key, "direct");
  node p0(client(), name_space, 0), p1(client(), name_space, 1);
  p0.start();
  p1.start();
  ASSERT_TRUE(eventually([&] { return p1.seen().size() == 4; })) << p0.said() << p1.said();
  // Those of one key in their order; the others are not held up.
  auto seen = p1.seen();
  EXPECT_EQ(std::erase(seen, "b1" + at(3)), 1U);
  EXPECT_EQ(std::erase(seen, "direct"), 1U);
  EXPECT_THAT(seen, ElementsAre("a1" + at(0), "a2" + at(2)));
  EXPECT_THAT(p0.seen(), ElementsAre("stays"));
  EXPECT_EQ(p0.stats().forwarded, 3U);
  ASSERT_TRUE(eventually([&] { return p0.outbox().stats().waiting == 0; }));
  ASSERT_TRUE(p0.has_batched());
  ASSERT_TRUE(p1.has_batched());
  ASSERT_TRUE(eventually([&] { return p0.stats().lag() == 0 && p1.stats().lag() == 0; }));
  // Who leads next has nothing to do.
  p0.stop();
  p1.stop();
  p0.start();
  p1.start();
  ASSERT_TRUE(eventually([&] { return p0.stats().begun_anew == 1 && p1.stats().begun_anew == 1; }));
  produce(0, key, "a3");
  ASSERT_TRUE(eventually([&] { return p1.seen().size() == 5; })) << p0.said() << p1.said();
  EXPECT_EQ(p1.seen().back(), "a3" + at(4));
  EXPECT_EQ(p1.stats().repeats, 0U);
  EXPECT_THAT(causes(), IsEmpty());
}

TEST_F(outbox_on_kafka, who_leads_next_sends_what_was_not_sent) {
  produce(0, key_of(1), "a1");
  node p0(client(), name_space, 0), p1(client(), name_space, 1);
  p1.start();
  p0.lead();
  p0.read();
  ASSERT_TRUE(eventually([&] { return p0.outbox().stats().waiting == 1; }));
  EXPECT_THAT(p1.seen(), IsEmpty());
  p0.stop();
  p0.start();
  ASSERT_TRUE(eventually([&] { return p1.seen().size() == 1; })) << p0.said() << p1.said();
  EXPECT_EQ(p0.stats().forwarded, 0U) << "its position has passed it";
}

TEST_F(outbox_on_kafka, what_is_sent_again_is_applied_once) {
  for (int k = 0; k < 20; ++k) produce(0, key_of(1, k % 3), "v" + std::to_string(k));
  node p0(client(), name_space, 0), p1(client(), name_space, 1);
  p0.start();
  p1.start();
  ASSERT_TRUE(eventually([&] { return p1.seen().size() == 20; })) << p0.said() << p1.said();
  ASSERT_TRUE(eventually([&] { return p0.outbox().stats().waiting == 0; }));
  // No batch says that they are acknowledged.
  p0.stop();
  p0.start();
  ASSERT_TRUE(eventually([&] { return p1.stats().repeats > 0; })) << p0.said() << p1.said();
  produce(0, key_of(1), "last");
  ASSERT_TRUE(eventually([&] { return p1.seen().size() == 21; })) << p0.said() << p1.said();
  EXPECT_EQ(p1.seen().back(), "last" + at(20));
}

TEST_F(outbox_on_kafka, a_number_that_was_given_twice_ends_the_pair_until_a_resync) {
  node p0(client(), name_space, 0), p1(client(), name_space, 1);
  produce(0, key_of(1), "a1");
  p0.start();
  p1.start();
  ASSERT_TRUE(eventually([&] { return p1.seen().size() == 1; }));
  p0.stop();
  // As a leader would whose journal has lost its tail.
  const auto forged = to_text(outbox_place{0, 1, {.high = 7, .low = 7}});
  produce(1, key_of(1), "other", {{"pawl-outbox", forged}});
  ASSERT_TRUE(eventually([&] { return p1.stats().diverged == 1 && p1.stats().dead == 1; })) << p1.said();
  EXPECT_THAT(causes(), ElementsAre("outbox_diverged"));
  EXPECT_THAT(p1.said(), HasSubstr("outbox_diverged"));
  ASSERT_TRUE(p1.has_batched());
  p1.stop();
  p1.start();
  p0.start();
  produce(0, key_of(1), "a2");
  ASSERT_TRUE(eventually([&] { return p1.stats().dead >= 1; })) << "whoever leads next knows it too";
  const auto dead = p1.stats().dead;
  produce(1, std::nullopt, encode_command(resync_command{0}), {{"content-type", "application/msgpack"}});
  ASSERT_TRUE(eventually([&] { return p1.said().find("(resync)") != std::string::npos; }));
  produce(0, key_of(1), "a3");
  ASSERT_TRUE(eventually([&] { return p1.seen().size() == 2; })) << p1.said();
  EXPECT_EQ(p1.seen().back(), "a3" + at(2));
  EXPECT_EQ(p1.stats().dead, dead);
}

TEST_F(outbox_on_kafka, what_the_brokers_refuse_goes_as_a_stub_and_blocks_nobody) {
  produce(0, key_of(1), std::string(2'000'000, 'x'));
  produce(0, key_of(1), "small");
  // From now on no message of that size is taken.
  {
    kafka_producer p(client(), {});
    auto* resource = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, (name_space + ".commands").c_str());
    rd_kafka_ConfigResource_set_config(resource, "max.message.bytes", "1000000");
    auto* queue = rd_kafka_queue_new(p.handle());
    rd_kafka_AlterConfigs(p.handle(), &resource, 1, nullptr, queue);
    auto* event = rd_kafka_queue_poll(queue, 10'000);
    ASSERT_NE(event, nullptr);
    EXPECT_EQ(rd_kafka_event_error(event), RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
    rd_kafka_ConfigResource_destroy(resource);
  }
  node p0(client(), name_space, 0), p1(client(), name_space, 1);
  p0.start();
  p1.start();
  ASSERT_TRUE(eventually([&] { return p1.seen().size() == 1 && p1.stats().dead == 1; })) << p0.said() << p1.said();
  EXPECT_EQ(p1.seen().front(), "small" + at(1));
  EXPECT_THAT(causes(), ElementsAre("refused"));
  EXPECT_THAT(p0.said(), HasSubstr(name_space + ".commands/0/0 goes as a stub"));
  EXPECT_EQ(p0.outbox().stats().stubs, 1U);
}

TEST_F(outbox_on_kafka, what_is_too_large_to_be_forwarded_is_a_dead_letter) {
  produce(0, key_of(1), std::string(largest_forward, 'x'));
  produce(0, key_of(1), "small");
  node p0(client(), name_space, 0), p1(client(), name_space, 1);
  p0.start();
  p1.start();
  ASSERT_TRUE(eventually([&] { return p1.seen().size() == 1 && p0.stats().dead == 1; })) << p0.said() << p1.said();
  EXPECT_THAT(causes(), ElementsAre("wrong_partition"));
}

TEST_F(outbox_on_kafka, the_broker_is_killed_while_it_sends) {
  node p0(client(), name_space, 0), p1(client(), name_space, 1);
  for (int k = 0; k < 100; ++k) produce(0, key_of(1, k % 5), "v" + std::to_string(k));
  p0.lead();
  p0.read();
  ASSERT_TRUE(eventually([&] { return p0.outbox().stats().waiting == 100; })) << p0.said();
  p0.send();
  broker().tell("kill 1");
  broker().tell("start 1");
  p1.start();
  ASSERT_TRUE(eventually([&] { return p1.seen().size() >= 100; }, 60s)) << p0.said() << p1.said();
  EXPECT_EQ(p1.seen().size(), 100U);
  for (int key = 0; key < 5; ++key) {
    std::vector<int> of_key;
    for (const auto& v : p1.seen()) {
      const auto n = std::stoi(v.substr(1));
      if (n % 5 == key) of_key.push_back(n);
    }
    EXPECT_TRUE(std::is_sorted(of_key.begin(), of_key.end()));
    EXPECT_EQ(of_key.size(), 20U);
  }
}

TEST_F(outbox_on_kafka, whoever_leads_when_nothing_is_lost_and_each_key_keeps_its_order) {
  const char* given = std::getenv("PAWL_SEED");
  const auto seed = given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device()();
  SCOPED_TRACE("again with PAWL_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  constexpr int commands = 400;
  node p0(client(), name_space, 0), p1(client(), name_space, 1);
  std::thread producing([&] {
    kafka_producer p(client(), {});
    for (int k = 0; k < commands; ++k) {
      // Half of them on the wrong partition.
      p.send(name_space + ".commands", k % 2, key_of(k / 2 % 2, k % 7), "v" + std::to_string(k), {});
      p.flush(10s);
    }
  });
  int changes = 0;
  p0.start();
  p1.start();
  for (int round = 0; round < 8; ++round) {
    auto& n = random() % 2 == 0 ? p0 : p1;
    std::this_thread::sleep_for(std::chrono::milliseconds(random() % 200));
    if (random() % 2 == 0) n.batch();
    n.stop();
    n.start();
    ++changes;
  }
  producing.join();
  // Who reads a stretch again sees a command again, under the same id.
  const auto all = [&] {
    std::set<std::string> seen;
    for (auto* n : {&p0, &p1})
      for (const auto& v : n->seen()) seen.insert(v.substr(0, v.find(' ')));
    return seen;
  };
  ASSERT_TRUE(eventually([&] { return all().size() == commands; })) << p0.said() << p1.said();
  for (std::int32_t p = 0; p < partitions; ++p) {
    std::map<int, std::vector<int>> of_lane;  // by key, and the partition that it was produced to
    std::set<std::string> before;
    for (const auto& v : (p == 0 ? p0 : p1).seen()) {
      if (!before.insert(v).second) continue;
      const auto k = std::stoi(v.substr(1));
      EXPECT_EQ(k / 2 % 2, p) << v;
      EXPECT_EQ(v.find(" from ") != std::string::npos, k % 2 != p) << v;
      of_lane[k % 7 * 2 + k % 2].push_back(k);
    }
    for (const auto& [lane, order] : of_lane) EXPECT_TRUE(std::is_sorted(order.begin(), order.end())) << lane;
  }
  EXPECT_THAT(causes(), IsEmpty());
  std::printf("seed %llu: %d changes of leaders, %llu repeats\n", static_cast<unsigned long long>(seed), changes,
              static_cast<unsigned long long>(p0.stats().repeats + p1.stats().repeats));
}

}  // namespace
}  // namespace pawl::broker
