#include "actors/node_system.hpp"

#include <algorithm>
#include <atomic>
#include <future>
#include <random>
#include <shared_mutex>
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

// Answers false when nobody does.
class owed_barrier {
 public:
  explicit owed_barrier(std::function<void(bool)> done) : done_(std::move(done)) {}
  owed_barrier(const owed_barrier&) = delete;
  owed_barrier& operator=(const owed_barrier&) = delete;
  ~owed_barrier() { say(false); }
  void say(bool committed) {
    if (auto f = std::exchange(done_, nullptr)) f(committed);
  }

 private:
  std::function<void(bool)> done_;
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

// What is there while this node leads a partition. Kept by every actor in it, and gone when the last of them is.
struct partition_engine final : node_context {
  partition_engine(shared_context& shared, std::shared_ptr<attempt_table> attempts, partition_options o,
                   std::size_t batch_bytes, std::uint64_t first_generation)
      : node_context(shared, std::move(attempts), std::move(o.open_view), std::move(o.may_exist), std::move(o.living)),
        journal(o.journal),
        on_broken(std::move(o.on_broken)),
        on_deposed(std::move(o.on_deposed)),
        queue(o.journal, {.batch_bytes = batch_bytes, .first_generation = first_generation}, listener()) {
    commits = &queue;
    pack = std::move(o.pack);
    pack_mark = std::move(o.pack_mark);
    reign = [this] { return journal.reign(); };
    next_key = journal.next_run_key();
    epoch = journal.epoch();
    time.not_before(journal.last_event_time());
  }
  commit_queue::listener listener() {
    const auto over = [this](const store::append_result& why) {
      caf::anon_send(actor, generation_over{queue.generation(), why.message, true});
    };
    return {.failed =
                [this](std::uint64_t next, const store::append_result& why) {
                  const bool ends =
                      why.status == store::append_status::broken || why.status == store::append_status::deposed;
                  caf::anon_send(actor, generation_over{next, why.message, ends});
                },
            .healed =
                [this](std::uint64_t generation) {
                  epoch = journal.epoch();
                  caf::anon_send(actor, generation_healed{generation});
                },
            .broken =
                [this, over](const store::append_result& why) {
                  over(why);
                  if (on_broken) on_broken(why.message);
                },
            .deposed =
                [this, over](const store::append_result& why) {
                  over(why);
                  if (on_deposed) on_deposed(why.message);
                }};
  }

  store::journal& journal;
  const std::function<void(const std::string&)> on_broken;
  const std::function<void(const std::string&)> on_deposed;
  std::shared_ptr<std::promise<void>> gone;  // set when all of this is destroyed
  caf::actor actor;
  commit_queue queue;  // its thread uses `actor` only once something was submitted, so after it was spawned
};

struct node_system::state {
  state(const registry& t, node_options o)
      : options(std::move(o)),
        slots(std::make_shared<slot_ledger>(
            options.pool.max_threads,
            options.children > 0 ? options.children : std::max<std::size_t>(1, options.pool.max_threads / 4))),
        pool(clock, options.pool),
        shared{.types = t,
               .limits = options.limits,
               .defaults = options.defaults,
               .partition = options.partition,
               .incarnation = options.incarnation != 0 ? options.incarnation : draw_incarnation(),
               .slots = slots,
               .clock = clock,
               .pool = pool,
               .run_in_child = options.run_in_child,
               .log = options.log ? options.log : [](log_level, std::string_view) {}},
        places(static_cast<std::size_t>(std::max(options.partitions, 1))) {
    for (auto& p : places) p.attempts = std::make_shared<attempt_table>(slots, attempt_log());
    on_another_thread([&] { system = std::make_unique<caf::actor_system>(caf_config); });
  }

  attempt_table::log_function attempt_log() {
    return [log = options.log](log_level level, const pawl::detail::attempt_facts& f, std::string_view text) {
      if (log)
        log(level, "workflow=" + f.workflow_id + " run=" + std::to_string(f.run) + " step=" + f.step +
                       " attempt=" + std::to_string(f.attempt) + (f.is_undo ? " undo=true " : " ") + std::string(text));
    };
  }

  using engine_ptr = std::shared_ptr<partition_engine>;
  struct place {
    std::shared_ptr<attempt_table> attempts;  // outlives every engine: a result waits here for the next
    engine_ptr engine;  // under the mutex
    std::uint64_t next_generation = 1;  // the same
    std::shared_future<void> left{};  // the same: when the newest leave() is through; not valid before the first
  };

