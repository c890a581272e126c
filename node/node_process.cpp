#include "node/node_process.hpp"

#include "actors/node_system.hpp"
#include "broker/command_intake.hpp"
#include "broker/feed_publisher.hpp"
#include "broker/kafka_journal.hpp"
#include "broker/topics.hpp"
#include "config/listing.hpp"
#include "config/setting.hpp"
#include "node/child_attempt.hpp"
#include "node/cli_target.hpp"
#include "node/command_reader.hpp"
#include "node/feed_json.hpp"
#include "node/http_server.hpp"
#include "node/random_id.hpp"
#include "node/settings_map.hpp"
#include "store/data_directory.hpp"
#include "store/embedded_journal.hpp"

#include <algorithm>
#include <mutex>
#include <optional>

namespace pawl::node {
namespace {

/// What is in the journal when the node stops is published within this, or by whoever leads next.
constexpr auto feed_grace = std::chrono::seconds(2);
/// For commands under way to be dealt with, before the node refuses what is new.
constexpr auto command_grace = std::chrono::seconds(1);

store::embedded_options journal_options(const config::settings& s, const std::string& directory) {
  store::embedded_options o;
  o.directory = directory;
  o.wal_limit = s.journal.wal_limit.count;
  o.busy_timeout = s.journal.busy_timeout;
  o.outcome_age = s.limits.outcome_age;
  o.outcome_count = s.limits.outcomes;
  o.truth = s.kafka.brokers.empty();
  return o;
}

api_options door_options(const config::loaded& c, const std::string& directory) {
  api_options o;
  o.version = PAWL_VERSION;
  o.data_dir = directory;
  o.configuration = config::list(c);
  o.limits = to_limits(c.values);
  o.outcome_age = c.values.limits.outcome_age;
  o.waiting = c.values.limits.waiters;
  return o;
}

// JSON takes more room than the msgpack that the limit is about: escapes, base64, names.
std::size_t largest_body(const config::settings& s) {
  constexpr std::size_t around_the_input = 64 * 1024;
  return s.limits.payload.count * 4 + around_the_input;
}

http_options server_options(const config::settings& s) {
  http_options o;
  o.max_body = std::max<std::size_t>(o.max_body, largest_body(s));
  return o;
}

}  // namespace

struct node_process::state {
  explicit state(node_process_options o) : options(std::move(o)) {}

  void open() {
    const auto& settings = options.configuration.values;
    directory.emplace(settings.data.dir);
    if (directory->in_memory())
      options.log.write(log_level::warn,
                        "the data directory is on a file system in memory: it does not survive the machine",
                        {{"data", directory->path()}});
    view = store::open_embedded(journal_options(settings, directory->path()));
    if (!settings.kafka.brokers.empty()) journal = open_in_kafka(settings);
    auto o = to_node_options(settings);
    const auto open_view = [v = view.get()] { return v->open_view(); };
    o.open_view = open_view;
    o.log = [log = options.log](log_level level, std::string_view text) { log.write_text(level, text); };
    o.run_in_child = make_child_runner(o.log, {.name = options.program});
    o.on_broken = [this](const std::string& why) { on_broken(why); };
    system = std::make_unique<actors::node_system>(
        options.types, journal ? static_cast<store::journal&>(*journal) : *view,
        [v = view.get()](std::string_view id) { return v->may_exist(id); }, std::move(o));
    if (journal) start_feed(settings);
    door = std::make_unique<api>(options.types, system.get(), open_view,
                                 door_options(options.configuration, directory->path()));
    server = std::make_unique<http_server>(*door, server_options(settings));
    if (journal) start_commands(settings);
  }

  std::function<void(int, std::string_view)> kafka_log() const {
    return [log = options.log](int severity, std::string_view text) {
      constexpr int warning = 4;  // of syslog
      log.write(severity <= warning ? log_level::warn : log_level::debug, "kafka", {{"text", std::string(text)}});
    };
  }

  // The topics first: on one that is set up otherwise the journal would lose what it has acknowledged.
  std::unique_ptr<broker::kafka_journal> open_in_kafka(const config::settings& settings) {
    const auto client = to_kafka_options(settings, kafka_log());
    const auto topics = to_topic_options(settings);
    const auto say_made = [&](const std::string& name) {
      options.log.write(log_level::info, "topic made", {{"topic", name}});
    };
    const auto found = settings.kafka.create_topics ? broker::ensure_topics(client, topics, say_made)
                                                    : broker::check_topics(client, topics);
    if (!found.empty())
      throw store::store_error(
          "topic " + found.front().topic + " " + found.front().what + ": " + found.front().mend +
          (found.size() > 1 ? " (and " + std::to_string(found.size() - 1) + " more; see `topics check`)" : ""));
    broker::kafka_journal_options o;
    o.client = client;
    o.topic = topics.name_space + ".journal";
    o.who = {.node_id = directory->node_id(), .incarnation = random_number(), .reads_format = broker::journal_format};
    o.append_timeout = settings.kafka.append_timeout;
    o.warn = [log = options.log](const std::string& text) { log.write(log_level::warn, "journal", {{"text", text}}); };
    o.progress = [log = options.log](const broker::catch_up_progress& p) {
      const auto all = std::max<std::int64_t>(1, p.end - p.from);
      log.write(log_level::info, p.anew ? "building the view anew" : "catching up",
                {{"offset", std::to_string(p.offset)},
                 {"end", std::to_string(p.end)},
                 {"percent", std::to_string((p.offset - p.from) * 100 / all)}});
    };
    return broker::open_kafka_journal(std::move(o), *view);
  }

