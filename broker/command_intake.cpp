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

namespace pawl::broker {

namespace {

using namespace std::chrono_literals;
using steady = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr auto metadata_wait = 3'000ms;
/// How long the thread waits for a message: while verdicts may come, and while none can.
constexpr auto busy_wait = 5ms;
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

/// One command that is read and not dealt with.
struct under_way {
  enum class stage : std::uint8_t {
    queued,  ///< behind an earlier one of its key
    handed_in,
    pausing,  ///< is to be handed in again
    dying,  ///< is to be sent to the dead letters
    sent,  ///< ... and is
  };
  std::shared_ptr<const incoming_command> message;
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
  bool full() const { return commands.size() >= most_commands_under_way || bytes >= most_bytes_under_way; }
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
  std::unordered_map<std::string, std::deque<std::int64_t>> lines;  // by key, those whose turn has not passed
  std::size_t bytes = 0;
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
  bytes = 0;
  ++counts.begun_anew;
  next = -1;
  const auto from = journal.commands_from(log.first);
  if (from > log.end)
    throw kafka_error("the journal has dealt with " + name + " up to offset " + std::to_string(from) +
                          ", and the topic ends at " + std::to_string(log.end) +
                          ": it was made anew, or has lost its end; use another namespace",
                      RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE, kafka_advice::give_up);
  next = from;
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
  // While something is under way its verdict is as welcome as a message.
  const auto* m = reader->next(commands.empty() ? idle_wait : busy_wait);
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
  auto message = std::make_shared<incoming_command>();
  message->source = name + "/" + std::to_string(m.offset);
  message->offset = m.offset;
  message->timestamp_ms = m.timestamp_ms;
  if (m.has_key) message->key = std::string(m.key);
  message->value = std::string(m.value);
  for (const auto& [header, value] : reader->headers()) message->headers.emplace_back(header, value);
  auto& c = commands[m.offset];
  c.bytes = bytes_of(*message);
  c.message = std::move(message);
  bytes += c.bytes;
  if (c.message->key) {
    auto& line = lines[*c.message->key];
    line.push_back(m.offset);
    if (line.size() > 1) return;
  }
  // The journal may have gone while the message was waited for.
  if (leads()) return hand_in(m.offset, c);
  c.at = under_way::stage::pausing;
}

// ---- handing in

void command_intake::state::hand_in(std::int64_t offset, under_way& c) {
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
  if (!c.message->key) return;
  const auto line = lines.find(*c.message->key);
  if (line == lines.end()) return;
  line->second.pop_front();
  if (line->second.empty()) {
    lines.erase(line);
    return;
  }
  const auto behind = commands.find(line->second.front());
  if (behind == commands.end()) return;
  behind->second.at = under_way::stage::pausing;
  behind->second.due = {};
}

void command_intake::state::do_what_is_due() {
  const auto now = steady::now();
  // Delivery reports of the producer's poll() take from the table: never within this walk.
  for (auto& [offset, c] : commands) {
    if (c.due > now) continue;
    if (c.at == under_way::stage::pausing) hand_in(offset, c);
    if (c.at == under_way::stage::dying) send_to_dead_letters(offset, c);
  }
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
  verdicts->arrived.wait_for(lock, busy_wait * 4, [this] { return !verdicts->entries.empty() || stopping.load(); });
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
  counts.next = next;
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
