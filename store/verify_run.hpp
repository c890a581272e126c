// Checks one run: its history by itself, by replaying it, and against its row.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <unordered_set>
#include <utility>

#include "store/view.hpp"
#include "workflow/instance.hpp"

namespace pawl::store {

class run_check {
 public:
  using report = std::function<void(std::uint64_t seq, std::string what)>;

  run_check(const run_row& row, report r);

  /// The events of a row of the table, the first of which has `first_seq`. `at` in microseconds.
  void chunk(std::uint64_t first_seq, std::int64_t at, std::string_view heads, std::string_view bodies);
  /// After the last: compares with the row.
  void end();
  std::uint64_t events() const { return events_; }
  std::int64_t last_at() const { return last_at_; }

 private:
  void event(engine::event& e);
  void order_in_time(const engine::event& e);
  void ends(const engine::event& e);
  void completions(const engine::event& e);
  void commands(const engine::event& e);
  void compensation(const engine::event& e);
  void undo_in_turn(const engine::event& e);
  void compare_start(const engine::event& e);
  void compare_row();
  void wake_rules();
  void say(std::uint64_t seq, std::string what) { report_(seq, std::move(what)); }

  const run_row& row_;
  report report_;
  std::unique_ptr<engine::instance> instance_;
  std::uint64_t expected_ = 1;
  std::uint64_t events_ = 0;
  std::int64_t last_at_ = INT64_MIN;
  std::uint64_t terminal_ = 0;  // seq of the terminal event
  std::set<std::pair<std::uint32_t, bool>> completed_;
  std::unordered_set<std::string> command_ids_;
  bool replayed_ = true;  // nothing was missing or undecodable so far, so the state means something
};

}  // namespace pawl::store
