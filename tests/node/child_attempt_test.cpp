#include "node/child_attempt.hpp"

#include <sys/wait.h>

#include <fstream>
#include <future>

#include "actors/attempt.hpp"
#include "tests/node/api_fixture.hpp"
#include "tests/node/child_steps.hpp"

namespace pawl::node {

namespace {

using namespace std::chrono_literals;
using actors::attempt;

/// One attempt in a child, driven as a worker actor drives it.
class child_test {
 public:
  struct outcome {
    engine::attempt_ended end;
    bool died = false;
  };

  explicit child_test(child_options o = {})
      : runner_(make_child_runner([this](log_level, std::string_view t) { log(t); }, std::move(o))) {}

  ~child_test() { table_->silence(); }

  void begin(const std::string& what, attempt::watch limits = {.timeout = 30s, .heartbeat = std::nullopt},
             std::vector<std::string> arguments = {}, bool undo = false) {
    const auto graph = pawl::detail::as_graph(child_types().latest("child"));
    if (arguments.empty()) arguments = {encode(child_job{what, file()})};
    actors::attempt_call call;
    call.definition = graph;
    call.arguments = std::move(arguments);
    call.facts.workflow_id = "w";
    call.facts.step = "perform";
    call.facts.attempt = 2;
    call.facts.idempotency_key = "key";
    call.facts.details = encode(std::string("earlier"));
    call.facts.is_undo = undo;
    call.facts.outcome_unknown = undo;
    const actors::attempt_id id{1, {}, 0, undo, 2};
    attempt_ = std::make_shared<attempt>(id, std::move(call), limits, true, actors::slot(), table_);
    table_->enter(attempt_, listener_);
    attempt_->on_signal([this] { signals_.fetch_add(1); });
    kill_ = runner_(attempt_, [this, a = attempt_](bool died) {
      ++done_calls;
      if (died) a->give_up(engine::attempt_end::child_died, {.code = "child_died", .message = "died"});
      died_ = died;
      is_done_ = true;
      signals_.fetch_add(1);
    });
  }

  /// Waits until the attempt has ended, as the worker does: settles at every signal.
  outcome finish() {
    int seen = -1;
    EXPECT_TRUE(eventually([&] {
      if (seen != signals_) {
        seen = signals_;
        if (attempt_->settle() != attempt::settled::no) kill_();
      }
      return listener_->get(listener_->end).has_value();
    }));
    kill_();
    // A child that was killed is reported as well.
    EXPECT_TRUE(eventually([&] { return is_done_.load(); }));
    EXPECT_EQ(done_calls, 1);
    return {listener_->get(listener_->end).value_or(engine::attempt_ended{}), died_};
  }

  attempt& running() { return *attempt_; }
  void kill() { kill_(); }
  std::string words() const {
    std::ifstream in(directory_.path() + "/words");
    return {std::istreambuf_iterator<char>(in), {}};
  }
  bool has_begun() const { return words().starts_with("began "); }
  pid_t pid() const { return std::stoi(words().substr(6)); }
  std::string file() const { return directory_.path() + "/words"; }
  void release() { runner_ = nullptr; }
  std::string logged() {
    const std::lock_guard lock(mutex_);
    return logged_;
  }
  std::optional<std::string> details() const { return listener_->get(listener_->details); }
  std::atomic<int> done_calls{0};

 private:
  struct listener final : actors::attempt_listener {
    void ended(const engine::attempt_ended& e) override {
      const std::lock_guard lock(mutex);
      end = e;
    }
    void heartbeat(std::uint32_t, bool, std::string d) override {
      const std::lock_guard lock(mutex);
      details = std::move(d);
    }
    void returned() override {}
    std::uint64_t generation() const override { return 1; }
    template <class T>
    T get(const T& member) {
      const std::lock_guard lock(mutex);
      return member;
    }
    std::mutex mutex;
    std::optional<engine::attempt_ended> end;
    std::optional<std::string> details;
  };
  void log(std::string_view text) {
    const std::lock_guard lock(mutex_);
    logged_ += std::string(text) + "\n";
  }

