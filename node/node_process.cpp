#include "node/node_process.hpp"

#include "actors/node_system.hpp"
#include "broker/kafka_client.hpp"
#include "config/listing.hpp"
#include "config/setting.hpp"
#include "node/child_attempt.hpp"
#include "node/cli_target.hpp"
#include "node/cluster_door.hpp"
#include "node/cluster_node.hpp"
#include "node/command_reader.hpp"
#include "node/http_server.hpp"
#include "node/local_journal.hpp"
#include "node/local_post.hpp"
#include "node/random_id.hpp"
#include "node/settings_map.hpp"
#include "store/data_directory.hpp"
#include "store/embedded_journal.hpp"

#include <algorithm>
#include <filesystem>
#include <mutex>
#include <optional>
#include <thread>

namespace pawl::node {
namespace {

/// A node that starts waits so long for all partitions to have a leader before it says that it is up.
constexpr auto leader_patience = std::chrono::seconds(10);
/// For the partitions to be given up; meanwhile attempts run.
constexpr auto hand_over_patience = std::chrono::seconds(5);

store::embedded_options journal_options(const config::settings& s, const std::string& directory) {
  store::embedded_options o;
  o.directory = directory;
  o.wal_limit = s.journal.wal_limit.count;
  o.busy_timeout = s.journal.busy_timeout;
  o.outcome_age = s.limits.outcome_age;
  o.outcome_count = s.limits.outcomes;
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

http_options server_options(const config::settings& s, access_token token) {
  http_options o;
  o.token = std::move(token);
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
    auto o = to_node_options(settings);
    o.log = [log = options.log](log_level level, std::string_view text) { log.write_text(level, text); };
    o.run_in_child = make_child_runner(o.log, {.name = options.program});
    if (settings.kafka.brokers.empty())
      open_embedded(settings, std::move(o));
    else
      open_cluster(settings, std::move(o));
    server = std::make_unique<http_server>(*door, server_options(settings, token));
  }

  void open_embedded(const config::settings& settings, actors::node_options o) {
    journal = store::open_embedded(journal_options(settings, directory->path()));
    const auto open_view = [j = journal.get()] { return j->open_view(); };
    own_mail = std::make_unique<local_journal>(*journal);
    system = std::make_unique<actors::node_system>(options.types, std::move(o));
    system->lead({.number = local_partition,
                  .journal = *own_mail,
                  .may_exist = [j = journal.get()](std::string_view id) { return j->may_exist(id); },
                  .open_view = open_view,
                  .pack = make_message_packer(1),
                  .on_broken = [this](const std::string& why) { on_broken(why); }});
    post = std::make_unique<local_post>(
        local_post_options{
            .directory = directory->path(),
            .handler = make_command_handler(options.types, *system,
                                            {.engine = to_limits(settings), .value = largest_body(settings)}),
            .want_batch = [s = system.get()] { s->barrier(local_partition, [](bool) {}); },
            .warn = [log = options.log](
                        const std::string& text) { log.write(log_level::warn, "outbox", {{"text", text}}); }},
        own_mail->outbox());
    door = std::make_unique<api>(options.types, system.get(), open_view,
                                 door_options(options.configuration, directory->path()));
  }

  void open_cluster(const config::settings& settings, actors::node_options o) {
    if (std::filesystem::exists(store::database_file(directory->path())))
      throw store::store_error(store::database_file(directory->path()) +
                               " is a store of its own, made by a node without a broker: choose another data.dir, or "
                               "take kafka.brokers out of the configuration");
    o.incarnation = random_number();
    cluster = std::make_unique<cluster_node>(
        cluster_node_options{.types = options.types,
                             .settings = settings,
                             .directory = directory->path(),
                             .node_id = directory->node_id(),
                             .incarnation = o.incarnation,
                             .address = [this] { return address(); },
                             .log = options.log,
                             .on_fatal = [this](const std::string& why) { on_broken(why); }});
    o.partitions = cluster->partitions();
    o.partition_of = [c = cluster.get()](std::string_view id) { return c->partition_of(id); };
    o.on_orphan = [c = cluster.get()](const actors::orphan_end& end) { c->tell_end(end); };
    o.partition.word_patience = 2 * settings.kafka.session;
    system = std::make_unique<actors::node_system>(options.types, std::move(o));
    front = std::make_unique<cluster_door>(
        cluster_door_options{.types = options.types,
                             .system = *system,
                             .places = *cluster,
                             .api = door_options(options.configuration, directory->path()),
                             .token = token});
    auto of_door = door_options(options.configuration, directory->path());
    of_door.front = [f = front.get()](api_request& r, std::function<void(api_response)>& respond) {
      return f->take(r, respond);
    };
    of_door.count_cluster = [f = front.get()](bool whole, std::function<void(const cluster_counts&)> then) {
      f->count(whole, std::move(then));
    };
    const auto no_view = []() -> std::unique_ptr<store::view> {
      throw store::view_error("what is about workflows is answered by the partitions");
    };
    door = std::make_unique<api>(options.types, system.get(), no_view, std::move(of_door));
  }

  // Whoever asks a node that is up is not told that nobody leads, if that is only because it has just started.
  void join() {
    cluster->join(*system);
    const auto deadline = std::chrono::steady_clock::now() + leader_patience;
    const auto vacant = [this] {
      for (std::int32_t p = 0; p < cluster->partitions(); ++p)
        if (cluster->place(p).node.empty()) return true;
      return false;
    };
    while (vacant() && std::chrono::steady_clock::now() < deadline)
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    if (vacant()) options.log.write(log_level::warn, "not all partitions have a leader yet; this node goes on waiting");
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

  /// Nothing, or what is wrong. The others have to know the address before they are joined; callers on the socket find
  /// a node that leads, or knows who does.
  std::string listen() {
    if (const auto wanted = to_listen_address(options.configuration.values); !wanted.empty()) {
      if (auto wrong = server->listen_tcp(wanted); !wrong.empty()) return wrong;
      options.log.write(log_level::info, "listening", {{"address", server->address()}});
    }
    if (cluster) join();
    return server->listen_unix(directory->path() + "/pawl.sock");
  }
  std::string address() const { return to_advertised_address(options.configuration.values, server->address()); }

  node_process_options options;
  access_token token;
  mutable std::mutex mutex;
  std::string broken;
  bool has_stopped = false;
  // In the order in which each needs those before it; destroyed from the last to the first.
  std::optional<store::data_directory> directory;
  std::unique_ptr<store::embedded_journal> journal;  // where there is no broker, as the next and post
  std::unique_ptr<local_journal> own_mail;
  std::unique_ptr<cluster_node> cluster;  // where there is one
  std::unique_ptr<actors::node_system> system;
  std::unique_ptr<local_post> post;
  std::unique_ptr<cluster_door> front;  // of the cluster
  std::unique_ptr<api> door;
  std::unique_ptr<http_server> server;
};

node_process::node_process(std::unique_ptr<state> s) : state_(std::move(s)) {}

node_process::~node_process() {
  if (!state_->has_stopped) stop(std::chrono::milliseconds(0));
}

cli_result<std::unique_ptr<node_process>> node_process::start(node_process_options options) {
  const auto dir = options.configuration.values.data.dir;
  auto token = read_access_token(options.configuration.values.http);
  if (!token) return std::move(token).error();
  if (auto wrong = check_addresses(options.configuration.values)) return std::move(*wrong);
  auto s = std::make_unique<state>(std::move(options));
  s->token = std::move(token).value();
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
  if (const auto wrong = node->state_->listen(); !wrong.empty())
    return cli_error{exit_code::failed, config::printable(wrong), {}, {}};
  return node;
}

api& node_process::door() { return *state_->door; }
std::size_t node_process::running_attempts() const { return state_->system->running_attempts(); }
const std::string& node_process::directory() const { return state_->directory->path(); }
std::string node_process::address() const { return state_->address(); }
std::string node_process::socket() const { return directory() + "/pawl.sock"; }

std::string node_process::broken() const {
  const std::lock_guard lock(state_->mutex);
  return state_->broken;
}

node_process::stopped node_process::stop(std::chrono::milliseconds grace, const std::function<bool()>& hurry) {
  auto& s = *state_;
  s.has_stopped = true;
  s.door->stop();
  if (s.front) s.front->stop();
  // Others go on at once. Attempts get their grace here, and how they end goes to whoever leads then.
  if (s.cluster && s.cluster->has_others()) s.cluster->hand_over(hand_over_patience);
  s.post.reset();
  const auto drained = s.system->drain(grace, hurry);
  if (s.cluster) s.cluster->stop();
  s.server->stop();
  s.server.reset();
  s.door.reset();
  s.front.reset();
  s.system.reset();
  s.cluster.reset();
  s.own_mail.reset();
  s.journal.reset();
  return {drained.interrupted, drained.hung};
}

}  // namespace pawl::node
