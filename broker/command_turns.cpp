// What becomes of a command that was read: it is handed in when its turn comes, again where it was refused, or goes to
// the dead letters.
#include <librdkafka/rdkafka.h>

#include <algorithm>

#include "broker/command_intake_state.hpp"

namespace pawl::broker {

namespace {

using namespace std::chrono_literals;

constexpr auto dead_letter_timeout = 10'000ms;

/// What a handler holds until it has said what becomes of a command. The message lives as long.
struct owed_verdict {
  owed_verdict(std::shared_ptr<verdict_box> b, std::uint64_t r, std::int64_t o,
               std::shared_ptr<const incoming_command> m)
      : box(std::move(b)),
        reading(r),
        offset(o),
        message(std::move(m)) {}
  const std::shared_ptr<verdict_box> box;
  const std::uint64_t reading;
  const std::int64_t offset;
  const std::shared_ptr<const incoming_command> message;
  std::atomic<bool> said{false};
};

/// Not within a character of UTF-8, if it is that.
std::string cut(std::string text, std::size_t most) {
  if (text.size() <= most) return text;
  while (most > 0 && (static_cast<unsigned char>(text[most]) & 0xc0U) == 0x80) --most;
  text.resize(most);
  return text;
}

}  // namespace

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
  ++handed_in;
  ++counts.handed_in;
  auto owed = std::make_shared<owed_verdict>(verdicts, reading, offset, c.message);
  command_done done = [owed](command_verdict v) {
    if (!owed->said.exchange(true)) owed->box->put({owed->reading, owed->offset, std::move(v)});
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
    --handed_in;
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
      producer = std::make_unique<kafka_producer>(
          options.client,
          kafka_producer::options{.give_up_after = dead_letter_timeout, .topics = {options.dead_letters}});
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

}  // namespace pawl::broker
