#include "broker/membership.hpp"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <optional>
#include <thread>

#include "broker/heartbeat_codec.hpp"

namespace pawl::broker {

namespace {

using namespace std::chrono_literals;
using steady = std::chrono::steady_clock;

/// How long the thread waits for a message; a change of this node is said within this.
constexpr auto read_wait = 20ms;
constexpr auto metadata_wait = 5'000ms;
constexpr auto longest_pause = 2'000ms;
constexpr auto last_beat_wait = 500ms;
/// Its own heartbeats come back every 300 ms; after so long without any message other clients are made, which ask for
/// the brokers anew.
constexpr auto longest_silence = 5'000ms;
/// A heartbeat that is not in the log by then is of no use any more.
constexpr auto useless_after = 2'000ms;
constexpr auto between_warnings = 5'000ms;

std::int64_t wall_ms() {
  return std::chrono::duration_cast<milliseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace

struct membership::state {
  state(membership_options o, membership& m) : options(std::move(o)), owner(m) {}

  void run();
  void step();
  void begin();
  void beat();
  void last_words();
  void read(const kafka_message& m);
  void warn_seldom(const std::string& text);
  void watch_clock(milliseconds offset, clock_state found);
  bool pause(milliseconds time);

  const membership_options options;
  membership& owner;
  // The thread's own.
  std::unique_ptr<kafka_reader> reader;
  std::unique_ptr<kafka_producer> producer;
  bool fresh = true;  // the fold has read nothing
  steady::time_point next_beat{};
  steady::time_point last_read{};
  steady::time_point told = steady::now() - between_warnings;
  bool told_replaced = false;
  clock_state told_clock = clock_state::right;
  steady::time_point clock_told_at{};

  std::atomic<bool> now{false};
  std::atomic<std::uint64_t> sent{0}, unsent{0}, heard{0}, garbage{0};
  std::mutex mutex;
  std::condition_variable woken;
  bool stopping = false;  // under the mutex
  std::thread thread;     // last: uses the above
};

void membership::state::run() {
  auto wait = 50ms;
  for (;;) {
    try {
      step();
      wait = 50ms;
      const std::lock_guard lock(mutex);
      if (stopping) break;
    } catch (const std::exception& e) {
      reader.reset();
      producer.reset();
      warn_seldom(std::string("the nodes of the cluster cannot be read, trying again: ") + e.what());
      if (pause(wait)) break;
      wait = std::min<milliseconds>(wait * 2, longest_pause);
    }
  }
  last_words();
  producer.reset();
}

void membership::state::last_words() {
  try {
    if (!producer) return;
    beat();
    producer->flush(last_beat_wait);
  } catch (const std::exception&) {
    // Nobody hears it: they learn it by its silence.
  }
}

void membership::state::step() {
  if (!reader) begin();
  if (steady::now() >= next_beat || now.exchange(false)) beat();
  producer->poll(0ms);
  for (const auto* m = reader->next(read_wait); m != nullptr; m = reader->next(0ms)) {
    read(*m);
    if (steady::now() >= next_beat) break;
  }
  if (steady::now() - last_read > longest_silence)
    throw std::runtime_error("nothing has come from " + options.topic +
                             " for 5 s, not even this node's own heartbeats");
}

// From the oldest heartbeat that is kept, or from where reading was broken off. A topic that ends below that was made
// anew: then nothing that was read counts.
void membership::state::begin() {
  reader = std::make_unique<kafka_reader>(options.client, options.topic, 0);
  const auto log = reader->offsets(metadata_wait);
  {
    const std::lock_guard lock(owner.mutex_);
    auto next = owner.ownership_->fold().next_offset();
    if (fresh || next > log.end || next < log.first) {
      if (!fresh && next > log.end)
        warn_seldom(options.topic + " has lost its end, or was made anew: it is read from its beginning");
      owner.ownership_ = std::make_unique<ownership>(options.node, options.incarnation, options.ownership, log.first);
      fresh = false;
      next = log.first;
    }
    reader->seek(next);
  }
  last_read = steady::now();
  producer = std::make_unique<kafka_producer>(
      options.client, kafka_producer::options{.give_up_after = useless_after, .topics = {options.topic}});
}

void membership::state::beat() {
  next_beat = steady::now() + heartbeat_interval;
  if (!producer->fatal().empty())
    producer = std::make_unique<kafka_producer>(
        options.client, kafka_producer::options{.give_up_after = useless_after, .topics = {options.topic}});
  auto h = options.report();
  h.sent_ms = options.wall_ms ? options.wall_ms() : wall_ms();
  {
    const std::lock_guard lock(owner.mutex_);
    h = owner.ownership_->sign(std::move(h));
  }
  try {
    producer->send(options.topic, 0, h.node, encode(h), [this](const kafka_producer::delivery& d) {
      ++(d.code == 0 ? sent : unsent);
      if (d.code != 0) warn_seldom("a heartbeat did not reach the log: " + d.message);
    });
  } catch (const kafka_error& e) {
    if (e.advice() != kafka_advice::again) throw;
    ++unsent;
  }
}

void membership::state::read(const kafka_message& m) {
  ++heard;
  last_read = steady::now();
  heartbeat h;
  std::string wrong;
  if (!decode(m.value, h, wrong)) {
    ++garbage;
    return warn_seldom(options.topic + " at offset " + std::to_string(m.offset) + " is no heartbeat: " + wrong);
  }
  std::string clash;
  std::optional<clock_offset> clock;
  {
    const std::lock_guard lock(owner.mutex_);
    const bool counted = owner.ownership_->read(m.offset, m.timestamp_ms, h);
    if (options.heard) options.heard(owner.ownership_->fold());
    const auto* self = owner.ownership_->fold().find(options.node);
    if (counted && self != nullptr && h.node == options.node && self->incarnation == options.incarnation)
      clock = self->clock;
    const auto& by = owner.ownership_->replaced_by();
    if (by && !told_replaced) {
      told_replaced = true;
      clash = "another process lives under this node's id " + options.node + ": incarnation " +
              std::to_string(by->incarnation) + (by->address.empty() ? "" : " at " + by->address) +
              "; if it is not this node started again, its data directory was copied: give it an empty one";
    }
  }
  if (!clash.empty() && options.replaced) options.replaced(clash);
  if (clock) watch_clock(clock->value(), clock->state());
}

// How far this node's clock is from the log's, which is what all nodes go by.
void membership::state::watch_clock(milliseconds offset, clock_state found) {
  const auto time = steady::now();
  const bool changed = found != told_clock;
  if (!changed && (found == clock_state::right || time - clock_told_at < between_clock_warnings)) return;
  told_clock = found;
  clock_told_at = time;
  if (!options.warn) return;
  const auto far = std::to_string(std::abs(offset.count())) + " ms " + (offset.count() > 0 ? "ahead of" : "behind") +
                   " the brokers'";
  switch (found) {
    case clock_state::right:
      return options.warn("this node's clock is right again: " + far);
    case clock_state::warns:
      return options.warn("this node's clock is " + far + ": timers here are off by as much, and above " +
                          std::to_string(clock_forbids.count() / 1000) +
                          " s it leads nothing; see to the machine's time service");
    case clock_state::forbids:
      return options.warn("this node's clock is " + far + ": it leads nothing until that is less than " +
                          std::to_string(clock_forbids.count() / 1000) + " s; see to the machine's time service");
  }
}

void membership::state::warn_seldom(const std::string& text) {
  if (!options.warn || steady::now() - told < between_warnings) return;
  told = steady::now();
  options.warn(text);
}

// True: it is to stop.
bool membership::state::pause(milliseconds time) {
  std::unique_lock lock(mutex);
  return woken.wait_for(lock, time, [this] { return stopping; });
}

membership::membership(membership_options o)
    : ownership_(std::make_unique<ownership>(o.node, o.incarnation, o.ownership)),
      state_(std::make_unique<state>(std::move(o), *this)) {
  state_->thread = std::thread([s = state_.get()] { s->run(); });
}

membership::~membership() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopping = true;
  }
  state_->woken.notify_all();
  state_->thread.join();
}

verdict membership::consider(std::int32_t partition, const journal_end& end) const {
  const std::lock_guard lock(mutex_);
  return ownership_->consider(partition, end);
}
bool membership::should_follow(std::int32_t partition) const {
  const std::lock_guard lock(mutex_);
  return ownership_->should_follow(partition);
}
void membership::refused(std::int32_t partition) {
  const std::lock_guard lock(mutex_);
  ownership_->refused(partition);
}
void membership::beat_now() { state_->now = true; }
bool membership::lives(engine::incarnation incarnation) const {
  const std::lock_guard lock(mutex_);
  for (const auto& [id, n] : ownership_->fold().nodes())
    if (n.live && n.incarnation == incarnation) return true;
  return false;
}
bool membership::has_others() const {
  const std::lock_guard lock(mutex_);
  const auto& all = ownership_->fold().nodes();
  return std::any_of(all.begin(), all.end(),
                     [this](const auto& n) { return n.first != ownership_->node() && n.second.may_lead(); });
}
membership_stats membership::stats() const {
  const auto& s = *state_;
  return {.sent = s.sent, .unsent = s.unsent, .read = s.heard, .garbage = s.garbage};
}

}  // namespace pawl::broker
