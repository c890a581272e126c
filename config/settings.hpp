#pragma once

#include "config/quantity.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

// Every setting as plain typed data, by section. The initialisers ARE the defaults: the table (setting_table.cpp), the
// sample file and docs/config.md take them from here. What a setting means and may be is said in the table.
namespace pawl::config {

using std::chrono::milliseconds;

enum class log_level { debug, info, warn, error };
enum class log_format { text, json };

// The spellings of a choice, in the order of its enumerators.
constexpr std::array<std::string_view, 4> spellings(log_level) { return {"debug", "info", "warn", "error"}; }
constexpr std::array<std::string_view, 2> spellings(log_format) { return {"text", "json"}; }

struct data_settings {
  std::string dir = "./pawl-data";
};

struct node_settings {
  std::string name;  // load() puts the host name in the place of an empty one
  milliseconds drain_grace{10'000};
};

struct http_settings {
  std::string listen;
  std::string advertise;
  std::string token;  // a secret
  std::string token_file;
};

struct log_settings {
  log_level level = log_level::info;
  log_format format = log_format::text;
  std::string file;
};

struct pool_settings {
  std::uint32_t threads = 1'024;
  std::uint32_t written_off_limit = 64;
  std::uint32_t children = 0;

  // What `children` comes to: itself, or a quarter of the pool when it is 0.
  std::uint32_t child_limit() const { return children != 0 ? children : std::max<std::uint32_t>(1, threads / 4); }
};

struct limit_settings {
  byte_size payload = mebibytes(1);
  byte_size decision = mebibytes(2);
  byte_size batch = mebibytes(4);
  std::uint32_t wants = 500;
  std::uint32_t history_events = 50'000;
  byte_size history_bytes = mebibytes(64);
  byte_size id_length{512};
  std::uint32_t live_workflows = 20'000;
  std::uint32_t open_starts = 100'000;
  std::uint32_t waiters = 100'000;
  std::uint32_t command_ids = 10'000;
  std::uint32_t outcomes = 1'000'000;
  milliseconds outcome_age = std::chrono::hours(24);
  milliseconds code_advance{1'000};
};

struct eviction_settings {
  bool enabled = true;
  milliseconds idle{10'000};
};

struct timer_settings {
  milliseconds horizon{60'000};
};

struct journal_settings {
  byte_size wal_limit = mebibytes(64);
  milliseconds busy_timeout{5'000};
};

enum class durability { replicated, single_broker };
constexpr std::array<std::string_view, 2> spellings(durability) { return {"replicated", "single-broker"}; }

struct kafka_settings {
  std::string brokers;
  std::string name_space = "pawl";
  config::durability durability = config::durability::replicated;
  bool create_topics = true;
  std::uint32_t partitions = 8;
  std::uint32_t standbys = 1;
  milliseconds session{3'000};
  milliseconds append_timeout{10'000};
  std::string snapshot_dir;
  std::uint32_t snapshot_records = 100'000;
  byte_size snapshot_bytes = mebibytes(256);
  milliseconds snapshot_interval{60'000};
  std::uint32_t snapshot_standby_limit = 1'000'000;
  std::map<std::string, std::string> properties{};  // of librdkafka; their values are secrets
};

struct step_settings {
  milliseconds timeout{30'000};
};

struct retry_settings {
  milliseconds first_delay{500};
  double factor = 2.0;
  milliseconds max_delay{60'000};
  std::uint32_t max_attempts = 10;
};

struct settings {
  data_settings data;
  node_settings node;
  http_settings http;
  log_settings log;
  pool_settings pool;
  limit_settings limits;
  eviction_settings eviction;
  timer_settings timers;
  journal_settings journal;
  kafka_settings kafka;
  step_settings step;
  retry_settings retry;
};

}  // namespace pawl::config
