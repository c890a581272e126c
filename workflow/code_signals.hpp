// The signals of one run, as its code sees them: those that nobody has read, in the order of their coming, and who
// waits for one.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <pawl/operation.hpp>

#include "workflow/program.hpp"

namespace pawl::engine {

class code_signals {
 public:
  using check_function = std::string (*)(std::string_view);

  void on_received(const event& e);

  // the code
  void await(pawl::detail::leaf& who, std::string_view name, check_function check);
  void let_go(const pawl::detail::leaf& who) noexcept;
  /// The frames are destroyed: nobody waits any more.
  void forget_waiters() { waiters_.clear(); }

  // the engine
  void add_wants(std::vector<want>& out) const;
  /// Why the code that waits for one of that name would not take this; empty: nothing is known against it.
  std::string refusal_of(std::string_view name, std::string_view payload) const;
  /// As they came, with the commands that brought them: those are remembered by the next run.
  std::vector<event> unread() const;
  /// What the code waits for, for people.
  void add_asked(std::vector<std::string>& out) const;

 private:
  struct waiter {
    std::string name;
    pawl::detail::leaf* who = nullptr;
    check_function check = nullptr;
  };
  struct unread_signal {
    std::string name;
    std::string payload;
    std::string command_id;
  };
  std::vector<waiter> waiters_;
  std::vector<unread_signal> unread_;
};

}  // namespace pawl::engine
