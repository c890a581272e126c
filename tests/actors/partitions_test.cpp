// A node with several partitions: each is led, left and led again by itself.
#include <gmock/gmock.h>

#include "tests/actors/node_fixture.hpp"
#include "tests/actors/node_laws.hpp"

namespace pawl::test {
namespace {

using namespace std::chrono_literals;

/// Two partitions over journals in memory: an id is in the one that its first character says.
class partitions : public ::testing::Test {
 protected:
  partitions() {
    workflow<int> w{"w", {}};
    auto in = w.input();
    w.returns(w.step(
        "wait",
        [this](step_context&, const int& n) {
          ++begun_;
          gate_.pass();
          return n + 1;
        },
        {.timeout = 60s, .retry = {.max_attempts = 1}}, in));
    types_.add(w);
    actors::node_options o;
    o.partitions = 2;
    o.partition_of = [](std::string_view id) { return id.starts_with("1") ? 1 : 0; };
    o.log = [](log_level, std::string_view) {};
    system_ = std::make_unique<actors::node_system>(types_, std::move(o));
    for (auto& s : stores_) s = std::make_shared<memory_store>();
  }
  ~partitions() override {
    gate_.open();
    system_.reset();
  }

  void lead(std::int32_t number) {
    const auto n = static_cast<std::size_t>(number);
    journals_[n] = std::make_unique<memory_journal>(stores_[n]);
    system_->lead({.number = number,
                   .journal = *journals_[n],
                   .may_exist = [](std::string_view) { return true; },
                   .open_view = [s = stores_[n]] { return std::make_unique<memory_view>(s); },
                   .on_deposed = [this](const std::string&) { ++deposed_; }});
  }
  void leave(std::int32_t number) {
    system_->leave(number);
    journals_[static_cast<std::size_t>(number)].reset();  // nobody may use it any more
  }
  std::future<actors::command_reply> start(const std::string& id) {
    auto replied = std::make_shared<std::promise<actors::command_reply>>();
    actors::command_request r;
    r.workflow_id = id;
    r.command.id = "start-" + id;
    engine::start_command c;
    c.facts.type = "w";
    c.input = encode(1);
    r.command.body = std::move(c);
    r.reply = actors::owed_reply([replied](const actors::command_reply& a) { replied->set_value(a); });
    system_->submit(std::move(r));
    return replied->get_future();
  }
  std::future<actors::run_result> await(const std::string& id) {
    auto closed = std::make_shared<std::promise<actors::run_result>>();
    system_->await_result(
        {.workflow_id = id, .run = 0, .on_result = [closed](const actors::run_result& x) { closed->set_value(x); }});
    return closed->get_future();
  }
  bool barrier(std::int32_t number) {
    auto answer = std::make_shared<std::promise<bool>>();
    system_->barrier(number, [answer](bool yes) { answer->set_value(yes); });
    return test_node::get(answer->get_future());
  }
  std::size_t appends(std::int32_t number) {
    auto& s = *stores_[static_cast<std::size_t>(number)];
    const std::lock_guard lock(s.mutex);
    return s.appends;
  }
  std::size_t count(const std::string& id, engine::event_kind kind) {
    memory_view v(stores_[id.starts_with("1") ? 1 : 0]);
    const auto row = v.find(id);
    std::size_t n = 0;
    if (row)
      for (const auto& e : v.history(row->key).events) n += e.kind == kind ? 1 : 0;
    return n;
  }

