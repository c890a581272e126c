#include "broker/kafka_journal.hpp"

#include <sys/random.h>

#include <map>
#include <mutex>
#include <optional>
#include <stdexcept>

#include "broker/journal_tail.hpp"
#include "broker/log_fit.hpp"
#include "broker/outbox_desk.hpp"

namespace pawl::broker {

namespace {

using namespace std::chrono_literals;
using store::append_result;
using store::append_status;

constexpr auto read_wait = 100ms;
/// For so long at most the log is read before the caller is asked again.
constexpr auto read_at_once = 200ms;
constexpr auto metadata_wait = 5'000ms;
/// Our announcement, or a record that the log says it has, comes within this, or the log cannot be read.
constexpr auto own_record_wait = 30s;
/// A view that catches up takes the changes of many records in one transaction, up to so many.
constexpr std::size_t changes_at_once = 4096;
/// A view that was read anew and still does not fit is read again so often.
constexpr int most_rebuilds = 3;
constexpr std::size_t largest_record = std::size_t{8} * 1024 * 1024 - 1024;

engine::reign draw_reign() {
  engine::reign r;
  if (::getrandom(&r, sizeof r, 0) != sizeof r) throw store::store_error("cannot draw random numbers for a new reign");
  return r;
}

void append_to(store::outbox_changes& all, store::outbox_changes&& more) {
  const auto move_all = [](auto& into, auto& from) { std::move(from.begin(), from.end(), std::back_inserter(into)); };
  move_all(all.messages, more.messages);
  move_all(all.acknowledged, more.acknowledged);
  move_all(all.received, more.received);
}

/// The log is not what the view was made from.
struct diverged : std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace

struct kafka_journal::state {
  state(kafka_journal_options o, store::embedded_journal& v)
      : options(std::move(o)),
        view(v),
        name(options.topic + "/" + std::to_string(options.partition)),
        reader(options.client, options.topic, options.partition),
        tail(options.client, options.topic, options.partition) {}

  bool follow(std::chrono::milliseconds wait);
  bool read_on(std::chrono::milliseconds wait);
  void catch_up();
  void begin();
  void start_from_view(const kafka_reader::range& log);
  void restore(const kafka_reader::range& log);
  void hand_to_view();
  void show_position();
  void tell_progress();
  bool announce();
  void begin_to_lead();
  append_result reopen();
  append_result write(const store::record& r);
  append_result step_down(std::string why);
  kafka_producer::delivery deliver(const std::string& bytes);
  bool read_gap(std::int64_t below);
  bool take_marks(store::outbox_changes& into);
  store::log_position position_at(std::int64_t offset, std::uint32_t crc) const;
  void read_message(const kafka_message& m);

  kafka_journal_stats stats() const {
    const std::lock_guard lock(mutex);
    auto s = counts;
    s.read_back = tail.read_back();
    if (s.leading) s.doubt = tail.doubts();
    return s;
  }
  void warn(const std::string& text) const {
    if (options.warn) options.warn(name + ": " + text);
  }

  const kafka_journal_options options;
  store::embedded_journal& view;
  const std::string name;
  kafka_reader reader;
  std::unique_ptr<kafka_producer> producer;
  broker::fence fence;
  outbox_desk outbox;
  bool begun = false;         // the fold goes on from where the view stands
  std::int64_t log_end = 0;   // as last heard
  std::int64_t commands = -1;  // this and the next as in the newest batch
  store::log_point feed;
  std::string other;          // who else has announced itself since we led
  bool from_nothing = false;  // the view was empty when it began to catch up
  std::int64_t began_at = 0;  // where it began
  int rebuilds = 0;           // in a row
  std::chrono::steady_clock::time_point told{};

  // What following has folded and the view has not taken yet.
  store::record pending;
  std::optional<store::log_position> pending_position;

  mutable std::mutex mutex;  // guards what follows
  engine::reign present;
  kafka_journal_stats counts;
  std::int64_t journaled_commands = -1;  // `commands` when we began to lead
  std::int64_t dealt_with = -1;  // commands below are dealt with; -1: nobody reads them
  std::map<std::int64_t, std::int64_t> consumed;  // stretches of offsets that are dealt with, above `dealt_with`
  store::log_point fed;

