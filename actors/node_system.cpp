#include "actors/node_system.hpp"

#include <random>

#include "actors/node_system_state.hpp"

namespace pawl::actors {

namespace {

engine::incarnation draw_incarnation() {
  std::random_device device;
  engine::incarnation out = 0;
  while (out == 0) out = (std::uint64_t{device()} << 32) | device();
  return out;
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

node_system::state::state(const registry& t, node_options o)
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

attempt_table::log_function node_system::state::attempt_log() const {
  return [log = options.log](log_level level, const pawl::detail::attempt_facts& f, std::string_view text) {
    if (log)
      log(level, "workflow=" + f.workflow_id + " run=" + std::to_string(f.run) + " step=" + f.step +
                     " attempt=" + std::to_string(f.attempt) + (f.is_undo ? " undo=true " : " ") + std::string(text));
  };
}

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

void node_system::await_views(std::int32_t partition) const {
  if (const auto e = state_->engine_of(partition)) e->journal.await_views();
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
