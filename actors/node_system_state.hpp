// Inside of node_system; included by its own files only.
#pragma once

#include <algorithm>
#include <atomic>
#include <future>
#include <shared_mutex>
#include <thread>
#include <utility>

#include "actors/caf_scheduler.hpp"
#include "actors/node_system.hpp"
#include "actors/partition_actor.hpp"

namespace pawl::actors {

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

// What is there while this node leads a partition. Kept by every actor in it, and gone when the last of them is.
struct partition_engine final : node_context {
  partition_engine(shared_context& shared, std::shared_ptr<attempt_table> attempts, partition_options o,
                   std::size_t batch_bytes, std::uint64_t first_generation)
      : node_context(
            shared, std::move(attempts), std::move(o.open_view), [&j = o.journal] { j.await_views(); },
            [&j = o.journal, on_record = std::move(o.may_exist)](std::string_view id) {
              return j.may_begin(id) || on_record(id);
            },
            std::move(o.living)),
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

/// Of the one actor system of a node.
class caf_settings final : public caf::actor_system_config {
 public:
  caf_settings() {
    load<caf_scheduler>();
    set("scheduler.max-threads", std::max(2U, std::thread::hardware_concurrency()));
    set("logger.verbosity", caf::atom("quiet"));
  }
};

struct node_system::state {
  state(const registry& t, node_options o);
  attempt_table::log_function attempt_log() const;

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
  caf_settings caf_config;
  std::atomic<std::size_t> open_requests{0};
  std::unique_ptr<caf::actor_system> system;
  mutable std::shared_mutex mutex;
  std::vector<place> places;  // by partition
  bool stopped = false;
};

}  // namespace pawl::actors