  std::int32_t partition_of(std::string_view id) const { return options.partition_of ? options.partition_of(id) : 0; }
  /// Null: this node does not lead it.
  engine_ptr engine_of(std::int32_t partition) const {
    const std::shared_lock lock(mutex);
    return places.at(static_cast<std::size_t>(partition)).engine;
  }
  engine_ptr engine_for(std::string_view id) const { return engine_of(partition_of(id)); }
  std::vector<engine_ptr> engines() const {
    const std::shared_lock lock(mutex);
    std::vector<engine_ptr> out;
    for (const auto& p : places)
      if (p.engine) out.push_back(p.engine);
    return out;
  }
  std::vector<std::shared_ptr<attempt>> all_attempts() const {
    std::vector<std::shared_ptr<attempt>> out;
    for (const auto& p : places) {
      auto some = p.attempts->all();
      std::move(some.begin(), some.end(), std::back_inserter(out));
    }
    return out;
  }
  /// Those whose ends can be recorded: of partitions that were left too, if somebody is told.
  std::size_t attempts_awaited() const {
    std::size_t n = 0;
    const std::shared_lock lock(mutex);
    for (const auto& p : places)
      if (p.engine || options.on_orphan) n += p.attempts->size();
    return n;
  }
  /// ... and soon.
  bool waits_for_commits() const {
    const std::shared_lock lock(mutex);
    return std::any_of(places.begin(), places.end(), [this](const place& p) {
      if (!p.engine) return options.on_orphan && p.attempts->size() > 0;
      return p.engine->queue.available() && (p.attempts->size() > 0 || open_requests > 0);
    });
  }

