// What the code of one run asks of other workflows and has not been answered: children, signals, requests to stop.
//
//     asked --child_asked, signal_sent--> on record --child_ended, child_dropped, signal_answered--> gone
//       `--(let go)--> gone                  `--(let go)--> dropped: a child is told, a message is answered to nobody
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <pawl/operation.hpp>

#include "workflow/program.hpp"

namespace pawl::engine {

class code_calls {
 public:
  // events; false: the code has not asked for that. `kept`: another run asked, under its own name
  bool on_asked(const event& e, bool kept);
  bool on_answered(const event& e);

  // the code; `uid` of its run names children that are given no id
  std::uint32_t ask(pawl::detail::leaf& who, pawl::detail::code_call call, const std::string& uid);
  void let_go(const pawl::detail::leaf& who) noexcept;
  /// The frames are destroyed: nobody waits any more.
  void drop_all() noexcept;

  // the engine
  void add_dropped(std::vector<want>& out) const;
  void add_wants(std::vector<want>& out) const;
  /// What the code waits for, for people.
  void add_asked(std::vector<std::string>& out) const;

 private:
  struct record {
    std::uint32_t number = 0;
    bool is_child = false;  // whose end is waited for
    bool is_named_by_run = false;
    std::string name;
    call_request request;
    pawl::detail::leaf* waiter = nullptr;
    bool on_record = false;
    bool dropped = false;
  };
  record* find(std::uint32_t number);
  void forget_dropped() noexcept;

  std::vector<record> open_;  // by number
  std::uint32_t made_ = 0;
};

}  // namespace pawl::engine
