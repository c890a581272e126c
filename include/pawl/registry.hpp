// The workflows that a program can run.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <pawl/definition.hpp>
#include <pawl/workflow.hpp>

namespace pawl {

template <class T>
class task;
class workflow_context;

/// Most steps of one workflow.
inline constexpr std::size_t max_steps = 10'000;
/// Longest name of a workflow type or step, in bytes.
inline constexpr std::size_t max_name_length = 128;
/// Longest duration that an option may have.
inline constexpr std::chrono::hours max_option_duration{24 * 365 * 10};

/// Fill it before the node starts, from one thread; from then on it is only read, by any number of threads.
class registry {
 public:
  /// Checks the workflow as a whole and takes a copy. Throws definition_error, which lists everything that is wrong;
  /// the registry is unchanged then. Linear in the size of the graph.
  template <class In>
  registry& add(const workflow<In>& definition) {
    return add(definition.builder_.graph(), definition.builder_.problems());
  }

  /// Durable code: the coroutine that a run of this type is, see pawl/task.hpp, which has this. Throws as above.
  template <class R, class... A>
  registry& add(std::string_view type, const workflow_options& options, task<R> (*code)(workflow_context&, A...));

  /// nullptr when there is no such type, or not in that version.
  std::shared_ptr<const detail::workflow_definition> find(std::string_view type, std::uint32_t version) const;
  /// The highest version; nullptr when there is no such type.
  std::shared_ptr<const detail::workflow_definition> latest(std::string_view type) const;
  /// All types, sorted.
  std::vector<std::string> types() const;
  /// The versions of a type, ascending.
  std::vector<std::uint32_t> versions(std::string_view type) const;

 private:
  registry& add(const detail::graph_definition& graph, std::span<const std::string> problems);
  registry& add(const detail::code_definition& code);
  registry& keep(std::shared_ptr<const detail::workflow_definition> definition,
                 const std::vector<std::string>& problems);

  using versions_of_type = std::map<std::uint32_t, std::shared_ptr<const detail::workflow_definition>>;
  std::map<std::string, versions_of_type, std::less<>> definitions_;
};

namespace detail {

/// What is wrong with a type's name and options; empty when nothing is.
std::vector<std::string> check_head(const workflow_definition& d);
/// What is wrong with a graph, besides what its builder found; empty when nothing is.
std::vector<std::string> check_graph(const graph_definition& graph);

/// The structure of a graph in 64 bits: FNV-1a over its canonical text, which workflow/graph_digest.cpp describes.
/// Equal on every machine and compiler, and kept for ever: recorded runs carry it.
std::uint64_t digest_of(const graph_definition& graph);
/// Of code, over the names of its types.
std::uint64_t digest_of(const code_definition& code);

}  // namespace detail
}  // namespace pawl
