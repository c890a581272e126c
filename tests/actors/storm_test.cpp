// Many threads send everything to few ids that close, start again, leave memory and come back, while the journal fails
// now and then. PAWL_SEED=n replays one seed; PAWL_STORM=n runs that many.
#include <random>

#include "tests/actors/node_laws.hpp"

namespace pawl::test {
namespace {

using namespace std::chrono_literals;
using store::append_status;

struct weather {
  int faults_in_thousand = 0;
  std::size_t live = 12;
  std::size_t slots = 4;
  int threads = 3;
  int operations = 250;
  bool hangs = false;
  int lives = 1;  ///< nodes, one after the other, over the same journal
};

struct sent_command {
  std::string workflow_id;
  std::string command_id;
  std::future<actors::command_reply> reply;
  std::future<actors::run_result> result;
  actors::command_reply answer{};
};

class storm {
 public:
  storm(std::uint32_t seed, weather w) : seed_(seed), weather_(w) {
    workflow<int> quick{"quick", {}};
    auto q = quick.step(
        "q",
        [l = log](step_context& c, const int& n) {
          l->enter(c);
          return n;
        },
        {.where = run_on::in_place}, quick.input());
    quick.returns(quick.step(
        "r",
        [l = log](step_context& c, const int& n) {
          l->enter(c);
          return n;
        },
        {}, q));
    types.add(quick);
    workflow<int> flow{"flow", {}};
    auto in = flow.input();
    auto undo = [l = log](step_context& c, const std::optional<int>&) { l->enter(c); };
    auto a = flow.step(
        "a",
        [l = log](step_context& c, const int& n) {
          l->enter(c);
          c.heartbeat(n);
          std::this_thread::sleep_for(std::chrono::microseconds(n % 700));
          if (n % 5 == 0 && c.attempt() < 3) throw step_error("again", "again", 3ms);
          return n;
        },
        {.max_concurrent = 2}, in);
    flow.undo(a, undo);
    auto b = flow.step(
        "b",
        [l = log, hangs = w.hangs](step_context& c, const int& n) {
          l->enter(c);
          const auto until =
              std::chrono::steady_clock::now() + (hangs && n % 11 == 0 ? 30ms : std::chrono::milliseconds(n % 3));
          while (std::chrono::steady_clock::now() < until && (hangs || !c.stop_token().stop_requested()))
            std::this_thread::sleep_for(200us);
          if (n % 13 == 0) throw permanent_error("thirteen");
          return n;
        },
        {.timeout = w.hangs ? 15ms : 20'000ms,
         .retry = {.max_attempts = 2, .first_delay = 2ms},
         .exhausted = seed % 2 == 0 ? when_exhausted::pause : when_exhausted::compensate},
        in);
    flow.undo(b, undo);
    flow.returns(flow.step(
        "c",
        [l = log](step_context& c, const int& x, const int& y) {
          l->enter(c);
          return x + y;
        },
        {}, a, b));
    types.add(flow);
    if (weather_.faults_in_thousand > 0)
      store->fail_if = [this,
                        rng = std::mt19937(seed)](const store::record&) mutable -> std::optional<planned_failure> {
        if (calm || static_cast<int>(rng() % 1000) >= weather_.faults_in_thousand) return std::nullopt;
        const append_status kinds[] = {append_status::unknown, append_status::refused, append_status::no_space};
        const auto kind = kinds[rng() % 3];
        return planned_failure{kind, kind != append_status::refused && rng() % 2 == 0};
      };
  }

  void run() {
    std::vector<std::vector<sent_command>> sent(static_cast<std::size_t>(weather_.threads));
    for (int life = 1; life < weather_.lives; ++life) {
      test_node n(types, store, options());
      auto threads = hammers(n, sent, life);
      if (life % 3 != 0) eventually([&] { return log->total() > static_cast<std::size_t>(30 * life); }, 1s);
      if (life % 2 == 0) n.system->drain(std::chrono::milliseconds(life));
      for (auto& t : threads) t.join();
    }
    test_node n(types, store, options());
    for (auto& t : hammers(n, sent, 0)) t.join();
    calm = true;
    for (auto& t : sent)
      for (auto& s : t) s.answer = test_node::get(std::move(s.reply));
    settle();
    for (auto& s : sent) check(s);
    expect_empty(n);
    expect_laws(store, types);
    EXPECT_EQ(log->repeated(), std::vector<std::string>{});
    faults = store->failures_fired;
  }

