// A graph of steps as a program: a step is wanted once everything it takes, and everything named in `.after`, is there.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <pawl/definition.hpp>

#include "workflow/program.hpp"

namespace pawl::engine {

class graph_program final : public program {
 public:
  explicit graph_program(std::shared_ptr<const pawl::detail::graph_definition> definition);

  void on(const event& e) noexcept override;
  std::span<const want> wants() const override { return wants_; }
  step_info step(std::uint32_t step) const override;
  std::optional<std::uint32_t> step_named(std::string_view name) const override;
  step_call call(std::uint32_t step, bool undo, const std::string& input) const override;
  std::string_view value_of(std::uint32_t step) const override {
    return step < results_.size() ? std::string_view(results_[step]) : std::string_view{};
  }

 private:
  void start(const event& e);
  void close(const event& e);
  want finish() const;

  std::shared_ptr<const pawl::detail::graph_definition> definition_;
  std::vector<want> wants_;
  std::vector<std::uint32_t> missing_;  // distinct steps that step k still waits for
  std::vector<std::string> results_;
  std::vector<bool> closed_;
  std::size_t open_ = 0;
  std::string input_;  // kept only where it is the result
  std::unique_ptr<failure> broken_;
};

/// Derives `successors` and `waits` of a graph from its edges. Called once, before the graph is used.
void plan_graph(pawl::detail::graph_definition& definition);

}  // namespace pawl::engine
