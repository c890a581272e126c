// The journal of a partition while it is read: into the fold, and from there into the view.
#include <algorithm>
#include <stdexcept>

#include "broker/kafka_journal_state.hpp"
#include "broker/ownership.hpp"

namespace pawl::broker {

namespace {

using namespace std::chrono_literals;
using store::append_status;

/// For so long at most the log is read before the caller is asked again.
constexpr auto read_at_once = 200ms;
constexpr auto metadata_wait = 5'000ms;
/// A view that catches up takes the changes of many records in one transaction, up to so many.
constexpr std::size_t changes_at_once = 4096;
/// A view that was read anew and still does not fit is read again so often.
constexpr int most_rebuilds = 3;

/// The log is not what the view was made from.
struct diverged : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The log behind the last record in the view is not what was read there.
struct to_read_again : std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace

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
    if (const auto r = view.clear(); r.status != append_status::committed) throw store::write_error(r);
    if (++rebuilds > most_rebuilds) throw store::store_error(name + ": the log changes while it is read");
    return true;
  } catch (const to_read_again& again) {
    begun = false;
    warn(again.what());
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
  writer.reset();
  log_end = log.end;
  began_at = fence.next_offset();
  caught_up = false;
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
    if (pending_changes >= changes_at_once) hand_to_view();
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
  const auto left = log_end - fence.next_offset();
  // Of a view that has once been at the end only what is worth waiting for.
  caught_up = caught_up || left <= 0;
  if (!options.progress || left <= (caught_up ? close_enough : 0) || now - told < 100ms) return;
  told = now;
  options.progress({.offset = fence.next_offset(), .from = began_at, .end = log_end, .anew = from_nothing});
}

// A view that is missing, or from which the log does not go on any more, starts from a snapshot, if there is one.
void kafka_journal::state::restore(const kafka_reader::range& log) {
  if (options.snapshots == nullptr) return;
  if (const auto p = view.position(); p && p->at.offset >= log.first) return;
  const store::snapshot_source source{.topic = options.topic,
                                      .partition = options.partition,
                                      .misfit = [&](const auto& p) { return misfit(reader, log, p); },
                                      .warn = [this](const std::string& text) { warn(text); }};
  const auto show = [&](const store::restore_progress& p) {
    if (options.progress) options.progress({.offset = 0, .from = 0, .end = log.end, .anew = true, .snapshot = p});
  };
  if (!store::restore_view(*options.snapshots, source, view, show)) return;
  if (options.told)
    options.told("the view starts from the snapshot at offset " + std::to_string(view.position()->at.offset) +
                 "; the log begins at " + std::to_string(log.first));
  const std::lock_guard lock(mutex);
  ++counts.restored;
}

void kafka_journal::state::start_from_view(const kafka_reader::range& log) {
  pending.clear();
  pending_changes = 0;
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
    if (follow(journal_read_wait)) {
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
  // What would be missed if the end of the log was lost, and written again up to here, since we were there.
  const auto offset = m.offset;
  const auto& f = fence.folded();
  const bool news = record.stamp.kind == record_kind::announcement || record.stamp.epoch > f.epoch ||
                    (record.stamp.epoch == f.epoch && record.stamp.reign != f.reign);
  if (news && caught_up && fence.now() != fence::standing::leading) look_back(offset);
  if (!fence.read(offset, record.stamp)) {
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
    pending_changes +=
        1 + changes.runs.size() + changes.outcomes.size() + changes.heartbeats.size() + changes.outbox.messages.size();
    pending.push_back(std::make_shared<store::record>(std::move(changes)));
  }
  pending_position = position_at(offset, record.crc);
}

// Throws if the log below `offset` is not what we have read there. With a reader of its own: on the connection of one
// that waits for news a question waits until that is over, 100 ms each time, and nobody leads meanwhile.
void kafka_journal::state::look_back(std::int64_t offset) {
  const auto known = pending_position ? pending_position : view.position();
  kafka_reader looker(options.client, options.topic, options.partition);
  const auto log = looker.offsets(metadata_wait);
  if (known)
    if (const auto why = misfit(looker, log, *known); !why.empty()) throw diverged(why);
  auto fold = known ? broker::fold{.epoch = known->at.epoch,
                                   .reign = known->at.reign,
                                   .seq = known->at.seq,
                                   .released = known->at.released}
                    : broker::fold{};
  // Behind it are only records that do not count.
  const auto from = std::max(known ? known->at.offset + 1 : 0, log.first);
  if (from < offset) looker.seek(from);
  const auto deadline = std::chrono::steady_clock::now() + own_record_wait;
  for (auto next = from; next < offset;) {
    const auto* m = looker.next(journal_read_wait);
    if (std::chrono::steady_clock::now() > deadline) throw store::store_error(name + ": no answer within 30 s");
    if (m == nullptr) continue;
    next = m->offset + 1;
    journal_record found;
    std::string wrong;
    if (m->offset < offset && decode_stamp(m->value, found, wrong) == readable::yes && fold.apply(found.stamp))
      throw to_read_again("the end of the log was lost: offset " + std::to_string(m->offset) +
                          " holds another record than was read there; it is read again");
  }
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
  if (r.status != append_status::committed) throw store::write_error(r);
  pending.clear();
  pending_changes = 0;
  pending_position.reset();
}

}  // namespace pawl::broker
