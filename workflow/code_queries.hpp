// The handlers that code has for queries, and their calls. While one is called the code is closed to changes: whatever
// a handler asks for that would change the run is refused, and the query fails even if the handler swallows the
// refusal.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <pawl/operation.hpp>

#include "workflow/program.hpp"

namespace pawl::engine {

class code_queries {
 public:
  std::uint64_t add(std::shared_ptr<const pawl::detail::query_handler> handler);
  void drop(std::uint64_t number) noexcept;
  query_answer ask(std::string_view name, std::string_view input);

  bool asking() const { return asking_; }
  /// Throws when a handler is being called; `what` it does: "it awaits a step".
  void no_change(const char* what);
  /// The same for who cannot throw. True: leave it undone.
  bool is_closed_to(const char* what) noexcept;

 private:
  struct entry {
    std::uint64_t number = 0;
    std::shared_ptr<const pawl::detail::query_handler> handler;
  };
  std::string known() const;

  std::vector<entry> handlers_;  // the newest last
  std::uint64_t added_ = 0;
  bool asking_ = false;
  const char* misdeed_ = nullptr;  // of the handler that is called
};

}  // namespace pawl::engine