  journal_tail tail;  // of options; ends before them
};

// ---- following

bool kafka_journal::state::follow(std::chrono::milliseconds wait) {
  try {
    if (!begun) begin();
    const bool read = read_on(wait);
    if (read) rebuilds = 0;
    return read;
  } catch (const diverged& d) {
    begun = false;
    warn(std::string("the view does not fit the log and is read anew: ") + d.what());
    {
      const std::lock_guard lock(mutex);
      ++counts.rebuilt;
    }
    if (const auto r = view.clear(); r.status != append_status::committed) throw store::store_error(r.message);
    if (++rebuilds > most_rebuilds) throw store::store_error(name + ": the log changes while it is read");
    return true;
  } catch (...) {
    begun = false;
    throw;
  }
}

// The fold goes on from where the view stands.
void kafka_journal::state::begin() {
  tail.stop();
  const auto log = reader.offsets(metadata_wait);
  restore(log);
  start_from_view(log);
  log_end = log.end;
  began_at = fence.next_offset();
  reader.seek(began_at);
  begun = true;
  show_position();
}

bool kafka_journal::state::read_on(std::chrono::milliseconds wait) {
  const auto* m = reader.next(wait);
  const bool any = m != nullptr;
  const auto until = std::chrono::steady_clock::now() + read_at_once;
  while (m != nullptr) {
    read_message(*m);
    if (pending.runs.size() + pending.outcomes.size() + pending.heartbeats.size() + pending.outbox.messages.size() >=
        changes_at_once)
      hand_to_view();
    if (std::chrono::steady_clock::now() > until) break;
    m = reader.next(0ms);
  }
  hand_to_view();
  log_end = std::max({log_end, reader.known_end(), fence.next_offset()});
  show_position();
  tell_progress();
  return any;
}

void kafka_journal::state::show_position() {
  const std::lock_guard lock(mutex);
  counts.position = fence.next_offset();
  counts.end = std::max(log_end, counts.position);
  counts.epoch = fence.folded().epoch;
  counts.released = fence.folded().released;
  if (counts.position >= log_end) counts.at_end = std::chrono::steady_clock::now();
}

void kafka_journal::state::tell_progress() {
  const auto now = std::chrono::steady_clock::now();
  if (!options.progress || fence.next_offset() >= log_end || now - told < 100ms) return;
  told = now;
  options.progress({.offset = fence.next_offset(), .from = began_at, .end = log_end, .anew = from_nothing});
}

// A view that is missing, or from which the log does not go on any more, starts from a snapshot, if there is one.
void kafka_journal::state::restore(const kafka_reader::range& log) {
  if (options.snapshots == nullptr) return;
  if (const auto p = view.position(); p && p->at.offset + 1 >= log.first) return;
  const store::snapshot_source source{.topic = options.topic,
                                      .partition = options.partition,
                                      .misfit = [&](const auto& p) { return misfit(reader, log, p); },
                                      .warn = [this](const std::string& text) { warn(text); }};
  const auto show = [&](const store::restore_progress& p) {
    if (options.progress) options.progress({.offset = 0, .from = 0, .end = log.end, .anew = true, .snapshot = p});
  };
  if (!store::restore_view(*options.snapshots, source, view, show)) return;
  const std::lock_guard lock(mutex);
  ++counts.restored;
}

void kafka_journal::state::start_from_view(const kafka_reader::range& log) {
  pending = {};
  pending_position.reset();
  const auto p = view.position();
  if (!p) {
    if (log.first > 0)
      throw store::store_error(
          name + " begins at offset " + std::to_string(log.first) + ", and there is no view that reaches as far, " +
          (options.snapshots ? "nor a snapshot that is good and fits in " + options.snapshots->where()
                             : std::string("and kafka.snapshot_dir is not set")) +
          ": restore the data directory of a node that had it");
    fence = broker::fence();
    commands = -1;
    feed = {};
    from_nothing = true;
    return;
  }
  if (const auto why = misfit(reader, log, *p); !why.empty()) throw diverged(why);
  fence = broker::fence({.epoch = p->at.epoch, .reign = p->at.reign, .seq = p->at.seq, .released = p->at.released},
                        p->at.offset + 1);
  commands = p->commands;
  feed = p->feed;
  from_nothing = false;
}

// Up to where the log ends now.
void kafka_journal::state::catch_up() {
  const auto end = reader.offsets(metadata_wait).end;
  auto deadline = std::chrono::steady_clock::now() + own_record_wait;
  while (!begun || fence.next_offset() < end) {
    if (follow(read_wait)) {
      deadline = std::chrono::steady_clock::now() + own_record_wait;
    } else if (std::chrono::steady_clock::now() > deadline) {
      throw store::store_error(name + " cannot be read beyond offset " + std::to_string(fence.next_offset()) +
                               "; see that the brokers are there and that this node may read the topic");
    }
  }
}

// One message of the log: folded, and kept for the view if it counts.
void kafka_journal::state::read_message(const kafka_message& m) {
  if (m.offset != fence.next_offset())
    throw store::store_error(
        name + ": offsets " + std::to_string(fence.next_offset()) + " to " + std::to_string(m.offset - 1) +
        " are missing in the log: a topic of the journal must not be compacted or trimmed by others");
  journal_record record;
  std::string wrong;
  const auto r = decode(m.value, record, wrong);
  if (r == readable::newer) throw store::store_error(name + ": offset " + std::to_string(m.offset) + " is " + wrong);
  if (r == readable::garbage) {
    fence.skip(m.offset);
    warn("offset " + std::to_string(m.offset) + " is skipped, as no record of ours: " + wrong);
    const std::lock_guard lock(mutex);
    ++counts.garbage;
    return;
  }
  // Who writes under an epoch has read its own announcement below; if we have not, we were in another log.
  const auto& f = fence.folded();
  if (record.stamp.kind != record_kind::announcement &&
      (record.stamp.epoch > f.epoch || (record.stamp.epoch == f.epoch && record.stamp.reign != f.reign)))
    throw diverged("offset " + std::to_string(m.offset) + " is of epoch " + std::to_string(record.stamp.epoch) +
                   ", whose announcement was not there");
  if (!fence.read(m.offset, record.stamp)) {
    const std::lock_guard lock(mutex);
    ++counts.skipped;
    return;
  }
  if (record.stamp.kind == record_kind::announcement)
    other = record.announced.incarnation == options.who.incarnation
                ? ""
                : "node " + record.announced.node_id + " leads it under epoch " + std::to_string(record.stamp.epoch);
  if (record.stamp.kind == record_kind::batch) {
    commands = std::max(commands, record.batch.position);
    feed = record.batch.feed;
    auto& changes = record.batch.changes;
    // The view takes a record's heartbeats before its changes: those of a later record must not overtake earlier ones.
    if (!changes.heartbeats.empty()) hand_to_view();
    std::move(changes.runs.begin(), changes.runs.end(), std::back_inserter(pending.runs));
    std::move(changes.heartbeats.begin(), changes.heartbeats.end(), std::back_inserter(pending.heartbeats));
    std::move(changes.outcomes.begin(), changes.outcomes.end(), std::back_inserter(pending.outcomes));
    append_to(pending.outbox, std::move(changes.outbox));
  }
  pending_position = position_at(m.offset, record.crc);
}

store::log_position kafka_journal::state::position_at(std::int64_t offset, std::uint32_t crc) const {
  const auto& f = fence.folded();
  return {.at = {.offset = offset, .epoch = f.epoch, .reign = f.reign, .seq = f.seq, .released = f.released},
          .crc = crc,
          .commands = commands,
          .feed = feed};
}

void kafka_journal::state::hand_to_view() {
  if (!pending_position) return;
  const auto r = view.append(pending, *pending_position);
  if (r.status == append_status::refused)
    throw diverged("the records up to offset " + std::to_string(pending_position->at.offset) +
                   " contradict it: " + r.message);
  if (r.status != append_status::committed) throw store::store_error(r.message);
  pending = {};
  pending_position.reset();
}

// ---- leading

bool kafka_journal::state::announce() {
  if (!begun) catch_up();
  other.clear();
  if (!producer || !producer->fatal().empty())
    producer = std::make_unique<kafka_producer>(options.client,
                                                kafka_producer::options{.give_up_after = options.append_timeout});
  const auto s = fence.announce(draw_reign());
  const auto d = deliver(encode(s, options.who));
  if (d.code != 0 && !d.unknown) {
    fence.lost();
    throw make_kafka_error("announcing on " + name, d.code);
  }
  // Whether it is in the log is what the log says.
  auto deadline = std::chrono::steady_clock::now() + own_record_wait;
  while (fence.now() == fence::standing::announcing) {
    if (read_on(read_wait)) {
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
  if (const auto r = view.reopen(); r.status != append_status::committed) return r;
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

// Blocks until the message is in the log, or has failed, or nobody knows.
kafka_producer::delivery kafka_journal::state::deliver(const std::string& bytes) {
  auto answer = std::make_shared<std::optional<kafka_producer::delivery>>();
  try {
    producer->send(options.topic, options.partition, std::nullopt, bytes,
                   [answer](const kafka_producer::delivery& d) { *answer = d; });
  } catch (const kafka_error& e) {
    return {.offset = -1, .code = e.code(), .unknown = false, .message = e.what()};
  }
  while (!*answer) {
    producer->poll(100ms);
    if (*answer) break;
    // One that is pending when a higher announcement has been read counts for nobody.
    if (auto why = tail.doubts(); !why.empty())
      return {.offset = -1, .code = -1, .unknown = true, .message = std::move(why)};
  }
  return **answer;
}

append_result kafka_journal::state::step_down(std::string why) {
  fence.lost();
  outbox.end();
  begun = false;
  const std::lock_guard lock(mutex);
  counts.leading = false;
  ++counts.stepped_down;
  return {append_status::unknown, name + ": " + std::move(why)};
}

append_result kafka_journal::state::write(const store::record& r) {
  if (fence.now() != fence::standing::leading) return step_down("this node does not lead it");
  if (auto why = tail.doubts(); !why.empty()) return step_down(std::move(why));
  auto others = r.outbox;
  const bool barrier = !take_marks(others) && r.empty() && others.empty();
  const auto s = fence.next(barrier ? record_kind::barrier : record_kind::batch);
  std::uint32_t crc = 0;
  batch b;
  if (!barrier) {
    b = {.changes = r, .position = commands, .feed = feed};
    b.changes.outbox = std::move(others);
  }
  const auto bytes = barrier ? encode(s, &crc) : encode(s, b, &crc);
  if (bytes.size() > largest_record) {
    outbox.end();
    fence.lost();  // nothing was written, but the stamp is used up
    return {append_status::refused,
            name + ": a record of " + std::to_string(bytes.size()) + " bytes; lower limits.batch"};
  }
  const auto d = deliver(bytes);
  if (d.code != 0) return step_down("an append failed, and may be in the log or not: " + d.message);
  auto ack = fence.acknowledged(d.offset, s);
  if (ack == fence::ack::gap) {
    {
      const std::lock_guard lock(mutex);
      ++counts.gaps;
    }
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
    counts.position = counts.end;
    ++counts.appended;
    counts.appended_bytes += bytes.size();
  }
  tail.expect({d.offset, crc});
  // A barrier changes nothing: a view that lacks it reads it again.
  if (barrier) return {};
  auto done = view.append(b.changes, position_at(d.offset, crc));
  if (done.status == append_status::committed) outbox.committed(b.changes.outbox);
  return done;
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
    if (const auto* m = reader.next(read_wait)) read_message(*m);
    if (std::chrono::steady_clock::now() > deadline) throw store::store_error("no answer within 30 s");
  }
  hand_to_view();
  return fence.now() == fence::standing::leading;
}

// ---- the interface

kafka_journal::kafka_journal(std::unique_ptr<state> s) : state_(std::move(s)) {}
kafka_journal::~kafka_journal() = default;

append_result kafka_journal::append(const store::record& r) {
  try {
    return state_->write(r);
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
  // So that who comes next does not publish and read again what has been.
  if (append({}).status != append_status::committed) return false;
  const auto stamp = s.fence.next(record_kind::release);
  const auto d = s.deliver(encode(stamp));
  const bool done = d.code == 0 && s.fence.acknowledged(d.offset, stamp) == fence::ack::in_place;
  s.fence.lost();
  s.outbox.end();
  s.begun = false;
  const std::lock_guard lock(s.mutex);
  s.counts.leading = false;
  return done;
}

outbox_desk& kafka_journal::outbox() { return state_->outbox; }
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
