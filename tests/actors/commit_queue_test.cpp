// What the queue of commits does with a batch that is durable while the next is on its way.
#include "actors/commit_queue.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace pawl::actors {
namespace {

using namespace std::chrono_literals;
using store::append_result;
using store::append_status;

/// Each append waits until it is let go, before its record is sent.
class slow_journal final : public store::journal {
 public:
  append_result append(store::record r) override { return append_beside(std::move(r), nullptr); }
  append_result append_beside(store::record, const std::function<void()>& meanwhile) override {
    std::unique_lock lock(mutex);
    say("append " + std::to_string(++appends));
    changed.wait_for(lock, 30s, [&] { return let_go >= appends; });
    if (appends == not_sent) return {append_status::unknown, "it was not sent"};
    lock.unlock();
    if (meanwhile) meanwhile();
    lock.lock();
    say("durable " + std::to_string(appends));
    if (appends == fails) return {append_status::unknown, "it failed"};
    return {};
  }
  append_result reopen() override { return {}; }
  engine::reign reign() const override { return {1, 2}; }
  engine::run_key next_run_key() const override { return 1; }
  std::int64_t last_event_time() const override { return 0; }

  // With the lock.
  void say(std::string what) {
    said.push_back(std::move(what));
    changed.notify_all();
  }
  bool has_said(const std::string& what) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, 30s, [&] { return std::find(said.begin(), said.end(), what) != said.end(); });
  }
  void let(int upto) {
    const std::lock_guard lock(mutex);
    let_go = upto;
    changed.notify_all();
  }

  std::mutex mutex;
  std::condition_variable changed;
  std::vector<std::string> said;
  int appends = 0, let_go = 0, fails = 0, not_sent = 0;
};

class commits : public ::testing::Test {
 protected:
  void begin() {
    queue.emplace(journal, commit_queue::options{},
                  commit_queue::listener{.failed =
                                             [this](std::uint64_t, const append_result&) {
                                               const std::lock_guard lock(journal.mutex);
                                               journal.say("failed");
                                             },
                                         .healed = [](std::uint64_t) {},
                                         .broken = [](const append_result&) {}});
  }
  void submit(const std::string& name, std::size_t count) {
    for (std::size_t n = 0; n < count; ++n) {
      auto d = std::make_shared<decided>();
      d->generation = 1;
      d->barrier = true;
      d->committed = [this, name, last = n + 1 == count](const std::shared_ptr<decided>&) {
        const std::lock_guard lock(journal.mutex);
        if (last) journal.say(name);
      };
      queue->submit(std::move(d));
    }
  }
  /// The second batch, of so many, has gathered while the first was on its way.
  void two_batches(std::size_t second) {
    begin();
    submit("first", 1);
    ASSERT_TRUE(journal.has_said("append 1"));
    submit("second", second);
    journal.let(1);
    ASSERT_TRUE(journal.has_said("append 2"));
    journal.let(2);
  }
  std::vector<std::string> said() {
    queue->stop();
    return journal.said;
  }
  slow_journal journal;
  std::optional<commit_queue> queue;
};

using words = std::vector<std::string>;

TEST_F(commits, a_few_that_wait_do_not_hold_up_what_is_durable) {
  two_batches(2);
  ASSERT_TRUE(journal.has_said("second"));
  EXPECT_EQ(said(), (words{"append 1", "durable 1", "first", "append 2", "durable 2", "second"}));
}

TEST_F(commits, while_a_crowd_is_on_its_way_the_batch_before_is_handed_over) {
  two_batches(100);
  ASSERT_TRUE(journal.has_said("second"));
  EXPECT_EQ(said(), (words{"append 1", "durable 1", "append 2", "first", "durable 2", "second"}));
}

TEST_F(commits, what_is_durable_is_handed_over_though_the_next_fails) {
  journal.fails = 2;
  two_batches(100);
  ASSERT_TRUE(journal.has_said("failed"));
  EXPECT_EQ(said(), (words{"append 1", "durable 1", "append 2", "first", "durable 2", "failed"}));
}

TEST_F(commits, what_is_durable_is_handed_over_though_the_next_cannot_even_be_sent) {
  journal.not_sent = 2;
  two_batches(100);
  ASSERT_TRUE(journal.has_said("failed"));
  EXPECT_EQ(said(), (words{"append 1", "durable 1", "append 2", "first", "failed"}));
}

}  // namespace
}  // namespace pawl::actors
