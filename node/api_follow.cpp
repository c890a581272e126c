#include "node/api_follow.hpp"

#include <utility>

namespace pawl::node {

namespace {

constexpr std::size_t page = 256;
constexpr int most_failures = 300;  // turns in a row in which the view could not be read: half a minute
constexpr std::chrono::milliseconds pause{100};
constexpr std::chrono::milliseconds pause_when_full{10};

problem not_leader() {
  return {.status = 503,
          .code = "not_leader",
          .detail = "this node is no longer the leader of the workflow's partition",
          .mend = "follow again from the event behind the last one that came: any node knows who leads now",
          .retry_after = std::chrono::milliseconds(500)};
}

problem unreadable() {
  return {.status = 503,
          .code = "unavailable",
          .detail = "the view of this workflow could not be read for half a minute",
          .mend = "look at the node's log, and follow again",
          .retry_after = std::chrono::seconds(1)};
}

problem stops() {
  return {.status = 503,
          .code = "unavailable",
          .detail = "the node is stopping",
          .mend = "follow again when it runs again",
          .retry_after = std::chrono::seconds(1)};
}

}  // namespace

std::string last_line(const problem& why) { return to_response(why).body; }

bool is_last_line(std::string_view line) {
  // Most lines are events: they are not parsed for this.
  if (line.find("urn:pawl:problem:") == std::string_view::npos) return false;
  const auto body = json::parse(line, nullptr, false);
  return body.is_object() && !body.contains("seq") && body.contains("type") && body.contains("status");
}

bool history_followers::add(followed_run f) {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_ || count_ >= most_) return false;
    ++count_;
    added_.push_back(std::move(f));
    if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
  }
  wake_.notify_one();
  return true;
}

// Sends what is on record and not sent yet, as much as the reader takes.
history_followers::step history_followers::advance(store::view& view, followed_run& f) {
  f.full = false;
  while (true) {
    if (f.leads && !f.leads()) {
      f.sink(last_line(not_leader()));
      return step::ended;
    }
    const auto row = view.get(f.key);
    if (!row) return step::ended;
    if (row->last_seq < f.next_seq) {
      if (row->summary.closed_at != 0) return step::ended;
      return f.sink({}) == line_answer::gone ? step::ended : step::goes_on;
    }
    for (const auto& e : view.history(f.key, f.next_seq, page).events) {
      const auto answer = f.sink(f.line(e));
      if (answer == line_answer::gone) return step::ended;
      f.next_seq = e.seq + 1;
      f.full = answer == line_answer::full;
      if (f.full) return step::goes_on;
    }
  }
}

void history_followers::run() {
  std::list<followed_run> runs;
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    runs.splice(runs.end(), added_);
    lock.unlock();
    bool full = false;
    std::list<followed_run> ended;
    for (auto it = runs.begin(); it != runs.end();) {
      const auto next = std::next(it);
      auto result = step::goes_on;
      try {
        const auto view = views_.borrow();
        result = advance(*view.operator->(), *it);
        it->failures = 0;
      } catch (const store::view_error&) {
        // The file may be shut for a moment, while the journal is opened anew.
        if (it->leads && !it->leads()) {
          it->sink(last_line(not_leader()));
          result = step::ended;
        } else if (++it->failures >= most_failures) {
          it->sink(last_line(unreadable()));
          result = step::ended;
        }
      }
      full = full || it->full;
      if (result == step::ended) ended.splice(ended.end(), runs, it);
      it = next;
    }
    for (auto& f : ended) f.end();
    lock.lock();
    count_ -= ended.size();
    if (!added_.empty()) continue;
    const auto idle = [&] { return stopping_ || !added_.empty(); };
    if (runs.empty())
      wake_.wait(lock, idle);
    else
      wake_.wait_for(lock, full ? pause_when_full : pause, idle);
  }
  runs.splice(runs.end(), added_);
  count_ = 0;
  lock.unlock();
  for (auto& f : runs) {
    f.sink(last_line(stops()));
    f.end();
  }
}

void history_followers::send_once(store::view& view, followed_run f) {
  while (advance(view, f) == step::goes_on && f.full) {
  }
  f.end();
}

std::size_t history_followers::following() const {
  const std::lock_guard lock(mutex_);
  return count_;
}

void history_followers::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

}  // namespace pawl::node
