#include "broker/command_sender.hpp"

#include <librdkafka/rdkafka.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "broker/command_codec.hpp"
#include "broker/partitioner.hpp"

namespace pawl::broker {

namespace {

using namespace std::chrono_literals;
using steady = std::chrono::steady_clock;

/// What gathers while commands are on their way waits for them, at most so long, and goes out together.
constexpr auto together_wait = 5ms;

sent_command outcome_of(const kafka_producer::delivery& d) {
  sent_command s{.partition = d.partition, .offset = d.offset, .unknown = d.unknown, .error = d.message};
  if (d.code != 0 && s.error.empty()) s.error = "it is not known whether it was written";
  s.for_good = d.code == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE || d.code == RD_KAFKA_RESP_ERR_INVALID_RECORD ||
               d.code == RD_KAFKA_RESP_ERR_INVALID_MSG;
  return s;
}

}  // namespace

outgoing_command make_command(std::optional<std::string> key, std::string value) {
  return {.key = std::move(key), .value = std::move(value), .headers = {{"content-type", std::string(msgpack_type)}}};
}

struct command_sender::state {
  struct entry {
    outgoing_command what;
    sent done;
    std::int32_t partition;
    std::size_t bytes() const { return what.value.size() + (what.key ? what.key->size() : 0); }
  };

  explicit state(command_sender_options o) : options(std::move(o)) {}

  void run();
  bool take(std::deque<entry>& into);
  void write(const std::shared_ptr<entry>& e);
  void finish(const entry& e, const sent_command& s);

  const command_sender_options options;
  std::unique_ptr<kafka_producer> producer;  // the thread's

  mutable std::mutex mutex;  // guards what follows
  std::condition_variable woken;
  std::deque<entry> queue;
  std::size_t count = 0;  // queued or written and not acknowledged
  std::size_t bytes = 0;
  bool stopping = false;
  std::thread thread;
};

void command_sender::state::run() {
  std::deque<entry> batch;
  while (take(batch)) {
    for (auto& e : batch) write(std::make_shared<entry>(std::move(e)));
    batch.clear();
    const auto until = steady::now() + together_wait;
    for (auto now = steady::now(); producer && producer->waiting() > 0 && now < until; now = steady::now())
      producer->poll(std::chrono::ceil<std::chrono::milliseconds>(until - now));
  }
  // Its end calls back, with `unknown`, what it has not delivered.
  producer.reset();
  for (const auto& e : batch) finish(e, {.unknown = false, .error = "the sender was stopped"});
}

// False: it is to stop, and what was queued is in `into`.
bool command_sender::state::take(std::deque<entry>& into) {
  std::unique_lock lock(mutex);
  if (count == 0) woken.wait(lock, [this] { return count > 0 || stopping; });
  into.swap(queue);
  return !stopping;
}

void command_sender::state::write(const std::shared_ptr<entry>& e) {
  try {
    if (!producer || !producer->fatal().empty()) {
      producer.reset();
      producer = std::make_unique<kafka_producer>(
          options.client, kafka_producer::options{.give_up_after = options.give_up_after, .topics = {options.topic}});
    }
    const kafka_producer::headers headers(e->what.headers.begin(), e->what.headers.end());
    producer->send(
        options.topic, e->partition, e->what.key, e->what.value,
        [this, e](const kafka_producer::delivery& d) { finish(*e, outcome_of(d)); }, headers);
  } catch (const kafka_error& x) {
    finish(*e, {.for_good = x.code() == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, .error = x.what()});
  }
}

void command_sender::state::finish(const entry& e, const sent_command& s) {
  if (e.done) e.done(s);
  const std::lock_guard lock(mutex);
  --count;
  bytes -= e.bytes();
  woken.notify_all();
}

command_sender::command_sender(command_sender_options o) : state_(std::make_unique<state>(std::move(o))) {
  state_->thread = std::thread([s = state_.get()] { s->run(); });
}

command_sender::~command_sender() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopping = true;
  }
  state_->woken.notify_all();
  state_->thread.join();
}

bool command_sender::send(outgoing_command c, sent done, std::optional<std::int32_t> partition) {
  auto& s = *state_;
  const auto to = partition ? *partition : partition_of(c.key.value_or(std::string()), s.options.partitions);
  state::entry e{.what = std::move(c), .done = std::move(done), .partition = to};
  const std::lock_guard lock(s.mutex);
  if (s.stopping || s.count >= s.options.most_waiting || s.bytes + e.bytes() > s.options.most_bytes) return false;
  ++s.count;
  s.bytes += e.bytes();
  s.queue.push_back(std::move(e));
  s.woken.notify_all();
  return true;
}

bool command_sender::flush(std::chrono::milliseconds patience) {
  std::unique_lock lock(state_->mutex);
  return state_->woken.wait_for(lock, patience, [this] { return state_->count == 0; });
}

std::size_t command_sender::waiting() const {
  const std::lock_guard lock(state_->mutex);
  return state_->count;
}

}  // namespace pawl::broker
