// The updates of one run, as its code sees them: those that wait for the code, those that the code waits for, and the
// answers that are not on record yet.
//
//     update_received --> kept --(awaited)--> taken --(answered, refused, dropped, the code ends)--> decided
//     decided --update_answered--> gone
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <pawl/operation.hpp>

#include "workflow/program.hpp"

namespace pawl::engine {

class code_updates {
 public:
  using check_function = std::string (*)(std::string_view);

  // events
  void on_received(const event& e);
  /// False: the code has not answered it.
  bool on_answered(const event& e);

  // the code
  void await(pawl::detail::leaf& who, std::string_view name, check_function check);
  void let_go(const pawl::detail::leaf& who) noexcept;
  void answer(std::uint64_t seq, std::string value);
  void refuse(std::uint64_t seq, failure why);
  /// The code has ended: what is not answered is refused, and so is what still comes.
  void end();
  /// The frames are destroyed: nobody waits any more.
  void forget_waiters() { waiters_.clear(); }

  // the engine
  void add_wants(std::vector<want>& out) const;
  void add_awaited(std::vector<want>& out) const;
  /// Why the code that waits for one of that name would not take this; empty: nothing is known against it.
  std::string refusal_of(std::string_view name, std::string_view payload) const;
  /// What the code waits for and has answered, for people.
  void add_asked(std::vector<std::string>& out) const;

 private:
  struct waiter {
    std::string name;
    pawl::detail::leaf* who = nullptr;
    check_function check = nullptr;
  };
  struct open_update {
    std::uint64_t seq = 0;
    std::string name;
    std::string payload{};  // until it is taken
    bool taken = false;
    bool decided = false;
    std::string answer{};
    failure refusal{};  // without a code: `answer` counts
  };

  const open_update* find(std::uint64_t seq) const;
  open_update* find(std::uint64_t seq);
  /// False: it is refused, being of another type.
  bool give(open_update& u, pawl::detail::leaf& who, check_function check);
  void refuse(open_update& u, failure why);

  std::vector<waiter> waiters_;
  std::vector<open_update> open_;  // by seq
  std::vector<std::uint64_t> decided_;  // of those that are, in that order
  bool ended_ = false;
};

}  // namespace pawl::engine
