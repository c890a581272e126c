// Histories that are being followed: one thread looks after all of them. Private to the api.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "node/api.hpp"
#include "node/problem.hpp"
#include "store/view.hpp"
#include "workflow/event.hpp"

namespace pawl::node {

struct followed_run {
  engine::run_key key = 0;
  std::uint64_t next_seq = 1;
  std::function<std::string(const engine::event&)> line;
  line_sink sink;
  std::function<void()> end;
  std::function<bool()> leads{};  ///< false: what is read here is not current any more; empty: it is
  int failures = 0;
  bool full = false;
};

/// What a stream says last when it ends although the run is open: a problem document in one line.
std::string last_line(const problem& why);
/// Whether a line is that, and no event.
bool is_last_line(std::string_view line);

/// Thread-safe. There is no way to hear of new events, so it asks the view: a point query a run, ten times a second.
class history_followers {
 public:
  history_followers(actors::view_pool& views, std::size_t most) : views_(views), most_(most) {}
  ~history_followers() { stop(); }
  history_followers(const history_followers&) = delete;
  history_followers& operator=(const history_followers&) = delete;

  /// False: too many, or the api stops; `f` is dropped.
  bool add(followed_run f);
  /// Sends what is on record now, ends, on this thread.
  static void send_once(store::view& view, followed_run f);
  std::size_t following() const;
  /// Ends all.
  void stop();

 private:
  enum class step : std::uint8_t { goes_on, ended };
  static step advance(store::view& view, followed_run& f);
  void run();

  actors::view_pool& views_;
  const std::size_t most_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::list<followed_run> added_;
  std::size_t count_ = 0;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace pawl::node
