#include <librdkafka/rdkafka.h>

#include <algorithm>

#include "broker/command_intake_state.hpp"

namespace pawl::broker {

namespace {

using namespace std::chrono_literals;

constexpr auto metadata_wait = 3'000ms;
/// How long the thread waits for a message: while verdicts may come, and while none can.
constexpr auto busy_wait = 3ms;
constexpr auto idle_wait = 100ms;

std::size_t bytes_of(const incoming_command& m) {
  auto bytes = m.value.size() + (m.key ? m.key->size() : 0) + m.source.size();
  for (const auto& [name, value] : m.headers) bytes += name.size() + value.size();
  return bytes;
}

}  // namespace

// ---- reading

void command_intake::state::run() {
  while (!verdicts->is_ending()) {
    try {
      step();
      trouble_delay = 0ms;
    } catch (const std::exception& e) {
      // What was read stays under way; the new reader goes on behind it.
      reader.reset();
      trouble_delay = std::clamp(trouble_delay * 2, first_command_delay, longest_command_delay);
      warn(std::string("commands cannot be read, trying again: ") + e.what());
      verdicts->rest(trouble_delay);
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
  look_for_the_end();
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
  bytes = parked = handed_in = 0;
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
  // While something is under way its verdict is as welcome as a message; of a crowd they gather meanwhile.
  const bool crowded = handed_in >= verdict_box::crowd;
  const auto* m = reader->next(commands.empty() ? idle_wait : crowded ? verdict_box::gathering : 0ms);
  if (m == nullptr && !commands.empty() && !crowded) wait();
  while (m != nullptr) {
    take(*m);
    if (full()) break;
    m = reader->next(0ms);
  }
}

void command_intake::state::look_for_the_end() {
  const auto asked = marks.load();
  if (asked == counts.marks || !reader) return;
  counts.marked = reader->offsets(metadata_wait).end;
  counts.marks = asked;
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
      if (r.cause == "outbox_diverged") {
        ++counts.diverged;
        tell_diverged(m);
      }
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

// When it begins, and again and again while more of it comes.
void command_intake::state::tell_diverged(const incoming_command& m) {
  const auto* header = find_header(m.headers, outbox_header);
  const auto place = header != nullptr ? place_from_text(*header) : std::nullopt;
  if (!place || !options.alarm) return;
  const auto now = steady::now();
  const auto [told_at, first] = diverged_told.try_emplace(place->from, now);
  if (!first && now - told_at->second < between_alarms) return;
  told_at->second = now;
  const auto from = std::to_string(place->from);
  const auto to = std::to_string(options.partition);
  options.alarm("outbox_diverged: nothing of partition " + from + " is taken by partition " + to +
                " any more, since message " + std::to_string(place->number) +
                " came under another reign: the journal of " + from +
                " has lost its tail. Look at `dlq list` and `journal check --partition " + from +
                "`, then `partitions resync " + from + " " + to + "`");
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

// ---- waiting and ending

// For a verdict; a delivery and what is due are looked for after it.
void command_intake::state::wait() { verdicts->wait(busy_wait, handed_in); }

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
    verdicts->last_wait(busy_wait);
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
  s.verdicts->end();
  if (s.thread.joinable()) s.thread.join();
}

std::uint64_t command_intake::mark_end() { return ++state_->marks; }

command_intake_stats command_intake::stats() const {
  const std::lock_guard lock(state_->mutex);
  return state_->shown;
}

}  // namespace pawl::broker
