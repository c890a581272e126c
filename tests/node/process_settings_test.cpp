// Every setting must reach a part of the node, or be on the list of those that the process itself uses.
#include "node/settings_map.hpp"

#include "config/setting_table.hpp"

#include <gtest/gtest.h>

#include <set>
#include <sstream>

namespace pawl::node {
namespace {

std::string image(const config::settings& s) {
  const auto o = to_node_options(s);
  std::ostringstream out;
  const auto r = to_snapshot_rules(s);
  out << r.records << ' ' << r.bytes << ' ' << r.interval.count() << ' ' << r.standby_limit << ' ';
  const auto& l = o.limits;
  out << l.payload << ' ' << l.decision << ' ' << l.wants << ' ' << l.history_events << ' ' << l.history_bytes << ' '
      << l.command_ids << ' ' << l.id_length;
  const auto& d = o.defaults.step;
  out << ' ' << d.timeout.count() << ' ' << d.first_delay.count() << ' ' << d.factor << ' ' << d.max_delay.count()
      << ' ' << d.max_attempts;
  const auto& p = o.partition;
  out << ' ' << p.live << ' ' << p.waiters << ' ' << p.evict << ' ' << p.idle.count() << ' ' << p.horizon.count() << ' '
      << p.advance.count();
  out << ' ' << o.pool.max_threads << ' ' << o.pool.written_off_limit << ' ' << o.children << ' ' << o.batch_bytes
      << ' ' << o.open_starts;
  return out.str();
}

// Another value that is within the setting's range.
config::setting_value another(const config::setting& s, const config::setting_value& now) {
  if (const auto* b = std::get_if<bool>(&now)) return !*b;
  return now == *s.min ? *s.max : *s.min;
}

TEST(settings_map, every_setting_arrives) {
  // Taken by the process: where the data is, its name, the log, the socket, the journal's own options.
  const std::set<std::string> elsewhere{"data.dir",          "node.name",
                                        "node.drain_grace",  "http.listen",
                                        "http.advertise",    "http.token",
                                        "http.token_file",   "log.level",
                                        "log.format",        "log.file",
                                        "journal.wal_limit", "journal.busy_timeout",
                                        "limits.outcomes",   "limits.outcome_age",
                                        "kafka.brokers",     "kafka.namespace",
                                        "kafka.durability",  "kafka.create_topics",
                                        "kafka.partitions",  "kafka.standbys",
                                        "kafka.session",     "kafka.append_timeout",
                                        "kafka.snapshot_dir"};
  const auto before = image({});
  std::size_t mapped = 0;
  for (const auto& row : config::pawl_settings().rows) {
    if (elsewhere.contains(row.name)) continue;
    config::settings s;
    row.set(s, another(row, row.get(s)));
    EXPECT_NE(image(s), before) << row.name << " changes nothing";
    ++mapped;
  }
  EXPECT_GE(mapped, 20U);
}

TEST(settings_map, the_defaults_of_both_sides_agree) {
  const auto o = to_node_options({});
  const engine::limits limits;
  EXPECT_EQ(o.limits.payload, limits.payload);
  EXPECT_EQ(o.limits.history_bytes, limits.history_bytes);
  EXPECT_EQ(o.limits.id_length, limits.id_length);
  EXPECT_EQ(o.defaults.step, engine::policy{});
  EXPECT_EQ(o.partition.live, actors::partition_limits{}.live);
  EXPECT_EQ(o.batch_bytes, actors::node_options{}.batch_bytes);
  const auto r = to_snapshot_rules({});
  const broker::snapshot_rules rules;
  EXPECT_EQ(r.records, rules.records);
  EXPECT_EQ(r.bytes, rules.bytes);
  EXPECT_EQ(r.interval, rules.interval);
  EXPECT_EQ(r.standby_limit, rules.standby_limit);
}

}  // namespace
}  // namespace pawl::node
