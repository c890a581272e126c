#include "actors/node_system.hpp"

#include <algorithm>
#include <atomic>
#include <random>
#include <thread>

#include "actors/caf_scheduler.hpp"
#include "actors/partition_actor.hpp"

namespace pawl::actors {

namespace {

engine::incarnation draw_incarnation() {
  std::random_device device;
  engine::incarnation out = 0;
  while (out == 0) out = (std::uint64_t{device()} << 32) | device();
  return out;
}

class config final : public caf::actor_system_config {
 public:
  config() {
    load<caf_scheduler>();
    set("scheduler.max-threads", std::max(2U, std::thread::hardware_concurrency()));
    set("logger.verbosity", caf::atom("quiet"));
  }
};

// Calls back exactly once: with an answer, or, when nobody is left who could give one, with `otherwise`.
template <class Answer>
std::function<void(const Answer&)> owed(std::function<void(const Answer&)> callback, Answer otherwise) {
  struct debt {
    std::function<void(const Answer&)> callback;
    Answer otherwise;
    ~debt() {
      if (callback) callback(otherwise);
    }
  };
  return [d = std::shared_ptr<debt>(new debt{std::move(callback), std::move(otherwise)})](const Answer& a) {
    if (auto f = std::exchange(d->callback, nullptr)) f(a);
  };
}

// Both answers to a start that waits for its result: whoever hears that the run began hears of its end, or that this
// node will not tell it.
struct start_answers {
  owed_reply reply;
  result_function on_result;
  bool begun = false;
  ~start_answers() {
    if (begun && on_result) on_result({.state = run_result::status::unavailable});
  }
};

void answer_both(command_request& r) {
  auto both = std::make_shared<start_answers>();
  both->reply = std::move(r.reply);
  both->on_result = std::move(r.on_result);
  r.reply = owed_reply([both](const command_reply& a) {
    const auto result = a.outcome.result;
    both->begun = a.state == command_reply::status::recorded &&
                  (result == engine::command_result::applied || result == engine::command_result::duplicate);
    both->reply.answer(a);
  });
  r.on_result = [both](const run_result& x) {
    if (auto f = std::exchange(both->on_result, nullptr)) f(x);
  };
}

}  // namespace

// CAF 0.17 leaves a reference to the system's logger in every thread that makes the system or spawns into it, and the
// system's destructor waits until all are gone. So a thread of its own does both: a node may be ended by another thread
// than began it.
template <class F>
static void on_another_thread(F f) {
  std::exception_ptr thrown;
  std::thread([&] {
    try {
      f();
    } catch (...) {
      thrown = std::current_exception();
    }
  }).join();
  if (thrown) std::rethrow_exception(thrown);
}

struct node_system::state {
  state(const registry& t, store::journal& j, std::function<bool(std::string_view)> may_exist, node_options o)
      : options(std::move(o)),
        journal(j),
        slots(std::make_shared<slot_ledger>(
            options.pool.max_threads,
            options.children > 0 ? options.children : std::max<std::size_t>(1, options.pool.max_threads / 4))),
        pool(clock, options.pool),
        views(options.open_view),
        context{.types = t,
                .limits = options.limits,
                .defaults = options.defaults,
                .partition = options.partition,
                .incarnation = draw_incarnation(),
                .slots = slots,
                .attempts = std::make_shared<attempt_table>(slots, attempt_log()),
                .clock = clock,
                .pool = pool,
                .views = views,
                .may_exist = std::move(may_exist),
                .time = {},
                .run_in_child = options.run_in_child,
                .log = options.log ? options.log : [](log_level, std::string_view) {}},
        commits(journal, {.batch_bytes = options.batch_bytes}, listener()) {
    context.commits = &commits;
    context.time.not_before(journal.last_event_time());
    on_another_thread([&] {
      system = std::make_unique<caf::actor_system>(caf_config);
      partition = spawn_partition(*system, context, journal);
    });
  }

  attempt_table::log_function attempt_log() {
    return [log = options.log](log_level level, const pawl::detail::attempt_facts& f, std::string_view text) {
      if (log)
        log(level, "workflow=" + f.workflow_id + " run=" + std::to_string(f.run) + " step=" + f.step +
                       " attempt=" + std::to_string(f.attempt) + (f.is_undo ? " undo=true " : " ") + std::string(text));
    };
  }

  commit_queue::listener listener() {
    return {.failed =
                [this](std::uint64_t next, const store::append_result& why) {
                  caf::anon_send(partition,
                                 generation_over{next, why.message, why.status == store::append_status::broken});
                },
            .healed = [this](std::uint64_t generation) { caf::anon_send(partition, generation_healed{generation}); },
            .broken =
                [this](const store::append_result& why) {
                  caf::anon_send(partition, generation_over{commits.generation(), why.message, true});
                  if (options.on_broken) options.on_broken(why.message);
                }};
  }

