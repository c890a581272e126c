// Random programs (random_program.hpp), each run under a virtual clock:
//   undisturbed;
//   evicted before every decision, so that all frames are made anew by replay: the same history, to the byte;
//   cut after every event, by a process that dies or that has not released its effects yet: it goes on and ends, and a
//   program without races comes to the same end;
//   reset to every event (and that run once more): what was kept is replayed by other frames under another uid, and it
//   goes on and ends, to the same end where nothing is drawn or races.
// PAWL_SEEDS says how many programs (default 250), PAWL_SEED which one alone.
#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>
#include <map>
#include <set>

#include "tests/code/random_program.hpp"
#include "tests/sim/dump.hpp"
#include "workflow/branch.hpp"
#include "workflow/decide.hpp"

namespace pawl::sim {
namespace {

using namespace std::chrono_literals;
using engine::event;
using engine::event_kind;
using engine::time_point;

struct setting {
  std::uint64_t seed = 1;
  bool races = false;
  bool cancels = false;
};

std::shared_ptr<const pawl::detail::workflow_definition> interpreter() {
  static const auto definition = [] {
    registry types;
    types.add("interpret", {.version = 1}, interpret);
    return types.find("interpret", 1);
  }();
  return definition;
}

class driver final : public engine::allowance {
 public:
  driver(const setting& s, bool evict) : setting_(s), evict_(evict) { incarnation = 1; }

  bool take_slot(const engine::slot_request&) override { return state_->running_attempts + taken_++ < 3; }
  bool still_running(const engine::instance&, std::uint32_t) const override { return false; }

  std::optional<engine::child_type> find_type(std::string_view, std::uint32_t) const override {
    return engine::child_type{.version = 1, .digest = 5, .code = true};
  }

  void start() {
    state_ = engine::make_instance(interpreter());
    engine::start_command s;
    s.facts.workflow_id = "w";
    s.facts.type = "interpret";
    s.facts.digest = interpreter()->digest;
    s.facts.code = true;
    s.facts.uid = {.reign = {1, 2}, .serial = setting_.seed};
    s.input = encode(std::vector<std::uint64_t>{setting_.seed, setting_.races ? 1U : 0U});
    plan_commands();
    say({.id = "start", .body = s});
  }

  void go_on(std::vector<event> on_record, bool process_died) {
    history = std::move(on_record);
    fold();
    now_ = history.back().at;
    incarnation = 2;
    plan_commands();
    for (const auto& s : state_->steps) {
      if (s.status != engine::step_status::running) continue;
      if (!process_died) {
        launch(s.step, s.undo, s.attempt);
        continue;
      }
      engine::attempt_ended end{.step = s.step, .undo = s.undo, .attempt = s.attempt, .end = engine::attempt_end::lost};
      at(now_, {.id = {}, .body = end});
    }
    // Whoever was asked answers again, if nobody knows that it has.
    for (const auto& c : state_->calls)
      for (const auto& e : history)
        if (e.number == c.number && (e.kind == event_kind::child_asked || e.kind == event_kind::signal_sent)) answer(e);
    say({});
  }

  /// False: at that event it waits for the answer to a call, and nothing was begun.
  bool reset(const driver& from, std::uint64_t seq) {
    now_ = from.now_;
    auto b = branch_of(from.history, {.seq = seq}, limits, now_);
    const auto waits = engine::make_instance(nullptr);
    for (std::uint64_t k = 0; k < seq; ++k) evolve(*waits, from.history[k]);
    EXPECT_EQ(b.events.empty(), !waits->calls.empty()) << b.refusal.message;
    if (b.events.empty()) return false;
    state_ = engine::make_instance(interpreter());
    engine::start_command s;
    s.facts = *b.events.front().start;
    s.facts.run += 1;
    s.facts.uid.serial += 1'000'000;
    s.input = b.events.front().payload;
    s.kept = std::move(b.events);
    for (const auto& e : s.kept)
      if (!e.command_id.empty()) kept_commands_.insert(e.command_id);
    plan_commands();
    say({.id = "reset", .body = s});
    return true;
  }

