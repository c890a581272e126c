// Which version a new run gets: marks, what the nodes run, and what a mark survives.
#include <gmock/gmock.h>

#include "tests/actors/node_fixture.hpp"

namespace pawl::test {
namespace {

using ::testing::IsEmpty;

class versions : public ::testing::Test {
 protected:
  versions() {
    for (const std::uint32_t v : {1U, 2U, 3U}) {
      workflow<int> w{"w", {.version = v}};
      auto in = w.input();
      w.returns(w.step("say", [v](step_context&, const int& n) { return n + 100 * static_cast<int>(v); }, {}, in));
      types_.add(w);
    }
    begin();
  }
  void begin() { node_ = std::make_unique<test_node>(types_, store_); }
  actors::command_reply use(std::uint32_t version, const std::string& command = {}) {
    return test_node::get(send(version, command));
  }
  std::future<actors::command_reply> send(std::uint32_t version, const std::string& command = {}) {
    auto replied = std::make_shared<std::promise<actors::command_reply>>();
    actors::use_request r{.type = "w", .version = version, .command_id = command, .reply = {}};
    r.reply = actors::owed_reply([replied](const actors::command_reply& a) { replied->set_value(a); });
    node_->system->use_version(std::move(r));
    return replied->get_future();
  }
  /// The version that a start gets which names none.
  std::uint32_t started() {
    const auto id = "o-" + std::to_string(++starts_);
    auto s = node_->start("w", id, 1);
    const auto end = test_node::get(std::move(s.result));
    EXPECT_EQ(decode<int>(end.payload), 1 + 100 * static_cast<int>(s.reply.version)) << "it says which version ran";
    return s.reply.version;
  }
  static actors::node_runs runs(const std::string& id, std::vector<std::uint32_t> versions, bool self = false) {
    return {.id = id, .name = {}, .self = self, .types = {{"w", std::move(versions)}}};
  }

