// What a partition has on this node while it is led here: the feed, the intake of commands, snapshots, and a watch on
// the other nodes.
#include <algorithm>

#include "broker/kafka_snapshots.hpp"
#include "node/feed_json.hpp"
#include "node/partition_host.hpp"

namespace pawl::node {

namespace {

using namespace std::chrono_literals;

/// What a node said before it was gone is waited for so long: commands that stand before it may be held up.
constexpr auto last_words_patience = 10s;

}  // namespace

void partition_host::start_feed() {
  broker::feed_options o;
  o.client = options_.client;
  o.name_space = options_.name_space;
  o.partition = options_.number;
  o.render = [types = &options_.types](const broker::feed_event& e) { return present_for_feed(e, *types); };
  o.find_run = [v = std::shared_ptr<store::view>(view_->open_view()), j = journal_.get()](engine::run_key key) {
    auto row = v->get(key);
    if (!row) {  // published before the view has it
      j->await_views();
      row = v->get(key);
    }
    return row ? std::optional(row->header) : std::nullopt;
  };
  o.warn = warner("feed");
  auto feed = std::make_unique<broker::feed_publisher>(std::move(o), *journal_);
  const std::lock_guard lock(mutex_);
  feed_ = std::move(feed);
}

void partition_host::start_commands() {
  broker::command_intake_options o;
  o.client = options_.client;
  o.topic = options_.name_space + ".commands";
  o.partition = options_.number;
  o.dead_letters = options_.name_space + ".dlq";
  o.partitions = options_.partitions;
  o.want_batch = [system = &options_.system, number = options_.number] { system->barrier(number, [](bool) {}); };
  o.warn = warner("commands");
  o.alarm = [log = options_.log, name = name_](const std::string& text) {
    log.write(log_level::error, "commands", {{"partition", name}, {"text", text}});
  };
  auto commands =
      std::make_unique<broker::command_intake>(std::move(o), *journal_,
                                               make_command_handler(options_.types, options_.system, options_.commands,
                                                                    peer_messages(), options_.runs_elsewhere));
  auto outbox =
      std::make_unique<broker::outbox_sender>(broker::outbox_sender_options{.client = options_.client,
                                                                            .topic = options_.name_space + ".commands",
                                                                            .partition = options_.number,
                                                                            .directory = options_.view.directory,
                                                                            .warn = warner("outbox")},
                                              journal_->outbox());
  const std::lock_guard lock(mutex_);
  commands_ = std::move(commands);
  outbox_ = std::move(outbox);
}

peer_sinks partition_host::peer_messages() const {
  auto* system = &options_.system;
  const auto number = options_.number;
  return {.ended =
              [system, number](const std::string&, broker::attempt_result r, broker::command_done done) {
                system->take_end(
                    number, {.uid = r.run,
                             .key = r.key,
                             .incarnation = r.incarnation,
                             .end = std::move(r.end),
                             .details = std::move(r.details),
                             .reply = actors::owed_reply([done = std::move(done)](const actors::command_reply& reply) {
                               done(verdict_on(reply));
                             })});
              },
          .held =
              [system, number](const broker::held_attempts& h, const broker::command_done& done) {
                actors::held_list list{.epoch = h.epoch, .incarnation = h.incarnation};
                for (const auto& a : h.list)
                  list.attempts.push_back(
                      {.key = a.key, .uid = a.run, .step = a.step, .undo = a.undo, .attempt = a.attempt});
                system->take_held(number, std::move(list));
                done({});
              },
          .marked =
              [system, number](engine::type_mark mark, broker::command_done done) {
                system->take_mark(number, std::move(mark),
                                  actors::owed_reply([done = std::move(done)](const actors::command_reply& reply) {
                                    done(verdict_on(reply));
                                  }));
              }};
}

void partition_host::start_snapshots() {
  if (options_.snapshots == nullptr) return;
  auto o = broker::kafka_snapshots(options_.client, options_.name_space, options_.number, *journal_,
                                   options_.snapshot_rules);
  o.standbys = [m = &options_.members, number = options_.number] {
    return m->look([number](const broker::ownership& own) {
      std::vector<std::int64_t> out;
      for (const auto& id : own.fold().standbys(number))
        if (const auto* n = own.fold().find(id); n != nullptr && n->live)
          if (const auto& p = n->partitions[static_cast<std::size_t>(number)]; p.role) out.push_back(p.position);
      return out;
    });
  };
  o.warn = warner("snapshots");
  o.told = [log = options_.log, name = name_](const std::string& text) {
    log.write(log_level::info, "snapshots", {{"partition", name}, {"text", text}});
  };
  auto snapshotter = std::make_unique<broker::snapshotter>(*options_.snapshots, *view_, std::move(o));
  const std::lock_guard lock(mutex_);
  snapshotter_ = std::move(snapshotter);
}

std::vector<engine::incarnation> partition_host::living_nodes() const {
  return options_.members.look([](const broker::ownership& own) {
    std::vector<engine::incarnation> out;
    for (const auto& [id, n] : own.fold().nodes())
      if (n.live) out.push_back(n.incarnation);
    return out;
  });
}

// A node that is gone may have told before how its attempts ended: that is among the commands, and comes first.
void partition_host::watch_nodes() {
  auto living = living_nodes();
  const auto now = std::chrono::steady_clock::now();
  if (nodes_.mark == 0 && nodes_.told == living) return;
  if (nodes_.mark == 0 || nodes_.seen != living) {
    if (nodes_.mark == 0) nodes_.patience = now + last_words_patience;
    nodes_.seen = std::move(living);
    nodes_.mark = commands_->mark_end();
  }
  const auto c = commands_->stats();
  const bool heard_out = c.marks >= nodes_.mark && c.dealt_with_below >= c.marked;
  if (!heard_out && now < nodes_.patience) return;
  options_.system.set_living(options_.number, nodes_.seen);
  nodes_.told = std::move(nodes_.seen);
  nodes_.seen.clear();
  nodes_.mark = 0;
}

}  // namespace pawl::node
