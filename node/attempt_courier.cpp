#include "node/attempt_courier.hpp"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>

#include "broker/command_codec.hpp"

namespace pawl::node {

namespace {

using namespace std::chrono_literals;

/// Before what could not be sent is sent again.
constexpr auto pause = 250ms;

struct parcel {
  std::int32_t partition = 0;
  broker::outgoing_command message;
  std::optional<actors::orphan_end> end{};  // none: it is a list of what is held
};

parcel parcel_of(const actors::orphan_end& e, engine::incarnation incarnation) {
  return {.partition = e.partition,
          .message = broker::make_command(
              e.workflow_id,
              broker::encode_command(broker::attempt_result{
                  .run = e.id.uid, .key = e.id.key, .incarnation = incarnation, .end = e.end, .details = e.details})),
          .end = e};
}

// What the brokers will never take (too large, say) ends otherwise: the step must not wait for it.
parcel refused(const actors::orphan_end& e, engine::incarnation incarnation, const std::string& why) {
  auto other = e;
  other.end.end = engine::attempt_end::failed;
  other.end.result.clear();
  other.details.reset();
  other.end.error = engine::failure{
      .code = "result_not_delivered",
      .message =
          "the attempt ended on a node that leads its partition no more, and the brokers refused the message "
          "that says how: " +
          why};
  return parcel_of(other, incarnation);
}

}  // namespace

// The sender goes first, and tells what waits that nobody knows; nothing is sent again then.
struct attempt_courier::state {
  explicit state(attempt_courier_options o) : options(std::move(o)), sender(options.sender) {}

  void send(std::shared_ptr<parcel> p) {
    auto message = p->message;
    const auto partition = p->partition;
    const auto taken =
        sender.send(std::move(message), [this, p](const broker::sent_command& s) { on_sent(p, s); }, partition);
    if (!taken) again(std::move(p));
  }

  void on_sent(const std::shared_ptr<parcel>& p, const broker::sent_command& s) {
    if (!s.there()) {
      if (s.for_good && p->end && p->end->end.error.value_or(engine::failure{}).code != "result_not_delivered")
        *p = refused(*p->end, options.incarnation, s.error);
      if (options.warn)
        options.warn("what became of an attempt of partition " + std::to_string(p->partition) +
                     " could not be told, trying again: " + s.error);
      return again(p);
    }
    if (p->end) options.delivered(p->partition, p->end->id);
    {
      const std::lock_guard lock(mutex);
      --open;
    }
    changed.notify_all();
  }

  void again(std::shared_ptr<parcel> p) {
    {
      const std::lock_guard lock(mutex);
      waiting.emplace_back(std::chrono::steady_clock::now() + pause, std::move(p));
    }
    changed.notify_all();
  }

  void take(parcel p) {
    {
      const std::lock_guard lock(mutex);
      ++open;
    }
    send(std::make_shared<parcel>(std::move(p)));
  }

  void run() {
    std::unique_lock lock(mutex);
    while (!stopping) {
      if (waiting.empty()) {
        changed.wait(lock);
        continue;
      }
      if (waiting.front().first > std::chrono::steady_clock::now()) {
        changed.wait_until(lock, waiting.front().first);
        continue;
      }
      auto p = std::move(waiting.front().second);
      waiting.pop_front();
      lock.unlock();
      send(std::move(p));
      lock.lock();
    }
  }

  const attempt_courier_options options;
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::pair<std::chrono::steady_clock::time_point, std::shared_ptr<parcel>>> waiting;
  std::size_t open = 0;  // not in the log yet
  bool stopping = false;
  broker::command_sender sender;  // after what its callbacks use
  std::thread thread{[this] { run(); }};
};

attempt_courier::attempt_courier(attempt_courier_options o) : state_(std::make_unique<state>(std::move(o))) {}

attempt_courier::~attempt_courier() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopping = true;
  }
  state_->changed.notify_all();
  state_->thread.join();
}

void attempt_courier::tell_end(const actors::orphan_end& end) {
  state_->take(parcel_of(end, state_->options.incarnation));
}

void attempt_courier::tell_held(std::int32_t partition, std::uint64_t epoch,
                                const std::vector<actors::attempt_id>& held) {
  broker::held_attempts list{.epoch = epoch, .incarnation = state_->options.incarnation};
  for (const auto& id : held)
    list.list.push_back({.run = id.uid, .key = id.key, .step = id.step, .undo = id.undo, .attempt = id.attempt});
  state_->take({.partition = partition, .message = broker::make_command(std::nullopt, broker::encode_command(list))});
}

bool attempt_courier::flush(std::chrono::milliseconds patience) {
  std::unique_lock lock(state_->mutex);
  return state_->changed.wait_for(lock, patience, [this] { return state_->open == 0; });
}

}  // namespace pawl::node
