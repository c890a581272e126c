#include "actors/commit_queue.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

#include "actors/burst.hpp"

namespace pawl::actors {

namespace {

// Decisions in a batch from which on the next one lets others run first: measured with 1,024 callers on two cores, 8 %
// more workflows a second (median of 7 pairs); with 128 callers, whose batches are smaller, nothing was gained.
constexpr std::size_t crowd = 64;
// Decisions that wait, from which on they are sent before the effects of the batch before them leave.
constexpr std::size_t many_waiting = 12;
// So long after the newest batch the journal is asked to settle, which takes a write to the disk: not between two
// batches that follow each other, the second of which would wait for that.
constexpr auto a_while = std::chrono::milliseconds(5);

}  // namespace

owed_reply::~owed_reply() {
  if (!function_) return;
  command_reply r;
  r.state = command_reply::status::unknown;
  r.message = "the outcome of the command is not known; send it again under the same command id to learn it";
  function_(r);
}

void owed_reply::answer(const command_reply& r) {
  if (auto f = std::exchange(function_, nullptr)) f(r);
}

commit_queue::commit_queue(store::journal& journal, options o, listener l)
    : journal_(journal),
      options_(o),
      listener_(std::move(l)),
      generation_(o.first_generation),
      thread_([this] { run(); }) {}

commit_queue::~commit_queue() { stop(); }

void commit_queue::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void commit_queue::submit(std::shared_ptr<decided> d) {
  bool wake = false;
  {
    const std::lock_guard lock(mutex_);
    if (!stopping_ && !over_ && d->generation == generation_.load(std::memory_order_relaxed)) {
      queue_.push_back(std::move(d));
      waiting_.store(queue_.size(), std::memory_order_relaxed);
      wake = std::exchange(sleeping_, false);
    }
  }
  if (wake) wake_.notify_one();
  // Otherwise it was decided under a generation that is over: dropped here, outside of the lock, its reply "unknown".
}

// False: for so long there was nothing to append. Also true when this is to stop.
bool commit_queue::wait(std::chrono::microseconds most) {
  if (waiting() > 0) return true;
  std::unique_lock lock(mutex_);
  const auto until = std::chrono::steady_clock::now() + most;
  while (queue_.empty() && !stopping_) {
    sleeping_ = true;
    if (wake_.wait_until(lock, until) == std::cv_status::timeout) break;
  }
  sleeping_ = false;
  return !queue_.empty() || stopping_;
}

// Blocks until there is something to append; empty: stopping. Keeps the order in which things were handed in.
commit_queue::batch commit_queue::next() {
  std::unique_lock lock(mutex_);
  while (queue_.empty() && !stopping_) {
    sleeping_ = true;
    wake_.wait(lock, [this] { return !sleeping_ || stopping_; });
  }
  sleeping_ = false;
  std::size_t bytes = 0;
  std::size_t n = 0;
  while (n < queue_.size() && n < options_.batch_decisions &&
         (n == 0 || bytes + queue_[n]->bytes <= options_.batch_bytes))
    bytes += queue_[n++]->bytes;
  batch out;
  if (n == queue_.size()) {
    out.swap(queue_);
  } else {
    out.assign(std::make_move_iterator(queue_.begin()),
               std::make_move_iterator(queue_.begin() + static_cast<std::ptrdiff_t>(n)));
    queue_.erase(queue_.begin(), queue_.begin() + static_cast<std::ptrdiff_t>(n));
  }
  waiting_.store(queue_.size(), std::memory_order_relaxed);
  return out;
}

void commit_queue::run() {
  for (;;) {
    if (!wait(a_while))
      if (const auto r = journal_.settle(); r.status != store::append_status::committed) {
        batch nothing;
        fail(nothing, r);
      }
    // Where so many came at once, more are on their way, held up by this thread's own use of the processor: a larger
    // batch is cheaper for all of them. With a processor to spare this costs nothing, and it is no timer.
    if (last_batch_ >= crowd && waiting() > 0 && waiting() < last_batch_) std::this_thread::yield();
    auto b = next();
    last_batch_ = b.size();
    if (b.empty()) return;
    append(b);
  }
}

void commit_queue::append(batch& b) {
  const auto begun = std::chrono::steady_clock::now();
  store::record r;
  r.runs.reserve(b.size());
  bool barrier = false;
  for (auto& d : b) {
    barrier = barrier || d->barrier;
    if (!d->change.events.empty() || d->change.created || d->change.summary) r.runs.push_back(std::move(d->change));
    if (d->successor) r.runs.push_back(std::move(*std::exchange(d->successor, std::nullopt)));
    std::move(d->messages.begin(), d->messages.end(), std::back_inserter(r.outbox.messages));
    std::move(d->heartbeats.begin(), d->heartbeats.end(), std::back_inserter(r.heartbeats));
    std::move(d->outcomes.begin(), d->outcomes.end(), std::back_inserter(r.outcomes));
    std::move(d->marks.begin(), d->marks.end(), std::back_inserter(r.marks));
  }
  // What the batch before rests on is durable: its effects leave while this one is on its way.
  const auto result =
      r.empty() && !barrier ? store::append_result{} : journal_.append_beside(std::move(r), [this] { hand_over(); });
  hand_over();  // it was not on its way
  if (result.status != store::append_status::committed) return fail(b, result);
  failures_in_a_row_ = 0;
  const auto spent = std::chrono::steady_clock::now() - begun;
  {
    const std::lock_guard lock(mutex_);
    ++stats_.commits;
    stats_.decisions += b.size();
    stats_.busy_ns += static_cast<std::uint64_t>(std::chrono::nanoseconds(spent).count());
  }
  committed_ = std::move(b);
  // A few that wait would be a small record, and what this batch causes would wait until it is durable; of a crowd the
  // next record is sent first: measured with 128 callers, more workflows a second in 11 of 13 pairs, 11 % in the
  // median.
  if (waiting() < std::max(many_waiting, committed_.size() / 4)) hand_over();
}

void commit_queue::hand_over() {
  const burst together;
  for (auto& d : std::exchange(committed_, {})) {
    auto committed = std::exchange(d->committed, nullptr);
    committed(std::move(d));
  }
}

void commit_queue::fail(batch& b, const store::append_result& why) {
  batch dropped;
  std::uint64_t next_generation = 0;
  {
    const std::lock_guard lock(mutex_);
    ++stats_.failures;
    stats_.trouble = why.message;
    dropped.swap(queue_);
    waiting_ = 0;
    available_ = false;
    next_generation = generation_.fetch_add(1) + 1;
  }
  // First the news, so that whoever hears "unknown" and asks again is not answered from discarded state.
  listener_.failed(next_generation, why);
  b.clear();
  dropped.clear();
  const auto is_over = [](const store::append_result& r) {
    return r.status == store::append_status::broken || r.status == store::append_status::deposed;
  };
  const auto end = is_over(why) ? why : heal();
  if (end.status == store::append_status::committed) return listener_.healed(next_generation);
  if (is_over(end)) {
    const std::lock_guard lock(mutex_);
    over_ = true;
    queue_.swap(dropped);
    waiting_ = 0;
  }
  dropped.clear();
  if (end.status == store::append_status::broken) listener_.broken(end);
  if (end.status == store::append_status::deposed && listener_.deposed) listener_.deposed(end);
}

// Opens the journal again, waiting longer and longer while that, or the first append after it, fails. Ends with
// committed, broken, or, when the queue is being stopped, with what was wrong at last.
store::append_result commit_queue::heal() {
  constexpr auto longest = std::chrono::milliseconds(2000);
  auto pause = std::min(longest, std::chrono::milliseconds(25) * (1 << std::min(failures_in_a_row_, 7)));
  if (failures_in_a_row_++ > 0) {
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, pause, [this] { return stopping_; });
  }
  for (;;) {
    auto r = journal_.reopen();
    if (r.status == store::append_status::committed) break;
    std::unique_lock lock(mutex_);
    stats_.trouble = r.message;
    if (r.status == store::append_status::broken || r.status == store::append_status::deposed || stopping_) return r;
    wake_.wait_for(lock, pause, [this] { return stopping_; });
    if (stopping_) return r;
    pause = std::min(pause * 2, longest);
  }
  const std::lock_guard lock(mutex_);
  stats_.trouble.clear();
  available_ = true;
  return {};
}

commit_stats commit_queue::stats() const {
  const std::lock_guard lock(mutex_);
  auto s = stats_;
  s.waiting = queue_.size();
  return s;
}

}  // namespace pawl::actors
