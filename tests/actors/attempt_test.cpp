// The table of attempts, and the one end that each of them has.
#include <random>

#include "tests/actors/node_laws.hpp"

namespace pawl::test {
namespace {

using namespace std::chrono_literals;
using actors::attempt;
using actors::attempt_id;
using actors::attempt_table;
using engine::attempt_end;

struct hearer final : actors::attempt_listener {
  explicit hearer(std::uint64_t g) : of(g) {}
  void ended(const engine::attempt_ended& e) override {
    const std::lock_guard lock(mutex);
    ends.push_back(e);
  }
  void heartbeat(std::uint32_t, bool, std::string) override { ++heartbeats; }
  void returned() override { ++returns; }
  std::uint64_t generation() const override { return of; }
  std::size_t count() {
    const std::lock_guard lock(mutex);
    return ends.size();
  }
  const std::uint64_t of;
  std::mutex mutex;
  std::vector<engine::attempt_ended> ends;
  std::atomic<int> heartbeats{0};
  std::atomic<int> returns{0};
};

class attempts : public ::testing::Test {
 protected:
  attempts() {
    workflow<int> g{"w", {}};
    g.step(
        "s",
        [this](step_context& c, const int& n) {
          ++calls;
          if (body) body(c);
          return n;
        },
        {}, g.input());
    types.add(g);
  }
  void TearDown() override { table->silence(); }  // attempts and their table hold each other
  std::shared_ptr<attempt> make(std::uint32_t number, engine::run_key key = 1) {
    actors::attempt_call call;
    const auto graph = pawl::detail::as_graph(types.find("w", 1));
    call.definition = graph;
    call.invoke = {graph, &graph->steps[0].invoke};
    call.arguments = {encode(5)};
    auto slot = ledger->try_take({});
    EXPECT_TRUE(slot);
    return std::make_shared<attempt>(attempt_id{key, {}, 0, false, number}, std::move(call),
                                     attempt::watch{.timeout = 1s}, false, std::move(slot), table);
  }
  std::function<void(step_context&)> body;
  std::atomic<int> calls{0};
  registry types;
  std::shared_ptr<actors::slot_ledger> ledger = std::make_shared<actors::slot_ledger>(100, 1);
  std::shared_ptr<attempt_table> table = std::make_shared<attempt_table>(ledger, nullptr);
};

TEST_F(attempts, a_result_waits_in_the_table_until_it_is_on_record) {
  auto first = std::make_shared<hearer>(1);
  auto a = make(1);
  ASSERT_TRUE(table->enter(a, first));
  EXPECT_FALSE(table->enter(make(1), first)) << "it is there already";
  int signals = 0;
  a->on_signal([&] { ++signals; });
  a->execute();
  EXPECT_EQ(signals, 1);
  EXPECT_EQ(a->settle(), attempt::settled::ended);
  EXPECT_EQ(a->settle(), attempt::settled::before);
  auto second = std::make_shared<hearer>(2);
  EXPECT_TRUE(table->adopt(a->id, second));
  ASSERT_EQ(second->count(), 1U);
  EXPECT_EQ(second->ends[0].end, attempt_end::completed);
  EXPECT_EQ(decode<int>(second->ends[0].result), 5);
  table->leave(a->id);
  EXPECT_EQ(table->size(), 0U);
  EXPECT_FALSE(table->adopt(a->id, second));
}

TEST_F(attempts, who_is_of_an_earlier_generation_takes_nothing) {
  auto old = std::make_shared<hearer>(1);
  auto now = std::make_shared<hearer>(2);
  auto a = make(1);
  ASSERT_TRUE(table->enter(a, old));
  table->begin_generation(2);
  ASSERT_TRUE(table->adopt(a->id, now));
  EXPECT_FALSE(table->adopt(a->id, old)) << "it would hear of the end and nobody else would";
  EXPECT_FALSE(table->enter(make(2), old));
  a->on_signal([] {});
  a->execute();
  a->settle();
  table->take_over(1, old, [](const attempt_id&) { return false; });
  EXPECT_EQ(table->size(), 1U) << "what it has read of the run may be older than the attempt";
  EXPECT_EQ(old->count(), 0U);
  EXPECT_EQ(now->count(), 1U);
}

TEST_F(attempts, given_up_before_its_worker_is_there) {
  auto h = std::make_shared<hearer>(1);
  auto a = make(1);
  ASSERT_TRUE(table->enter(a, h));
  EXPECT_TRUE(a->give_up(attempt_end::interrupted, {}));
  int signals = 0;
  a->on_signal([&] { ++signals; });
  EXPECT_EQ(signals, 1) << "or the worker would wait for ever";
  a->execute();
  EXPECT_EQ(calls, 0) << "what has ended is not begun";
  EXPECT_EQ(h->count(), 1U);
  EXPECT_EQ(ledger->stats().taken, 0U);
}

TEST_F(attempts, a_function_that_outlives_its_attempt_is_told_of_and_counted) {
  auto h = std::make_shared<hearer>(1);
  auto later = std::make_shared<hearer>(2);
  auto a = make(1);
  ASSERT_TRUE(table->enter(a, h));
  a->on_signal([] {});
  body = [&](step_context& c) {
    a->overdue(actors::overdue_kind::timeout);
    EXPECT_EQ(a->settle(), attempt::settled::timed_out);
    EXPECT_TRUE(c.stop_token().stop_requested());
    EXPECT_TRUE(table->lingers(1, 0));
    table->begin_generation(2);
    table->take_over(1, later, [](const attempt_id&) { return false; });
    EXPECT_EQ(table->size(), 0U) << "its end is on record";
  };
  a->execute();
  EXPECT_EQ(h->returns, 0);
  EXPECT_EQ(later->returns, 1);
  EXPECT_EQ(table->late_results(), 1U);
  EXPECT_EQ(table->lingering(), 0U);
}

TEST_F(attempts, of_a_run_that_is_over_leave_when_they_end) {
  auto h = std::make_shared<hearer>(1);
  auto a = make(1);
  auto b = make(2);
  auto other = make(1, 17);  // in the same shard
  for (const auto& x : {a, b, other}) {
    ASSERT_TRUE(table->enter(x, h));
    x->on_signal([] {});
  }
  a->execute();
  a->settle();
  table->disown(1);
  EXPECT_EQ(table->size(), 2U);
  EXPECT_TRUE(b->stop_token().stop_requested());
  EXPECT_FALSE(other->stop_token().stop_requested());
  b->execute();
  b->settle();
  EXPECT_EQ(table->size(), 1U);
  EXPECT_EQ(h->count(), 1U);
}

TEST_F(attempts, end_once_whoever_is_first) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 rng(seed);
  body = [](step_context& c) { c.heartbeat(1); };
  std::map<attempt_end, int> seen;
  constexpr std::uint32_t rounds = 400;
  for (std::uint32_t i = 1; i <= rounds; ++i) {
    auto h = std::make_shared<hearer>(1);
    auto a = make(i);
    ASSERT_TRUE(table->enter(a, h));
    std::atomic<bool> go{false};
    std::vector<std::thread> threads;
    const auto contend = [&](auto f) {
      threads.emplace_back([&, f, spin = rng() % 300] {
        while (!go) {
        }
        for (std::uint64_t k = 0; k < spin; ++k)
          std::atomic_signal_fence(std::memory_order_seq_cst);  // not optimised away
        f();
      });
    };
    contend([&] {
      a->on_signal([w = std::weak_ptr(a)] {
        if (auto s = w.lock()) s->settle();
      });
      a->execute();
    });
    contend([&] { a->settle(); });
    contend([&] {
      if (i % 2 == 0)
        a->give_up(attempt_end::interrupted, {});
      else
        a->overdue(actors::overdue_kind::timeout), a->settle();
    });
    go = true;
    for (auto& t : threads) t.join();
    ASSERT_EQ(h->count(), 1U);
    ++seen[h->ends[0].end];
    if (h->ends[0].end == attempt_end::completed) ASSERT_EQ(decode<int>(h->ends[0].result), 5);
    table->leave(a->id);
    a.reset();
    ASSERT_EQ(table->size(), 0U);
    ASSERT_EQ(table->lingering(), 0U);
    ASSERT_EQ(ledger->stats().taken, 0U);
  }
  for (const auto& s : seen) std::printf("ended as %d: %d times\n", static_cast<int>(s.first), s.second);
}

}  // namespace
}  // namespace pawl::test
