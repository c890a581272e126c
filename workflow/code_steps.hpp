// The steps that the code of one run has asked for, numbered in that order. What is left of one that is over is what
// its undo needs.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <pawl/operation.hpp>

#include "workflow/program.hpp"

namespace pawl::engine {

class code_steps {
 public:
  // events; false: the code has not asked for that step
  bool on_seen(const event& e);
  bool on_done(const event& e);
  bool on_failed(const event& e);
  bool on_abandoned(const event& e);

  // the code
  std::uint32_t ask(pawl::detail::leaf& who, std::shared_ptr<const pawl::detail::code_step> call);
  void let_go(std::uint32_t step) noexcept;
  /// The frames are destroyed: nobody waits any more.
  void drop_all() noexcept;

  // the engine
  void add_dropped(std::vector<want>& out) const;
  void add_wants(std::vector<want>& out) const;
  step_info info(std::uint32_t step) const;
  /// The newest of that name.
  std::optional<std::uint32_t> named(std::string_view name) const;
  step_call call(std::uint32_t step, bool undo) const;
  std::string_view value_of(std::uint32_t step) const;
  std::string refusal_of_result(std::uint32_t step, std::string_view payload) const;
  /// What the code waits for, for people.
  void add_asked(std::vector<std::string>& out) const;

 private:
  struct record {
    std::shared_ptr<const pawl::detail::code_step> call;  // null: over, and nothing to undo
    pawl::detail::leaf* waiter = nullptr;
    std::unique_ptr<std::string> result;  // kept for its undo
    bool on_record = false;
    bool over = false;  // completed, skipped, failed or abandoned, and that is on record
    bool dropped = false;  // nobody waits for it any more
  };
  record* record_of(const event& e);
  void close(std::uint32_t step);

  std::vector<record> all_;
  std::vector<std::uint32_t> open_;  // those that are not over
};

}  // namespace pawl::engine
