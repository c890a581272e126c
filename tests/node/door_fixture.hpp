// Two nodes in one process, a partition each, that ask each other over real connections; who leads is what the test
// says.
#pragma once

#include <map>
#include <set>

#include "node/cluster_door.hpp"
#include "node/http_server.hpp"
#include "store/oldest_open.hpp"
#include "tests/node/api_fixture.hpp"

namespace pawl::node {

inline constexpr std::int32_t door_partitions = 2;

/// "1-anything" is in partition 1, all else in partition 0.
inline std::int32_t partition_of_id(std::string_view id) { return id.starts_with("1") ? 1 : 0; }

/// Who leads, as one node knows it.
class told_cluster final : public cluster {
 public:
  void say(std::int32_t partition, partition_place place) {
    const std::lock_guard lock(mutex_);
    place.partition = partition;
    places_[partition] = std::move(place);
  }
  void hold(std::int32_t partition, const store::embedded_journal* journal) {
    const std::lock_guard lock(mutex_);
    views_[partition] = journal;
  }
  std::int32_t partitions() const override { return door_partitions; }
  std::int32_t partition_of(std::string_view id) const override { return partition_of_id(id); }
  partition_place place(std::int32_t partition) const override {
    const std::lock_guard lock(mutex_);
    const auto it = places_.find(partition);
    return it == places_.end() ? partition_place{.partition = partition} : it->second;
  }
  std::unique_ptr<store::view> open_view(std::int32_t partition) const override {
    const std::lock_guard lock(mutex_);
    const auto it = views_.find(partition);
    return it == views_.end() ? nullptr : it->second->open_view();
  }
  std::vector<engine::run_key> oldest_open(std::int32_t partition, std::size_t limit) const override {
    const std::lock_guard lock(mutex_);
    const auto it = views_.find(partition);
    return it == views_.end() ? std::vector<engine::run_key>() : store::oldest_open(it->second->directory(), limit);
  }
  std::uint64_t view_life(std::int32_t) const override { return 1; }
  std::optional<std::chrono::milliseconds> staleness(std::int32_t partition) const override {
    const std::lock_guard lock(mutex_);
    return views_.contains(partition) ? std::optional(std::chrono::milliseconds(1234)) : std::nullopt;
  }
  std::vector<partition_report_row> partition_rows() const override {
    std::vector<partition_report_row> rows;
    for (std::int32_t p = 0; p < door_partitions; ++p) rows.push_back({.place = place(p), .state = "leading"});
    return rows;
  }
  bool runs(const std::string& node, std::string_view type, std::uint32_t) const override {
    const std::lock_guard lock(mutex_);
    return !lacks_.contains({node, std::string(type)});
  }
  /// That node does not run it.
  void lacks(const std::string& node, const std::string& type) {
    const std::lock_guard lock(mutex_);
    lacks_.insert({node, type});
  }
  partition_place runner(std::string_view type, std::uint32_t) const override {
    const std::lock_guard lock(mutex_);
    for (const auto& [p, place] : places_)
      if (!place.here && !place.address.empty() && !lacks_.contains({place.node, std::string(type)}))
        return {.partition = -1, .node = place.node, .address = place.address};
    return {};
  }
  std::uint32_t commands_read() const override { return reads; }
  std::atomic<std::uint32_t> reads{2};
  std::vector<node_report_row> node_rows() const override {
    return {{.id = "a", .health = "ok", .self = true, .clock = "right"}};
  }

 private:
  mutable std::mutex mutex_;
  std::map<std::int32_t, partition_place> places_;
  std::map<std::int32_t, const store::embedded_journal*> views_;
  std::set<std::pair<std::string, std::string>> lacks_;
};

/// One that leads `own`.
class door_node {
 public:
  explicit door_node(std::int32_t own, access_token token = {}, bool has_types = true) : own_(own) {
    if (has_types) types = api_types(doors);
    journal = store::open_embedded({.directory = directory.path()});
    actors::node_options o;
    o.log = [](log_level, std::string_view) {};
    o.partitions = door_partitions;
    o.partition_of = partition_of_id;
    system = std::make_unique<actors::node_system>(types, std::move(o));
    system->lead({.number = own,
                  .journal = *journal,
                  .may_exist = [this](std::string_view id) { return journal->may_exist(id); },
                  .open_view = [this] { return journal->open_view(); }});
    places.hold(own, journal.get());
    front = std::make_unique<cluster_door>(
        cluster_door_options{.types = types, .system = *system, .places = places, .token = token});
    api_options a;
    a.front = [this](api_request& r, std::function<void(api_response)>& respond) { return front->take(r, respond); };
    asked = std::make_unique<api>(types, system.get(), [this] { return journal->open_view(); }, std::move(a));
    server = std::make_unique<http_server>(*asked, http_options{.token = token});
    EXPECT_EQ(server->listen_tcp("127.0.0.1:0"), "");
    places.say(own, {.here = true, .node = name()});
  }
  ~door_node() {
    doors.open();
    asked->stop();
    front->stop();
    server.reset();
  }
  std::string name() const { return "node-" + std::to_string(own_); }
  /// `other` leads its own, as this one sees it.
  void knows(const door_node& other) {
    places.say(other.own_, {.node = other.name(), .address = other.server->address()});
  }
  std::future<api_response> send(api_request r) { return api_node::send(*asked, std::move(r)); }
  api_node::answer ask(const std::string& line, std::string body = {},
                       std::map<std::string, std::string> headers = {}) {
    return api_node::read(api_node::get(send(api_node::request(line, std::move(body), std::move(headers)))));
  }
  int start(const std::string& id, const std::string& query = "?wait_ms=30000") {
    return ask("POST /v1/workflows" + query, R"({"type":"order","id":")" + id + R"(","input":{"id":"x","total":1}})")
        .status;
  }

  temporary_directory directory;
  gate doors;
  registry types;
  told_cluster places;
  std::unique_ptr<store::embedded_journal> journal;
  std::unique_ptr<actors::node_system> system;
  std::unique_ptr<cluster_door> front;
  std::unique_ptr<api> asked;
  std::unique_ptr<http_server> server;

 private:
  const std::int32_t own_;
};

class door : public ::testing::Test {
 protected:
  void SetUp() override {
    a.knows(b);
    b.knows(a);
  }
  door_node a{0};
  door_node b{1};
};

}  // namespace pawl::node