  temporary_directory directory_;
  std::mutex mutex_;
  std::string logged_;
  std::shared_ptr<actors::slot_ledger> slots_ = std::make_shared<actors::slot_ledger>(4, 4);
  std::shared_ptr<actors::attempt_table> table_ = std::make_shared<actors::attempt_table>(
      slots_, [this](log_level, const pawl::detail::attempt_facts&, std::string_view t) { log(t); });
  std::shared_ptr<listener> listener_ = std::make_shared<listener>();
  std::shared_ptr<attempt> attempt_;
  std::atomic<int> signals_{0};
  std::atomic<bool> died_{false};
  std::atomic<bool> is_done_{false};
  actors::child_runner runner_;
  std::function<void()> kill_;
};

TEST(child_attempt, returns_what_the_step_returned) {
  child_test t;
  t.begin("return");
  const auto r = t.finish();
  EXPECT_EQ(r.end.end, engine::attempt_end::completed);
  EXPECT_EQ(decode<std::string>(r.end.result), "key 2 earlier");
  EXPECT_FALSE(r.died);
  EXPECT_NE(t.logged().find("hello from the child"), std::string::npos);
  EXPECT_EQ(t.details(), encode(std::string("half")));
  EXPECT_NE(t.pid(), ::getpid());
}

TEST(child_attempt, what_the_step_throws_is_a_failure) {
  child_test t;
  t.begin("throw");
  const auto r = t.finish();
  EXPECT_EQ(r.end.end, engine::attempt_end::failed);
  EXPECT_EQ(r.end.error,
            (engine::failure{.code = "unlucky", .message = "no luck", .permanent = false, .retry_in = 1500ms}));
  child_test good;
  good.begin("throw for good");
  EXPECT_TRUE(good.finish().end.error->permanent);
}

TEST(child_attempt, one_that_dies_by_itself_is_told_apart) {
  for (const char* how : {"abort", "exit", "segfault", "kill"}) {
    child_test t;
    t.begin(how);
    const auto r = t.finish();
    EXPECT_TRUE(r.died) << how;
    EXPECT_EQ(r.end.end, engine::attempt_end::child_died) << how;
    EXPECT_NE(t.logged().find("child process died workflow=w run=1 step=perform attempt=2"), std::string::npos)
        << t.logged();
  }
}

TEST(child_attempt, one_that_we_kill_has_not_died) {
  child_test t;
  t.begin("beat");
  ASSERT_TRUE(eventually([&] { return t.has_begun(); }));
  t.running().give_up(engine::attempt_end::interrupted, {.code = "interrupted", .message = "drain"});
  const auto r = t.finish();
  EXPECT_FALSE(r.died);
  EXPECT_EQ(r.end.end, engine::attempt_end::interrupted);
}

TEST(child_attempt, silence_is_overdue_and_beating_is_not) {
  child_test t;
  t.begin("silence", {.timeout = 30s, .heartbeat = 300ms});
  const auto r = t.finish();
  EXPECT_EQ(r.end.end, engine::attempt_end::timed_out);
  EXPECT_EQ(r.end.error->code, "heartbeat_timeout");
  EXPECT_FALSE(r.died);
  EXPECT_TRUE(t.has_begun());

  child_test alive;
  alive.begin("beat", {.timeout = 30s, .heartbeat = 300ms});
  ASSERT_TRUE(eventually([&] { return alive.has_begun(); }));
  const auto until = std::chrono::steady_clock::now() + 1s;
  EXPECT_TRUE(eventually([&] { return std::chrono::steady_clock::now() > until || alive.running().has_ended(); }));
  EXPECT_FALSE(alive.running().has_ended());
  alive.running().request_stop();
  EXPECT_EQ(decode<std::string>(alive.finish().end.result), "stopped");
}

TEST(child_attempt, a_stop_reaches_the_child) {
  child_test t;
  t.begin("silence");
  ASSERT_TRUE(eventually([&] { return t.has_begun(); }));
  t.running().request_stop();
  const auto r = t.finish();
  EXPECT_EQ(r.end.end, engine::attempt_end::completed);
  EXPECT_EQ(decode<std::string>(r.end.result), "stopped");
}

TEST(child_attempt, undo_is_told_what_is_known) {
  child_test t;
  t.begin("x", {.timeout = 30s, .heartbeat = std::nullopt}, {}, true);
  EXPECT_EQ(t.finish().end.end, engine::attempt_end::completed);
  EXPECT_EQ(t.words(), "undo unknown nothing\n");
}

TEST(child_attempt, what_is_too_large_for_a_message_fails_for_good) {
  child_test result;
  result.begin("large");
  const auto r = result.finish();
  EXPECT_EQ(r.end.end, engine::attempt_end::failed);
  EXPECT_EQ(r.end.error->code, "too_large");
  EXPECT_TRUE(r.end.error->permanent);
  child_test argument;
  argument.begin("x", {.timeout = 30s, .heartbeat = std::nullopt}, {std::string(std::size_t{9} << 20, 'x')});
  const auto a = argument.finish();
  EXPECT_EQ(a.end.end, engine::attempt_end::failed);
  EXPECT_TRUE(a.end.error->permanent);
}

TEST(child_attempt, a_program_that_cannot_run_is_a_failure_with_patience_not_a_conviction) {
  child_test missing({.program = "/no/such/program"});
  missing.begin("return");
  const auto a = missing.finish();
  EXPECT_EQ(a.end.end, engine::attempt_end::failed);
  EXPECT_NE(a.end.error->message.find("cannot be started"), std::string::npos) << a.end.error->message;
  EXPECT_FALSE(a.end.error->permanent);
  child_test other({.program = "/bin/false"});
  other.begin("return");
  const auto b = other.finish();
  EXPECT_EQ(b.end.end, engine::attempt_end::failed);
  EXPECT_FALSE(b.died);
  EXPECT_NE(b.end.error->message.find("ended before the step began"), std::string::npos) << b.end.error->message;
}

TEST(child_attempt, children_go_with_their_runner) {
  child_test t;
  t.begin("beat");
  ASSERT_TRUE(eventually([&] { return t.has_begun(); }));
  const auto pid = t.pid();
  t.release();
  EXPECT_TRUE(eventually([&] { return ::kill(pid, 0) != 0; }));
  EXPECT_EQ(t.finish().end.end, engine::attempt_end::interrupted);
}

TEST(child_attempt, typed_by_hand_it_is_refused) {
  const auto self = std::filesystem::read_symlink("/proc/self/exe").string();
  const int typed = std::system((self + " --pawl-child-attempt </dev/null >/dev/null 2>&1").c_str());
  EXPECT_TRUE(WIFEXITED(typed));
  EXPECT_EQ(WEXITSTATUS(typed), 2);
}

// The whole of it: the node, the store, and steps that kill.
class child_node {
 public:
  explicit child_node(const std::string& directory) {
    journal = store::open_embedded({.directory = directory});
    actors::node_options o;
    o.log = [](log_level, std::string_view) {};
    o.run_in_child = make_child_runner();
    system = std::make_unique<actors::node_system>(
        child_types(), std::move(o),
        actors::partition_options{.number = 0,
                                  .journal = *journal,
                                  .may_exist = [this](std::string_view id) { return journal->may_exist(id); },
                                  .open_view = [this] { return journal->open_view(); }});
    asked = std::make_unique<api>(
        child_types(), system.get(), [this] { return journal->open_view(); },
        api_options{.version = "1", .data_dir = "d"});
  }
  ~child_node() { asked->stop(); }
  json ask(const std::string& line, std::string body = {}) {
    return api_node::read(api_node::get(api_node::send(*asked, api_node::request(line, std::move(body))))).body;
  }
  std::unique_ptr<store::embedded_journal> journal;
  std::unique_ptr<actors::node_system> system;
  std::unique_ptr<api> asked;
};

TEST(child_node, a_step_that_kills_its_process_is_convicted_and_bystanders_finish) {
  temporary_directory first;
  temporary_directory second;
  std::optional<child_node> node(std::in_place, first.path());
  const auto start = [&](const std::string& id, const std::string& what) {
    const json body{{"type", "child"}, {"id", id}, {"input", {{"what", what}, {"file", first.path() + "/" + id}}}};
    EXPECT_EQ(node->ask("POST /v1/workflows", to_text(body))["outcome"], "applied");
    EXPECT_TRUE(eventually([&] { return std::filesystem::exists(first.path() + "/" + id); }));
  };
  start("killer", "abort the second time");
  start("long", "return the second time");
  // A copy of the store while both run is what a kill -9 leaves behind.
  for (const char* file : {"pawl.db", "pawl.db-wal"})
    std::filesystem::copy_file(first.path() + "/" + file, second.path() + "/" + file);
  node.reset();
  node.emplace(second.path());
  auto bystander = node->ask("GET /v1/workflows/long/result?wait_ms=60000");
  EXPECT_EQ(bystander["state"], "completed") << bystander;
  ASSERT_TRUE(eventually([&] { return node->ask("GET /v1/workflows/killer")["paused"] == true; }));
  auto killer = node->ask("GET /v1/workflows/killer");
  EXPECT_EQ(killer["pause"]["cause"], "step_kills_process") << killer;
  ASSERT_EQ(killer["timeline"].size(), 3U);
  EXPECT_EQ(killer["timeline"][0]["outcome"], "lost");
  EXPECT_FALSE(killer["timeline"][0].contains("in_child"));
  EXPECT_EQ(killer["timeline"][2]["in_child"], true);
  EXPECT_EQ(killer["pending"][0]["suspect"], true);
}

}  // namespace
}  // namespace pawl::node
