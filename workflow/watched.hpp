// What code of a workflow does on its own and must not, as far as a checked build sees it (testing/checked): while a
// `watched` lives, its thread gives events to code, and whatever reaches outside on that thread tells it so.
#pragma once

#include <optional>
#include <string>

namespace pawl::engine {

/// One thing that code did.
struct misdeed {
  std::string what;     ///< "reads a clock (clock_gettime)"
  std::string where;    ///< "in fulfil at shop.cpp:41"; empty: nobody knows
  std::string instead;  ///< "use wf.now()"
};

/// On the stack around whatever may call user code of a workflow. Costs two writes to a variable of the thread; they
/// nest.
class watched {
 public:
  watched() noexcept;
  ~watched();
  watched(const watched&) = delete;
  watched& operator=(const watched&) = delete;
  /// The first thing that was told of.
  const std::optional<misdeed>& seen() const noexcept { return seen_; }

  /// Whether this thread is in code of a workflow and nothing has been told of it yet.
  static bool here() noexcept;
  /// Tells the innermost one of this thread what its code did. `describe` may do what it likes: it is not watched.
  static void tell(misdeed (*describe)(const void*), const void* about) noexcept;

 private:
  watched* outer_;
  std::optional<misdeed> seen_;
};

}  // namespace pawl::engine
