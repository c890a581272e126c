// Commands from a real Kafka: handed in, in order, tried again, given up, and never forgotten.
#include "broker/command_intake.hpp"

#include <gmock/gmock.h>
#include <librdkafka/rdkafka.h>

#include <array>
#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "tests/broker_kafka/kafka_fixture.hpp"
#include "tests/store/fixture.hpp"

namespace pawl::broker {
namespace {

using namespace std::chrono_literals;
using store::append_status;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using kind = command_verdict::kind;

/// What is handed in, by value, in its order; answered by `decide`, or kept where that says nothing.
class desk {
 public:
  using decision = std::function<std::optional<command_verdict>(const incoming_command&)>;
  explicit desk(decision d = {}) : decide_(std::move(d)) {}

  command_handler handler() {
    return [this](const incoming_command& m, command_done done) {
      std::optional<command_verdict> v;
      {
        const std::lock_guard lock(mutex_);
        seen_.push_back(m.value);
        v = decide_ ? decide_(m) : command_verdict{};
        if (!v) kept_.push_back(done);
      }
      if (v) done(*v);
    };
  }
  std::vector<std::string> seen() const {
    const std::lock_guard lock(mutex_);
    return seen_;
  }
  std::size_t count() const { return seen().size(); }
  /// Answers what is kept, and all that comes.
  void let_go() {
    std::vector<command_done> all;
    {
      const std::lock_guard lock(mutex_);
      decide_ = {};
      all.swap(kept_);
    }
    for (auto& done : all) done({});
  }

