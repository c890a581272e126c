// Checks that ids are found: every run is in the table `ids`, or young enough to be read at the next start; nothing
// else is; and, with ids of one hash lying side by side, that runs of one id are numbered apart and at most one is
// live.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "store/recent_ids.hpp"
#include "store/sqlite.hpp"
#include "store/view.hpp"

namespace pawl::store {

class id_check {
 public:
  using report = std::function<void(const run_row& row, std::string what)>;
  id_check(database& db, report r);

  void run(const run_row& row);
  /// After the last run.
  void end();

 private:
  void orphans();
  void take(const known_id& id);
  void same_hash();

  database& db_;
  report report_;
  statement in_table_, row_;
  engine::run_key ids_below_ = 0;
  std::uint64_t matched_ = 0;
  std::vector<known_id> waiting_;  // not in the table, and need not be
  std::vector<known_id> group_;    // of one hash
};

}  // namespace pawl::store