  void start_feed(const config::settings& settings) {
    broker::feed_options o;
    o.client = to_kafka_options(settings, kafka_log());
    o.name_space = to_topic_options(settings).name_space;
    o.render = [types = &options.types](const broker::feed_event& e) { return present_for_feed(e, *types); };
    o.find_run = [v = std::shared_ptr<store::view>(view->open_view())](engine::run_key key) {
      const auto row = v->get(key);
      return row ? std::optional(row->header) : std::nullopt;
    };
    o.warn = [log = options.log](const std::string& text) { log.write(log_level::warn, "feed", {{"text", text}}); };
    feed = std::make_unique<broker::feed_publisher>(std::move(o), *journal);
  }

  void start_commands(const config::settings& settings) {
    broker::command_intake_options o;
    o.client = to_kafka_options(settings, kafka_log());
    const auto name_space = to_topic_options(settings).name_space;
    o.topic = name_space + ".commands";
    o.dead_letters = name_space + ".dlq";
    o.warn = [log = options.log](const std::string& text) { log.write(log_level::warn, "commands", {{"text", text}}); };
    const command_limits limits{.engine = to_limits(settings), .value = largest_body(settings)};
    commands = std::make_unique<broker::command_intake>(std::move(o), *journal,
                                                        make_command_handler(options.types, *system, limits));
  }

  void on_broken(const std::string& why) {
    {
      const std::lock_guard lock(mutex);
      if (!broken.empty()) return;
      broken = why.empty() ? "the journal cannot be written" : why;
    }
    options.log.write(log_level::error, "the journal is broken: the node stops", {{"error", why}});
    if (options.on_broken) options.on_broken();
  }

  node_process_options options;
  mutable std::mutex mutex;
  std::string broken;
  bool has_stopped = false;
  // In the order in which each needs those before it; destroyed from the last to the first.
  std::optional<store::data_directory> directory;
  std::unique_ptr<store::embedded_journal> view;    // the truth itself where there is no broker
  std::unique_ptr<broker::kafka_journal> journal;   // the truth where there is one
  std::unique_ptr<actors::node_system> system;
  std::unique_ptr<broker::feed_publisher> feed;  // of the journal
  std::unique_ptr<broker::command_intake> commands;  // into the system, and told to the journal
  std::unique_ptr<api> door;
  std::unique_ptr<http_server> server;
};

node_process::node_process(std::unique_ptr<state> s) : state_(std::move(s)) {}

node_process::~node_process() {
  if (!state_->has_stopped) stop(std::chrono::milliseconds(0));
}

cli_result<std::unique_ptr<node_process>> node_process::start(node_process_options options) {
  const auto dir = options.configuration.values.data.dir;
  auto s = std::make_unique<state>(std::move(options));
  try {
    s->open();
  } catch (const std::exception& e) {
    // What the store says names the file and the mend.
    const bool taken = !s->directory && store::data_directory::holder(dir).has_value();
    if (dynamic_cast<const broker::kafka_error*>(&e) != nullptr)
      return cli_error{exit_code::unavailable,
                       config::printable(e.what()),
                       "See that the brokers of kafka.brokers are up and can be reached",
                       {}};
    return cli_error{taken ? exit_code::conflict : exit_code::failed, config::printable(e.what()), {}, {}};
  }
  std::unique_ptr<node_process> node(new node_process(std::move(s)));
  if (const auto wrong = node->state_->server->listen_unix(node->socket()); !wrong.empty())
    return cli_error{exit_code::failed, config::printable(wrong), {}, {}};
  return node;
}

api& node_process::door() { return *state_->door; }
std::size_t node_process::running_attempts() const { return state_->system->running_attempts(); }
const std::string& node_process::directory() const { return state_->directory->path(); }
std::string node_process::socket() const { return directory() + "/pawl.sock"; }

std::string node_process::broken() const {
  const std::lock_guard lock(state_->mutex);
  return state_->broken;
}

node_process::stopped node_process::stop(std::chrono::milliseconds grace, const std::function<bool()>& hurry) {
  auto& s = *state_;
  s.has_stopped = true;
  s.door->stop();
  if (s.commands) s.commands->stop(std::min<std::chrono::milliseconds>(grace, command_grace));
  s.commands.reset();
  const auto drained = s.system->drain(grace, hurry);
  s.server->stop();
  s.server.reset();
  s.door.reset();
  s.system.reset();
  // After the last append, and before the release, which says how far it has come.
  if (s.feed) s.feed->stop(feed_grace);
  s.feed.reset();
  if (s.journal) s.journal->release();
  s.journal.reset();
  s.view.reset();
  return {drained.interrupted, drained.hung};
}

}  // namespace pawl::node
