#include "broker/snapshotter.hpp"

#include <algorithm>
#include <utility>

#include "store/errors.hpp"
#include "store/snapshot_restore.hpp"

namespace pawl::broker {

namespace {

using namespace std::chrono_literals;
using clock_type = std::chrono::steady_clock;

/// After an error, at least.
constexpr std::chrono::milliseconds rest{10s};
/// What nobody lists may be of one that is being written elsewhere; when it is so old, it is not.
constexpr auto orphan_age = 1h;
/// A record of which this node has seen no size.
constexpr std::uint64_t usual_record = 1024;

}  // namespace

snapshotter::snapshotter(store::snapshot_store& store, const store::embedded_journal& view, snapshotter_options o)
    : store_(store),
      view_(view),
      options_(std::move(o)),
      thread_([this](const std::stop_token& stop) { run(stop); }) {}

snapshotter::~snapshotter() { stop(); }

void snapshotter::stop() {
  if (!thread_.joinable()) return;
  thread_.request_stop();
  thread_.join();
}

void snapshotter::write_now() {
  const std::lock_guard lock(mutex_);
  now_ = true;
  changed_.notify_all();
}

snapshotter_stats snapshotter::stats() const {
  const std::lock_guard lock(mutex_);
  return stats_;
}

void snapshotter::run(const std::stop_token& stop) {
  do {
    try {
      look(stop);
    } catch (const std::exception& e) {
      if (!stop.stop_requested()) failed(e.what());
    }
  } while (wait(stop));
}

void snapshotter::look(const std::stop_token& stop) {
  if (writer_ && view_.emptied() != emptied_) begin_anew();
  const auto now = clock_type::now();
  if (!writer_ && now >= next_) adopt(stop);
  if (writer_ && (asked_ || now >= next_) && due()) write(stop);
  if (writer_ && now >= next_trim_) trim();
}

// False: it is to end.
bool snapshotter::wait(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, stop, options_.rules.look_every, [&] { return now_; });
  asked_ = std::exchange(now_, false) || asked_;
  return !stop.stop_requested();
}

void snapshotter::failed(const std::string& what) {
  next_ = next_trim_ = clock_type::now() + std::max(rest, options_.rules.interval);
  asked_ = false;
  if (what != complaint_ && options_.warn) options_.warn(what + "; it is tried again");
  complaint_ = what;
  const std::lock_guard lock(mutex_);
  ++stats_.failed;
  stats_.last_error = what;
}

// ---- what is there already

// What the view is now may be of another journal than what was kept.
void snapshotter::begin_anew() {
  writer_.reset();
  kept_.clear();
  next_ = {};
}

void snapshotter::adopt(const std::stop_token& stop) {
  emptied_ = view_.emptied();
  then_ = options_.progress();
  std::set<std::string> good;
  std::vector<store::kept_snapshot> kept;
  store::snapshot_writer writer(
      store_, view_,
      {.topic = options_.topic, .partition = options_.partition, .segment_bytes = options_.rules.segment_bytes});
  bool based = false;
  for (const auto& name : store::list_snapshots(store_, options_.partition)) {
    if (stop.stop_requested() || kept.size() >= options_.rules.keep) break;
    auto found = usable(name);
    if (!found) continue;
    store::key_set keys;
    auto segments = good_segments(*found, good, keys);
    const bool whole = segments.size() == found->segments.size();
    // The runs of segments that are not good are in the view, and are written anew.
    if (!based) writer.continue_from(std::move(segments), std::move(keys));
    based = true;
    if (whole) kept.push_back(std::move(*found));
  }
  if (stop.stop_requested()) return;
  writer_.emplace(std::move(writer));
  kept_ = std::move(kept);
  show();
}

std::optional<store::kept_snapshot> snapshotter::usable(const std::string& name) {
  std::string why;
  try {
    auto found = store::check_snapshot(store_, name);
    if (found.about.topic != options_.topic || found.about.partition != options_.partition)
      why = "it is of " + found.about.topic + "/" + std::to_string(found.about.partition);
    else if (found.about.position.at.offset >= options_.progress().end)
      why = "it ends at an offset that the journal does not have";
    else
      why = options_.misfit(found.about.position);
    if (why.empty()) return found;
  } catch (const store::snapshot_damage& e) {
    why = e.what();
  } catch (const store::store_error& e) {
    why = e.what();
  }
  if (options_.warn) options_.warn("the snapshot " + store_.where() + "/" + name + " is not used: " + why);
  return std::nullopt;
}

snapshotter::lines snapshotter::good_segments(const store::kept_snapshot& of, std::set<std::string>& good,
                                              store::key_set& keys) {
  lines out;
  for (const auto& line : of.segments) {
    try {
      if (!good.contains(line.name)) store::check_segment(store_, line, view_.next_run_key(), keys);
      good.insert(line.name);
      out.push_back(line);
    } catch (const std::runtime_error& e) {  // snapshot_damage, store_error
      if (options_.warn)
        options_.warn("a segment of the snapshot " + store_.where() + "/" + of.name + " is not used: " + e.what());
    }
  }
  return out;
}