  registry types_;
  std::shared_ptr<memory_store> store_ = std::make_shared<memory_store>();
  std::unique_ptr<test_node> node_;
  int starts_ = 0;
};

TEST_F(versions, a_mark_is_what_new_runs_get_until_it_is_taken_away) {
  EXPECT_EQ(started(), 3U);
  const auto first = use(1, "u-1");
  EXPECT_EQ(first.state, reply_status::recorded);
  EXPECT_EQ(first.outcome.result, command_result::applied);
  EXPECT_EQ(first.outcome.seq, 1U);
  EXPECT_EQ(started(), 1U);
  EXPECT_EQ(use(2, "u-2").outcome.seq, 2U);
  EXPECT_EQ(started(), 2U);
  EXPECT_EQ(use(0, "u-3").outcome.seq, 3U);
  EXPECT_EQ(started(), 3U);
  EXPECT_EQ(store_->marks.at("w").by, "u-3");
  EXPECT_THAT(store_->violations, IsEmpty());
}

TEST_F(versions, a_repeat_does_nothing_and_gets_the_same_answer) {
  EXPECT_EQ(use(1, "u-1").outcome.seq, 1U);
  EXPECT_EQ(use(2, "u-2").outcome.seq, 2U);
  for (int life = 0; life < 2; ++life) {
    const auto again = use(1, "u-1");
    EXPECT_EQ(again.outcome.result, command_result::duplicate);
    EXPECT_EQ(again.outcome.seq, 1U);
    EXPECT_EQ(started(), 2U) << "a repeat that comes late takes nothing back";
    node_.reset();
    begin();  // ... known from the store
  }
  // Those that come at once too.
  std::vector<std::future<actors::command_reply>> all;
  for (int n = 0; n < 50; ++n) all.push_back(send(3, "u-3"));
  int applied = 0;
  for (auto& f : all) {
    const auto r = test_node::get(std::move(f));
    EXPECT_EQ(r.outcome.seq, 3U);
    applied += r.outcome.result == command_result::applied ? 1 : 0;
  }
  EXPECT_EQ(applied, 1);
  EXPECT_THAT(store_->violations, IsEmpty());
}

TEST_F(versions, marks_that_are_made_at_once_have_revisions_of_their_own) {
  std::vector<std::future<actors::command_reply>> all;
  for (std::uint32_t n = 0; n < 60; ++n) all.push_back(send(1 + n % 3, "u-" + std::to_string(n)));
  std::set<std::uint64_t> revisions;
  std::uint32_t last = 0;
  for (std::uint32_t n = 0; n < 60; ++n) {
    const auto r = test_node::get(std::move(all[n]));
    revisions.insert(r.outcome.seq);
    if (r.outcome.seq == 60) last = 1 + n % 3;
  }
  EXPECT_EQ(revisions.size(), 60U);
  EXPECT_EQ(*revisions.rbegin(), 60U);
  EXPECT_EQ(started(), last);
}

TEST_F(versions, a_mark_whose_commit_is_unknown_counts_if_it_was_written_and_only_then) {
  EXPECT_EQ(use(1, "u-1").outcome.seq, 1U);
  for (const bool written : {false, true}) {
    SCOPED_TRACE(written);
    store_->change([&](auto& s) { s.failures[s.appends + 1] = {.written = written}; });
    const auto fired = store_->failures_fired;
    EXPECT_EQ(use(2, written ? "u-3" : "u-2").state, reply_status::unknown);
    EXPECT_EQ(store_->failures_fired, fired + 1);
    ASSERT_TRUE(
        eventually([&] { return use(3, "probe-" + std::to_string(++starts_)).state == reply_status::recorded; }));
    const auto again = use(2, written ? "u-3" : "u-2");
    EXPECT_EQ(again.outcome.result, written ? command_result::duplicate : command_result::applied);
    EXPECT_EQ(store_->outcomes.contains({"", written ? "u-3" : "u-2"}), true);
  }
  EXPECT_EQ(use(0, "last").outcome.result, command_result::applied);
  EXPECT_EQ(started(), 3U);
  EXPECT_THAT(store_->violations, IsEmpty());
}

TEST_F(versions, without_a_mark_it_is_the_highest_that_all_living_nodes_run) {
  node_->system->set_fleet({runs("a", {1, 2, 3}, true), runs("b", {1, 2})});
  EXPECT_EQ(started(), 2U);
  EXPECT_EQ(node_->system->choose_version("o", "w").why, engine::version_reason::common);
  EXPECT_EQ(use(3, "u-1").outcome.result, command_result::applied);
  EXPECT_EQ(started(), 3U);
  EXPECT_EQ(use(0, "u-2").outcome.result, command_result::applied);
  node_->system->set_fleet({runs("a", {1, 2, 3}, true)});
  EXPECT_EQ(started(), 3U) << "the old node has gone";
  node_->system->set_fleet({runs("a", {1, 2, 3}, true), runs("b", {9})});
  EXPECT_EQ(started(), 3U) << "there is none that both run";
  EXPECT_EQ(node_->system->choose_version("o", "w").why, engine::version_reason::local);
}

TEST_F(versions, who_waits_for_a_mark_hears_of_it_once) {
  std::promise<bool> there;
  std::promise<bool> never;
  std::promise<bool> here;
  const auto tell = [](std::promise<bool>& p) { return [&p](bool yes) { p.set_value(yes); }; };
  node_->system->await_mark(0, "w", 1, patience, tell(there));
  node_->system->await_mark(0, "w", 2, std::chrono::milliseconds(20), tell(never));
  EXPECT_FALSE(test_node::get(never.get_future())) << "its time is over";
  std::promise<actors::command_reply> taken;
  node_->system->take_mark(0, {.type = "w", .version = 2, .revision = 1, .at = 1, .by = "x"},
                           actors::owed_reply([&](const actors::command_reply& r) { taken.set_value(r); }));
  EXPECT_EQ(test_node::get(taken.get_future()).state, reply_status::recorded);
  EXPECT_TRUE(test_node::get(there.get_future()));
  node_->system->await_mark(0, "w", 1, patience, tell(here));
  EXPECT_TRUE(test_node::get(here.get_future())) << "it was there already";
  EXPECT_EQ(started(), 2U);
}

}  // namespace
}  // namespace pawl::test
