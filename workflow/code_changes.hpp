// The changed places of one run's code (wf.changed): who waits to hear which way it goes, and which ways it has taken.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <pawl/operation.hpp>

#include "workflow/program.hpp"

namespace pawl::engine {

class code_changes {
 public:
  /// Answered at once where the run has met that change before.
  void await(pawl::detail::leaf& who, std::string_view id);
  void let_go(const pawl::detail::leaf& who) noexcept;
  /// The frames are destroyed: nobody waits any more.
  void forget_waiters() { waiters_.clear(); }

  bool waits() const { return !waiters_.empty(); }
  bool waits_for(std::string_view id) const;
  /// The one that is to be answered first; only when somebody waits.
  const std::string& first() const { return waiters_.front().id; }
  /// Within a run the answer to an id stays what it was first.
  void answer(const std::string& id, bool changed);

  void add_wants(std::vector<want>& out) const;
  /// What the code waits for, for people.
  void add_asked(std::vector<std::string>& out) const;

 private:
  struct waiter {
    std::string id;
    pawl::detail::leaf* who = nullptr;
  };
  std::vector<waiter> waiters_;
  std::vector<std::pair<std::string, bool>> met_;
};

}  // namespace pawl::engine
