#include "broker/command_intake.hpp"

#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <utility>

#include "broker/outbox_desk.hpp"

namespace pawl::broker {

namespace {

using namespace std::chrono_literals;
using steady = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr auto metadata_wait = 3'000ms;
/// How long the thread waits for a message: while verdicts may come, and while none can.
constexpr auto busy_wait = 3ms;
constexpr auto idle_wait = 100ms;
constexpr auto dead_letter_timeout = 10'000ms;
/// A flood of garbage is one line a second in the log, not one a message.
constexpr auto between_warnings = 1'000ms;

/// Not within a character of UTF-8, if it is that.
std::string cut(std::string text, std::size_t most) {
  if (text.size() <= most) return text;
  while (most > 0 && (static_cast<unsigned char>(text[most]) & 0xc0U) == 0x80) --most;
  text.resize(most);
  return text;
}

/// Where verdicts wait for the thread. Outlives the intake for as long as anybody may still call `done`.
struct verdict_box {
  struct entry {
    std::uint64_t reading;
    std::int64_t offset;
    command_verdict verdict;
  };
  std::mutex mutex;
  std::condition_variable arrived;
  std::vector<entry> entries;

  void put(entry e) {
    {
      const std::lock_guard lock(mutex);
      entries.push_back(std::move(e));
    }
    arrived.notify_one();
  }
  std::vector<entry> take() {
    const std::lock_guard lock(mutex);
    return std::exchange(entries, {});
  }
};

/// The offsets of one key whose turn has not passed; the first is the one under way.
struct key_line {
  std::string key;
  std::deque<std::int64_t> offsets{};
  std::size_t in_memory = 0;
};

/// One command that is read and not dealt with.
struct under_way {
  enum class stage : std::uint8_t {
    queued,  ///< behind an earlier one of its key
    parked,  ///< ... so many of them that it is to be read again
    handed_in,
    pausing,  ///< is to be handed in again
    dying,  ///< is to be sent to the dead letters
    sent,  ///< ... and is
    gone,  ///< nothing more has to be said about it
  };
  std::shared_ptr<const incoming_command> message{};  ///< null: parked
  std::shared_ptr<key_line> line{};  ///< null: it waits for nobody
  std::int32_t to = -1;  ///< another partition that it is forwarded to
  std::size_t bytes = 0;
  stage at = stage::queued;
  milliseconds delay{0};
  steady::time_point due{};
  command_verdict verdict{};
  std::size_t cut_at = largest_dead_letter;
};

std::size_t bytes_of(const incoming_command& m) {
  auto bytes = m.value.size() + (m.key ? m.key->size() : 0) + m.source.size();
  for (const auto& [name, value] : m.headers) bytes += name.size() + value.size();
  return bytes;
}

}  // namespace

struct command_intake::state {
  state(command_intake_options o, kafka_journal& j, command_handler h)
      : options(std::move(o)),
        name(options.topic + "/" + std::to_string(options.partition)),
        journal(j),
        handler(std::move(h)) {}

  using table = std::map<std::int64_t, under_way>;

  void run();
  void step();
  void begin_anew();
  void read_on();
  void take(const kafka_message& m);
  std::shared_ptr<incoming_command> copy_of(const kafka_message& m, const kafka_reader& from) const;
  bool route(const incoming_command& m, under_way& c);
  void stand_in_line(std::int64_t offset, under_way& c);
  bool fetch_parked(key_line& line);
  bool forward(std::int64_t offset, under_way& c);
  void sweep();
  void pass_hole(std::int64_t end);
  void take_verdicts();
  void judge(under_way& c, command_verdict v);
  void hand_in(std::int64_t offset, under_way& c);
  void do_what_is_due();
  void pass_turn(const under_way& c);
  void send_to_dead_letters(std::int64_t offset, under_way& c);
  void dead_letter_delivered(std::int64_t offset, const kafka_producer::delivery& d);
  void finish(table::iterator c);
  void pause(under_way& c, under_way::stage at);
  void wait();
  void show();
  void last_words();
  void warn_seldom(const std::string& text);
  bool full() const {
    return commands.size() - parked >= most_commands_under_way || bytes >= most_bytes_under_way ||
           parked >= most_parked_commands || steady::now() < leader_full_until;
  }
  bool leads() const { return journal.stats().leading && !journal.commands_unread(); }
  void warn(const std::string& text) const {
    if (options.warn) options.warn(name + ": " + text);
  }

