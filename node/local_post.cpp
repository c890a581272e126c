#include "node/local_post.hpp"

#include <chrono>
#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "broker/command_codec.hpp"
#include "broker/partitioner.hpp"
#include "store/outbox_reader.hpp"

namespace pawl::node {

namespace {

using namespace std::chrono_literals;
using clock_type = std::chrono::steady_clock;
using verdict = broker::command_verdict::kind;

constexpr auto idle_wait = 200ms;
constexpr auto busy_wait = 5ms;
constexpr auto retry_pause = 100ms;
/// Of messages that are only on disk.
constexpr std::size_t read_at_once = std::size_t{4} << 20;

}  // namespace

struct local_post::state : std::enable_shared_from_this<state> {
  state(local_post_options o, broker::outbox_desk& d) : options(std::move(o)), desk(d) {}

  struct letter {
    broker::outbox_desk::task task;
    broker::incoming_command command;
    std::string key;  // of its line; empty: of none
    clock_type::time_point not_before{};
  };
  using letter_ptr = std::shared_ptr<letter>;
  struct ended {
    letter_ptr what;
    broker::command_verdict verdict;
  };

  void run();
  void take_in(broker::outbox_desk::task t);
  std::string load(const broker::outbox_desk::task& t);
  void hand_in(const letter_ptr& l);
  void on_ended(const ended& e);
  void hand_in_due();
  void next_of(const std::string& key);

  const local_post_options options;
  broker::outbox_desk& desk;
  std::mutex mutex;
  bool stopping = false;         // under the mutex, as the next
  std::vector<ended> over;       // told by the engine
  // The thread's own.
  std::map<std::string, std::deque<letter_ptr>> lines;  // by workflow id; the first of each is under way
  std::vector<letter_ptr> later;  // refused for now
  std::uint64_t generation = 0;
  std::map<std::uint64_t, std::string> read;  // from the disk, in advance
  std::unique_ptr<store::outbox_reader> reader;
  std::thread thread;
};

void local_post::state::run() {
  bool trouble = false;
  for (;;) {
    std::vector<ended> news;
    {
      const std::lock_guard lock(mutex);
      if (stopping) return;
      news = std::exchange(over, {});
    }
    for (const auto& e : news) on_ended(e);
    hand_in_due();
    try {
      for (auto& t : desk.next(trouble || !later.empty() ? std::chrono::milliseconds(busy_wait) : idle_wait))
        take_in(std::move(t));
      trouble = false;
    } catch (const std::exception& e) {
      // The disk cannot be read: everything that is under way is taken up again.
      if (!std::exchange(trouble, true)) options.warn(std::string("messages between workflows wait: ") + e.what());
      reader.reset();
      desk.all_failed();
    }
  }
}

void local_post::state::take_in(broker::outbox_desk::task t) {
  auto bytes = t.message ? std::move(*t.message) : load(t);
  t.message.reset();
  auto l = std::make_shared<letter>();
  l->task = t;
  broker::outgoing_command m;
  if (!broker::unpack_message(bytes, m) || !m.key) {
    options.warn("message " + std::to_string(t.sending.number) + " of the outbox cannot be read, and is left out");
    return desk.acknowledged(t);
  }
  l->command.source = "outbox/" + std::to_string(t.sending.number);
  l->command.key = m.key;
  l->command.value = std::move(m.value);
  l->command.headers = std::move(m.headers);
  broker::node_command read_back;
  std::string wrong;
  const bool readable = broker::decode_command(l->command.value, read_back, wrong) == broker::command_readable::yes;
  const auto* asked = readable ? std::get_if<broker::asked_command>(&read_back) : nullptr;
  if (asked != nullptr && std::holds_alternative<engine::call_ended>(asked->command.body)) return hand_in(l);
  l->key = *m.key;
  auto& line = lines[l->key];
  line.push_back(l);
  if (line.size() == 1) hand_in(l);
}

// In advance: what comes next will be asked for next.
std::string local_post::state::load(const broker::outbox_desk::task& t) {
  if (generation != t.generation) {
    read.clear();
    reader.reset();
    generation = t.generation;
  }
  const auto number = t.sending.number;
  if (!read.contains(number)) {
    read.clear();
    if (!reader) reader = std::make_unique<store::outbox_reader>(options.directory);
    for (auto& row : reader->messages(t.to, number, read_at_once)) read[row.number] = std::move(row.message);
  }
  const auto it = read.find(number);
  if (it == read.end()) throw std::runtime_error("message " + std::to_string(number) + " is not in the outbox");
  auto out = std::move(it->second);
  read.erase(it);
  return out;
}

void local_post::state::hand_in(const letter_ptr& l) {
  options.handler(l->command, [self = shared_from_this(), l](broker::command_verdict v) {
    {
      const std::lock_guard lock(self->mutex);
      if (self->stopping) return;  // who waited for it may be gone
      self->over.push_back({l, std::move(v)});
    }
    self->desk.wake();
  });
}

void local_post::state::on_ended(const ended& e) {
  const auto& l = e.what;
  if (e.verdict.what == verdict::again || e.verdict.what == verdict::full) {
    l->not_before = clock_type::now() + retry_pause;
    later.push_back(l);
    return;
  }
  if (e.verdict.what == verdict::dead)
    options.warn("what was sent to workflow '" + l->command.key.value_or("") +
                 "' cannot be dealt with: " + e.verdict.detail);
  desk.acknowledged(l->task);
  options.want_batch();
  if (!l->key.empty()) next_of(l->key);
}

void local_post::state::next_of(const std::string& key) {
  const auto it = lines.find(key);
  if (it == lines.end()) return;
  it->second.pop_front();
  if (it->second.empty())
    lines.erase(it);
  else
    hand_in(it->second.front());
}

void local_post::state::hand_in_due() {
  const auto now = clock_type::now();
  std::vector<letter_ptr> due;
  for (const auto& l : later)
    if (l->not_before <= now) due.push_back(l);
  std::erase_if(later, [now](const auto& l) { return l->not_before <= now; });
  for (const auto& l : due) hand_in(l);
}

local_post::local_post(local_post_options o, broker::outbox_desk& desk)
    : state_(std::make_shared<state>(std::move(o), desk)) {
  state_->thread = std::thread([s = state_.get()] { s->run(); });
}

local_post::~local_post() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopping = true;
  }
  state_->desk.wake();
  state_->thread.join();
}

actors::mark_packer make_mark_packer(std::int32_t partition, std::int32_t partitions) {
  return [partition, partitions](const engine::type_mark& mark) {
    std::vector<store::outbox_row> out;
    const auto message =
        broker::pack_message(broker::make_command({}, broker::encode_command(broker::use_version_command{mark})));
    for (std::int32_t to = 0; to < partitions; ++to)
      if (to != partition) out.push_back({.to = to, .message = message});
    return out;
  };
}

actors::message_packer make_message_packer(std::int32_t partitions) {
  return [partitions](const engine::outgoing& o) {
    const auto value = broker::encode_command(
        broker::asked_command{.command = o.command, .closed_id = engine::closed_id_policy::reject, .target = {}});
    store::outbox_row row;
    row.to = broker::partition_of(o.workflow_id, partitions);
    row.message = broker::pack_message(broker::make_command(o.workflow_id, value));
    return row;
  };
}

}  // namespace pawl::node
