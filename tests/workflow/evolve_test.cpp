// evolve takes what can follow, and marks the instance as broken by what cannot; hostile histories included.
#include "tests/sim/rng.hpp"
#include "tests/workflow/rig.hpp"

namespace pawl::engine {
namespace {

event made(event_kind kind, std::uint32_t step = no_step, std::uint32_t attempt = 0, bool undo = false) {
  event e;
  e.kind = kind;
  e.step = step;
  e.attempt = attempt;
  e.undo = undo;
  if (kind == event_kind::attempt_started) e.begun = attempt_facts{};
  if (kind == event_kind::run_started) e.start = start_facts{};
  return e;
}

// Puts `e` behind the rig's history; says what evolve thinks of it.
std::string refused(const rig& r, event e) {
  const auto i = fold(r.definition, r.history);
  const auto before = sim::dump(*i);
  e.seq = i->last_seq + 1;
  e.at = std::max(r.now, i->last_time);
  evolve(*i, e);
  const auto broken = i->broken;
  i->broken.clear();
  if (!broken.empty()) EXPECT_EQ(sim::dump(*i), before) << "a broken event changes nothing";
  return broken;
}

TEST(evolve, refuses_what_cannot_follow) {
  rig r(chain({"a", "b"}, attempts(3)));
  EXPECT_NE(refused(r, made(event_kind::attempt_started, 0, 1)), "") << "before the start";
  r.start();
  EXPECT_NE(refused(r, made(event_kind::run_started)), "");
  EXPECT_NE(refused(r, made(event_kind::attempt_started, 0, 1)), "") << "it runs";
  EXPECT_NE(refused(r, made(event_kind::attempt_started, 7, 1)), "") << "there is no such step";
  EXPECT_NE(refused(r, made(event_kind::attempt_started, no_step, 1)), "");
  EXPECT_NE(refused(r, made(event_kind::attempt_started, 1, 2)), "") << "the first attempt is 1";
  EXPECT_NE(refused(r, made(event_kind::attempt_started, 0, 1, true)), "") << "no undo in a running run";
  EXPECT_NE(refused(r, made(event_kind::attempt_completed, 0, 2)), "");
  EXPECT_NE(refused(r, made(event_kind::attempt_completed, 1, 1)), "");
  EXPECT_NE(refused(r, made(event_kind::step_scheduled, 0)), "");
  EXPECT_NE(refused(r, made(event_kind::step_skipped, 0)), "");
  EXPECT_NE(refused(r, made(event_kind::step_exhausted, 0)), "") << "an attempt is under way";
  EXPECT_NE(refused(r, made(event_kind::run_completed)), "") << "an attempt is under way";
  EXPECT_NE(refused(r, made(event_kind::run_failed)), "");
  EXPECT_NE(refused(r, made(event_kind::compensation_started)), "");
  EXPECT_NE(refused(r, made(event_kind::run_resumed)), "");
  EXPECT_NE(refused(r, made(event_kind::code_found)), "");
  EXPECT_EQ(refused(r, made(event_kind::run_killed)), "");
  r.completes(0);
  EXPECT_NE(refused(r, made(event_kind::attempt_started, 0, 2)), "") << "it is completed";
  r.ask(cancel_command{});
  EXPECT_NE(refused(r, made(event_kind::cancel_requested)), "");
  EXPECT_NE(refused(r, made(event_kind::deadline_passed)), "");
  EXPECT_NE(refused(r, made(event_kind::compensation_started)), "") << "an attempt is under way";
  r.fails(1);
  EXPECT_NE(refused(r, made(event_kind::attempt_started, 1, 2)), "") << "no step starts any more";
  r.completes(0, true);
  EXPECT_NE(refused(r, made(event_kind::run_killed)), "") << "the run is closed";
}

TEST(evolve, notices_gaps_unknown_kinds_and_impossible_times) {
  rig r(chain({"a"}));
  r.start();
  for (const auto seq : {0ULL, 1ULL, 2ULL, 4ULL, ~0ULL}) {
    const auto i = fold(r.definition, r.history);
    auto e = made(event_kind::history_warning);
    e.seq = seq;
    e.at = r.now;
    evolve(*i, e);
    EXPECT_NE(i->broken, "") << seq;
    EXPECT_EQ(i->last_seq, 2U);
    e.seq = 3;
    evolve(*i, e);
    EXPECT_EQ(i->last_seq, 2U) << "broken stays broken";
  }
  for (const auto kind : {0, 24, 255}) EXPECT_NE(refused(r, made(static_cast<event_kind>(kind))), "");
  for (const auto at : {r.now - 1ms, time_point::min(), time_point::max()}) {
    const auto i = fold(r.definition, r.history);
    auto e = made(event_kind::history_warning);
    e.seq = 3;
    e.at = at;
    evolve(*i, e);
    EXPECT_NE(i->broken, "");
  }
}

TEST(evolve, an_order_of_undoing_names_steps_that_ran) {
  rig r(chain({"a", "b"}));
  r.start();
  r.ask(pause_command{});
  r.completes(0);
  r.history.push_back(made(event_kind::cancel_requested));
  r.history.back().seq = r.history.size();
  r.history.back().at = r.now;
  for (const std::vector<std::uint32_t>& order : {std::vector<std::uint32_t>{1}, {0, 7}, {no_step}}) {
    auto e = made(event_kind::compensation_started);
    e.order = order;
    EXPECT_NE(refused(r, e), "");
  }
  auto e = made(event_kind::compensation_started);
  e.order = {0};
  EXPECT_EQ(refused(r, e), "");
}

// A run that uses most of what there is, for the fuzzer to spoil.
std::vector<event> rich_history(const definition_ptr& d, std::uint64_t seed) {
  rig r(d);
  sim::rng random(seed);
  r.start();
  for (int n = 0; n < 40 && !is_closed(r.state->phase); ++n) {
    r.slots = static_cast<int>(random.below(4));
    const auto k = static_cast<std::uint32_t>(random.below(4));
    switch (random.below(9)) {
      case 0:
        r.ask(pause_command{"p"});
        break;
      case 1:
        r.ask(resume_command{});
        break;
      case 2:
        r.ask(skip_command{.step = "c", .result = "x", .undo = random.chance(50)});
        break;
      case 3:
        if (random.chance(20)) r.ask(cancel_command{"c"});
        break;
      case 4:
        r.pass(milliseconds(random.between(1, 5'000)));
        break;
      default:
        r.ends(static_cast<attempt_end>(random.below(7)), k, random.chance(50), failure{"e", "m", random.chance(20)});
    }
  }
  return r.history;
}

void spoil(std::vector<event>& h, sim::rng& r) {
  const auto at = r.below(h.size());
  auto& e = h[at];
  switch (r.below(12)) {
    case 0:
      h.erase(h.begin() + static_cast<std::ptrdiff_t>(at));
      break;
    case 1:
      h.insert(h.begin() + static_cast<std::ptrdiff_t>(at), h[r.below(h.size())]);
      break;
    case 2:
      std::swap(e, h[r.below(h.size())]);
      break;
    case 3:
      e.kind = static_cast<event_kind>(r.below(26));
      break;
    case 4:
      e.step = r.chance(50) ? static_cast<std::uint32_t>(r.below(6)) : static_cast<std::uint32_t>(r.next());
      break;
    case 5:
      e.attempt = static_cast<std::uint32_t>(r.below(5));
      break;
    case 6:
      e.undo = !e.undo;
      break;
    case 7:
      e.begun = attempt_facts{.policy = {}, .incarnation = r.next(), .in_child = r.chance(50)};
      break;
    case 8:
      e.start = start_facts{};
      break;
    case 9:
      e.due = from_micros(static_cast<std::int64_t>(r.below(1ULL << 60)));
      break;
    case 10:
      e.order.push_back(static_cast<std::uint32_t>(r.chance(70) ? r.below(5) : r.next()));
      break;
    default:
      e.at = from_micros(static_cast<std::int64_t>(r.chance(50) ? r.below(1ULL << 61) : r.next()));
      break;
  }
  if (r.chance(80))
    for (std::size_t n = 0; n < h.size(); ++n) h[n].seq = n + 1;
}

// Whatever is on record, folding it and going on neither crashes nor decides what evolve refuses.
TEST(evolve, hostile_histories_are_followed_or_refused) {
  const auto d = chain({"a", "b", "c", "d"}, attempts(2, when_exhausted::pause), attempts(1));
  std::vector<std::vector<event>> sound;
  for (std::uint64_t seed = 0; seed < 100; ++seed) sound.push_back(rich_history(d, seed));
  sim::rng r(77);
  int followed = 0;
  int broken = 0;
  for (std::uint64_t n = 0; n < 40'000; ++n) {
    auto h = sound[n % sound.size()];
    for (auto times = r.between(1, 3); times > 0 && !h.empty(); --times) spoil(h, r);
    rig after(n % 5 == 0 ? nullptr : n % 7 == 0 ? sim::changed(d) : d);
    after.state = fold(after.definition, h);
    ++(after.state->broken.empty() ? followed : broken);
    std::uint32_t running = 0;
    for (const auto& s : after.state->steps) running += s.status == step_status::running ? 1U : 0U;
    ASSERT_EQ(running, after.state->running_attempts);
    outstanding(*after.state, after, after.now);
    const bool was_broken = !after.state->broken.empty();
    for (const command& c :
         {command{}, command{.id = "x1", .body = resume_command{}},
          command{.id = "x2", .body = skip_command{.step = "b", .result = "r"}},
          command{.id = {}, .body = attempt_ended{.step = 1, .attempt = 1, .end = attempt_end::failed}},
          command{.id = "x3", .body = cancel_command{}}, command{.id = "x4", .body = kill_command{}}}) {
      const auto out = carry_out(*after.state, c, after, after.now);
      ASSERT_EQ(after.state->broken.empty(), !was_broken) << after.state->broken;
      if (was_broken) ASSERT_TRUE(out.events.empty());
    }
  }
  EXPECT_GE(followed, 5'000);
  EXPECT_GE(broken, 10'000);
}

}  // namespace
}  // namespace pawl::engine
