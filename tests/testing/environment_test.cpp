// What users' tests stand on (<pawl/testing.hpp>): the clock, what stands in for steps, what is seen of a run.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include <pawl/pawl.hpp>
#include <pawl/testing.hpp>

namespace {

using namespace std::chrono_literals;
namespace pt = pawl::testing;

struct order {
  std::string id;
  int total = 0;
  PAWL_FIELDS(id, total)
};
struct hold {
  std::string place;
  PAWL_FIELDS(place)
};

int reserved = 0;

hold reserve(pawl::step_context&, const order& o) {
  ++reserved;
  return {"shelf of " + o.id};
}
void release(pawl::step_context&, const order&, const std::optional<hold>&) { --reserved; }
int charge(pawl::step_context&, const order& o, const hold&) { return o.total; }
void ship(pawl::step_context&, const hold&) {}

pawl::task<int> fulfil(pawl::workflow_context& wf, order o) {
  auto held = co_await wf.step("reserve", reserve, o).undo(release, o);
  wf.status("waits");
  const auto yes = co_await wf.signal<bool>("approved").within(48h);
  if (!yes.value_or(false)) throw pawl::failure("not approved", "refused");
  const auto paid = co_await wf.step("charge", charge, {.timeout = 5s, .retry = {.max_attempts = 3}}, o, held);
  co_await wf.step("ship", ship, held);
  co_return paid;
}

pawl::task<void> waits_for_ever(pawl::workflow_context& wf) { co_await wf.signal<bool>("never"); }

pawl::registry all_types() {
  pawl::registry types;
  types.add("fulfil-code", {.version = 1}, fulfil);
  pawl::workflow<order> g{"fulfil-graph", {.version = 1}};
  auto in = g.input();
  auto held = g.step("reserve", reserve, {}, in);
  g.undo(held, release, {}, in);
  auto paid = g.step("charge", charge, {.timeout = 5s, .retry = {.max_attempts = 3}}, in, held);
  g.step("ship", ship, {}, held);
  g.returns(paid);
  types.add(g);
  return types;
}

struct environments : testing::Test {
  pawl::registry types = all_types();
  void SetUp() override { reserved = 0; }
};

TEST_F(environments, a_workflow_waits_for_days_in_no_time) {
  pt::environment env(types);
  auto r = env.start("fulfil-code", order{"o-1", 7});
  EXPECT_EQ(r.status(), "waits");
  EXPECT_EQ(r.waits_for(), (std::vector<std::string>{"timer 'within' in 2d", "signal 'approved'"}));
  const auto began = env.now();
  env.after(47h, [&] { r.signal("approved", true); });
  r.run_to_end().expect_completed().expect_result(7).expect_steps({"reserve", "charge", "ship"}).expect_undone({});
  EXPECT_EQ(env.now() - began, 47h);
  EXPECT_EQ(r.result<int>(), 7);
  EXPECT_EQ(r.state(), "completed");
  EXPECT_FALSE(r.error());
}

TEST_F(environments, nobody_answers_and_what_was_done_is_undone) {
  pt::environment env(types);
  auto r = env.start("fulfil-code", order{"o-1", 7});
  EXPECT_EQ(reserved, 1);
  r.run_to_end().expect_failed("refused").expect_steps({"reserve"}).expect_undone({"reserve"});
  EXPECT_EQ(reserved, 0);
  EXPECT_EQ(r.error()->message, "not approved");
}

TEST_F(environments, a_graph_is_tested_the_same_way) {
  pt::environment env(types);
  env.step("charge").fails(2, "http_503").takes(1s);
  auto r = env.start("fulfil-graph", order{"o-1", 7});
  r.run_to_end().expect_result(7);
  EXPECT_EQ(r.attempts("charge"), 3U);
  env.step("charge").fails(pt::always);
  auto other = env.start("fulfil-graph", order{"o-2", 7});
  other.run_to_end().expect_failed("error").expect_undone({"reserve"});
  EXPECT_EQ(other.attempts("charge"), 3U);
}

TEST_F(environments, steps_are_stood_in_for_with_their_own_types) {
  for (const auto* type : {"fulfil-code", "fulfil-graph"}) {
    pt::environment env(types, {.only_fakes = true});
    std::vector<std::string> seen;
    env.step("reserve").returns(hold{"attic"});
    env.step("charge").does([&](const order& o, const hold& h) {
      seen.push_back(o.id + " " + h.place);
      return o.total * 2;
    });
    env.step("ship").does([&](pawl::step_context& c, const hold& h) { seen.push_back(c.step() + " " + h.place); });
    auto r = env.start(type, order{"o-1", 7});
    if (r.is_open() && std::string(type) == "fulfil-code") r.signal("approved", true);
    r.run_to_end().expect_result(14);
    std::sort(seen.begin(), seen.end());
    EXPECT_EQ(seen, (std::vector<std::string>{"o-1 attic", "ship attic"}));
    EXPECT_EQ(reserved, 0);
  }
}

TEST_F(environments, an_undo_is_stood_in_for_too_and_told_the_result) {
  for (const auto* type : {"fulfil-code", "fulfil-graph"}) {
    pt::environment env(types);
    std::vector<std::string> seen;
    env.step("charge").fails_for_good("declined");
    env.undo("reserve").fails(1).does(
        [&](const order& o, const std::optional<hold>& h) { seen.push_back(o.id + " " + h.value().place); });
    auto r = env.start(type, order{"o-1", 7});
    if (std::string(type) == "fulfil-code") r.signal("approved", true);
    r.run_to_end().expect_failed("declined").expect_undone({"reserve"});
    EXPECT_EQ(seen, (std::vector<std::string>{"o-1 shelf of o-1"}));
    EXPECT_EQ(reserved, 1) << "the undo itself was not called";
    reserved = 0;
  }
}

std::string refusal(const std::function<void()>& f) {
  try {
    f();
  } catch (const std::exception& e) {
    return e.what();
  }
  return "nothing was thrown";
}

TEST_F(environments, what_stands_in_with_other_types_is_a_mismatch) {
  for (const auto* type : {"fulfil-code", "fulfil-graph"}) {
    pt::environment env(types);
    env.step("charge").does([](const hold&) { return 1; });
    const auto told = refusal([&] {
      auto r = env.start(type, order{"o-1", 7});
      if (std::string(type) == "fulfil-code") r.signal("approved", true);
      r.run_to_end();
    });
    EXPECT_NE(told.find("step 'charge' takes 1 arguments of types that the step is not called with"), std::string::npos)
        << told;
  }
  pt::environment env(types);
  env.step("charge").returns(std::string("text"));
  const auto told = refusal([&] { env.start("fulfil-graph", order{"o-1", 7}).run_to_end(); });
  EXPECT_NE(told.find("returns string, the step int32"), std::string::npos) << told;
}

TEST_F(environments, a_step_that_nothing_stands_in_for_is_named_where_that_is_asked_for) {
  pt::environment env(types, {.only_fakes = true});
  const auto told = refusal([&] { env.start("fulfil-graph", order{"o-1", 7}).run_to_end(); });
  EXPECT_NE(told.find("step 'reserve' is called, and nothing stands in for it"), std::string::npos) << told;
}

TEST_F(environments, attempts_time_out_are_lost_and_done_unheard) {
  pt::environment env(types);
  env.step("reserve").is_lost(1).is_lost_when_done(1);
  env.step("charge").times_out(1).takes(3s);
  auto r = env.start("fulfil-graph", order{"o-1", 7});
  r.run_to_end().expect_completed();
  EXPECT_EQ(r.attempts("reserve"), 3U);
  EXPECT_EQ(reserved, 2) << "the second and the third have called it";
  EXPECT_EQ(r.attempts("charge"), 2U);
  EXPECT_GE(r.history().find("attempt_timed_out"), 1U);
  // What takes longer than its timeout times out by itself.
  env.step("charge").takes(6s);
  auto slow = env.start("fulfil-graph", order{"o-2", 7});
  slow.run_to_end().expect_failed("timed_out");
}

TEST_F(environments, cancel_kill_pause_resume_and_skip) {
  pt::environment env(types);
  auto r = env.start("fulfil-code", order{"o-1", 7}, {.id = "mine"});
  EXPECT_EQ(r.id(), "mine");
  env.after(1h, [&] { r.cancel("no time"); });
  r.run_to_end().expect_cancelled().expect_undone({"reserve"});
  EXPECT_EQ(r.error()->message, "no time");
  auto killed = env.start("fulfil-code", order{"o-2", 7});
  killed.kill("x");
  EXPECT_EQ(killed.state(), "killed");
  auto paused = env.start("fulfil-code", order{"o-3", 7});
  paused.pause("look").signal("approved", true);
  const auto told = refusal([&] { paused.run_to_end(); });
  EXPECT_NE(told.find("the run is paused (requested) and does not end"), std::string::npos) << told;
  EXPECT_TRUE(paused.is_paused());
  paused.resume().run_to_end().expect_completed();
}

TEST_F(environments, a_run_that_nothing_will_end_says_what_it_waits_for) {
  pawl::registry more;
  more.add("waits", {.version = 1}, waits_for_ever);
  pt::environment env(more);
  auto r = env.start("waits");
  const auto told = refusal([&] { r.run_to_end(); });
  EXPECT_NE(told.find("it waits for signal 'never', and nothing will come"), std::string::npos) << told;
  EXPECT_NE(told.find("run_started"), std::string::npos) << "the history is in it: " << told;
}

TEST_F(environments, expectations_that_do_not_hold_show_the_history) {
  pt::environment env(types);
  auto r = env.start("fulfil-graph", order{"o-1", 7});
  r.run_to_end();
  for (const auto& f : std::vector<std::function<void()>>{
           [&] { r.expect_failed("x"); }, [&] { r.expect_cancelled(); }, [&] { r.expect_result(8); },
           [&] { r.expect_steps({"reserve"}); }, [&] { r.expect_undone({"reserve"}); }})
    EXPECT_NE(refusal(f).find("run_completed"), std::string::npos) << refusal(f);
  EXPECT_NE(refusal([&] { r.expect_result(8); }).find("expected the result 8; it is 7"), std::string::npos);
}

TEST_F(environments, wrong_types_ids_and_inputs_are_told) {
  pt::environment env(types);
  EXPECT_NE(refusal([&] { env.start("nothing"); }).find("no workflow type 'nothing'"), std::string::npos);
  EXPECT_NE(refusal([&] { env.start("fulfil-code", 7); }).find("and is started with int32"), std::string::npos)
      << refusal([&] { env.start("fulfil-code", 7); });
  env.start("fulfil-code", order{}, {.id = "a"});
  EXPECT_NE(refusal([&] { env.start("fulfil-code", order{}, {.id = "a"}); }).find("with the id 'a' already"),
            std::string::npos);
  env.step("charge").takes(1s);
  auto r = env.start("fulfil-graph", order{});
  EXPECT_NE(refusal([&] { r.signal("x", 1); }).find("the command is refused, invalid"), std::string::npos);
}

TEST_F(environments, a_later_start_a_deadline_and_the_clock) {
  pt::environment env(types);
  auto r = env.start("fulfil-code", order{"o-1", 7}, {.deadline = 2h, .delay = 1h});
  EXPECT_EQ(reserved, 0);
  env.advance(1h);
  EXPECT_EQ(reserved, 1);
  env.advance(119min);
  EXPECT_TRUE(r.is_open());
  env.advance(1min);
  r.run_to_end().expect_failed("deadline_exceeded");
}

TEST_F(environments, details_of_a_heartbeat_reach_the_next_attempt) {
  pt::environment env(types);
  std::vector<int> seen;
  env.step("charge").does([&](pawl::step_context& c, const order&, const hold&) -> int {
    seen.push_back(c.last_details<int>().value_or(-1));
    c.heartbeat(static_cast<int>(c.attempt()));
    if (c.attempt() < 3) throw pawl::step_error("again");
    return 1;
  });
  env.start("fulfil-graph", order{"o-1", 7}).run_to_end().expect_completed();
  EXPECT_EQ(seen, (std::vector<int>{-1, 1, 2}));
}

// A clock, or a global: the mistake that shows first when a node has died, and here at once.
int calls = 0;
pawl::task<int> not_the_same(pawl::workflow_context& wf, order o) {
  if (++calls % 2 == 1) {
    co_await wf.step("odd", charge, o, hold{});
  } else {
    co_await wf.step("even", charge, o, hold{});
  }
  co_return 1;
}

TEST_F(environments, code_that_is_not_the_same_in_a_replay_is_noticed) {
  pawl::registry wrong;
  wrong.add("wrong", {.version = 1}, not_the_same);
  pt::environment env(wrong);
  const auto told = refusal([&] { env.start("wrong", order{}).run_to_end(); });
  EXPECT_NE(told.find("the code does something else when it is replayed"), std::string::npos) << told;
  EXPECT_NE(told.find("'odd'"), std::string::npos) << told;
  EXPECT_NE(told.find("'even'"), std::string::npos) << told;
}

TEST_F(environments, runs_share_the_slots) {
  pt::environment env(types, {.slots = 1});
  env.step("charge").takes(1s);
  std::vector<pt::run> many;
  for (int n = 0; n < 5; ++n) many.push_back(env.start("fulfil-graph", order{"o", n}));
  for (auto& r : many) r.run_to_end().expect_completed();
  EXPECT_EQ(env.now() - pt::options().start, 5s);
}

}  // namespace
