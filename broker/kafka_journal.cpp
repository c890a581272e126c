#include "broker/kafka_journal.hpp"

#include <sys/random.h>

#include <stdexcept>
#include <utility>

#include "broker/kafka_journal_state.hpp"

namespace pawl::broker {

namespace {

using namespace std::chrono_literals;
using store::append_result;
using store::append_status;

/// How long one look for an answer of the brokers takes.
constexpr auto answer_wait = 100ms;
constexpr std::size_t largest_record = std::size_t{8} * 1024 * 1024 - 1024;

engine::reign draw_reign() {
  engine::reign r;
  if (::getrandom(&r, sizeof r, 0) != sizeof r) throw store::store_error("cannot draw random numbers for a new reign");
  return r;
}

}  // namespace

// ---- leading

bool kafka_journal::state::announce() {
  if (!begun) catch_up();
  other.clear();
  if (!producer || !producer->fatal().empty())
    producer = std::make_unique<kafka_producer>(
        options.client, kafka_producer::options{.give_up_after = options.append_timeout, .topics = {options.topic}});
  const auto s = fence.announce(draw_reign());
  const auto d = await(send(encode(s, options.who, format())));
  if (d.code != 0 && !d.unknown) {
    fence.lost();
    throw make_kafka_error("announcing on " + name, d.code);
  }
  // Whether it is in the log is what the log says.
  auto deadline = std::chrono::steady_clock::now() + own_record_wait;
  while (fence.now() == fence::standing::announcing) {
    if (read_on(journal_read_wait)) {
      deadline = std::chrono::steady_clock::now() + own_record_wait;
    } else if (std::chrono::steady_clock::now() > deadline) {
      fence.lost();
      throw store::store_error(name + ": our announcement does not come back from the log");
    }
  }
  if (fence.now() != fence::standing::leading) return false;
  begin_to_lead();
  return true;
}

void kafka_journal::state::begin_to_lead() {
  recent.clear();
  reader.rest();  // it would fetch, and keep, megabytes that nobody asks for
  tail.start(fence.next_offset(), fence.folded().epoch);
  outbox.begin(view.outbox(), fence.own());
  const std::lock_guard lock(mutex);
  present = fence.own();
  counts.epoch = fence.folded().epoch;
  counts.end = fence.next_offset();
  counts.released = false;
  counts.leading = true;
  ++counts.announced;
  if (feed.offset > fed.offset) fed = feed;
  journaled_commands = commands;
  dealt_with = -1;
  consumed.clear();
}

append_result kafka_journal::state::reopen() {
  if (const auto r = of_view(view.reopen()); r.status != append_status::committed) return r;
  begun = false;
  catch_up();
  if (!other.empty()) return {append_status::deposed, name + ": " + other};
  switch (options.lead_again ? options.lead_again() : kafka_journal_options::again::yes) {
    case kafka_journal_options::again::not_yet:
      return {append_status::unknown, name + ": this node waits for its own heartbeat to come back from the log"};
    case kafka_journal_options::again::no:
      return {append_status::deposed, name + ": it is another node's turn to lead it"};
    case kafka_journal_options::again::yes:
      break;
  }
  if (announce()) return {};
  return {append_status::deposed, name + ": " + (other.empty() ? "another node announced itself" : other)};
}

kafka_journal::state::answer kafka_journal::state::send(const std::string& bytes) {
  auto answer = std::make_shared<std::optional<kafka_producer::delivery>>();
  try {
    producer->send(options.topic, options.partition, std::nullopt, bytes,
                   [answer](const kafka_producer::delivery& d) { *answer = d; });
  } catch (const kafka_error& e) {
    *answer = {.offset = -1, .code = e.code(), .unknown = false, .message = e.what()};
  }
  return answer;
}

// Blocks until the message is in the log, or has failed, or nobody knows.
kafka_producer::delivery kafka_journal::state::await(const answer& answer) {
  while (!*answer) {
    producer->poll(answer_wait);
    if (*answer) break;
    // One that is pending when a higher announcement has been read counts for nobody.
    if (auto why = tail.doubts(); !why.empty())
      return {.offset = -1, .code = -1, .unknown = true, .message = std::move(why)};
  }
  return **answer;
}

append_result kafka_journal::state::step_down(std::string why) {
  static_cast<void>(writer.finish());  // nobody is to wait for it until the log can be read again
  fence.lost();
  outbox.end();
  recent.clear();
  begun = false;
  const std::lock_guard lock(mutex);
  counts.leading = false;
  ++counts.stepped_down;
  return {append_status::unknown, name + ": " + std::move(why)};
}

append_result kafka_journal::state::write(store::record r, const std::function<void()>& meanwhile) {
  if (fence.now() != fence::standing::leading) return step_down("this node does not lead it");
  if (auto why = tail.doubts(); !why.empty()) return step_down(std::move(why));
  if (auto wrong = writer.trouble(); wrong.status != append_status::committed) return no_view(std::move(wrong));
  auto others = std::exchange(r.outbox, {});
  const bool barrier = !take_marks(others) && r.empty() && others.empty();
  const auto s = fence.next(barrier ? record_kind::barrier : record_kind::batch);
  std::uint32_t crc = 0;
  auto b = std::make_shared<batch>();
  if (!barrier) {
    *b = {.changes = std::move(r), .position = commands, .feed = feed};
    b->changes.outbox = std::move(others);
  }
  const auto bytes = barrier ? encode(s, &crc, format()) : encode(s, *b, &crc, format());
  if (bytes.size() > largest_record) {
    static_cast<void>(writer.finish());
    outbox.end();
    fence.lost();  // nothing was written, but the stamp is used up
    return {append_status::refused,
            name + ": a record of " + std::to_string(bytes.size()) + " bytes; lower limits.batch"};
  }
  const auto sent = send(bytes);
  if (meanwhile) meanwhile();
  const auto d = await(sent);
  if (d.code != 0) return step_down("an append failed, and may be in the log or not: " + d.message);
  auto ack = fence.acknowledged(d.offset, s);
  if (ack == fence::ack::gap) {
    {
      const std::lock_guard lock(mutex);
      ++counts.gaps;
    }
    // What is read there moves the view's position on, over whatever it lacks.
    if (auto shown = show_or_step_down(); shown.status != append_status::committed) return shown;
    try {
      if (!read_gap(d.offset))
        return step_down("another node leads it under epoch " + std::to_string(fence.folded().epoch));
    } catch (const std::exception& e) {
      return step_down(std::string("what others wrote cannot be read: ") + e.what());
    }
    ack = fence.acknowledged(d.offset, s);
  }
  if (ack != fence::ack::in_place) return step_down("a record of ours is not where it can count");
  {
    const std::lock_guard lock(mutex);
    counts.end = d.offset + 1;
    ++counts.appended;
    counts.appended_bytes += bytes.size();
  }
  tail.expect({d.offset, crc});
  const auto position = position_at(d.offset, crc);
  const std::shared_ptr<const store::record> changes(b, &b->changes);
  recent.put(position.at, barrier ? nullptr : changes, bytes.size());
  // A barrier changes nothing: a view that lacks it reads it again.
  if (barrier) {
    writer.passed(d.offset);
    return {};
  }
  outbox.committed(changes->outbox);
  writer.put(changes, bytes.size(), position);
  return {};
}

// Once the view could not take something, it takes nothing more before it is read anew, from where it stands: its
// position moves with the rows, so that nothing is left out and nothing applied twice.
append_result kafka_journal::state::show_or_step_down() {
  auto r = writer.finish();
  return r.status == append_status::committed ? r : no_view(std::move(r));
}

// This node does not lead any more.
append_result kafka_journal::state::no_view(append_result r) {
  r = of_view(std::move(r));
  static_cast<void>(step_down(r.message));
  return r;
}

// On the writer's thread, or where a barrier is in the log.
void kafka_journal::state::shows(std::int64_t next) {
  const std::lock_guard lock(mutex);
  counts.position = std::max(counts.position, next);
}

// The record is in the log, where every reader counts it; only this node cannot go on with it.
append_result kafka_journal::state::of_view(append_result r) const {
  if (r.status != append_status::no_space) return r;
  if (options.view_full) options.view_full(r.message);
  r.status = append_status::deposed;
  return r;
}

// What other threads have dealt with since rides in the batch. False: nothing new.
bool kafka_journal::state::take_marks(store::outbox_changes& into) {
  const std::lock_guard lock(mutex);
  const auto before = std::pair{feed.offset, commands};
  if (fed.offset > feed.offset) feed = fed;
  // A forward rides in the record whose position passes it.
  for (const auto offset : outbox.take_messages(into)) consumed[offset] = std::max(consumed[offset], offset + 1);
  if (dealt_with < 0) return outbox.take_marks(-1, into) || feed.offset != before.first;
  while (!consumed.empty() && consumed.begin()->first <= dealt_with) {
    dealt_with = std::max(dealt_with, consumed.begin()->second);
    consumed.erase(consumed.begin());
  }
  commands = std::max(commands, dealt_with);
  return outbox.take_marks(commands, into) || std::pair{feed.offset, commands} != before;
}

// False: in what others wrote was a higher announcement.
bool kafka_journal::state::read_gap(std::int64_t below) {
  const auto deadline = std::chrono::steady_clock::now() + own_record_wait;
  reader.seek(fence.next_offset());
  while (fence.next_offset() < below) {
    if (const auto* m = reader.next(journal_read_wait)) read_message(*m);
    if (std::chrono::steady_clock::now() > deadline) throw store::store_error("no answer within 30 s");
  }
  hand_to_view();
  return fence.now() == fence::standing::leading;
}

// ---- the interface

kafka_journal::kafka_journal(std::unique_ptr<state> s) : state_(std::move(s)) {}
kafka_journal::~kafka_journal() = default;

append_result kafka_journal::append(store::record r) { return append_beside(std::move(r), nullptr); }

append_result kafka_journal::append_beside(store::record r, const std::function<void()>& meanwhile) {
  try {
    return state_->write(std::move(r), meanwhile);
  } catch (const std::exception& e) {
    return state_->step_down(e.what());
  }
}

append_result kafka_journal::reopen() {
  try {
    return state_->reopen();
  } catch (const std::exception& e) {
    return {append_status::unknown, e.what()};
  }
}

append_result kafka_journal::settle() {
  if (state_->fence.now() != fence::standing::leading) return {};
  return state_->show_or_step_down();
}

void kafka_journal::await_views() { state_->writer.lag().wait(); }

bool kafka_journal::may_begin(std::string_view workflow_id) const {
  return state_->writer.lag().may_begin(workflow_id);
}

bool kafka_journal::follow(std::chrono::milliseconds wait) { return state_->follow(wait); }

bool kafka_journal::announce() {
  try {
    return state_->announce();
  } catch (...) {
    state_->begun = false;
    throw;
  }
}

engine::reign kafka_journal::reign() const {
  const std::lock_guard lock(state_->mutex);
  return state_->present;
}
std::uint64_t kafka_journal::epoch() const {
  const std::lock_guard lock(state_->mutex);
  return state_->counts.epoch;
}
engine::run_key kafka_journal::next_run_key() const { return state_->view.next_run_key(); }
std::int64_t kafka_journal::last_event_time() const { return state_->view.last_event_time(); }

std::int64_t kafka_journal::commands_from(std::int64_t oldest) {
  const std::lock_guard lock(state_->mutex);
  auto& s = *state_;
  if (s.dealt_with < 0) s.dealt_with = std::max(s.journaled_commands, oldest);
  return s.dealt_with;
}

bool kafka_journal::commands_unread() const {
  const std::lock_guard lock(state_->mutex);
  return state_->dealt_with < 0;
}

void kafka_journal::consumed(std::int64_t offset, std::int64_t count) {
  const std::lock_guard lock(state_->mutex);
  auto& s = *state_;
  if (s.dealt_with < 0) return;
  auto& end = s.consumed[offset];
  end = std::max(end, offset + count);
}

store::log_point kafka_journal::fed() const {
  const std::lock_guard lock(state_->mutex);
  return state_->fed;
}

void kafka_journal::fed(const store::log_point& upto) {
  const std::lock_guard lock(state_->mutex);
  state_->fed = upto;
}

bool kafka_journal::release() {
  auto& s = *state_;
  if (s.fence.now() != fence::standing::leading) return false;
  // So that who comes next does not publish and read again what has been. A view that cannot take it is no matter.
  static_cast<void>(append({}));
  if (s.fence.now() != fence::standing::leading) return false;
  const auto stamp = s.fence.next(record_kind::release);
  const auto sent = s.send(encode(stamp, nullptr, s.format()));
  static_cast<void>(s.writer.finish());
  const auto d = s.await(sent);
  const bool done = d.code == 0 && s.fence.acknowledged(d.offset, stamp) == fence::ack::in_place;
  s.fence.lost();
  s.outbox.end();
  s.begun = false;
  const std::lock_guard lock(s.mutex);
  s.counts.leading = false;
  return done;
}

outbox_desk& kafka_journal::outbox() { return state_->outbox; }
recent_records& kafka_journal::recent() { return state_->recent; }
kafka_journal_stats kafka_journal::stats() const { return state_->stats(); }

std::unique_ptr<kafka_journal> follow_kafka_journal(kafka_journal_options o, store::embedded_journal& view) {
  return std::unique_ptr<kafka_journal>(new kafka_journal(std::make_unique<kafka_journal::state>(std::move(o), view)));
}

std::unique_ptr<kafka_journal> open_kafka_journal(kafka_journal_options o, store::embedded_journal& view) {
  auto j = follow_kafka_journal(std::move(o), view);
  if (!j->announce()) throw store::store_error("another node announced itself at the same time; this one tries again");
  return j;
}

}  // namespace pawl::broker
