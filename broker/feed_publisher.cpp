#include "broker/feed_publisher.hpp"

#include <algorithm>
#include <array>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <stdexcept>
#include <thread>

#include "broker/recent_records.hpp"
#include "broker/recent_runs.hpp"
#include "workflow/event_codec.hpp"

namespace pawl::broker {

namespace {

using namespace std::chrono_literals;
using clock = std::chrono::steady_clock;

/// Sent and not acknowledged; then the feed waits.
constexpr std::size_t most_messages = 10'000;
constexpr std::size_t most_bytes = std::size_t{32} * 1024 * 1024;
/// The topics' max.message.bytes, and room for the key, the headers and what Kafka puts around them.
constexpr std::size_t largest_value = std::size_t{8} * 1024 * 1024 - 64 * 1024;
constexpr std::size_t most_runs = 10'000;
/// What is published waits so long for company: measured here, a message costs a third of what it costs at 5 ms, in
/// this process and in the broker.
constexpr auto linger = 25ms;
constexpr auto first_pause = 100ms;
constexpr auto longest_pause = 5'000ms;
constexpr auto idle_wait = 100ms;
constexpr auto busy_wait = 5ms;
/// Records are told a few at a time: what is published waits for company in its producer anyway, and much longer.
constexpr auto gather = 4ms;
constexpr auto first_record_wait = 30s;

/// The log is not the one that fed() was in: its tail was lost.
struct diverged : std::runtime_error {
  using std::runtime_error::runtime_error;
};
/// Nothing that trying again would mend.
struct unreadable : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// "pawl.run_started"
const std::string& type_of(engine::event_kind kind) {
  static const auto all = [] {
    std::vector<std::string> types;
    for (unsigned k = 0; k <= engine::last_event_kind; ++k)
      types.push_back("pawl." + std::string(to_text(static_cast<engine::event_kind>(k))));
    return types;
  }();
  return all.at(static_cast<std::size_t>(kind));
}

}  // namespace

struct feed_publisher::state {
  class session;

  state(feed_options o, kafka_journal& j)
      : options(std::move(o)),
        journal(j),
        journal_topic(options.name_space + ".journal"),
        events_topic(options.name_space + ".events"),
        source("/pawl/" + options.name_space),
        name(events_topic + "/" + std::to_string(options.partition)) {}

  void run();
  bool pause(std::chrono::milliseconds time);
  bool asked_to_stop() const {
    const std::lock_guard lock(mutex);
    return stop_by.has_value();
  }
  bool out_of_time() const {
    const std::lock_guard lock(mutex);
    return stop_by && clock::now() >= *stop_by;
  }
  void count(std::uint64_t feed_stats::* what) {
    const std::lock_guard lock(mutex);
    ++(counts.*what);
  }
  void warn(const std::string& text) const {
    if (options.warn) options.warn(name + ": " + text);
  }

  const feed_options options;
  kafka_journal& journal;
  const std::string journal_topic;
  const std::string events_topic;
  const std::string source;
  const std::string name;
  // The feed's thread's.
  recent_runs runs{most_runs};
  bool from_the_beginning = false;  // fed() is of another log

  mutable std::mutex mutex;  // guards what follows
  std::condition_variable woken;
  feed_stats counts;
  std::optional<clock::time_point> stop_by;
  bool complete = false;  // everything was published when it ended

  std::thread thread;
};

// From fed() to the first error, with one reader and one producer.
class feed_publisher::state::session {
  /// A record whose events are under way.
  struct sent_record {
    feed_publisher::state::session* session;
    store::log_point point;
    std::size_t waiting = 0;  // messages that are not acknowledged
    bool whole = false;  // all of its messages are sent
  };

 public:
  explicit session(state& s)
      : feed_(s),
        point_(s.from_the_beginning ? store::log_point{} : s.journal.fed()),
        reader_(s.options.client, s.journal_topic, s.options.partition),
        // A message never fails by time, and after one that fails for good nothing more is sent: an event that came
        // behind a later one would be taken for a repeat, and dropped.
        producer_(s.options.client, {.linger = linger,
                                     .give_up_after = 0ms,
                                     .compression = "lz4",
                                     .gapless = true,
                                     .topics = {s.events_topic}}) {
    feed_.count(&feed_stats::begun);
  }

  /// Returns when the feed is to end; true: everything is published. Throws.
  bool run();
  /// Something has been acknowledged.
  bool progress() const { return progress_; }

