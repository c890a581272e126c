// Checks a store at rest, or a snapshot of one in use: the database's integrity, every history against the laws of the
// engine (design §3) and against the tables folded from it.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "store/view.hpp"

namespace pawl::store {

/// Something that must not be. What is not about one run, or not about one event, leaves those empty.
struct finding {
  std::string workflow_id;
  std::uint32_t run = 0;
  std::uint64_t seq = 0;
  std::string what;
  /// "workflow 'o-17' run 1 event 5: ..."
  std::string text() const;
};

struct verify_report {
  std::uint64_t runs = 0;
  std::uint64_t open_runs = 0;
  std::uint64_t events = 0;
  std::uint64_t heartbeats = 0;
  std::uint64_t outcomes = 0;
  std::vector<finding> findings;  ///< the first `most_findings`
  std::uint64_t found = 0;        ///< all of them
  static constexpr std::size_t most_findings = 1000;
  bool clean() const { return found == 0; }
};

/// Runs looked at, and how many there are.
using verify_progress = std::function<void(std::uint64_t done, std::uint64_t of)>;

/// Reads everything once, in one snapshot: about 6 s a million short runs. Memory: of one run at a time, 16 bytes for
/// each id that is not in the table `ids` yet, and what SQLite's sorter keeps before it uses the disk. May be used
/// beside a running node, whose WAL grows meanwhile. Throws view_error when there is no store, or one of another
/// schema.
verify_report verify(const std::string& directory, const verify_progress& progress = {});

}  // namespace pawl::store
