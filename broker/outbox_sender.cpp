#include "broker/outbox_sender.hpp"

#include <librdkafka/rdkafka.h>

#include <atomic>
#include <map>
#include <thread>

#include "store/outbox_reader.hpp"

namespace pawl::broker {

namespace {

using namespace std::chrono_literals;

constexpr auto idle_wait = 200ms;
constexpr auto busy_wait = 5ms;
constexpr auto first_pause = 100ms;
constexpr auto longest_pause = 5'000ms;
/// Of messages that are only in the view.
constexpr std::size_t read_at_once = std::size_t{4} << 20;

using place = std::pair<std::int32_t, std::uint64_t>;  // to, number

bool refused_for_good(int code) {
  return code == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE || code == RD_KAFKA_RESP_ERR_INVALID_RECORD ||
         code == RD_KAFKA_RESP_ERR_INVALID_MSG || code == RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE;
}

}  // namespace

struct outbox_sender::state {
  state(outbox_sender_options o, outbox_desk& d) : options(std::move(o)), desk(d) {}

  void run();
  void session();
  void send(kafka_producer& producer, outbox_desk::task t);
  store::outbox_row load(const outbox_desk::task& t);
  outgoing_command stub_of(const outgoing_command& m, const std::string& why) const;
  void warn(const std::string& text) const {
    if (options.warn) options.warn("outbox of partition " + std::to_string(options.partition) + ": " + text);
  }

  const outbox_sender_options options;
  outbox_desk& desk;
  std::atomic<bool> stopping{false};
  // The thread's own.
  std::map<place, std::string> refused;  // to be sent as a stub, and why
  std::map<place, store::outbox_row> read;  // from the view, in advance
  std::uint64_t generation = 0;  // of what was read
  std::unique_ptr<store::outbox_reader> view;
  std::string failure;  // of the session
  bool progress = false;
  std::thread thread;
};

void outbox_sender::state::run() {
  auto pause = std::chrono::milliseconds(first_pause);
  while (!stopping) {
    progress = false;
    failure.clear();
    try {
      session();
    } catch (const std::exception& e) {
      failure = e.what();
    }
    if (stopping) return;
    desk.all_failed();
    if (progress) pause = first_pause;
    warn("it is sent again in " + std::to_string(pause.count()) + " ms: " + failure);
    const auto until = std::chrono::steady_clock::now() + pause;
    while (!stopping && std::chrono::steady_clock::now() < until) std::this_thread::sleep_for(busy_wait);
    pause = std::min<std::chrono::milliseconds>(pause * 2, longest_pause);
  }
}

// Until something fails.
void outbox_sender::state::session() {
  std::unique_ptr<kafka_producer> producer;
  while (!stopping) {
    const bool idle = !producer || producer->waiting() == 0;
    for (auto& t : desk.next(idle ? idle_wait : 0ms)) {
      if (!producer)
        producer = std::make_unique<kafka_producer>(
            options.client, kafka_producer::options{.give_up_after = 0ms, .gapless = true, .topics = {options.topic}});
      send(*producer, std::move(t));
    }
    if (!producer) continue;
    producer->poll(busy_wait);
    if (failure.empty()) failure = producer->fatal();
    if (!failure.empty()) return;
  }
}

void outbox_sender::state::send(kafka_producer& producer, outbox_desk::task t) {
  auto row = t.message ? store::outbox_row{.to = t.to,
                                           .number = t.sending.number,
                                           .reign = t.reign,
                                           .message = std::move(*t.message)}
                       : load(t);
  t.message.reset();
  outgoing_command m;
  if (!unpack_message(row.message, m)) refused[{t.to, row.number}] = "it cannot be read in the journal";
  const auto why = refused.find({t.to, row.number});
  if (why != refused.end()) m = stub_of(m, why->second);
  m.headers.emplace_back(outbox_header, to_text(outbox_place{options.partition, row.number, row.reign}));
  const kafka_producer::headers headers(m.headers.begin(), m.headers.end());
  const place at{t.to, row.number};
  try {
    producer.send(
        options.topic, t.to, m.key, m.value,
        [this, t, at](const kafka_producer::delivery& d) {
          if (d.code == 0) {
            progress = true;
            if (refused.erase(at) > 0) desk.count_stub();
            return desk.acknowledged(t);
          }
          if (refused_for_good(d.code)) refused[at] = d.message;
          if (failure.empty()) failure = d.message;
        },
        headers);
  } catch (const kafka_error& e) {
    if (refused_for_good(e.code())) refused[at] = e.what();
    throw;
  }
}

// In advance: what comes next to the same partition will be asked for next.
store::outbox_row outbox_sender::state::load(const outbox_desk::task& t) {
  if (generation != t.generation) {
    read.clear();
    view.reset();
    generation = t.generation;
  }
  const place at{t.to, t.sending.number};
  if (!read.contains(at)) {
    read.erase(read.lower_bound({t.to, 0}), read.lower_bound({t.to + 1, 0}));
    if (!view) view = std::make_unique<store::outbox_reader>(options.directory);
    for (auto& row : view->messages(t.to, t.sending.number, read_at_once)) read[{t.to, row.number}] = std::move(row);
  }
  const auto it = read.find(at);
  if (it == read.end())
    throw std::runtime_error("message " + std::to_string(t.sending.number) + " to partition " + std::to_string(t.to) +
                             " is not in the view");
  auto row = std::move(it->second);
  read.erase(it);
  return row;
}

outgoing_command outbox_sender::state::stub_of(const outgoing_command& m, const std::string& why) const {
  const auto* origin = find_header(m.headers, origin_header);
  const auto from = origin != nullptr ? *origin : options.topic + "/" + std::to_string(options.partition);
  warn("what came from " + from + " goes as a stub: " + why);
  return {.key = {}, .value = {}, .headers = {{std::string(stub_header), from + ": " + why}}};
}

outbox_sender::outbox_sender(outbox_sender_options o, outbox_desk& desk)
    : state_(std::make_unique<state>(std::move(o), desk)) {
  state_->thread = std::thread([s = state_.get()] { s->run(); });
}

outbox_sender::~outbox_sender() {
  state_->stopping = true;
  state_->desk.wake();
  state_->thread.join();
}

}  // namespace pawl::broker
