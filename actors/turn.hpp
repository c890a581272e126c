// What an actor's thread leaves for the end of a turn, a few actors long, because it is cheaper done once than after
// each of them: a thread of the blocking pool that is woken for eight attempts costs one system call and one change of
// threads, not eight.
#pragma once

#include <memory>
#include <utility>

namespace pawl::actors {

/// Done by the thread that asked for it, at the end of its turn.
class turn_work {
 public:
  virtual ~turn_work() = default;
  virtual void at_end_of_turn() noexcept = 0;
  /// The turn may take long from here on: see to it that what was left is done in time anyway.
  virtual void while_turn_lasts() noexcept = 0;
};

/// The turn of the calling thread. One thread's alone.
class turn {
 public:
  /// Actors run at most this often before what was left is done.
  static constexpr unsigned longest = 8;

  /// The calling thread runs actors from now on.
  static void begin_thread() noexcept { here().runs_actors_ = true; }
  /// `w` is done at the end of the turn, once however often it is asked for. False: this thread has no turns, or leaves
  /// something else; do it now.
  static bool leave(const std::shared_ptr<turn_work>& w);
  /// Before a user's code runs in an actor, which may compute for as long as it likes.
  static void may_last() {
    if (const auto& left = here().left_) left->while_turn_lasts();
  }
  /// After every actor. `last`: the thread has no other to run.
  static void ran_one(bool last) {
    auto& t = here();
    if (t.left_ && (last || ++t.ran_ >= longest)) t.end();
  }

 private:
  static turn& here() noexcept {
    thread_local turn t;
    return t;
  }
  void end();

  bool runs_actors_ = false;
  unsigned ran_ = 0;  // since something was left
  std::shared_ptr<turn_work> left_;
};

inline bool turn::leave(const std::shared_ptr<turn_work>& w) {
  auto& t = here();
  if (!t.runs_actors_ || (t.left_ && t.left_ != w)) return false;
  t.left_ = w;
  return true;
}

inline void turn::end() {
  ran_ = 0;
  std::exchange(left_, nullptr)->at_end_of_turn();
}

}  // namespace pawl::actors
