// Runs that begin with events of other runs: what is kept, what is changed in it, and what is refused.
#include <pawl/pawl.hpp>

#include "tests/workflow/rig.hpp"
#include "workflow/branch.hpp"

namespace pawl::engine {
namespace {

branch cut(const rig& r, std::uint64_t seq, branch_request asked = {}) {
  asked.seq = seq;
  return branch_of(r.history, asked, r.limits, r.now);
}

/// A rig whose run begins with the branch, as the partition would start it.
outcome begin(rig& next, branch b, const run_uid& uid, std::string id = "reset") {
  start_command s;
  s.facts = *b.events.front().start;
  s.facts.run += 1;
  s.facts.uid = uid;
  s.input = b.events.front().payload;
  s.kept = std::move(b.events);
  return next.say({.id = std::move(id), .body = std::move(s)});
}

constexpr run_uid second{.reign = {1, 2}, .serial = 4};
constexpr run_uid third{.reign = {1, 2}, .serial = 5};

TEST(branch, what_was_completed_is_not_done_again) {
  rig r(chain({"a", "b", "c"}));
  r.start();
  r.completes(0);
  r.completes(1);
  r.fails_for_good(2);
  const auto seq_of_a = r.history[2].seq;
  ASSERT_EQ(r.history[2].kind, event_kind::attempt_completed);
  rig next(r.definition);
  next.now = r.now + 1h;
  EXPECT_EQ(begin(next, cut(r, seq_of_a), second).result, command_result::applied);
  EXPECT_EQ(next.news(), "run_started, attempt_started a, attempt_completed a, attempt_started b");
  next.completes(1);
  next.completes(2);
  EXPECT_EQ(next.state->phase, phase::completed);
  const auto& facts = next.state->facts;
  EXPECT_EQ(facts.uid, second);
  ASSERT_TRUE(facts.origin);
  EXPECT_EQ(facts.origin->kind, origin_kind::reset);
  EXPECT_EQ(facts.origin->uid, r.state->facts.uid);
  EXPECT_EQ(facts.origin->seq, seq_of_a);
  EXPECT_EQ(facts.origin->workflow_id, "w");
  EXPECT_EQ(facts.origin->run, 1U);
  EXPECT_EQ(next.state->start_command, "reset");
  EXPECT_EQ(next.state->started, r.state->started) << "what was kept has its times";
  EXPECT_NE(idempotency_key(*next.state, 1, false), idempotency_key(*r.state, 1, false));
}

TEST(branch, an_attempt_that_was_under_way_has_not_begun_here) {
  rig r(side_by_side({"a", "b"}));
  r.start();
  r.completes(0);
  const auto seq = r.history.back().seq;
  rig next(r.definition);
  begin(next, cut(r, seq), second);
  EXPECT_EQ(
      next.news(),
      "run_started, attempt_started a, attempt_started b, attempt_completed a, attempt_not_begun b, attempt_started b");
  EXPECT_EQ(next.step(1).attempt, 2U);
  EXPECT_EQ(next.step(1).counted, 0U);
  EXPECT_FALSE(next.step(1).outcome_unknown) << "under this run's key nothing was done";
}

TEST(branch, every_event_but_the_end_can_be_the_last_that_is_kept) {
  rig r(chain({"a", "b", "c"}, attempts(2)));
  r.start();
  r.completes(0);
  r.fails(1);
  r.pass(2s);
  r.completes(1);
  r.times_out(2);
  r.pass(2s);
  r.fails(2);
  for (const std::uint32_t k : {2, 1, 0}) r.completes(k, true);
  ASSERT_EQ(r.state->phase, phase::failed);
  for (std::uint64_t seq = 1; seq < r.history.size(); ++seq) {
    SCOPED_TRACE(sim::dump(r.history[seq - 1]));
    rig next(r.definition);
    next.now = r.now;
    EXPECT_EQ(begin(next, cut(r, seq), second).result, command_result::applied);
    EXPECT_EQ(next.state->broken, "");
    for (std::uint64_t k = 1; k < seq; ++k) EXPECT_EQ(next.history[k], r.history[k]);
  }
  const auto end = cut(r, r.history.size());
  EXPECT_TRUE(end.events.empty());
  EXPECT_EQ(end.refusal.result, command_result::invalid);
  EXPECT_NE(end.refusal.message.find("run_failed"), std::string::npos) << end.refusal.message;
  EXPECT_NE(end.refusal.message.find(std::to_string(r.history.size() - 1)), std::string::npos) << end.refusal.message;
  for (const std::uint64_t seq : {std::uint64_t{0}, std::uint64_t{r.history.size() + 1}, UINT64_MAX})
    EXPECT_EQ(cut(r, seq).refusal.result, command_result::invalid);
}

TEST(branch, the_deadline_counts_from_now) {
  rig r(chain({"a", "b"}));
  r.facts.deadline = 10min;
  r.start();
  r.completes(0);
  r.pass(11min);
  ASSERT_EQ(r.newest(event_kind::deadline_passed).kind, event_kind::deadline_passed);
  rig next(r.definition);
  next.now = r.now + 1h;
  begin(next, branch_of(r.history, {.seq = 3}, r.limits, next.now), second);
  EXPECT_EQ(next.state->phase, phase::running);
  EXPECT_EQ(next.state->facts.deadline, 10min + 11min + 1h);
  next.pass(9min);
  EXPECT_EQ(next.state->phase, phase::running);
  next.pass(2min);
  EXPECT_EQ(next.newest(event_kind::deadline_passed).kind, event_kind::deadline_passed);
}

TEST(branch, the_deadline_does_not_grow_with_every_reset) {
  rig r(chain({"a", "b"}));
  r.facts.deadline = 10min;
  r.start();
  r.completes(0);
  rig next(r.definition);
  next.now = r.now + 1h;
  begin(next, branch_of(r.history, {.seq = 3}, r.limits, next.now), second);
  rig last(r.definition);
  last.now = next.now + 2h;
  begin(last, branch_of(next.history, {.seq = 3}, r.limits, last.now), third);
  EXPECT_EQ(last.state->facts.deadline, 10min + 3h);
  EXPECT_EQ(last.state->facts.origin->longer, 3h);
}

TEST(branch, a_graph_that_the_events_are_not_of_is_refused) {
  rig r(chain({"a", "b", "c"}));
  r.start();
  r.completes(0);
  r.completes(1);
  const auto refused = [&](const definition_ptr& other, std::uint64_t seq) {
    branch_request asked{.seq = seq};
    asked.type = child_type{.version = 2, .digest = other->digest, .code = false};
    auto b = branch_of(r.history, asked, r.limits, r.now);
    start_command s;
    s.facts = *b.events.front().start;
    s.kept = std::move(b.events);
    const auto why = misfit_of_kept(s, r.limits, other, r.now);
    rig next(other);
    s.facts.uid = second;
    EXPECT_EQ(next.say({.id = "s", .body = s}).result == command_result::applied, why.empty());
    return why;
  };
  EXPECT_EQ(refused(chain({"a", "b", "d"}), 5), "");
  EXPECT_NE(refused(chain({"a", "x", "c"}), 5).find("is 'x', not 'b'"), std::string::npos);
  EXPECT_EQ(refused(chain({"a", "x", "c"}), 3), "");
  EXPECT_NE(refused(chain({"a"}), 5).find("no step #1"), std::string::npos);
  hand_built_graph g;  // "b" waits for a step that was not there
  g.step("a", {}, {});
  g.step("b", {}, {0, 2});
  g.step("new", {}, {});
  g.returns(1);
  EXPECT_NE(refused(g.build(), 5).find("steps before it that are not done"), std::string::npos);
}

TEST(branch, an_undo_that_is_not_there_any_more_pauses_the_run) {
  rig r(chain({"a", "b"}));
  r.start();
  r.completes(0);
  r.fails_for_good(1);
  ASSERT_EQ(r.newest(event_kind::compensation_started).order, (std::vector<std::uint32_t>{0}));
  hand_built_graph g;
  g.step("a", {}, {});
  g.step("b", {}, {0});
  g.returns(1);
  const auto without = g.build();
  auto same = r.history;
  same.front().start->digest = without->digest;  // a binary that changed it under the same version
  rig next(without);
  next.history = {same.begin(),
                  same.begin() + static_cast<std::ptrdiff_t>(r.newest(event_kind::compensation_started).seq)};
  next.now = r.now;
  next.reload(without);
  next.seen = next.history.size();
  next.wake();
  EXPECT_EQ(next.news(), "run_paused ~a(undo_exhausted)");
  EXPECT_EQ(next.last().error->code, "no_undo");
  next.wake();
  EXPECT_EQ(next.news(), "");
}

TEST(branch, what_is_kept_may_be_a_little_ahead_of_the_clock_and_no_more) {
  rig r(chain({"a", "b"}));
  r.start();
  r.completes(0);
  rig next(r.definition);
  next.now = r.now - 5s;
  EXPECT_EQ(begin(next, cut(r, 3), second).result, command_result::applied);
  EXPECT_EQ(next.last().kind, event_kind::attempt_started);
  EXPECT_EQ(next.last().at, r.now);
  rig far(r.definition);
  far.now = r.now - 2min;
  EXPECT_EQ(begin(far, cut(r, 3), second).result, command_result::invalid);
}

TEST(branch, what_is_kept_remembers_whose_it_was_over_many_resets) {
  rig r(chain({"a", "b", "c", "d"}));
  r.start();
  for (std::uint32_t k = 0; k < 4; ++k) r.completes(k);
  rig later(r.definition);
  begin(later, cut(r, 5), second);  // a and b
  later.completes(2);
  later.completes(3);
  const auto part = [](const run_origin& o, std::size_t n) { return std::pair(o.earlier.at(n).uid, o.earlier[n].seq); };
  {
    rig last(r.definition);
    begin(last, cut(later, 7), third);
    const auto& o = *last.state->facts.origin;
    EXPECT_EQ(o.uid, second);
    EXPECT_EQ(o.seq, 7U);
    ASSERT_EQ(o.earlier.size(), 1U);
    EXPECT_EQ(part(o, 0), std::pair(r.state->facts.uid, std::uint64_t{5}));
  }
  {
    rig last(r.definition);
    begin(last, cut(later, 3), third);
    const auto& o = *last.state->facts.origin;
    EXPECT_EQ(o.uid, second);
    EXPECT_EQ(o.seq, 3U);
    ASSERT_EQ(o.earlier.size(), 1U) << "all of it was the first run's";
    EXPECT_EQ(part(o, 0), std::pair(r.state->facts.uid, std::uint64_t{3}));
  }
}

TEST(branch, there_is_an_end_to_resets_of_resets) {
  rig r(chain({"a", "b"}));
  r.start();
  r.completes(0);
  for (std::size_t k = 0; k < most_kept_parts; ++k) {
    r.ask(pause_command{});
    r.ask(resume_command{});
  }
  auto history = r.history;
  auto& origin = history.front().start->origin.emplace(
      run_origin{.kind = origin_kind::reset, .uid = second, .seq = most_kept_parts + 1, .workflow_id = "w", .run = 1});
  for (std::uint64_t k = 1; k <= most_kept_parts; ++k)
    origin.earlier.push_back({.uid = third, .seq = k, .workflow_id = "w", .run = 1});
  EXPECT_FALSE(branch_of(history, {.seq = 10}, r.limits, r.now).events.empty()) << "most of them lie behind the cut";
  EXPECT_EQ(branch_of(history, {.seq = history.size()}, r.limits, r.now).refusal.result, command_result::too_large);
}

TEST(branch, what_is_kept_is_within_a_decision) {
  rig r(chain({"a", "b"}));
  r.limits.decision = 4096;
  r.start(std::string(2000, 'x'));
  r.wake();
  r.say({.id = {},
         .body =
             attempt_ended{.step = 0, .attempt = 1, .end = attempt_end::completed, .result = std::string(2500, 'y')}});
  EXPECT_FALSE(cut(r, 2).events.empty());
  const auto refused = cut(r, 3);
  EXPECT_EQ(refused.refusal.result, command_result::too_large);
  EXPECT_NE(refused.refusal.message.find("limits.decision"), std::string::npos) << refused.refusal.message;
}

TEST(branch, another_version_goes_on_where_it_fits) {
  rig r(chain({"a", "b"}));
  r.start();
  r.completes(0);
  const auto longer = chain({"a", "b", "c"});
  rig next(longer);
  branch_request asked;
  asked.type = child_type{.version = 7, .digest = longer->digest, .code = false};
  begin(next, cut(r, 3, asked), second);
  EXPECT_EQ(next.state->facts.version, 7U);
  next.completes(1);
  EXPECT_EQ(next.state->phase, phase::running);
  next.completes(2);
  EXPECT_EQ(next.state->phase, phase::completed);
}

TEST(branch, a_start_that_brings_nonsense_along_is_invalid) {
  rig r(chain({"a", "b"}));
  r.start();
  r.completes(0);
  const auto whole = cut(r, 3).events;
  const auto refused = [&](std::vector<event> kept) {
    rig next(r.definition);
    auto s = next.start_of();
    s.kept = std::move(kept);
    const auto o = next.say({.id = "s", .body = std::move(s)});
    return next.history.empty() && o.result == command_result::invalid && !o.message.empty();
  };
  auto headless = whole;
  headless.erase(headless.begin());
  EXPECT_TRUE(refused(headless));
  auto gap = whole;
  gap.erase(gap.begin() + 1);
  EXPECT_TRUE(refused(gap)) << "an end without its beginning";
  auto open = whole;
  open.pop_back();
  EXPECT_TRUE(refused(open)) << "an attempt is under way";
  EXPECT_FALSE(refused(whole));
}

TEST(branch, a_reset_ends_a_run_in_any_phase_and_says_what_for) {
  for (const bool undoing : {false, true}) {
    rig r(chain({"a", "b"}));
    r.start();
    r.completes(0);
    if (undoing) r.fails_for_good(1);
    r.news();
    EXPECT_EQ(r.say({.id = {}, .body = reset_command{.seq = 2, .reason = "a bug"}}).result, command_result::applied);
    EXPECT_EQ(r.news(), "run_reset");
    EXPECT_EQ(r.last().answers, 2U);
    EXPECT_EQ(r.last().number, 1U);
    EXPECT_EQ(r.last().error->message, "a bug");
    EXPECT_EQ(r.state->phase, phase::continued);
    EXPECT_EQ(r.ask(reset_command{.seq = 2}).result, command_result::conflict);
  }
}

}  // namespace
}  // namespace pawl::engine