// ---- writing

bool snapshotter::due() {
  const auto now = options_.progress();
  const auto newest = kept_.empty() ? -1 : kept_.front().about.position.at.offset;
  if (now.end - 1 <= newest) return asked_ = false;
  if (asked_) return true;
  const auto records = static_cast<std::uint64_t>(now.end - 1 - newest);
  const auto own = now.appended - then_.appended;
  const auto own_bytes = now.appended_bytes - then_.appended_bytes;
  const auto others = records > own ? records - own : 0;
  const auto bytes = own_bytes + others * (own > 0 ? own_bytes / own : usual_record);
  const auto& r = options_.rules;
  return (records >= r.records || bytes >= r.bytes) && (kept_.empty() || bytes >= kept_.front().bytes);
}

void snapshotter::write(const std::stop_token& stop) {
  const auto began = clock_type::now();
  const auto then = options_.progress();
  auto made = writer_->write(stop);
  // Its bytes were read back; this is whether they mean what they should.
  store::check_snapshot(store_, made.name);
  then_ = then;
  asked_ = false;
  fresh_ = true;
  kept_.insert(kept_.begin(), std::move(made));
  if (kept_.size() > options_.rules.keep) kept_.resize(options_.rules.keep);
  const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(clock_type::now() - began);
  next_ = clock_type::now() + options_.rules.interval;
  show();
  {
    const std::lock_guard lock(mutex_);
    ++stats_.written;
    stats_.last_error.clear();
    stats_.last_took = took;
  }
  complaint_.clear();
  if (options_.told)
    options_.told("snapshot " + kept_.front().name + ": " + std::to_string(kept_.front().bytes) + " bytes, " +
                  std::to_string(kept_.front().segments.size()) + " segments, " + std::to_string(took.count()) + " ms");
  remove_old();
}

void snapshotter::show() {
  const std::lock_guard lock(mutex_);
  stats_.kept = kept_.size();
  if (kept_.empty()) return;
  const auto& newest = kept_.front();
  stats_.newest = newest.about.position.at.offset;
  stats_.oldest = kept_.back().about.position.at.offset;
  stats_.last_bytes = newest.bytes;
  stats_.segments = newest.segments.size();
  stats_.segment_bytes = 0;
  for (const auto& s : newest.segments) stats_.segment_bytes += s.sum.bytes;
}

// ---- removing

void snapshotter::remove_old() {
  if (kept_.size() < options_.rules.keep) return;
  const auto oldest = kept_.back().about.position.at.offset;
  std::vector<std::string> snapshots;
  for (const auto& name : store::list_snapshots(store_, options_.partition))
    if (store::place_of(name)->offset < oldest)
      store_.remove(name);
    else
      snapshots.push_back(name);
  const auto needed = segments_needed(snapshots);
  for (const auto& b : store_.list(store::snapshot_folder(options_.partition)))
    if (b.age > orphan_age && store::is_ours(b.name) && !store::place_of(b.name) && !needed.contains(b.name))
      store_.remove(b.name);
}

std::set<std::string> snapshotter::segments_needed(const std::vector<std::string>& snapshots) const {
  std::set<std::string> out;
  const auto add = [&](const lines& segments) {
    for (const auto& s : segments) out.insert(s.name);
  };
  add(writer_->segments());
  for (const auto& k : kept_) add(k.segments);
  for (const auto& name : snapshots) {
    try {
      add(store::read_head(store_, name).segments);
    } catch (const std::runtime_error&) {
      continue;  // damaged, or gone: it needs nothing any more
    }
  }
  return out;
}

void snapshotter::trim() {
  trim_inputs in{.kept = {},
                 .to_keep = options_.rules.keep,
                 .feed = options_.feed,
                 .end = options_.progress().end,
                 .standbys = options_.standbys ? options_.standbys() : std::vector<std::int64_t>(),
                 .standby_limit = options_.rules.standby_limit};
  for (const auto& k : kept_) in.kept.push_back(k.about.position);
  const auto plan = plan_trim(in);
  const auto done = stats();
  // Not a request for every few records that a standby has read.
  const auto worth = fresh_ ? 1 : std::max<std::int64_t>(1, static_cast<std::int64_t>(options_.rules.records / 10));
  const bool journal = plan.journal_below - done.journal_below >= worth;
  const bool commands = plan.commands_below - done.commands_below >= worth;
  if (journal) options_.trim_journal(plan.journal_below);
  if (commands) options_.trim_commands(plan.commands_below);
  fresh_ = false;
  const std::lock_guard lock(mutex_);
  stats_.bound = text(plan.bound);
  if (journal) stats_.journal_below = plan.journal_below;
  if (commands) stats_.commands_below = plan.commands_below;
}

}  // namespace pawl::broker
