#include "node/cluster_node.hpp"

#include <algorithm>
#include <thread>

#include "broker/command_codec.hpp"
#include "broker/partitioner.hpp"
#include "broker/topics.hpp"
#include "node/data_layout.hpp"
#include "node/settings_map.hpp"
#include "store/errors.hpp"
#include "store/oldest_open.hpp"
#include "store/snapshot_codec.hpp"

namespace pawl::node {

namespace {

using namespace std::chrono_literals;

/// On leaving, for what others have to be told of attempts.
constexpr auto last_words_patience = 1s;
/// What was made a moment ago, here or by another node, is heard of by every broker within this.
constexpr auto topics_wait = 15'000ms;

store::embedded_options view_options(const config::settings& s, const std::string& directory, std::int32_t partition) {
  store::embedded_options o;
  o.directory = partition_directory(directory, partition);
  o.wal_limit = s.journal.wal_limit.count;
  o.busy_timeout = s.journal.busy_timeout;
  o.outcome_age = s.limits.outcome_age;
  o.outcome_count = s.limits.outcomes;
  o.truth = false;
  return o;
}

}  // namespace

cluster_node::cluster_node(cluster_node_options o)
    : options_(std::move(o)),
      client_(to_kafka_options(options_.settings, kafka_log())),
      disk_(options_.directory, [this](bool sick, const std::string& why) { on_disk(sick, why); }) {
  ensure_topics();
  partitions_ = broker::partitions_of(client_, options_.settings.kafka.name_space, topics_wait);
  snapshots_ = open_snapshots(options_.settings);
}

cluster_node::~cluster_node() { stop(); }

std::function<void(int, std::string_view)> cluster_node::kafka_log() const {
  return [log = options_.log](int severity, std::string_view text) {
    constexpr int warning = 4;  // of syslog
    log.write(severity <= warning ? log_level::warn : log_level::debug, "kafka", {{"text", std::string(text)}});
  };
}

// On the thread of a partition, all of which end before the membership.
void cluster_node::on_disk(bool sick, const std::string& why) {
  if (sick)
    options_.log.write(log_level::error,
                       "the disk of the data directory is sick: this node leads nothing until it is well again",
                       {{"data", options_.directory}, {"error", why}});
  else
    options_.log.write(log_level::info, "the disk is well again: this node takes part", {{"data", options_.directory}});
  members_->beat_now();
}

// First of all: on topics that are set up otherwise the journal would lose what it has acknowledged.
void cluster_node::ensure_topics() {
  const auto topics = to_topic_options(options_.settings);
  const auto say_made = [&](const std::string& name) {
    options_.log.write(log_level::info, "topic made", {{"topic", name}});
  };
  const auto found = options_.settings.kafka.create_topics ? broker::ensure_topics(client_, topics, say_made)
                                                           : broker::check_topics(client_, topics);
  if (found.empty()) return;
  throw store::store_error(
      "topic " + found.front().topic + " " + found.front().what + ": " + found.front().mend +
      (found.size() > 1 ? " (and " + std::to_string(found.size() - 1) + " more; see `topics check`)" : ""));
}

void cluster_node::join(actors::node_system& system) {
  const auto& s = options_.settings;
  broker::membership_options m;
  m.client = client_;
  m.topic = s.kafka.name_space + ".nodes";
  m.node = options_.node_id;
  m.incarnation = options_.incarnation;
  m.ownership = {.partitions = partitions_, .standbys = s.kafka.standbys, .session = s.kafka.session};
  m.report = [this] { return report(); };
  m.heard = [this, &system](const broker::ownership_fold& fold) { on_heard(system, fold); };
  m.replaced = options_.on_fatal;
  m.warn = [log = options_.log](const std::string& text) { log.write(log_level::warn, "nodes", {{"text", text}}); };
  members_ = std::make_unique<broker::membership>(std::move(m));
  courier_ = std::make_unique<attempt_courier>(attempt_courier_options{
      .sender = {.client = client_, .topic = s.kafka.name_space + ".commands", .partitions = partitions_},
      .incarnation = options_.incarnation,
      .delivered = [&system](std::int32_t p, const actors::attempt_id& id) { system.delivered(p, id); },
      .warn =
          [log = options_.log](const std::string& text) { log.write(log_level::warn, "attempts", {{"text", text}}); }});
  for (std::int32_t p = 0; p < partitions_; ++p)
    hosts_.push_back(std::make_unique<partition_host>(partition_host_options{
        .number = p,
        .partitions = partitions_,
        .name_space = s.kafka.name_space,
        .client = client_,
        .view = view_options(s, options_.directory, p),
        .who = {.node_id = options_.node_id,
                .incarnation = options_.incarnation,
                .reads_format = broker::journal_format},
        .append_timeout = s.kafka.append_timeout,
        .snapshots = snapshots_.get(),
        .snapshot_rules = to_snapshot_rules(s),
        .commands = {.engine = to_limits(s), .value = largest_body(s)},
        .runs_elsewhere = [this](std::string_view type,
                                 std::uint32_t version) { return !runner(type, version).node.empty(); },
        .types = options_.types,
        .members = *members_,
        .disk = disk_,
        .system = system,
        .courier = *courier_,
        .log = options_.log}));
  joined_ = true;
}

namespace {

std::vector<std::string> runs_of(const registry& types) {
  std::vector<std::string> out;
  for (const auto& type : types.types())
    for (const auto version : types.versions(type)) out.push_back(type + "/" + std::to_string(version));
  return out;
}

}  // namespace

broker::heartbeat cluster_node::report() const {
  broker::heartbeat h;
  h.name = options_.settings.node.name;
  h.address = options_.address ? options_.address() : "";
  h.health = leaving_       ? broker::node_health::leaving
             : disk_.sick() ? broker::node_health::sick
                            : broker::node_health::ok;
  h.runs = runs_of(options_.types);
  for (const auto& type : options_.types.types())
    for (const auto version : options_.types.versions(type)) {
      const auto d = options_.types.find(type, version);
      h.definitions.push_back({.digest = d->digest, .code = d->as_code() != nullptr});
    }
  h.reads = {
      .journal = broker::journal_format, .commands = broker::command_format, .snapshots = store::snapshot_format};
  if (!joined_) return h;
  for (const auto& host : hosts_)
    if (const auto r = host->report()) h.partitions.push_back(*r);
  return h;
}

namespace {

std::map<std::pair<std::string, std::uint32_t>, engine::child_type> definitions_in(const broker::node_state& n) {
  std::map<std::pair<std::string, std::uint32_t>, engine::child_type> out;
  for (std::size_t k = 0; k < std::min(n.runs.size(), n.definitions.size()); ++k)
    for (const auto& [type, versions] : engine::runnable_from({n.runs[k]}))
      out[{type, versions.front()}] = {
          .version = versions.front(), .digest = n.definitions[k].digest, .code = n.definitions[k].code};
  return out;
}

}  // namespace

// What new runs get depends on what the nodes run that may come to lead them: one that leaves does not.
void cluster_node::on_heard(actors::node_system& system, const broker::ownership_fold& fold) {
  actors::fleet::nodes now;
  for (const auto& [id, n] : fold.nodes()) {
    const bool self = id == options_.node_id;
    if (self || (n.live && n.health != broker::node_health::leaving))
      now.push_back({.id = id,
                     .name = n.name,
                     .self = self,
                     .types = engine::runnable_from(n.runs),
                     .definitions = definitions_in(n)});
  }
  if (now == told_fleet_) return;
  told_fleet_ = now;
  // Of itself a node knows best, whatever its heartbeats still say.
  const auto own = engine::runnable_from(runs_of(options_.types));
  std::erase_if(now, [](const auto& n) { return n.self; });
  now.push_back({.id = options_.node_id, .name = options_.settings.node.name, .self = true, .types = own});
  system.set_fleet(std::move(now));
}

void cluster_node::tell_end(const actors::orphan_end& end) {
  if (courier_) courier_->tell_end(end);
}

bool cluster_node::has_others() const { return members_ && members_->has_others(); }

void cluster_node::hand_over(std::chrono::milliseconds patience) {
  leaving_ = true;
  if (members_) members_->beat_now();
  for (auto& h : hosts_) h->release();
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (std::any_of(hosts_.begin(), hosts_.end(), [](const auto& h) { return h->is_leading(); }) &&
         std::chrono::steady_clock::now() < deadline)
    std::this_thread::sleep_for(2ms);
}

void cluster_node::stop() {
  hand_over(0ms);
  joined_ = false;
  for (auto& h : hosts_) h->stop();
  if (courier_) courier_->flush(last_words_patience);
  // Its report looks at the hosts, so it goes first.
  members_.reset();
  hosts_.clear();
  courier_.reset();
}

std::int32_t cluster_node::partition_of(std::string_view workflow_id) const {
  return broker::partition_of(workflow_id, partitions_);
}

partition_place cluster_node::place(std::int32_t partition) const {
  partition_place p{.partition = partition};
  if (!joined_ || partition < 0 || partition >= partitions_) return p;
  p.here = hosts_[static_cast<std::size_t>(partition)]->is_leading();
  if (p.here) {
    p.node = options_.node_id;
    p.name = options_.settings.node.name;
    p.address = options_.address ? options_.address() : "";
    return p;
  }
  members_->look([&](const broker::ownership& o) {
    const auto leader = o.fold().present_leader(partition);
    const auto* n = leader.empty() ? nullptr : o.fold().find(leader);
    // What our own heartbeat still says of us is over.
    if (n == nullptr || leader == options_.node_id) return;
    p.node = leader;
    p.name = n->name;
    p.address = n->address;
  });
  return p;
}

std::unique_ptr<store::view> cluster_node::open_view(std::int32_t partition) const {
  if (!joined_ || partition < 0 || partition >= partitions_) return nullptr;
  return hosts_[static_cast<std::size_t>(partition)]->open_view();
}

std::vector<engine::run_key> cluster_node::oldest_open(std::int32_t partition, std::size_t limit) const {
  return store::oldest_open(partition_directory(options_.directory, partition), limit);
}

std::uint64_t cluster_node::view_life(std::int32_t partition) const {
  if (!joined_ || partition < 0 || partition >= partitions_) return 0;
  return hosts_[static_cast<std::size_t>(partition)]->status().views_opened;
}

std::optional<std::chrono::milliseconds> cluster_node::staleness(std::int32_t partition) const {
  if (!joined_ || partition < 0 || partition >= partitions_) return std::nullopt;
  const auto s = hosts_[static_cast<std::size_t>(partition)]->status();
  if (!s.holds_view) return std::nullopt;
  if (s.engine) return 0ms;
  if (s.journal.at_end == std::chrono::steady_clock::time_point{}) return std::chrono::hours(24 * 365);
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - s.journal.at_end);
}