  node_options options;
  store::journal& journal;
  actors::clock clock;
  std::shared_ptr<slot_ledger> slots;
  blocking_pool pool;
  view_pool views;
  node_context context;
  config caf_config;
  commit_queue commits;  // its thread uses `partition` only once something was submitted, so after it was spawned
  std::atomic<std::size_t> open_requests{0};
  std::unique_ptr<caf::actor_system> system;
  caf::actor partition;
  bool stopped = false;
};

node_system::node_system(const registry& types, store::journal& journal,
                         std::function<bool(std::string_view)> may_exist, node_options options)
    : state_(std::make_unique<state>(types, journal, std::move(may_exist), std::move(options))) {}

node_system::~node_system() {
  if (!state_->stopped) drain(std::chrono::milliseconds(0));
}

void node_system::submit(command_request r) {
  auto& s = *state_;
  auto refuse = [&](command_reply::status state, std::string why) {
    command_reply reply;
    reply.state = state;
    reply.message = std::move(why);
    reply.retry_after = std::chrono::milliseconds(100);
    r.reply.answer(reply);
  };
  if (s.context.draining) return refuse(command_reply::status::unavailable, "the node is stopping");
  if (s.open_requests.fetch_add(1) >= s.options.open_starts) {
    --s.open_requests;
    return refuse(command_reply::status::busy, "limits.open_starts commands are waiting for the disk (" +
                                                   std::to_string(s.options.open_starts) + "); try again later");
  }
  if (auto* start = std::get_if<engine::start_command>(&r.command.body); start && start->facts.version == 0)
    if (const auto latest = s.context.types.latest(start->facts.type)) start->facts.version = latest->options.version;
  if (r.on_result) answer_both(r);
  r.reply = owed_reply(
      [state = state_.get(), reply = std::make_shared<owed_reply>(std::move(r.reply))](const command_reply& answer) {
        --state->open_requests;
        reply->answer(answer);
      });
  caf::anon_send(s.partition, request{std::make_shared<command_request>(std::move(r))});
}

void node_system::await_result(result_request r) {
  r.on_result = owed(std::move(r.on_result),
                     run_result{.workflow_id = r.workflow_id, .run = r.run, .state = run_result::status::unavailable});
  caf::anon_send(state_->partition, actors::await_result{std::make_shared<result_request>(std::move(r))});
}

namespace {

// For runs that are not in memory: nothing is granted and nothing lingers.
class no_allowance final : public engine::allowance {
 public:
  bool take_slot(const engine::slot_request&) override { return false; }
  bool still_running(const engine::instance&, std::uint32_t) const override { return false; }
};

}  // namespace

void node_system::describe(describe_request r) {
  auto id = r.workflow_id;
  auto answer = [s = state_.get(), id, f = std::move(r.on_description)](const run_description& d) {
    if (d.found) return f(d);
    try {
      auto view = s->views.borrow();
      const auto row = view->find(id);
      if (!row) return f(d);
      const auto history = view->history(row->key);
      auto i = engine::make_instance(s->context.types.find(row->header.type, row->header.version));
      for (const auto& e : history.events) engine::evolve(*i, e);
      f(actors::describe(*i, row->key, no_allowance(), s->context.time.now()));
    } catch (const store::view_error&) {
      f(d);
    }
  };
  auto once = owed<run_description>(std::move(answer), {});
  caf::anon_send(state_->partition,
                 describe_run{std::make_shared<describe_request>(describe_request{std::move(id), std::move(once)})});
}

void node_system::status(std::function<void(const node_status&)> f) {
  auto on_status = [s = state_.get(), f = std::move(f)](const partition_status& p) {
    node_status out;
    out.partition = p;
    out.commits = s->commits.stats();
    out.slots = s->slots->stats();
    out.pool = s->pool.stats();
    out.attempts = s->context.attempts->size();
    out.lingering = s->context.attempts->lingering();
    out.attempts_started = s->context.attempts_started;
    out.attempts_timed_out = s->context.attempts_timed_out;
    out.attempts_lost = s->context.attempts_lost;
    out.late_results = s->context.attempts->late_results();
    out.draining = s->context.draining;
    out.journal_available = s->commits.available();
    out.incarnation = std::to_string(s->context.incarnation);
    f(out);
  };
  caf::anon_send(
      state_->partition,
      ask_status{std::make_shared<status_request>(status_request{owed<partition_status>(std::move(on_status), {})})});
}

view_pool::lease node_system::borrow_view() { return state_->views.borrow(); }
const registry& node_system::types() const { return state_->context.types; }
std::size_t node_system::running_attempts() const { return state_->context.attempts->size(); }

node_system::drained node_system::drain(std::chrono::milliseconds grace, const std::function<bool()>& hurry) {
  auto& s = *state_;
  drained out;
  if (s.stopped) return out;
  s.context.draining = true;
  s.slots->close();
  const auto until = [&](std::chrono::milliseconds patience, const auto& condition) {
    const auto deadline = std::chrono::steady_clock::now() + patience;
    while (!condition() && std::chrono::steady_clock::now() < deadline && !(hurry && hurry()))
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
  };
  const auto quiet = [&] { return s.context.attempts->size() == 0; };
  until(grace, quiet);
  for (const auto& a : s.context.attempts->all()) a->request_stop();
  constexpr auto to_return = std::chrono::milliseconds(200);
  if (grace.count() > 0) until(to_return, quiet);
  // An attempt may still enter whose start was being committed; whoever has returned in time is not interrupted.
  const auto interrupt = [&] {
    for (const auto& a : s.context.attempts->all())
      if (!a->has_ended() && a->settle() == attempt::settled::no &&
          a->give_up(engine::attempt_end::interrupted, {.code = "interrupted", .message = "the node stopped"}))
        ++out.interrupted;
  };
  interrupt();
  // What has ended leaves the table when it is committed.
  constexpr auto to_commit = std::chrono::seconds(10);
  const auto deadline = std::chrono::steady_clock::now() + to_commit;
  while ((!quiet() || s.open_requests > 0) && s.commits.available() && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    interrupt();
  }
  s.commits.stop();
  caf::anon_send_exit(s.partition, caf::exit_reason::user_shutdown);
  interrupt();
  s.context.attempts->silence();
  out.hung = s.pool.stop(std::chrono::steady_clock::now() + std::chrono::milliseconds(100)).detached;
  s.clock.stop();
  s.stopped = true;
  return out;
}

}  // namespace pawl::actors