  std::shared_ptr<call_log> log = std::make_shared<call_log>();
  std::shared_ptr<memory_store> store = std::make_shared<memory_store>();
  registry types;
  std::size_t faults = 0;
  std::size_t commands = 0;

 private:
  static constexpr int ids = 12;
  static std::string id(std::uint64_t n) { return "id" + std::to_string(n % ids); }

  actors::node_options options() const {
    actors::node_options o;
    o.partition.live = weather_.live;
    o.partition.idle = 3ms;
    o.partition.load_page = 5;
    o.partition.horizon = 60ms;
    o.pool.max_threads = weather_.slots;
    return o;
  }

  std::vector<std::thread> hammers(test_node& n, std::vector<std::vector<sent_command>>& sent, int life) {
    node = &n;
    std::vector<std::thread> threads;
    for (int t = 0; t < weather_.threads; ++t)
      threads.emplace_back([this, t, life, &sent] { hammer(t, life, sent[static_cast<std::size_t>(t)]); });
    return threads;
  }

  void hammer(int thread, int life, std::vector<sent_command>& out) {
    std::mt19937 rng(seed_ * 31 + static_cast<std::uint32_t>(100 * life + thread));
    for (int i = 0; i < weather_.operations; ++i) {
      sent_command s;
      s.workflow_id = id(rng());
      s.command_id = "t" + std::to_string(thread) + "-" + std::to_string(life) + "-" + std::to_string(i);
      const bool again = i > 0 && rng() % 8 == 0;
      if (again) {
        const auto& old = out[rng() % out.size()];
        s.workflow_id = old.workflow_id;
        s.command_id = old.command_id;
      }
      // What a command is follows from its id, so that a repeat is the same command.
      const auto what = std::hash<std::string>{}(s.command_id + std::to_string(seed_)) % 20;
      const int input = static_cast<int>(std::hash<std::string>{}(s.command_id) % 1000);
      if (what < 9) {
        std::optional<engine::time_point> at;
        if (what < 2)
          at = std::chrono::time_point_cast<std::chrono::microseconds>(std::chrono::system_clock::now()) +
               std::chrono::milliseconds(5 + input % 20);
        auto x = node->begin(what % 3 == 0 ? "flow" : "quick", s.workflow_id, input, s.command_id,
                             engine::closed_id_policy::allow, at);
        s.reply = std::move(x.replied);
        s.result = std::move(x.result);
      } else if (what < 12) {
        s.reply = node->send(s.workflow_id, engine::cancel_command{"storm"}, s.command_id);
      } else if (what < 14) {
        s.reply = node->send(s.workflow_id, engine::kill_command{"storm"}, s.command_id);
      } else if (what < 16) {
        s.reply = node->send(s.workflow_id, engine::pause_command{"storm"}, s.command_id);
      } else if (what < 19) {
        s.reply = node->send(s.workflow_id, engine::resume_command{}, s.command_id);
      } else {
        s.reply = node->send(s.workflow_id, engine::skip_command{.step = "b", .result = encode(1)}, s.command_id);
        node->describe(s.workflow_id);
        s.result = node->await(s.workflow_id);
      }
      out.push_back(std::move(s));
      if (rng() % 4 == 0) std::this_thread::sleep_for(std::chrono::microseconds(rng() % 1500));
    }
  }

  bool is_open(const std::string& workflow) {
    const auto row = memory_view(store).find(workflow);
    return row && row->summary.closed_at == 0;
  }

  // Whatever is paused is resumed, or killed in the end; everything must end.
  void settle() {
    for (std::uint32_t i = 0; i < ids; ++i) {
      int tries = 0;
      EXPECT_TRUE(eventually([&] {
        if (!is_open(id(i))) return true;
        if (memory_view(store).find(id(i))->summary.paused) {
          if (++tries < 3)
            node->command(id(i), engine::resume_command{});
          else
            node->command(id(i), engine::cancel_command{}), node->command(id(i), engine::kill_command{});
        }
        return false;
      })) << id(i)
          << " does not end: " << describe(id(i));
    }
  }