namespace {

std::vector<partition_follower> followers_of(const broker::ownership_fold& fold, std::int32_t partition,
                                             std::int64_t journal_end, const std::string& leader) {
  std::vector<partition_follower> out;
  for (const auto& [id, n] : fold.nodes()) {
    const auto& s = n.partitions[static_cast<std::size_t>(partition)];
    if (!n.live || !s.role || id == leader) continue;
    partition_follower f{.node = id, .name = n.name, .state = std::string(broker::text(*s.role))};
    if (journal_end >= 0) f.lag = std::max<std::int64_t>(0, journal_end - s.position);
    out.push_back(std::move(f));
  }
  return out;
}

}  // namespace

std::vector<partition_report_row> cluster_node::partition_rows() const {
  std::vector<partition_report_row> rows;
  if (!joined_) return rows;
  for (std::int32_t p = 0; p < partitions_; ++p) {
    const auto& host = *hosts_[static_cast<std::size_t>(p)];
    const auto s = host.status();
    partition_report_row row{.place = place(p)};
    row.epoch = s.journal.epoch;
    if (s.holds_view) {
      row.journal_end = s.journal.end;
      row.view_lag = std::max<std::int64_t>(0, s.journal.end - s.journal.position);
    }
    if (s.engine) row.feed_lag = std::max<std::int64_t>(0, s.journal.end - s.fed - 1);
    if (s.engine && s.commands) row.command_lag = s.commands->lag();
    row.outbox_waiting = s.outbox_waiting;
    row.diverged_from = s.diverged_from;
    row.trouble = s.trouble;
    members_->look([&](const broker::ownership& o) {
      row.followers = followers_of(o.fold(), p, row.journal_end, row.place.node);
      const auto status = o.fold().explain(p, {.offset = s.journal.end, .released = s.journal.released});
      row.since = status.lasted;
      for (const auto& n : o.fold().standbys(p)) row.standbys.push_back(n);
      const auto* leader = status.leader.empty() ? nullptr : o.fold().find(status.leader);
      const auto role = leader ? leader->partitions[static_cast<std::size_t>(p)].role : std::nullopt;
      row.state = role ? std::string(broker::text(*role)) : "vacant";
    });
    if (row.place.here) {
      row.state = std::string(broker::text(s.role));
      row.since = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - s.since);
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

namespace {

/// "order/2" of ("order", 2); of ("order", 0) any version of it.
bool names(const std::string& entry, std::string_view type, std::uint32_t version) {
  if (entry.size() <= type.size() + 1 || !entry.starts_with(type) || entry[type.size()] != '/') return false;
  return version == 0 || std::string_view(entry).substr(type.size() + 1) == std::to_string(version);
}

bool runs_on(const broker::node_state& n, std::string_view type, std::uint32_t version) {
  return n.live && std::any_of(n.runs.begin(), n.runs.end(), [&](const auto& r) { return names(r, type, version); });
}

}  // namespace

bool cluster_node::runs(const std::string& node, std::string_view type, std::uint32_t version) const {
  if (!members_) return false;
  return members_->look([&](const broker::ownership& o) {
    const auto* n = o.fold().find(node);
    return n != nullptr && runs_on(*n, type, version);
  });
}

partition_place cluster_node::runner(std::string_view type, std::uint32_t version) const {
  if (!members_) return {};
  return members_->look([&](const broker::ownership& o) {
    for (const auto& [id, n] : o.fold().nodes())
      if (id != options_.node_id && !n.address.empty() && runs_on(n, type, version))
        return partition_place{.partition = -1, .node = id, .name = n.name, .address = n.address};
    return partition_place{};
  });
}

std::uint32_t cluster_node::commands_read() const {
  return members_ ? members_->look([](const broker::ownership& o) { return o.fold().formats().commands; }) : 1;
}

std::vector<node_report_row> cluster_node::node_rows() const {
  std::vector<node_report_row> rows;
  if (!joined_) return rows;
  members_->look([&](const broker::ownership& o) {
    const auto& fold = o.fold();
    for (const auto& [id, n] : fold.nodes()) {
      node_report_row row{.id = id, .name = n.name, .address = n.address};
      row.incarnation = std::to_string(n.incarnation);
      row.health = n.live ? std::string(broker::text(n.health)) : "gone";
      row.self = id == options_.node_id;
      row.silent = fold.log_time() - n.heard;
      row.clock_offset = n.clock.value();
      row.clock = n.clock.state() == broker::clock_state::right   ? "right"
                  : n.clock.state() == broker::clock_state::warns ? "warns"
                                                                  : "forbids";
      for (const auto& p : n.partitions) {
        row.leads += n.live && p.role == broker::partition_role::leading ? 1 : 0;
        row.stands_by += n.live && p.role && p.role != broker::partition_role::leading ? 1 : 0;
      }
      row.types = n.runs;
      row.reads_format = n.reads.journal;
      row.reads_commands = n.reads.commands;
      row.reads_snapshots = n.reads.snapshots;
      rows.push_back(std::move(row));
    }
  });
  return rows;
}

}  // namespace pawl::node
