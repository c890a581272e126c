#include "config/setting_table.hpp"

#include "config/nearest_name.hpp"

#include <algorithm>

namespace pawl::config {
namespace {

using namespace std::chrono_literals;

constexpr std::int64_t longest_open_value = 64 * 1024;
constexpr std::size_t longest_key = 128;

bool is_key(std::string_view key) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
  };
  return !key.empty() && key.size() <= longest_key && key.front() != '.' && std::all_of(key.begin(), key.end(), fits);
}

setting_table make_table() {
  setting_table table;
  const auto add = [&](const auto&... row) { table.rows.push_back(describe(row...)); };
  using length = range<std::int64_t>;
  using number = range<std::uint32_t>;
  using duration = range<milliseconds>;
  using size = range<byte_size>;
  using real = range<double>;

  const auto data = &settings::data;
  add("data.dir", data, &data_settings::dir, length{1, 4096},
      "Directory of everything that is kept; a relative one starts at the working directory");

  const auto node = &settings::node;
  add("node.name", node, &node_settings::name, length{0, 255}, "Name of this node; empty = the host name");
  add("node.drain_grace", node, &node_settings::drain_grace, duration{0ms, 24h},
      "On SIGTERM, how long running attempts may go on before they are recorded as interrupted");

  const auto http = &settings::http;
  add("http.listen", http, &http_settings::listen, length{0, 255},
      "Address and port to listen on beside the Unix socket in data.dir, port 0 = a free one; empty = none, or with "
      "kafka.brokers a free port of 127.0.0.1");
  add("http.advertise", http, &http_settings::advertise, length{0, 255},
      "Host and port at which other nodes reach this one; empty = the address that it listens on");
  add("http.token", http, &http_settings::token, length{0, 4096},
      "Token that callers over TCP show, the same on all nodes; without one only loopback addresses are listened on",
      secrecy::secret);
  add("http.token_file", http, &http_settings::token_file, length{0, 4096},
      "File that holds it instead, alone on its first line");

  const auto log = &settings::log;
  add("log.level", log, &log_settings::level, "Least level that is written");
  add("log.format", log, &log_settings::format, "One line an event: key=value, or a JSON object");
  add("log.file", log, &log_settings::file, length{0, 4096},
      "File that the log is appended to; empty = standard error");

  const auto pool = &settings::pool;
  add("pool.threads", pool, &pool_settings::threads, number{1, 65'536},
      "Most threads that run blocking steps, which is also the number of slots for attempts");
  add("pool.written_off_limit", pool, &pool_settings::written_off_limit, number{1, 65'536},
      "Most threads written off because their step hangs");
  add("pool.children", pool, &pool_settings::children, number{0, 65'536},
      "Most child processes, in which suspected steps run; 0 = a quarter of pool.threads, at least 1");

  const auto limits = &settings::limits;
  const size record{kibibytes(1), mebibytes(512)};
  add("limits.payload", limits, &limit_settings::payload, record,
      "Largest input, result, signal or error of a workflow");
  add("limits.decision", limits, &limit_settings::decision, record, "Most that one decision may write");
  add("limits.batch", limits, &limit_settings::batch, record, "Most that one batch, a commit, may write");
  add("limits.wants", limits, &limit_settings::wants, number{1, 1'000'000},
      "Most wants that one decision issues; the rest follow in later batches");
  add("limits.history_events", limits, &limit_settings::history_events, number{100, 100'000'000},
      "Most events in the history of a run; a warning comes at half");
  add("limits.history_bytes", limits, &limit_settings::history_bytes, size{kibibytes(64), gibibytes(16)},
      "Most bytes in the history of a run; a warning comes at half");
  add("limits.id_length", limits, &limit_settings::id_length, size{byte_size{16}, kibibytes(64)},
      "Longest workflow id or command id");
  add("limits.live_workflows", limits, &limit_settings::live_workflows, number{1, 100'000'000},
      "Most workflows kept in memory before idle ones are evicted");
  add("limits.open_starts", limits, &limit_settings::open_starts, number{1, 100'000'000},
      "Most starts accepted and not yet committed; beyond it a start is answered busy");
  add("limits.waiters", limits, &limit_settings::waiters, number{1, 100'000'000},
      "Most requests that wait for a result; beyond it a request is answered busy");
  add("limits.command_ids", limits, &limit_settings::command_ids, number{1, 1'000'000},
      "Most command ids that a live run remembers; then a command fails as too large");
  add("limits.outcomes", limits, &limit_settings::outcomes, number{1, 1'000'000'000},
      "Most outcomes kept of commands to runs that are no longer live");
  add("limits.outcome_age", limits, &limit_settings::outcome_age, duration{1min, 24h * 365}, "How long they are kept");
  add("limits.code_advance", limits, &limit_settings::code_advance, duration{1ms, 10min},
      "Processor time that workflow code may take between two awaits; over it the run is paused");

  const auto eviction = &settings::eviction;
  add("eviction.enabled", eviction, &eviction_settings::enabled, "Whether idle workflows leave memory");
  add("eviction.idle", eviction, &eviction_settings::idle, duration{0ms, 24h},
      "How long a workflow has nothing to do before it leaves memory");

  add("timers.horizon", &settings::timers, &timer_settings::horizon, duration{1s, 24h},
      "Timers due within it are held in memory, later ones stay on disk");

  const auto journal = &settings::journal;
  add("journal.wal_limit", journal, &journal_settings::wal_limit, size{mebibytes(1), gibibytes(64)},
      "Size of the write-ahead log above which a checkpoint is made");
  add("journal.busy_timeout", journal, &journal_settings::busy_timeout, duration{0ms, 10min},
      "How long to wait for a lock of the database that another process holds");

  const auto kafka = &settings::kafka;
  add("kafka.brokers", kafka, &kafka_settings::brokers, length{0, 4096},
      "Brokers that hold the journal, host:port with commas between them; empty = the journal is SQLite in data.dir");
  add("kafka.namespace", kafka, &kafka_settings::name_space, length{1, 200},
      "What the names of the topics begin with, before a dot");
  add("kafka.durability", kafka, &kafka_settings::durability,
      "replicated: three copies of each topic, two of which have a record before it counts; single-broker: one");
  add("kafka.create_topics", kafka, &kafka_settings::create_topics, "Whether a node makes the topics that are missing");
  add("kafka.partitions", kafka, &kafka_settings::partitions, number{1, 1'000},
      "Partitions of a namespace whose topics are made now; of one that is there, its own number counts");
  add("kafka.standbys", kafka, &kafka_settings::standbys, number{0, 100},
      "Nodes that follow each partition besides its leader, ready to take over");
  add("kafka.session", kafka, &kafka_settings::session, duration{1s, 10min},
      "After so long without a heartbeat, by the log's clock, a node is gone and its partitions go to others");
  add("kafka.append_timeout", kafka, &kafka_settings::append_timeout, duration{100ms, 10min},
      "How long an append to the journal may take before its outcome is unknown");
  add("kafka.snapshot_dir", kafka, &kafka_settings::snapshot_dir, length{0, 4096},
      "Directory that all nodes share, for snapshots of what the journal has come to, below which it is trimmed; empty "
      "= "
      "no snapshots, and the journal grows for ever");
  add("kafka.snapshot_records", kafka, &kafka_settings::snapshot_records, number{1, 1'000'000'000},
      "Records of a partition's journal after which a snapshot is written");
  add("kafka.snapshot_bytes", kafka, &kafka_settings::snapshot_bytes, size{kibibytes(64), gibibytes(1024)},
      "Bytes of a partition's journal after which one is written, if that is sooner");
  add("kafka.snapshot_interval", kafka, &kafka_settings::snapshot_interval, duration{0ms, 24h},
      "Shortest time between two snapshots of a partition");
  add("kafka.snapshot_standby_limit", kafka, &kafka_settings::snapshot_standby_limit, number{0, 1'000'000'000},
      "Records behind the end, up to which the trimming waits for a standby; one that is further behind starts from a "
      "snapshot");

  add("step.timeout", &settings::step, &step_settings::timeout, duration{1ms, 24h * 365},
      "Timeout of a step that names none, from the start of its function");

  const auto retry = &settings::retry;
  add("retry.first_delay", retry, &retry_settings::first_delay, duration{0ms, 24h},
      "Delay before the second attempt of a step that names none");
  add("retry.factor", retry, &retry_settings::factor, real{1.0, 100.0},
      "What each delay is multiplied by for the next");
  add("retry.max_delay", retry, &retry_settings::max_delay, duration{0ms, 24h * 30}, "Longest delay between attempts");
  add("retry.max_attempts", retry, &retry_settings::max_attempts, number{1, 1'000'000},
      "Attempts of a step that names none, the first included");

  table.open.push_back(
      {"kafka.properties",
       "Properties of librdkafka for all its clients, as in \"security.protocol\" = \"SASL_SSL\"; values are secrets",
       [](settings& s) -> std::map<std::string, std::string>& { return s.kafka.properties; }});

  table.orders = {{"limits.payload", "limits.decision"},
                  {"limits.decision", "limits.batch"},
                  {"pool.children", "pool.threads"},
                  {"retry.first_delay", "retry.max_delay"}};
  return table;
}

template <class Row, class Name>
const setting* find_row(const std::vector<setting>& rows, const Row& is, const Name& name) {
  const auto row = std::find_if(rows.begin(), rows.end(), [&](const setting& s) { return is(s) == name; });
  return row == rows.end() ? nullptr : &*row;
}

template <class Spelling>
std::vector<std::string> all(const setting_table& table, const Spelling& spelling) {
  std::vector<std::string> names;
  names.reserve(table.rows.size());
  for (const auto& row : table.rows) names.emplace_back(spelling(row));
  return names;
}

}  // namespace

const setting* setting_table::find(std::string_view name) const {
  return find_row(rows, [](const setting& s) { return std::string_view(s.name); }, name);
}

const setting* setting_table::find_variable(std::string_view variable) const {
  return find_row(rows, [](const setting& s) { return s.variable(); }, variable);
}

const open_section* setting_table::find_open(std::string_view section) const {
  const auto found = std::find_if(open.begin(), open.end(), [&](const open_section& s) { return s.name == section; });
  return found == open.end() ? nullptr : &*found;
}

std::shared_ptr<const setting> setting_table::named(std::string_view name) const {
  if (const auto* row = find(name)) return {std::shared_ptr<const void>(), row};
  for (const auto& section : open)
    if (name.size() > section.name.size() && name.starts_with(section.name) && name[section.name.size()] == '.')
      if (const auto key = name.substr(section.name.size() + 1); is_key(key))
        return std::make_shared<const setting>(section.row(key));
  return nullptr;
}

std::shared_ptr<const setting> setting_table::of_variable(std::string_view variable) const {
  if (const auto* row = find_variable(variable)) return {std::shared_ptr<const void>(), row};
  for (const auto& section : open) {
    if (!variable.starts_with(section.variable())) continue;
    std::string key(variable.substr(section.variable().size()));
    for (auto& c : key) c = c == '_' ? '.' : c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
    if (is_key(key)) return std::make_shared<const setting>(section.row(key));
  }
  return nullptr;
}

setting open_section::row(std::string_view key) const {
  setting s{.name = name + "." + std::string(key),
            .kind = setting_kind::text,
            .doc = doc,
            .secret = true,
            .lines = true,
            .min = std::int64_t{0},
            .max = longest_open_value,
            .choices = {},
            .get = {},
            .set = {}};
  s.get = [at = at, k = std::string(key)](const settings& all) -> setting_value {
    auto copy = all;
    return at(copy)[k];
  };
  s.set = [at = at, k = std::string(key)](settings& all, const setting_value& value) {
    at(all)[k] = std::get<std::string>(value);
  };
  return s;
}

std::string open_section::variable() const { return variable_of(name + "."); }

bool setting_table::has_section(std::string_view section) const {
  return find_row(rows, [](const setting& s) { return s.section(); }, section) != nullptr;
}

bool setting_table::has_secrets() const {
  return !open.empty() || std::any_of(rows.begin(), rows.end(), [](const setting& s) { return s.secret; });
}

std::optional<std::string> setting_table::nearest_setting(std::string_view name) const {
  if (auto nearest = nearest_name(name, all(*this, [](const setting& s) { return s.name; }))) return nearest;
  // The right key in a wrong section, or in none.
  const auto key = nearest_name(name.substr(name.rfind('.') + 1), all(*this, [](const setting& s) { return s.key(); }));
  return key ? std::optional(find_row(rows, [](const setting& s) { return s.key(); }, *key)->name) : std::nullopt;
}

std::optional<std::string> setting_table::nearest_section(std::string_view section) const {
  return nearest_name(section, all(*this, [](const setting& s) { return s.section(); }));
}

std::optional<std::string> setting_table::nearest_variable(std::string_view variable) const {
  constexpr std::string_view prefix = "PAWL_";  // common to all: it must not make a short name seem near
  const auto rest = variable.substr(variable.starts_with(prefix) ? prefix.size() : 0);
  const auto names = all(*this, [](const setting& s) { return s.variable().substr(5); });
  const auto nearest = nearest_name(rest, names);
  return nearest ? std::optional(std::string(prefix) + *nearest) : std::nullopt;
}

const setting_table& pawl_settings() {
  static const setting_table table = make_table();
  return table;
}

}  // namespace pawl::config