 private:
  void check_point();
  bool take_recent();
  void take(const kafka_message& m);
  void check_log(const stamp& s, std::int64_t offset) const;
  void publish(const store::record& changes, const store::log_point& point);
  void moved_to(std::int64_t next);
  void send(const store::run_header& run, const std::string& uid, const store::event_row& row, sent_record& of);
  void delivered(sent_record& of, std::size_t bytes, const kafka_producer::delivery& d);
  engine::event to_event(const store::event_row& row, std::int64_t offset) const;
  const store::run_header& header_of(engine::run_key key);
  void settle(std::chrono::milliseconds wait);
  void published(const store::log_point& point);
  bool full() const { return messages_ >= most_messages || bytes_ >= most_bytes; }
  bool below_end(std::int64_t offset);

  state& feed_;
  store::log_point point_;  // of the newest accepted record that was read
  fold fold_;
  std::int64_t next_ = 0;
  std::int64_t end_ = 0;
  std::deque<sent_record> sent_;  // in the order of offsets; one that is acknowledged waits for those before it
  std::size_t messages_ = 0;
  std::size_t bytes_ = 0;
  std::uint64_t acknowledged_ = 0;
  std::string failure_;
  bool progress_ = false;
  kafka_reader reader_;
  kafka_producer producer_;  // gone first: it calls back into the above
};

bool feed_publisher::state::session::run() {
  check_point();
  const kafka_message* m = nullptr;
  for (;;) {
    settle(0ms);
    if (feed_.out_of_time()) return false;
    if (sent_.empty() && feed_.asked_to_stop() && !below_end(next_)) return true;
    if (full()) {
      settle(busy_wait);
      continue;
    }
    if (m == nullptr) {
      if (take_recent()) continue;
      reader_.seek(next_);
      m = reader_.next(sent_.empty() ? idle_wait : busy_wait);
    }
    if (m == nullptr) continue;
    if (!below_end(m->offset)) {
      // Ours, and not acknowledged yet, or of somebody who may not lead.
      settle(busy_wait);
      continue;
    }
    take(*m);
    m = nullptr;
  }
}

// The point is in this log: then the fold goes on from it.
void feed_publisher::state::session::check_point() {
  next_ = point_.offset + 1;
  fold_ = {.epoch = point_.epoch, .reign = point_.reign, .seq = point_.seq, .released = point_.released};
  end_ = feed_.journal.stats().end;
  if (point_.offset < 0) {
    fold_ = {};
    next_ = 0;
  } else {
    if (point_.offset >= end_) throw diverged("the journal ends before offset " + std::to_string(point_.offset));
    reader_.seek(point_.offset);
    const auto deadline = clock::now() + first_record_wait;
    const kafka_message* m = nullptr;
    while ((m = reader_.next(idle_wait)) == nullptr) {
      if (feed_.out_of_time()) return;
      if (clock::now() > deadline)
        throw std::runtime_error(reader_.name() + " cannot be read at offset " + std::to_string(point_.offset));
    }
    journal_record found;
    std::string wrong;
    const auto r = decode_stamp(m->value, found, wrong);
    if (m->offset != point_.offset || r != readable::yes || found.stamp.epoch != point_.epoch ||
        found.stamp.reign != point_.reign || found.stamp.seq != point_.seq)
      throw diverged("another record is at offset " + std::to_string(point_.offset) + " than was published");
  }
  reader_.seek(next_);
}

// The leader has acted on what is below its end: it is accepted, or skipped, for ever.
bool feed_publisher::state::session::below_end(std::int64_t offset) {
  if (offset < end_) return true;
  const auto end = feed_.journal.stats().end;
  if (end < end_) throw diverged("the journal ends at offset " + std::to_string(end) + ", and has been longer");
  end_ = end;
  return offset < end_;
}

// What was committed a moment ago is still in memory. False: only the log knows.
bool feed_publisher::state::session::take_recent() {
  using found = recent_records::found;
  const auto r = feed_.journal.recent().take(next_, sent_.empty() ? idle_wait : busy_wait, gather);
  if (r.what == found::elsewhere) return false;
  reader_.rest();
  if (r.what == found::not_yet) return true;
  feed_.count(&feed_stats::from_memory);
  point_ = r.at;
  fold_ = {.epoch = r.at.epoch, .reign = r.at.reign, .seq = r.at.seq, .released = r.at.released};
  end_ = std::max(end_, r.at.offset + 1);
  static const store::record nothing;
  publish(r.changes ? *r.changes : nothing, point_);
  moved_to(r.at.offset + 1);
  return true;
}

void feed_publisher::state::session::take(const kafka_message& m) {
  const auto where = reader_.name() + " at offset " + std::to_string(m.offset);
  if (m.offset != next_) throw std::runtime_error(where + ": what is before it is missing in the log");
  journal_record record;
  std::string wrong;
  const auto r = decode(m.value, record, wrong);
  if (r == readable::newer) throw unreadable(where + " is " + wrong);
  if (r == readable::garbage) {
    feed_.warn(where + " is skipped, as no record of ours: " + wrong);
    feed_.count(&feed_stats::garbage);
  } else {
    check_log(record.stamp, m.offset);
    if (fold_.apply(record.stamp)) {
      point_ = {
          .offset = m.offset, .epoch = fold_.epoch, .reign = fold_.reign, .seq = fold_.seq, .released = fold_.released};
      publish(record.batch.changes, point_);
    } else {
      feed_.count(&feed_stats::skipped);
    }
  }
  moved_to(m.offset + 1);
}

void feed_publisher::state::session::moved_to(std::int64_t next) {
  next_ = next;
  const std::lock_guard lock(feed_.mutex);
  feed_.counts.next = next;
}

// Who writes under an epoch has read its own announcement below; if we have not, we were in another log.
void feed_publisher::state::session::check_log(const stamp& s, std::int64_t offset) const {
  if (s.kind == record_kind::announcement) return;
  if (s.epoch > fold_.epoch || (s.epoch == fold_.epoch && s.reign != fold_.reign))
    throw diverged("offset " + std::to_string(offset) + " is of epoch " + std::to_string(s.epoch) +
                   ", whose announcement was not there");
}

void feed_publisher::state::session::publish(const store::record& changes, const store::log_point& point) {
  const bool events = std::any_of(changes.runs.begin(), changes.runs.end(),
                                  [](const store::run_change& c) { return !c.events.empty(); });
  if (!events) {
    // It is published as soon as what is before it is.
    if (sent_.empty())
      published(point);
    else
      sent_.back().point = point;
    return;
  }
  auto& record = sent_.emplace_back(sent_record{.session = this, .point = point});
  for (const auto& change : changes.runs) {
    if (change.events.empty()) continue;
    const auto& run = change.created ? feed_.runs.put(change.key, *change.created) : header_of(change.key);
    const auto uid = to_text(run.uid);
    for (const auto& row : change.events) {
      while (full()) {
        if (feed_.out_of_time()) return;  // not `whole`, so never taken for published
        settle(busy_wait);
      }
      send(run, uid, row, record);
    }
    if (is_terminal(change.events.back().kind)) feed_.runs.drop(change.key);
  }
  record.whole = true;
}

void feed_publisher::state::session::send(const store::run_header& run, const std::string& uid,
                                          const store::event_row& row, sent_record& of) {
  const auto event = to_event(row, of.point.offset);
  auto message = feed_.options.render({.run = run, .run_uid = uid, .event = event});
  if (message.value.size() > largest_value) {
    feed_.warn("event " + uid + "/" + std::to_string(event.seq) + " of " + run.workflow_id + " has " +
               std::to_string(message.value.size()) + " bytes as JSON, and is published without its payload");
    message = feed_.options.render({.run = run, .run_uid = uid, .event = event, .without_payload = true});
  }
  auto id = uid + "/";
  id += std::to_string(event.seq);
  const std::array<kafka_producer::header, 7> headers{{{"ce_specversion", "1.0"},
                                                       {"ce_id", id},
                                                       {"ce_source", feed_.source},
                                                       {"ce_type", type_of(event.kind)},
                                                       {"ce_time", message.time},
                                                       {"ce_subject", run.workflow_id},
                                                       {"content-type", "application/json"}}};
  const auto bytes = message.value.size();
  // So small that std::function needs no memory for it.
  producer_.send(
      feed_.events_topic, feed_.options.partition, run.workflow_id, message.value,
      [of = &of, bytes](const kafka_producer::delivery& d) { of->session->delivered(*of, bytes, d); }, headers);
  ++of.waiting;
  ++messages_;
  bytes_ += bytes;
}

void feed_publisher::state::session::delivered(sent_record& of, std::size_t bytes, const kafka_producer::delivery& d) {
  if (d.code != 0) {
    if (failure_.empty()) failure_ = d.message;
    return;
  }
  --of.waiting;
  --messages_;
  bytes_ -= bytes;
  ++acknowledged_;
}

engine::event feed_publisher::state::session::to_event(const store::event_row& row, std::int64_t offset) const {
  engine::event e;
  e.kind = row.kind;
  e.seq = row.seq;
  e.at = engine::from_micros(row.at);
  e.attempt = row.attempt;
  e.name = row.step;
  const auto kind = static_cast<unsigned>(row.kind);
  const auto wrong =
      !is_known(e.kind) ? "its kind " + std::to_string(kind) + " is not known" : engine::decode_body(row.body, e);
  if (!wrong.empty())
    throw unreadable(reader_.name() + " at offset " + std::to_string(offset) + ": event " + std::to_string(row.seq) +
                     ": " + wrong);
  return e;
}

const store::run_header& feed_publisher::state::session::header_of(engine::run_key key) {
  if (const auto* known = feed_.runs.find(key)) return *known;
  auto found = feed_.options.find_run(key);
  if (!found) throw std::runtime_error("run " + std::to_string(key) + " is not in the view");
  return feed_.runs.put(key, std::move(*found));
}

void feed_publisher::state::session::settle(std::chrono::milliseconds wait) {
  producer_.poll(wait);
  if (acknowledged_ > 0) {
    progress_ = true;
    const std::lock_guard lock(feed_.mutex);
    feed_.counts.published += acknowledged_;
    acknowledged_ = 0;
  }
  std::optional<store::log_point> upto;
  while (!sent_.empty() && sent_.front().whole && sent_.front().waiting == 0) {
    upto = sent_.front().point;
    sent_.pop_front();
  }
  if (upto) published(*upto);
  if (failure_.empty()) failure_ = producer_.fatal();
  if (!failure_.empty()) throw std::runtime_error("writing to " + feed_.name + ": " + failure_);
}

void feed_publisher::state::session::published(const store::log_point& point) {
  feed_.journal.fed(point);
  feed_.from_the_beginning = false;
}

// ---- the thread

void feed_publisher::state::run() {
  auto time = std::chrono::milliseconds(first_pause);
  do {
    std::string what;
    bool progress = false;
    try {
      session s(*this);
      try {
        const bool all = s.run();
        const std::lock_guard lock(mutex);
        complete = all;
        return;
      } catch (...) {
        progress = s.progress();
        throw;
      }
    } catch (const unreadable& e) {
      warn(std::string("the feed stops, and nothing more is published: ") + e.what());
      const std::lock_guard lock(mutex);
      counts.stopped = e.what();
      return;
    } catch (const diverged& e) {
      from_the_beginning = true;
      runs.clear();
      what = std::string(
                 "the journal is not the one that was published (journal_diverged), and is published once more: ") +
             e.what();
    } catch (const std::exception& e) {
      what = e.what();
    }
    if (progress) time = first_pause;
    warn("the feed goes on in " + std::to_string(time.count()) + " ms, from the last record that is certain: " + what);
    if (pause(time)) return;
    time = std::min<std::chrono::milliseconds>(time * 2, longest_pause);
  } while (true);
}

// True: the time to stop has come.
bool feed_publisher::state::pause(std::chrono::milliseconds time) {
  std::unique_lock lock(mutex);
  const auto until = clock::now() + time;
  const auto due = [&] { return stop_by ? std::min(*stop_by, until) : until; };
  while (clock::now() < due()) woken.wait_until(lock, due());
  return stop_by && clock::now() >= *stop_by;
}

feed_publisher::feed_publisher(feed_options o, kafka_journal& journal)
    : state_(std::make_unique<state>(std::move(o), journal)) {
  state_->thread = std::thread([s = state_.get()] { s->run(); });
}

feed_publisher::~feed_publisher() { stop(std::chrono::milliseconds(0)); }

bool feed_publisher::stop(std::chrono::milliseconds within) {
  auto& s = *state_;
  {
    const std::lock_guard lock(s.mutex);
    s.stop_by = clock::now() + within;
  }
  s.woken.notify_all();
  s.journal.recent().wake();
  if (s.thread.joinable()) s.thread.join();
  const std::lock_guard lock(s.mutex);
  return s.complete;
}

feed_stats feed_publisher::stats() const {
  const std::lock_guard lock(state_->mutex);
  return state_->counts;
}

}  // namespace pawl::broker