 private:
  mutable std::mutex mutex_;
  decision decide_;
  std::vector<std::string> seen_;
  std::vector<command_done> kept_;
};

struct letter {
  std::optional<std::string> key;
  std::string value;
  std::map<std::string, std::string> headers;
};

class intake : public on_kafka {
 protected:
  void SetUp() override {
    on_kafka::SetUp();
    lead();
  }
  void lead() {
    journal.reset();
    view.reset();
    view = store::open_embedded({.directory = directory.path(), .truth = false});
    journal = open_kafka_journal({.client = client(),
                                  .topic = name_space + ".journal",
                                  .partition = 0,
                                  .who = {.node_id = "node", .incarnation = 1},
                                  .append_timeout = 4s},
                                 *view);
  }
  std::unique_ptr<command_intake> begin(desk& d) {
    return std::make_unique<command_intake>(command_intake_options{.client = client(),
                                                                   .topic = name_space + ".commands",
                                                                   .partition = 0,
                                                                   .dead_letters = name_space + ".dlq",
                                                                   .warn =
                                                                       [this](const std::string& w) {
                                                                         const std::lock_guard lock(mutex);
                                                                         warnings += w + "\n";
                                                                       }},
                                            *journal, d.handler());
  }
  void produce(std::optional<std::string_view> key, std::string_view value, const kafka_producer::headers& h = {}) {
    kafka_producer p(client(), {});
    p.send(name_space + ".commands", 0, key, value, {}, h);
    ASSERT_TRUE(p.flush(10s));
  }
  void produce_many(int from, int to) {
    kafka_producer p(client(), {});
    for (int k = from; k < to; ++k)
      p.send(name_space + ".commands", 0, "k" + std::to_string(k), "v" + std::to_string(k), {});
    ASSERT_TRUE(p.flush(10s));
  }
  // One message, and the marker of the commit behind it, which no reader sees.
  void produce_in_a_transaction(std::string_view value) {
    auto* conf = rd_kafka_conf_new();
    std::array<char, 256> why{};
    rd_kafka_conf_set(conf, "bootstrap.servers", client().brokers.c_str(), why.data(), why.size());
    rd_kafka_conf_set(conf, "transactional.id", name_space.c_str(), why.data(), why.size());
    auto* p = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why.data(), why.size());
    ASSERT_NE(p, nullptr) << why.data();
    ASSERT_EQ(rd_kafka_init_transactions(p, 30'000), nullptr);
    ASSERT_EQ(rd_kafka_begin_transaction(p), nullptr);
    auto* topic = rd_kafka_topic_new(p, (name_space + ".commands").c_str(), nullptr);
    ASSERT_EQ(
        rd_kafka_produce(topic, 0, RD_KAFKA_MSG_F_COPY, const_cast<char*>(value.data()), value.size(), "k", 1, nullptr),
        0);
    ASSERT_EQ(rd_kafka_commit_transaction(p, 30'000), nullptr);
    rd_kafka_topic_destroy(topic);
    rd_kafka_destroy(p);
  }
  std::vector<letter> letters(std::size_t expected) {
    kafka_reader r(client(), name_space + ".dlq", 0);
    std::vector<letter> out;
    r.seek(0);
    const auto deadline = std::chrono::steady_clock::now() + 20s;
    while (out.size() < expected && std::chrono::steady_clock::now() < deadline) {
      const auto* m = r.next(100ms);
      if (m == nullptr) continue;
      letter l;
      if (m->has_key) l.key = std::string(m->key);
      l.value = std::string(m->value);
      for (const auto& [name, value] : r.headers()) l.headers[std::string(name)] = std::string(value);
      out.push_back(std::move(l));
    }
    return out;
  }
  /// A batch, which carries the position.
  bool batch() { return journal->append({}).status == append_status::committed; }
  std::string said() {
    const std::lock_guard lock(mutex);
    return warnings;
  }

  store::temporary_directory directory;
  std::unique_ptr<store::embedded_journal> view;
  std::unique_ptr<kafka_journal> journal;
  std::mutex mutex;
  std::string warnings;
};

bool dealt(const command_intake& i, std::uint64_t n) {
  return eventually([&] { return i.stats().dealt_with + i.stats().dead >= n && i.stats().under_way == 0; });
}

TEST_F(intake, commands_of_a_key_keep_their_order_over_retries) {
  int refusals = 0;
  desk d([&](const incoming_command& m) -> std::optional<command_verdict> {
    if (m.value == "a1" && refusals++ < 3) return command_verdict{.what = kind::again};
    return command_verdict{};
  });
  for (const auto* v : {"a1", "b1", "a2", "b2", "a3"}) produce(std::string(v, 1), v);
  auto i = begin(d);
  ASSERT_TRUE(dealt(*i, 5));
  std::vector<std::string> of_a;
  const auto seen = d.seen();
  for (const auto& v : seen)
    if (v.starts_with('a')) of_a.push_back(v);
  EXPECT_THAT(of_a, ElementsAre("a1", "a1", "a1", "a1", "a2", "a3"));
  EXPECT_LT(std::find(seen.begin(), seen.end(), "b2"), std::find(seen.begin(), seen.end(), "a2"))
      << "another key does not wait";
  EXPECT_EQ(i->stats().again, 3U);
}

TEST_F(intake, of_one_key_one_command_is_under_way) {
  desk d([](const incoming_command&) { return std::nullopt; });
  produce("a", "a1");
  produce("a", "a2");
  auto i = begin(d);
  ASSERT_TRUE(eventually([&] { return i->stats().read == 2; }));
  std::this_thread::sleep_for(100ms);
  EXPECT_THAT(d.seen(), ElementsAre("a1"));
  d.let_go();
  ASSERT_TRUE(dealt(*i, 2));
  EXPECT_THAT(d.seen(), ElementsAre("a1", "a2"));
}

TEST_F(intake, reading_stops_while_too_many_are_under_way) {
  desk d([](const incoming_command&) { return std::nullopt; });
  produce_many(0, 1'500);
  auto i = begin(d);
  ASSERT_TRUE(eventually([&] { return i->stats().under_way == most_commands_under_way; }));
  std::this_thread::sleep_for(300ms);
  EXPECT_EQ(i->stats().read, most_commands_under_way);
  d.let_go();
  ASSERT_TRUE(dealt(*i, 1'500));
  EXPECT_EQ(d.count(), 1'500U);
}

TEST_F(intake, a_key_that_is_refused_again_and_again_holds_up_nobody_else) {
  std::atomic<bool> refuse{true};
  desk d([&](const incoming_command& m) -> std::optional<command_verdict> {
    if (m.key == "hot" && refuse) return command_verdict{.what = kind::again};
    return command_verdict{};
  });
  {
    kafka_producer p(client(), {});
    for (int k = 0; k < 3'000; ++k) {
      p.send(name_space + ".commands", 0, "hot", "hot " + std::to_string(k), {});
      if (k % 30 == 0) p.send(name_space + ".commands", 0, "cool " + std::to_string(k), "cool", {});
    }
    ASSERT_TRUE(p.flush(20s));
  }
  auto i = begin(d);
  ASSERT_TRUE(eventually([&] { return i->stats().dealt_with == 100; })) << said();
  ASSERT_TRUE(eventually([&] { return i->stats().read == 3'100; }));
  EXPECT_EQ(i->stats().parked, 3'000 - most_commands_of_a_key);
  EXPECT_EQ(i->stats().lag(), 3'100) << "the first is not dealt with";
  refuse = false;
  ASSERT_TRUE(dealt(*i, 3'100)) << said();
  std::vector<std::string> of_hot, expected;
  for (const auto& v : d.seen())
    if (v.starts_with("hot") && (of_hot.empty() || of_hot.back() != v)) of_hot.push_back(v);
  for (int k = 0; k < 3'000; ++k) expected.push_back("hot " + std::to_string(k));
  EXPECT_EQ(of_hot, expected);
  EXPECT_EQ(i->stats().parked, 0U);
  EXPECT_TRUE(eventually([&] { return i->stats().lag() == 0; }));
  i.reset();
  ASSERT_TRUE(batch());
  lead();
  EXPECT_EQ(journal->commands_from(0), 3'100);
}

TEST_F(intake, a_leader_that_is_full_is_given_time) {
  int asked = 0;
  desk d([&](const incoming_command&) -> std::optional<command_verdict> {
    if (++asked <= 3) return command_verdict{.what = kind::full};
    return command_verdict{};
  });
  produce_many(0, 1);
  auto i = begin(d);
  ASSERT_TRUE(eventually([&] { return i->stats().paused >= 1; }));
  produce_many(1, 50);
  ASSERT_TRUE(dealt(*i, 50));
  EXPECT_EQ(i->stats().paused, 3U) << "the others were not tried meanwhile";
}

TEST_F(intake, offsets_without_a_message_are_passed) {
  desk d;
  auto i = begin(d);
  produce_in_a_transaction("first");
  // It is read once the marker of its commit is there, which may be after the commit.
  ASSERT_TRUE(dealt(*i, 1));
  produce("k", "second");
  ASSERT_TRUE(dealt(*i, 2));
  EXPECT_EQ(i->stats().holes, 1U);
  i.reset();
  ASSERT_TRUE(batch());
  lead();
  EXPECT_EQ(journal->commands_from(0), 3);
}

TEST_F(intake, what_is_dead_is_a_dead_letter_and_those_around_it_go_on) {
  desk d([](const incoming_command& m) -> std::optional<command_verdict> {
    if (m.value.starts_with("good")) return command_verdict{};
    return command_verdict{.what = kind::dead, .cause = "invalid", .detail = std::string(999, 'x') + "\xc3\xa4"};
  });
  const std::string binary("\x00\xff bytes", 8);
  produce("k", "good 1");
  produce("k", binary, {{"content-type", "application/json"}});
  produce(std::nullopt, "no key");
  produce("k", "good 2");
  auto i = begin(d);
  ASSERT_TRUE(dealt(*i, 4)) << said();
  auto found = letters(2);
  ASSERT_EQ(found.size(), 2U);
  // One without a key waits for nobody, so it may be the first.
  if (!found[0].key) std::swap(found[0], found[1]);
  EXPECT_EQ(found[0].key, "k");
  EXPECT_EQ(found[0].value, binary);
  EXPECT_EQ(found[0].headers.at("pawl-from"), name_space + ".commands/0/1");
  EXPECT_EQ(found[0].headers.at("pawl-cause"), "invalid");
  EXPECT_EQ(found[0].headers.at("pawl-detail"), std::string(999, 'x')) << "no half of a character";
  EXPECT_THAT(found[0].headers.at("pawl-at"), ::testing::MatchesRegex("20..-..-..T..:..:..[.]...Z"));
  EXPECT_EQ(found[0].headers.at("content-type"), "application/json") << "its own headers are kept";
  EXPECT_FALSE(found[1].key);
  EXPECT_EQ(found[1].value, "no key");
  EXPECT_THAT(said(), HasSubstr(" is a dead letter: invalid"));
  i.reset();
  ASSERT_TRUE(batch());
  lead();
  EXPECT_EQ(journal->commands_from(0), 4) << "dead letters move the position too";
}

TEST_F(intake, what_is_too_large_for_a_dead_letter_is_cut) {
  desk d([](const incoming_command&) { return command_verdict{.what = kind::dead, .cause = "too_large"}; });
  const std::string large((std::size_t{8} << 20) - 2'000, 'x');
  produce("k", large);
  auto i = begin(d);
  ASSERT_TRUE(dealt(*i, 1)) << said();
  const auto found = letters(1);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].value.size(), largest_dead_letter - 1);
  EXPECT_EQ(found[0].headers.at("pawl-cut"), "1," + std::to_string(large.size()) + ",0");
}

TEST_F(intake, a_handler_that_throws_is_asked_again) {
  int thrown = 0;
  desk d([&](const incoming_command&) -> std::optional<command_verdict> {
    if (thrown++ < 2) throw std::runtime_error("not now");
    return command_verdict{};
  });
  produce("k", "v");
  auto i = begin(d);
  ASSERT_TRUE(dealt(*i, 1));
  EXPECT_EQ(d.count(), 3U);
  EXPECT_THAT(said(), HasSubstr("offset 0 is tried again: not now"));
}

TEST_F(intake, what_a_batch_carried_is_not_handed_in_again) {
  produce_many(0, 5);
  {
    desk d;
    auto i = begin(d);
    ASSERT_TRUE(dealt(*i, 5));
  }
  ASSERT_TRUE(batch());
  produce_many(5, 8);
  // Dealt with, but no batch says so.
  {
    desk d;
    auto i = begin(d);
    ASSERT_TRUE(dealt(*i, 3));
    EXPECT_THAT(d.seen(), ElementsAre("v5", "v6", "v7"));
  }
  lead();
  {
    desk d;
    auto i = begin(d);
    ASSERT_TRUE(dealt(*i, 3));
    EXPECT_THAT(d.seen(), ElementsAre("v5", "v6", "v7"));
    ASSERT_TRUE(batch());
  }
  // The view is lost: the position is in the log.
  journal.reset();
  view.reset();
  store::temporary_directory other;
  view = store::open_embedded({.directory = other.path(), .truth = false});
  journal = open_kafka_journal(
      {.client = client(), .topic = name_space + ".journal", .who = {.node_id = "node", .incarnation = 2}}, *view);
  EXPECT_EQ(journal->commands_from(0), 8);
  journal.reset();
  view.reset();
}

// One that is not dealt with holds the position, whatever lies behind it.
TEST_F(intake, the_position_stays_below_what_is_under_way) {
  desk d([](const incoming_command& m) -> std::optional<command_verdict> {
    return m.value == "v2" ? std::nullopt : std::optional(command_verdict{});
  });
  produce_many(0, 5);
  {
    auto i = begin(d);
    ASSERT_TRUE(eventually([&] { return i->stats().dealt_with == 4; }));
  }
  ASSERT_TRUE(batch());
  lead();
  EXPECT_EQ(journal->commands_from(0), 2);
  d.let_go();  // nobody is there to hear it
}

TEST_F(intake, when_the_journal_is_opened_again_reading_begins_where_it_says) {
  produce_many(0, 3);
  desk d([](const incoming_command& m) -> std::optional<command_verdict> {
    return m.value == "v1" ? std::nullopt : std::optional(command_verdict{});
  });
  auto i = begin(d);
  ASSERT_TRUE(eventually([&] { return i->stats().dealt_with == 2; }));
  ASSERT_TRUE(batch());
  ASSERT_EQ(journal->reopen().status, append_status::committed);
  ASSERT_TRUE(eventually([&] { return i->stats().begun_anew == 2 && d.count() == 5; }));
  EXPECT_THAT(d.seen(), ElementsAre("v0", "v1", "v2", "v1", "v2"));
  d.let_go();
  ASSERT_TRUE(dealt(*i, 3));
  i.reset();
  ASSERT_TRUE(batch());
  lead();
  EXPECT_EQ(journal->commands_from(0), 3);
}

TEST_F(intake, while_the_journal_is_away_nothing_is_handed_in) {
  desk d;
  auto i = begin(d);
  produce("k", "before");
  ASSERT_TRUE(dealt(*i, 1));
  ASSERT_TRUE(journal->release());
  produce("k", "meanwhile");
  std::this_thread::sleep_for(400ms);
  EXPECT_EQ(d.count(), 1U);
  ASSERT_EQ(journal->reopen().status, append_status::committed);
  ASSERT_TRUE(dealt(*i, 2));
  EXPECT_THAT(d.seen(), ElementsAre("before", "meanwhile"));
}

TEST_F(intake, the_broker_is_killed_and_comes_back) {
  desk d([](const incoming_command& m) -> std::optional<command_verdict> {
    return m.value == "bad" ? command_verdict{.what = kind::dead, .cause = "invalid"} : command_verdict{};
  });
  auto i = begin(d);
  produce("k", "before");
  ASSERT_TRUE(dealt(*i, 1));
  broker().tell("kill 1");
  std::this_thread::sleep_for(200ms);
  broker().tell("start 1");
  ASSERT_TRUE(eventually([&] { return journal->reopen().status == append_status::committed; }));
  produce("k", "bad");
  produce("k", "after");
  ASSERT_TRUE(eventually([&] { return i->stats().dead == 1 && d.seen().back() == "after"; }, 60s)) << said();
  EXPECT_EQ(letters(1).size(), 1U);
}

}  // namespace
}  // namespace pawl::broker