  node_options options;
  actors::clock clock;
  std::shared_ptr<slot_ledger> slots;
  blocking_pool pool;
  shared_context shared;
  config caf_config;
  std::atomic<std::size_t> open_requests{0};
  std::unique_ptr<caf::actor_system> system;
  mutable std::shared_mutex mutex;
  std::vector<place> places;  // by partition
  bool stopped = false;
};

node_system::node_system(const registry& types, node_options options)
    : state_(std::make_unique<state>(types, std::move(options))) {}

node_system::node_system(const registry& types, node_options options, partition_options partition)
    : node_system(types, std::move(options)) {
  lead(std::move(partition));
}

void node_system::lead(partition_options o) {
  auto& s = *state_;
  const auto number = o.number;
  std::uint64_t generation = 0;
  std::shared_ptr<attempt_table> attempts;
  {
    const std::unique_lock lock(s.mutex);
    auto& place = s.places.at(static_cast<std::size_t>(number));
    attempts = place.attempts;
    generation = place.next_generation;
  }
  const auto gone = std::make_shared<std::promise<void>>();
  const state::engine_ptr e(new partition_engine(s.shared, attempts, std::move(o), s.options.batch_bytes, generation),
                            [gone](partition_engine* all) {
                              delete all;
                              gone->set_value();
                            });
  e->gone = gone;
  attempts->begin_generation(generation);
  e->marks.put(e->views.borrow()->type_marks());
  on_another_thread([&] { e->actor = spawn_partition(*s.system, *e, e->journal); });
  // What this node runs of the partition from an earlier time comes first.
  if (attempts->size() > 0) caf::anon_send(e->actor, generation_healed{generation});
  const std::unique_lock lock(s.mutex);
  s.places.at(static_cast<std::size_t>(number)).engine = e;
}

void node_system::leave(std::int32_t partition) {
  auto& s = *state_;
  state::engine_ptr e;
  std::promise<void> left;
  std::shared_future<void> nobody_uses_it;
  {
    const std::unique_lock lock(s.mutex);
    auto& place = s.places.at(static_cast<std::size_t>(partition));
    e = std::move(place.engine);
    if (e) place.left = left.get_future().share();
    nobody_uses_it = place.left;
  }
  if (!e) {
    // Somebody else may be at it: nobody is to take away what the engine still uses.
    if (nobody_uses_it.valid()) nobody_uses_it.wait();
    return;
  }
  e->queue.stop();
  const auto next = e->queue.generation() + 1;
  e->attempts->begin_generation(next);
  {
    const std::unique_lock lock(s.mutex);
    s.places.at(static_cast<std::size_t>(partition)).next_generation = next;
  }
  caf::anon_send_exit(e->actor, caf::exit_reason::user_shutdown);
  const auto gone = e->gone->get_future();
  const auto attempts = e->attempts;
  e.reset();
  gone.wait();
  if (s.options.on_orphan) attempts->orphan(partition, s.options.on_orphan);
  left.set_value();
}

void node_system::set_living(std::int32_t partition, std::vector<engine::incarnation> living) {
  const auto e = state_->engine_of(partition);
  if (!e) return;
  e->others.set_living(std::move(living));
  caf::anon_send(e->actor, nodes_changed{});
}

void node_system::take_held(std::int32_t partition, held_list list) {
  const auto e = state_->engine_of(partition);
  // What this process holds it knows better.
  if (!e || list.incarnation == e->incarnation) return;
  e->others.take(std::move(list));
  caf::anon_send(e->actor, nodes_changed{});
}

void node_system::take_end(std::int32_t partition, attempt_report r) {
  const auto e = state_->engine_of(partition);
  if (e) caf::anon_send(e->actor, ended_elsewhere{std::make_shared<attempt_report>(std::move(r))});
}

std::vector<attempt_id> node_system::held(std::int32_t partition) const {
  return state_->places.at(static_cast<std::size_t>(partition)).attempts->held();
}

void node_system::delivered(std::int32_t partition, const attempt_id& id) {
  state_->places.at(static_cast<std::size_t>(partition)).attempts->delivered(id);
}

bool node_system::leads(std::int32_t partition) const { return state_->engine_of(partition) != nullptr; }
std::int32_t node_system::partition_of(std::string_view workflow_id) const { return state_->partition_of(workflow_id); }

void node_system::barrier(std::int32_t partition, std::function<void(bool)> done) {
  const auto e = state_->engine_of(partition);
  // While the journal is away nobody knows how long that takes; who asks is not kept waiting for it.
  if (!e || !e->queue.available()) return done(false);
  auto answer = std::make_shared<owed_barrier>(std::move(done));
  auto d = std::make_shared<decided>();
  d->generation = e->queue.generation();
  d->barrier = true;
  d->committed = [answer](const std::shared_ptr<decided>&) { answer->say(true); };
  e->queue.submit(std::move(d));
}

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
  if (s.shared.draining) return refuse(command_reply::status::unavailable, "the node is stopping");
  const auto e = s.engine_for(r.workflow_id);
  if (!e)
    return refuse(command_reply::status::unavailable,
                  "this node does not lead partition " + std::to_string(s.partition_of(r.workflow_id)));
  if (s.open_requests.fetch_add(1) >= s.options.open_starts) {
    --s.open_requests;
    return refuse(command_reply::status::busy, "limits.open_starts commands are waiting for the disk (" +
                                                   std::to_string(s.options.open_starts) + "); try again later");
  }
  if (auto* start = std::get_if<engine::start_command>(&r.command.body); start && start->facts.version == 0)
    start->facts.version = e->choose(start->facts.type).version;
  if (r.on_result) answer_both(r);
  r.reply = owed_reply(
      [state = state_.get(), reply = std::make_shared<owed_reply>(std::move(r.reply))](const command_reply& answer) {
        --state->open_requests;
        reply->answer(answer);
      });
  caf::anon_send(e->actor, request{std::make_shared<command_request>(std::move(r))});
}

void node_system::use_version(use_request r) {
  const auto partition = state_->partition_of(r.type);
  if (const auto e = state_->engine_of(partition))
    return caf::anon_send(e->actor, actors::use_version{std::make_shared<use_request>(std::move(r))});
  command_reply refusal;
  refusal.state = command_reply::status::unavailable;
  refusal.message = "this node does not lead partition " + std::to_string(partition);
  r.reply.answer(refusal);
}

void node_system::take_mark(std::int32_t partition, engine::type_mark mark, owed_reply reply) {
  const auto e = state_->engine_of(partition);
  if (!e || !e->queue.available()) {
    command_reply refusal;
    refusal.state = command_reply::status::unavailable;
    return reply.answer(refusal);
  }
  auto d = std::make_shared<decided>();
  d->generation = e->queue.generation();
  d->bytes = mark.type.size() + 64;
  d->reply = std::move(reply);
  d->committed = [node = e.get(), mark](const std::shared_ptr<decided>& done) {
    node->marks.put(mark);
    done->reply.answer(done->answer);
  };
  d->marks.push_back(std::move(mark));
  e->queue.submit(std::move(d));
}