  void run_to_end() {
    for (int steps = 0; !is_closed(state_->phase); ++steps) {
      ASSERT_LT(steps, 20'000) << "it does not end\n" << text();
      ASSERT_FALSE(state_->paused) << text();
      const auto wake = outstanding(*state_, *this, now_).wake_at;
      if (!queue_.empty() && (!wake || queue_.begin()->first <= *wake)) {
        auto next = queue_.begin();
        now_ = std::max(now_, next->first);
        const auto c = std::move(next->second);
        queue_.erase(next);
        say(c);
      } else {
        ASSERT_TRUE(wake) << "it waits for nothing\n" << text();
        now_ = std::max(now_, *wake);
        say({});
      }
    }
    ASSERT_TRUE(state_->updates.empty()) << "an update was never answered\n" << text();
  }

  std::string text() const {
    std::string out;
    for (const auto& e : history) out += dump(e) + "\n";
    return out;
  }
  std::string end() const {
    const auto& e = history.back();
    return std::string(to_text(e.kind)) + " " + e.payload + (e.error ? e.error->code : "");
  }

  std::vector<event> history;

 private:
  void at(time_point when, engine::command c) { queue_.emplace(when, std::move(c)); }
  void fold() {
    state_ = engine::make_instance(interpreter());
    for (const auto& e : history) evolve(*state_, e);
    ASSERT_EQ(state_->broken, "");
  }
  bool is_on_record(const std::string& command) const {
    for (const auto& e : history)
      if (e.command_id == command) return true;
    return kept_commands_.contains(command);
  }
  // A client sends again what is not on record.
  void plan_commands() {
    const auto plan = [&](const std::string& id, decltype(engine::command::body) body) {
      const auto when = began_ + std::chrono::milliseconds(engine::stable_hash(id, setting_.seed) % 3'000);
      if (!is_on_record(id)) at(std::max(now_, when), {.id = id, .body = std::move(body)});
    };
    for (const auto id : random_program(setting_.seed, setting_.races).signals)
      plan("signal-" + std::to_string(id),
           engine::signal_command{.name = "g" + std::to_string(id), .payload = encode(std::int64_t{id})});
    for (const auto id : random_program(setting_.seed, setting_.races).updates)
      plan("update-" + std::to_string(id),
           engine::update_command{.name = "u" + std::to_string(id), .payload = encode(std::int64_t{id})});
    if (setting_.cancels) plan("cancel", engine::cancel_command{"a whim"});
  }
  void say(const engine::command& c) {
    if (evict_ && !history.empty()) fold();
    taken_ = 0;
    auto out = carry_out(*state_, c, *this, now_);
    ASSERT_EQ(state_->broken, "") << text();
    for (auto& e : out.events) {
      if (e.kind == event_kind::attempt_started) launch(e.step, e.undo, e.attempt);
      if (e.kind == event_kind::child_asked || e.kind == event_kind::signal_sent) answer(e);
      history.push_back(std::move(e));
    }
    if (out.more) say({});
  }
  void launch(std::uint32_t step, bool undo, std::uint32_t attempt) {
    const std::string name(state_->program->step(step).name);
    const auto seed = setting_.seed;
    engine::attempt_ended end{.step = step, .undo = undo, .attempt = attempt};
    end.end = engine::attempt_end::completed;
    if (!undo) end.result = encode(value_of_step(seed, name));
    const bool tidies = name.starts_with("tidy");
    if (!undo && !tidies && is_hopeless(seed, name)) {
      end.end = engine::attempt_end::failed;
      end.error = engine::failure{.code = "refused", .message = "no", .permanent = true};
    } else if (is_flaky(seed, name) && attempt == 1) {
      end.end =
          engine::stable_hash(name, seed + 2) % 2 == 0 ? engine::attempt_end::failed : engine::attempt_end::timed_out;
      end.error = engine::failure{.code = "busy", .message = "later"};
    }
    const auto takes = engine::stable_hash(name, seed + attempt + (undo ? 100U : 0U)) % 700;
    at(now_ + std::chrono::milliseconds(takes), {.id = {}, .body = end});
  }

  // Another workflow takes its time. It says it twice, as a sender does that does not know whether it was heard.
  void answer(const event& asked) {
    engine::call_ended end{.run = state_->facts.uid, .number = asked.number};
    const auto seed = setting_.seed;
    const bool child = asked.kind == event_kind::child_asked;
    end.end = child ? engine::call_end::completed : engine::call_end::accepted;
    if (is_hopeless(seed, asked.name)) {
      end.end = child ? engine::call_end::failed : engine::call_end::refused;
      end.error = engine::failure{.code = "no_child", .message = "no", .permanent = true};
    } else if (child) {
      end.payload = encode(value_of_step(seed, asked.name));
    }
    const auto takes = engine::stable_hash(asked.name, seed + 3) % 900;
    at(now_ + std::chrono::milliseconds(takes), {.id = {}, .body = end});
    at(now_ + std::chrono::milliseconds(takes + 50), {.id = {}, .body = end});
  }

  const setting setting_;
  const bool evict_;
  std::unique_ptr<engine::instance> state_;
  std::uint32_t taken_ = 0;
  const time_point began_ = engine::from_micros(1'700'000'000'000'000);
  time_point now_ = began_;
  std::multimap<time_point, engine::command> queue_;
  std::set<std::string> kept_commands_;
};

struct tally {
  std::set<event_kind> kinds;
  std::uint64_t events = 0;
  std::uint64_t cuts = 0;
  std::uint64_t same_ends = 0;
  std::uint64_t resets = 0;
  std::uint64_t same_ends_of_resets = 0;
};

bool draws(const part& p) { return p.what == part::kind::choice || std::any_of(p.parts.begin(), p.parts.end(), draws); }

void check_reset(const setting& s, const driver& from, std::uint64_t seq, const std::string& end, int depth, tally& t) {
  driver again(s, false);
  if (!again.reset(from, seq)) return;
  again.run_to_end();
  ASSERT_FALSE(testing::Test::HasFatalFailure()) << "reset to event " << seq << "\n" << from.text();
  ++t.resets;
  driver evicted(s, true);
  evicted.reset(from, seq);
  evicted.run_to_end();
  ASSERT_EQ(evicted.history, again.history) << again.text() << "\n--- evicted\n" << evicted.text();
  if (!end.empty()) {
    ASSERT_EQ(again.end(), end) << "reset to event " << seq << "\n" << from.text() << "\n--- again\n" << again.text();
    ++t.same_ends_of_resets;
  }
  if (depth > 0) check_reset(s, again, 1 + seq * 7 % (again.history.size() - 1), end, depth - 1, t);
}

void check(const setting& s, tally& t) {
  SCOPED_TRACE("PAWL_SEED=" + std::to_string(s.seed));
  driver whole(s, false);
  whole.start();
  whole.run_to_end();
  if (testing::Test::HasFatalFailure()) return;
  for (const auto& e : whole.history) t.kinds.insert(e.kind);
  t.events += whole.history.size();

  driver evicted(s, true);
  evicted.start();
  evicted.run_to_end();
  ASSERT_EQ(evicted.history, whole.history) << whole.text() << "\n--- evicted\n" << evicted.text();

  const bool same_end = !s.races && !s.cancels && !draws(random_program(s.seed, s.races).root);
  for (std::size_t n = 1; n < whole.history.size(); ++n) {
    check_reset(s, whole, n, same_end ? whole.end() : "", 1, t);
    if (testing::Test::HasFatalFailure()) return;
  }
  for (std::size_t n = 1; n < whole.history.size(); ++n)
    for (const bool died : {false, true}) {
      driver again(s, false);
      again.go_on({whole.history.begin(), whole.history.begin() + static_cast<std::ptrdiff_t>(n)}, died);
      again.run_to_end();
      ASSERT_FALSE(testing::Test::HasFatalFailure()) << "cut after event " << n;
      ++t.cuts;
      for (const auto& e : again.history) t.kinds.insert(e.kind);
      if (s.races || s.cancels) continue;
      ASSERT_EQ(again.end(), whole.end()) << "cut after event " << n << (died ? ", the process died" : "") << "\n"
                                          << whole.text() << "\n--- again\n"
                                          << again.text();
      ++t.same_ends;
    }
}

TEST(full_code_property, replay_is_the_same_history_and_crashes_come_to_an_end) {
  const auto number = [](const char* name, std::uint64_t otherwise) {
    const char* text = std::getenv(name);
    return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
  };
  const auto seeds = number("PAWL_SEEDS", 250);
  const auto only = number("PAWL_SEED", 0);
  tally t;
  for (std::uint64_t seed = only > 0 ? only : 1; seed <= (only > 0 ? only : seeds); ++seed) {
    check({.seed = seed, .races = seed % 3 != 0, .cancels = seed % 4 == 1}, t);
    if (HasFatalFailure()) return;
  }
  std::cout << seeds << " programs, " << t.events << " events, " << t.cuts << " cuts, " << t.same_ends
            << " of them of programs without races; " << t.resets << " resets, " << t.same_ends_of_resets
            << " of them to the same end\n";
  if (only > 0 || seeds < 250) return;
  EXPECT_GE(t.cuts, 4'000U);
  EXPECT_GE(t.same_ends, 1'000U);
  EXPECT_GE(t.resets, 2'000U);
  EXPECT_GE(t.same_ends_of_resets, 200U);
  for (const auto k : {event_kind::step_failed,     event_kind::step_abandoned,   event_kind::code_failed,
                       event_kind::timer_started,   event_kind::timer_fired,      event_kind::timer_cancelled,
                       event_kind::signal_received, event_kind::status_published, event_kind::step_scheduled,
                       event_kind::attempt_lost,    event_kind::child_asked,      event_kind::child_ended,
                       event_kind::child_dropped,   event_kind::signal_sent,      event_kind::signal_answered,
                       event_kind::update_received, event_kind::update_answered,  event_kind::compensation_started,
                       event_kind::run_completed,   event_kind::run_failed,       event_kind::run_cancelled})
    EXPECT_TRUE(t.kinds.contains(k)) << to_text(k);
}

}  // namespace
}  // namespace pawl::sim