  registry types_;
  gate gate_;
  std::atomic<int> begun_{0};
  std::atomic<int> deposed_{0};
  std::array<std::shared_ptr<memory_store>, 2> stores_;
  std::array<std::unique_ptr<memory_journal>, 2> journals_;
  std::unique_ptr<actors::node_system> system_;
};

TEST_F(partitions, a_request_goes_to_its_own_and_is_refused_where_this_node_does_not_lead) {
  lead(0);
  EXPECT_TRUE(system_->leads(0) && !system_->leads(1));
  EXPECT_EQ(test_node::get(start("0-a")).state, reply_status::recorded);
  const auto r = test_node::get(start("1-a"));
  EXPECT_EQ(r.state, reply_status::unavailable);
  EXPECT_THAT(r.message, ::testing::HasSubstr("does not lead partition 1"));
  EXPECT_EQ(test_node::get(await("1-a")).state, result_status::unavailable);
  EXPECT_THROW(system_->borrow_view("1-a"), store::view_error);
  lead(1);
  EXPECT_EQ(test_node::get(start("1-a")).state, reply_status::recorded);
  gate_.open();
  EXPECT_EQ(test_node::get(await("1-a")).phase, phase::completed);
  EXPECT_EQ(test_node::get(await("0-a")).phase, phase::completed);
  EXPECT_TRUE(memory_view(stores_[0]).find("0-a") && !memory_view(stores_[0]).find("1-a"));
  EXPECT_TRUE(memory_view(stores_[1]).find("1-a") && !memory_view(stores_[1]).find("0-a"));
}

TEST_F(partitions, after_leaving_nothing_is_appended_and_who_waits_hears_so) {
  lead(0);
  lead(1);
  ASSERT_EQ(test_node::get(start("1-a")).state, reply_status::recorded);
  ASSERT_TRUE(eventually([&] { return begun_ == 1; }));
  auto waits = await("1-a");
  leave(1);
  EXPECT_EQ(test_node::get(std::move(waits)).state, result_status::unavailable);
  const auto before = appends(1);
  gate_.open();  // the function returns; there is nobody who could record it
  EXPECT_EQ(test_node::get(start("0-a")).state, reply_status::recorded);
  EXPECT_EQ(test_node::get(await("0-a")).phase, phase::completed);
  EXPECT_EQ(appends(1), before);
  EXPECT_EQ(system_->running_attempts(), 0U) << "those of a partition that was left are not this node's to wait for";
  const auto begun = std::chrono::steady_clock::now();
  system_->drain(5s);
  EXPECT_LT(std::chrono::steady_clock::now() - begun, 4s);
}

// A node that stops and the partition itself may both want to: whoever returns takes the journal away.
TEST_F(partitions, nobody_returns_from_leaving_while_the_journal_is_in_use) {
  lead(1);
  gate disk;
  stores_[1]->fail_if = [&](const store::record&) {
    disk.pass();
    return std::optional<planned_failure>();
  };
  auto replied = start("1-a");
  ASSERT_TRUE(disk.holds(1)) << "an append is under way";
  std::atomic<int> returned{0};
  const auto leave_it = [&] {
    system_->leave(1);
    ++returned;
  };
  std::thread one(leave_it);
  EXPECT_TRUE(eventually([&] { return !system_->leads(1); }));
  std::thread other(leave_it);
  EXPECT_FALSE(eventually([&] { return returned > 0; }, 200ms));
  disk.open();
  one.join();
  other.join();
  journals_[1].reset();
  EXPECT_EQ(test_node::get(std::move(replied)).state, reply_status::recorded);
}

TEST_F(partitions, led_again_it_adopts_what_runs_and_takes_what_has_ended_meanwhile) {
  lead(1);
  ASSERT_EQ(test_node::get(start("1-ends-later")).state, reply_status::recorded);
  ASSERT_TRUE(eventually([&] { return begun_ == 1; }));
  leave(1);
  lead(1);
  gate_.open();
  EXPECT_EQ(test_node::get(await("1-ends-later")).phase, phase::completed);
  EXPECT_EQ(begun_, 1) << "it was not started again";
  EXPECT_EQ(count("1-ends-later", engine::event_kind::attempt_started), 1U);
}

TEST_F(partitions, what_ends_while_nobody_leads_is_recorded_by_the_next_leading) {
  lead(1);
  ASSERT_EQ(test_node::get(start("1-a")).state, reply_status::recorded);
  ASSERT_TRUE(eventually([&] { return begun_ == 1; }));
  leave(1);
  gate_.open();
  lead(1);
  EXPECT_EQ(test_node::get(await("1-a")).phase, phase::completed);
  EXPECT_EQ(begun_, 1);
}

TEST_F(partitions, who_is_deposed_hears_so_once_and_decides_nothing_more) {
  lead(0);
  stores_[0]->fail_if = [](const store::record&) { return planned_failure{store::append_status::deposed, false}; };
  EXPECT_EQ(test_node::get(start("0-a")).state, reply_status::unknown);
  EXPECT_TRUE(eventually([&] { return deposed_ == 1; }));
  EXPECT_EQ(test_node::get(start("0-b")).state, reply_status::unavailable);
  EXPECT_FALSE(barrier(0));
  const auto before = appends(0);
  leave(0);
  EXPECT_EQ(appends(0), before);
  EXPECT_EQ(stores_[0]->failures_fired, 1U);
  EXPECT_EQ(deposed_, 1);
}

TEST_F(partitions, a_barrier_is_an_append_of_its_own_and_many_share_one) {
  lead(0);
  EXPECT_FALSE(barrier(1)) << "not led";
  const auto before = appends(0);
  EXPECT_TRUE(barrier(0));
  EXPECT_EQ(appends(0), before + 1);
  stores_[0]->append_takes = 20ms;
  std::atomic<int> yes{0};
  for (int k = 0; k < 100; ++k) system_->barrier(0, [&](bool b) { yes += b ? 1 : 0; });
  EXPECT_TRUE(eventually([&] { return yes == 100; }));
  EXPECT_LE(appends(0), before + 4) << "the first by itself, the others with whoever came meanwhile";
}

}  // namespace
}  // namespace pawl::test