engine::type_marks node_system::marks() const {
  engine::type_marks all;
  for (const auto& e : state_->engines())
    for (auto& [type, m] : e->marks.all()) engine::fold(all, m);
  return all;
}

engine::type_marks node_system::marks(std::int32_t partition) const {
  const auto e = state_->engine_of(partition);
  return e ? e->marks.all() : engine::type_marks();
}

void node_system::await_mark(std::int32_t partition, std::string type, std::uint64_t revision,
                             std::chrono::milliseconds patience, std::function<void(bool)> done) {
  const auto e = state_->engine_of(partition);
  if (!e) return done(false);
  const auto waiter = std::make_shared<mark_waiter>(std::move(type), revision, std::move(done));
  e->marks.await(waiter);
  if (!waiter->is_over())
    state_->clock.at(std::chrono::steady_clock::now() + patience, [waiter] { waiter->say(false); });
}

void node_system::set_fleet(fleet::nodes nodes) { state_->shared.fleet.set(std::move(nodes)); }
std::shared_ptr<const fleet::nodes> node_system::all_nodes() const { return state_->shared.fleet.all(); }

engine::version_choice node_system::choose_version(std::string_view workflow_id, std::string_view type) const {
  if (const auto e = state_->engine_for(workflow_id)) return e->choose(type);
  const auto& s = state_->shared;
  const auto latest = s.types.latest(type);
  const auto all = marks();
  const auto marked = all.find(type);
  return engine::choose_version(marked == all.end() ? 0 : marked->second.version, s.fleet.common(type),
                                latest ? latest->options.version : 0);
}

void node_system::await_result(result_request r) {
  r.on_result = owed(std::move(r.on_result),
                     run_result{.workflow_id = r.workflow_id, .run = r.run, .state = run_result::status::unavailable});
  if (const auto e = state_->engine_for(r.workflow_id))
    caf::anon_send(e->actor, actors::await_result{std::make_shared<result_request>(std::move(r))});
}

void node_system::await_answer(answer_request r) {
  r.on_answer = owed(std::move(r.on_answer), update_answer{.workflow_id = r.workflow_id, .run = r.run});
  if (const auto e = state_->engine_for(r.workflow_id))
    caf::anon_send(e->actor, actors::await_answer{std::make_shared<answer_request>(std::move(r))});
}

void node_system::query(query_request r) {
  r.on_reply = owed(std::move(r.on_reply), query_reply{.message = "the node stops, or leads the partition no more"});
  if (const auto e = state_->engine_for(r.workflow_id))
    caf::anon_send(e->actor, ask_query{std::make_shared<query_request>(std::move(r))});
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
  const auto e = state_->engine_for(id);
  if (!e) return r.on_description({});
  auto answer = [e, id, f = std::move(r.on_description)](const run_description& d) {
    if (d.found) return f(d);
    try {
      auto view = e->views.borrow();
      const auto row = view->find(id);
      if (!row) return f(d);
      const auto history = view->history(row->key);
      auto i = engine::make_onlooker(e->types.find(row->header.type, row->header.version));
      for (const auto& event : history.events) engine::evolve(*i, event);
      f(actors::describe(*i, row->key, no_allowance(), e->time.now()));
    } catch (const store::view_error&) {
      f(d);
    }
  };
  auto once = owed<run_description>(std::move(answer), {});
  caf::anon_send(e->actor,
                 describe_run{std::make_shared<describe_request>(describe_request{std::move(id), std::move(once)})});
}

namespace {

void add(partition_status& sum, const partition_status& p) {
  sum.live += p.live;
  sum.resting += p.resting;
  sum.timers += p.timers;
  sum.waiters += p.waiters;
  sum.backlog += p.backlog;
  sum.started += p.started;
  sum.closed += p.closed;
  sum.loaded += p.loaded;
  sum.evicted += p.evicted;
  sum.restarts += p.restarts;
  sum.refused_busy += p.refused_busy;
  sum.generation = std::max(sum.generation, p.generation);
  if (sum.trouble.empty()) sum.trouble = p.trouble;
}

void add(commit_stats& sum, const commit_stats& c) {
  sum.commits += c.commits;
  sum.decisions += c.decisions;
  sum.failures += c.failures;
  sum.waiting += c.waiting;
  sum.busy_ns += c.busy_ns;
  if (sum.trouble.empty()) sum.trouble = c.trouble;
}

// Collects what the partitions answer, and tells the sum when the last has.
struct status_sum {
  std::mutex mutex;
  node_status sum;
  std::size_t missing = 0;
  std::function<void(const node_status&)> tell;