  std::string describe(const std::string& workflow) {
    std::string out;
    for (const auto& k : node->kinds(workflow)) out += k + " ";
    const auto d = node->describe(workflow);
    return out + (d.paused ? "paused" : "not paused") + (d.found ? ", in memory" : ", not in memory");
  }

  // Everybody is answered; what was answered is on record; the same command had the same outcome.
  void check(std::vector<sent_command>& sent) {
    std::map<std::string, std::pair<std::string, std::uint64_t>> applied;  // by command id: run uid and seq
    std::map<std::string, command_result> refused;
    for (auto& s : sent) {
      const auto& r = s.answer;
      ++commands;
      if (r.state != reply_status::recorded) continue;
      const auto result = r.outcome.result;
      const auto who = s.command_id + " to " + s.workflow_id;
      if (result == command_result::applied || result == command_result::duplicate) {
        EXPECT_TRUE(on_record(s, r)) << who << " was " << to_text(result) << " at " << r.outcome.seq << " of "
                                     << r.run_uid;
        auto& known = applied.try_emplace(s.command_id, r.run_uid, r.outcome.seq).first->second;
        if (known.first.empty())
          known.first = r.run_uid;  // a repeat of what an earlier run was told does not name the run
        if (!r.run_uid.empty()) EXPECT_EQ(known.first, r.run_uid) << who;
        EXPECT_EQ(known.second, r.outcome.seq) << who;
        EXPECT_FALSE(refused.contains(s.command_id)) << who;
      } else {
        EXPECT_EQ(refused.try_emplace(s.command_id, result).first->second, result) << who;
        EXPECT_FALSE(applied.contains(s.command_id)) << who;
        const std::lock_guard lock(store->mutex);
        EXPECT_TRUE(store->outcomes.contains({s.workflow_id, s.command_id})) << who;
      }
    }
  }

  static bool result_is_duplicate(const actors::command_reply& r) {
    return r.outcome.result == command_result::duplicate;
  }

  bool on_record(const sent_command& s, const actors::command_reply& r) {
    memory_view v(store);
    if (r.run == 0) return result_is_duplicate(r) && v.outcome(s.workflow_id, s.command_id);
    const auto row = v.find(s.workflow_id, r.run);
    if (!row || to_text(row->header.uid) != r.run_uid) return false;
    for (const auto& e : v.history(row->key).events)
      if (e.seq == r.outcome.seq) return e.command_id == s.command_id;
    return false;
  }

  const std::uint32_t seed_;
  const weather weather_;
  std::atomic<bool> calm{false};
  test_node* node = nullptr;
};

void many(weather w, std::uint32_t from, std::uint32_t seeds, std::size_t least_faults) {
  if (const char* more = std::getenv("PAWL_STORM")) seeds = static_cast<std::uint32_t>(std::atoi(more));
  if (const char* one = std::getenv("PAWL_SEED")) from = static_cast<std::uint32_t>(std::atoi(one)), seeds = 1;
  std::size_t faults = 0;
  std::size_t commands = 0;
  for (auto seed = from; seed < from + seeds; ++seed) {
    SCOPED_TRACE("PAWL_SEED=" + std::to_string(seed));
    storm s(seed, w);
    s.run();
    faults += s.faults;
    commands += s.commands;
    if (::testing::Test::HasFailure()) break;
  }
  std::printf("seeds %u..%u: %zu commands, %zu faults\n", from, from + seeds - 1, commands, faults);
  EXPECT_GE(faults, least_faults);
}

TEST(storms, commands_race_with_ends_and_evictions) { many({}, 1, 6, 0); }
TEST(storms, the_journal_fails_meanwhile) { many({.faults_in_thousand = 60}, 100, 6, 20); }
TEST(storms, functions_hang_meanwhile) { many({.faults_in_thousand = 20, .hangs = true}, 200, 4, 3); }
TEST(storms, nodes_come_and_go) {
  many({.faults_in_thousand = 10, .operations = 80, .hangs = true, .lives = 6}, 400, 2, 2);
}
TEST(storms, memory_is_tiny) { many({.faults_in_thousand = 20, .live = 3, .slots = 1}, 300, 4, 3); }

}  // namespace
}  // namespace pawl::test