  const command_intake_options options;
  const std::string name;
  kafka_journal& journal;
  const command_handler handler;
  const std::shared_ptr<verdict_box> verdicts = std::make_shared<verdict_box>();

  // The thread's own.
  std::unique_ptr<kafka_reader> reader;
  std::unique_ptr<kafka_producer> producer;
  std::int64_t next = -1;  // offset that is expected next; -1: ask the journal
  std::uint64_t reading = 0;  // verdicts of an earlier one say nothing
  table commands;  // by offset
  std::unordered_map<std::string, std::shared_ptr<key_line>> lines;  // by key
  std::vector<std::int64_t> gone;  // to be taken out of the table
  std::size_t bytes = 0;
  std::size_t parked = 0;
  std::unique_ptr<kafka_reader> again_reader;  // of what was parked
  broker::inbox inbox;
  steady::time_point leader_full_until{};
  milliseconds trouble_delay{0};
  steady::time_point told = steady::now() - between_warnings;
  std::uint64_t untold = 0;

  std::atomic<bool> stopping{false};
  std::atomic<milliseconds> patience{milliseconds(0)};
  command_intake_stats counts;  // the thread's own, too
  mutable std::mutex mutex;
  command_intake_stats shown;  // under the mutex
  std::thread thread;
};

// ---- reading

void command_intake::state::run() {
  while (!stopping) {
    try {
      step();
      trouble_delay = 0ms;
    } catch (const std::exception& e) {
      // What was read stays under way; the new reader goes on behind it.
      reader.reset();
      trouble_delay = std::clamp(trouble_delay * 2, first_command_delay, longest_command_delay);
      warn(std::string("commands cannot be read, trying again: ") + e.what());
      std::unique_lock lock(verdicts->mutex);
      verdicts->arrived.wait_for(lock, trouble_delay, [this] { return stopping.load(); });
    }
    show();
  }
  try {
    last_words();
  } catch (const std::exception& e) {
    warn(std::string("at the end: ") + e.what());
  }
  show();
  // What its end calls back is of no reading, and looks at nothing that ends before it.
  ++reading;
  producer.reset();
}

void command_intake::state::step() {
  take_verdicts();
  if (producer) producer->poll(0ms);
  if (!journal.stats().leading) return wait();
  if (next < 0 || journal.commands_unread()) begin_anew();
  do_what_is_due();
  if (full()) return wait();
  read_on();
}

void command_intake::state::begin_anew() {
  if (!reader) reader = std::make_unique<kafka_reader>(options.client, options.topic, options.partition);
  const auto log = reader->offsets(metadata_wait);
  ++reading;
  commands.clear();
  lines.clear();
  gone.clear();
  bytes = parked = 0;
  inbox.clear();
  ++counts.begun_anew;
  next = -1;
  const auto from = journal.commands_from(log.first);
  if (from > log.end)
    throw kafka_error("the journal has dealt with " + name + " up to offset " + std::to_string(from) +
                          ", and the topic ends at " + std::to_string(log.end) +
                          ": it was made anew, or has lost its end; use another namespace",
                      RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE, kafka_advice::give_up);
  next = from;
  for (auto& r : journal.outbox().begin_reading(from)) inbox.restore(std::move(r));
  reader->seek(next);
}

void command_intake::state::read_on() {
  if (!reader) {
    reader = std::make_unique<kafka_reader>(options.client, options.topic, options.partition);
    if (const auto first = reader->offsets(metadata_wait).first; next < first) {
      warn("offsets " + std::to_string(next) + " to " + std::to_string(first - 1) +
           " were deleted before they were read");
      pass_hole(first);
    }
    reader->seek(next);
  }
  const auto* m = reader->next(commands.empty() ? idle_wait : 0ms);
  // While something is under way its verdict is as welcome as a message.
  if (m == nullptr && !commands.empty()) wait();
  while (m != nullptr) {
    take(*m);
    if (full()) break;
    m = reader->next(0ms);
  }
}

// There is no message at these offsets.
void command_intake::state::pass_hole(std::int64_t end) {
  journal.consumed(next, end - next);
  counts.holes += static_cast<std::uint64_t>(end - next);
  next = end;
}

void command_intake::state::take(const kafka_message& m) {
  if (m.offset < next) return;
  if (m.offset > next) pass_hole(m.offset);
  next = m.offset + 1;
  ++counts.read;
  auto& c = commands[m.offset];
  auto message = copy_of(m, *reader);
  if (!route(*message, c)) return finish(commands.find(m.offset));
  c.bytes = bytes_of(*message);
  c.message = std::move(message);
  bytes += c.bytes;
  if (c.at == under_way::stage::dying) return;
  stand_in_line(m.offset, c);
  if (c.at != under_way::stage::pausing) return;
  // The journal may have gone while the message was waited for.
  if (leads()) hand_in(m.offset, c);
}

std::shared_ptr<incoming_command> command_intake::state::copy_of(const kafka_message& m,
                                                                 const kafka_reader& from) const {
  auto message = std::make_shared<incoming_command>();
  message->source = name + "/" + std::to_string(m.offset);
  message->offset = m.offset;
  message->timestamp_ms = m.timestamp_ms;
  if (m.has_key) message->key = std::string(m.key);
  message->value = std::string(m.value);
  for (const auto& [header, value] : from.headers()) message->headers.emplace_back(header, value);
  return message;
}

// False: nothing is to be done about it.
bool command_intake::state::route(const incoming_command& m, under_way& c) {
  using kind = command_route::kind;
  auto r = route_command(m, options.partition, options.partitions, inbox);
  if (r.mark) journal.outbox().received(m.offset, *r.mark);
  switch (r.what) {
    case kind::repeat:
      ++counts.repeats;
      return false;
    case kind::early:
      ++counts.early;
      return false;
    case kind::resync:
      warn("what partition " + std::to_string(r.to) + " sends is taken again (resync)");
      return false;
    case kind::dead:
      if (r.cause == "outbox_diverged") ++counts.diverged;
      c.verdict = {.what = command_verdict::kind::dead, .cause = std::move(r.cause), .detail = std::move(r.detail)};
      c.at = under_way::stage::dying;
      return true;
    case kind::forward:
      c.to = r.to;
      break;
    case kind::hand_in:
      break;
  }
  return true;
}

// First of its key: pausing, until it is handed in.
void command_intake::state::stand_in_line(std::int64_t offset, under_way& c) {
  c.at = under_way::stage::pausing;
  if (!c.message->key) return;
  auto& line = lines[*c.message->key];
  if (!line) line = std::make_shared<key_line>(key_line{.key = *c.message->key});
  c.line = line;
  line->offsets.push_back(offset);
  if (line->offsets.size() == 1) {
    line->in_memory = 1;
    return;
  }
  // Behind one that is parked all are, so that they are read again in one go.
  const bool behind_parked = line->in_memory + 1 < line->offsets.size();
  if (behind_parked || line->in_memory >= most_commands_of_a_key) {
    c.at = under_way::stage::parked;
    c.message.reset();
    bytes -= std::exchange(c.bytes, 0);
    ++parked;
    return;
  }
  ++line->in_memory;
  c.at = under_way::stage::queued;
}

// Its first is parked: that, and some behind it, are read again. False: not now.
bool command_intake::state::fetch_parked(key_line& line) {
  constexpr int most_passed = 2'000;
  try {
    if (!again_reader) again_reader = std::make_unique<kafka_reader>(options.client, options.topic, options.partition);
    again_reader->seek(line.offsets.front());
    for (int n = 0; n < most_passed && line.in_memory < std::min(most_commands_of_a_key, line.offsets.size()); ++n) {
      const auto* m = again_reader->next(n == 0 ? idle_wait * 10 : busy_wait);
      if (m == nullptr) break;
      const auto c = commands.find(m->offset);
      if (c == commands.end() || c->second.line.get() != &line || c->second.at != under_way::stage::parked) continue;
      c->second.message = copy_of(*m, *again_reader);
      c->second.bytes = bytes_of(*c->second.message);
      c->second.at = under_way::stage::queued;
      bytes += c->second.bytes;
      ++line.in_memory;
      --parked;
    }
  } catch (const kafka_error& e) {
    again_reader.reset();
    warn_seldom(std::string("what was put aside is read again later: ") + e.what());
  }
  return line.in_memory > 0;
}

// ---- handing in

// Another partition's: its place is the batch that passes it.
bool command_intake::state::forward(std::int64_t offset, under_way& c) {
  outgoing_command m{.key = c.message->key, .value = c.message->value, .headers = c.message->headers};
  if (find_header(m.headers, origin_header) == nullptr) m.headers.emplace_back(origin_header, c.message->source);
  if (!journal.outbox().forward(offset, c.to, m)) return false;
  ++counts.forwarded;
  if (options.want_batch) options.want_batch();
  return true;
}

void command_intake::state::hand_in(std::int64_t offset, under_way& c) {
  if (c.to >= 0) {
    if (!forward(offset, c)) return pause(c, under_way::stage::pausing);
    c.at = under_way::stage::gone;
    gone.push_back(offset);
    return pass_turn(c);
  }
  c.at = under_way::stage::handed_in;
  ++counts.handed_in;
  auto said = std::make_shared<std::atomic<bool>>(false);
  // The message lives as long as whoever may still ask for it.
  command_done done = [box = verdicts, said, now = reading, offset, keep = c.message](command_verdict v) {
    if (!said->exchange(true)) box->put({now, offset, std::move(v)});
  };
  try {
    handler(*c.message, done);
  } catch (const std::exception& e) {
    warn_seldom("offset " + std::to_string(offset) + " is tried again: " + e.what());
    done({.what = command_verdict::kind::again});
  }
}

void command_intake::state::take_verdicts() {
  for (auto& e : verdicts->take()) {
    if (e.reading != reading) continue;
    const auto c = commands.find(e.offset);
    if (c == commands.end() || c->second.at != under_way::stage::handed_in) continue;
    judge(c->second, std::move(e.verdict));
    if (c->second.at == under_way::stage::handed_in) finish(c);
  }
}

// Leaves it handed in when it is dealt with.
void command_intake::state::judge(under_way& c, command_verdict v) {
  switch (v.what) {
    case command_verdict::kind::full:
      ++counts.paused;
      ++counts.again;
      pause(c, under_way::stage::pausing);
      leader_full_until = std::max(leader_full_until, c.due);
      return;
    case command_verdict::kind::again:
      ++counts.again;
      return pause(c, under_way::stage::pausing);
    case command_verdict::kind::dead:
      c.verdict = std::move(v);
      c.delay = 0ms;
      c.due = {};
      c.at = under_way::stage::dying;
      // It does nothing to the workflow, so those behind it need not wait for the brokers.
      return pass_turn(c);
    case command_verdict::kind::dealt_with:
      ++counts.dealt_with;
      return pass_turn(c);
  }
}

void command_intake::state::pause(under_way& c, under_way::stage at) {
  c.at = at;
  c.delay = std::clamp(c.delay * 2, first_command_delay, longest_command_delay);
  c.due = steady::now() + c.delay;
}

// The next of its key may be handed in.
void command_intake::state::pass_turn(const under_way& c) {
  const auto line = c.line;
  if (!line || line->offsets.empty()) return;
  line->offsets.pop_front();
  --line->in_memory;
  if (line->offsets.empty()) {
    lines.erase(line->key);
    return;
  }
  const auto behind = commands.find(line->offsets.front());
  if (behind == commands.end()) return;
  if (behind->second.at == under_way::stage::parked && !fetch_parked(*line)) {
    // Counted as in memory no more; it is read when it is handed in.
    behind->second.due = steady::now() + first_command_delay;
    return;
  }
  behind->second.at = under_way::stage::pausing;
  behind->second.due = {};
}

void command_intake::state::do_what_is_due() {
  const auto now = steady::now();
  // Delivery reports of the producer's poll() take from the table: never within this walk.
  for (auto& [offset, c] : commands) {
    if (c.due > now) continue;
    const bool head_parked = c.at == under_way::stage::parked && c.line->offsets.front() == offset;
    if (head_parked && fetch_parked(*c.line))
      c.at = under_way::stage::pausing;
    else if (head_parked)
      pause(c, under_way::stage::parked);
    if (c.at == under_way::stage::pausing) hand_in(offset, c);
    if (c.at == under_way::stage::dying) send_to_dead_letters(offset, c);
  }
  sweep();
}

void command_intake::state::sweep() {
  for (const auto offset : gone)
    if (const auto c = commands.find(offset); c != commands.end()) {
      bytes -= c->second.bytes;
      commands.erase(c);
    }
  gone.clear();
}

void command_intake::state::finish(table::iterator c) {
  journal.consumed(c->first);
  bytes -= c->second.bytes;
  commands.erase(c);
}

// ---- dead letters

void command_intake::state::send_to_dead_letters(std::int64_t offset, under_way& c) {
  const auto& m = *c.message;
  const auto letter =
      make_dead_letter(m.key, m.value, m.headers, {m.source, c.verdict.cause, c.verdict.detail}, c.cut_at);
  const kafka_producer::headers headers(letter.headers.begin(), letter.headers.end());
  try {
    if (!producer || !producer->fatal().empty())
      producer = std::make_unique<kafka_producer>(options.client,
                                                  kafka_producer::options{.give_up_after = dead_letter_timeout});
    producer->send(
        options.dead_letters, 0, letter.key, letter.value,
        [this, now = reading, offset](const kafka_producer::delivery& d) {
          if (now == reading) dead_letter_delivered(offset, d);
        },
        headers);
    c.at = under_way::stage::sent;
  } catch (const kafka_error& e) {
    if (e.code() == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE) c.cut_at /= 2;
    warn_seldom(std::string("a dead letter is tried again: ") + e.what());
    pause(c, under_way::stage::dying);
  }
}

void command_intake::state::dead_letter_delivered(std::int64_t offset, const kafka_producer::delivery& d) {
  const auto c = commands.find(offset);
  if (c == commands.end() || c->second.at != under_way::stage::sent) return;
  if (d.code != 0) {
    // A topic that was made by hand may take less than ours do.
    if (d.code == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE) c->second.cut_at /= 2;
    warn_seldom("offset " + std::to_string(offset) + " is not in " + options.dead_letters + " yet: " + d.message);
    return pause(c->second, under_way::stage::dying);
  }
  ++counts.dead;
  const auto& v = c->second.verdict;
  warn_seldom("offset " + std::to_string(offset) + " is a dead letter: " + v.cause + ": " + cut(v.detail, 200));
  finish(c);
}

void command_intake::state::warn_seldom(const std::string& text) {
  const auto now = steady::now();
  if (now - told < between_warnings) {
    ++untold;
    return;
  }
  warn(text + (untold > 0 ? " (and " + std::to_string(untold) + " lines like this one before it)" : ""));
  told = now;
  untold = 0;
}

// ---- waiting and ending

// For a verdict; a delivery and what is due are looked for after it.
void command_intake::state::wait() {
  std::unique_lock lock(verdicts->mutex);
  verdicts->arrived.wait_for(lock, busy_wait, [this] { return !verdicts->entries.empty() || stopping.load(); });
}

// What is under way and dealt with in time rides in the node's last batch.
void command_intake::state::last_words() {
  const auto deadline = steady::now() + patience.load();
  const auto settles = [](const auto& c) {
    return c.second.at == under_way::stage::handed_in || c.second.at == under_way::stage::dying ||
           c.second.at == under_way::stage::sent;
  };
  for (;;) {
    take_verdicts();
    if (producer) producer->poll(0ms);
    for (auto& [offset, c] : commands)
      if (c.at == under_way::stage::dying && c.due <= steady::now()) send_to_dead_letters(offset, c);
    if (!leads() || std::none_of(commands.begin(), commands.end(), settles) || steady::now() >= deadline) return;
    std::unique_lock lock(verdicts->mutex);
    verdicts->arrived.wait_for(lock, busy_wait, [this] { return !verdicts->entries.empty(); });
  }
}

void command_intake::state::show() {
  counts.under_way = commands.size();
  counts.parked = parked;
  counts.next = next;
  counts.dealt_with_below = commands.empty() ? next : commands.begin()->first;
  if (reader) counts.end = std::max(counts.end, reader->known_end());
  const std::lock_guard lock(mutex);
  shown = counts;
}

// ---- the interface

command_intake::command_intake(command_intake_options o, kafka_journal& journal, command_handler handler)
    : state_(std::make_unique<state>(std::move(o), journal, std::move(handler))) {
  state_->thread = std::thread([s = state_.get()] { s->run(); });
}

command_intake::~command_intake() { stop(); }

void command_intake::stop(milliseconds patience) {
  auto& s = *state_;
  s.patience = patience;
  {
    const std::lock_guard lock(s.verdicts->mutex);
    s.stopping = true;
  }
  s.verdicts->arrived.notify_all();
  if (s.thread.joinable()) s.thread.join();
}

command_intake_stats command_intake::stats() const {
  const std::lock_guard lock(state_->mutex);
  return state_->shown;
}

}  // namespace pawl::broker
