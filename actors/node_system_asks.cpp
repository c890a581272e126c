// What a node is asked that changes no run: results, answers, queries, what a run and the node are at, and which
// version of a type new runs get.
#include "actors/node_system_state.hpp"

namespace pawl::actors {

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

}  // namespace pawl::actors