  void take(const partition_status& p) {
    {
      const std::lock_guard lock(mutex);
      add(sum.partition, p);
      if (--missing > 0) return;
    }
    tell(sum);
  }
};

}  // namespace

void node_system::status(std::function<void(const node_status&)> f) {
  auto& s = *state_;
  const auto engines = s.engines();
  auto all = std::make_shared<status_sum>();
  all->tell = std::move(f);
  auto& out = all->sum;
  out.slots = s.slots->stats();
  out.pool = s.pool.stats();
  for (const auto& p : s.places) {
    out.attempts += p.attempts->size();
    out.lingering += p.attempts->lingering();
    out.late_results += p.attempts->late_results();
  }
  out.attempts_started = s.shared.attempts_started;
  out.attempts_timed_out = s.shared.attempts_timed_out;
  out.attempts_lost = s.shared.attempts_lost;
  out.draining = s.shared.draining;
  out.journal_available = true;
  out.incarnation = std::to_string(s.shared.incarnation);
  for (const auto& e : engines) {
    add(out.commits, e->queue.stats());
    out.journal_available = out.journal_available && e->queue.available();
  }
  all->missing = engines.size();
  if (engines.empty()) return all->tell(out);
  for (const auto& e : engines) {
    auto on_status = [all](const partition_status& p) { all->take(p); };
    caf::anon_send(
        e->actor,
        ask_status{std::make_shared<status_request>(status_request{owed<partition_status>(std::move(on_status), {})})});
  }
}

view_pool::lease node_system::borrow_view(std::string_view workflow_id) {
  const auto e = state_->engine_for(workflow_id);
  if (!e) throw store::view_error("this node does not lead partition " + std::to_string(partition_of(workflow_id)));
  return e->views.borrow().keeping(e);
}
const registry& node_system::types() const { return state_->shared.types; }
std::size_t node_system::running_attempts() const { return state_->attempts_awaited(); }

node_system::drained node_system::drain(std::chrono::milliseconds grace, const std::function<bool()>& hurry) {
  auto& s = *state_;
  drained out;
  if (s.stopped) return out;
  s.shared.draining = true;
  s.slots->close();
  const auto until = [&](std::chrono::milliseconds patience, const auto& condition) {
    const auto deadline = std::chrono::steady_clock::now() + patience;
    while (!condition() && std::chrono::steady_clock::now() < deadline && !(hurry && hurry()))
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
  };
  const auto quiet = [&] { return s.attempts_awaited() == 0; };
  until(grace, quiet);
  for (const auto& a : s.all_attempts()) a->request_stop();
  constexpr auto to_return = std::chrono::milliseconds(200);
  if (grace.count() > 0) until(to_return, quiet);
  // An attempt may still enter whose start was being committed; whoever has returned in time is not interrupted.
  const auto interrupt = [&] {
    for (const auto& a : s.all_attempts())
      if (!a->has_ended() && a->settle() == attempt::settled::no &&
          a->give_up(engine::attempt_end::interrupted, {.code = "interrupted", .message = "the node stopped"}))
        ++out.interrupted;
  };
  interrupt();
  // What has ended leaves the table when it is committed.
  constexpr auto to_commit = std::chrono::seconds(10);
  const auto deadline = std::chrono::steady_clock::now() + to_commit;
  while (s.waits_for_commits() && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    interrupt();
  }
  for (std::int32_t p = 0; p < static_cast<std::int32_t>(s.places.size()); ++p) leave(p);
  interrupt();
  while (s.waits_for_commits() && std::chrono::steady_clock::now() < deadline)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  for (const auto& p : s.places) p.attempts->silence();
  out.hung = s.pool.stop(std::chrono::steady_clock::now() + std::chrono::milliseconds(100)).detached;
  s.clock.stop();
  s.stopped = true;
  return out;
}

}  // namespace pawl::actors
