#include "store/oldest_open.hpp"

#include <algorithm>

#include "store/sqlite_view.hpp"
#include "store/view.hpp"

namespace pawl::store {

std::vector<engine::run_key> oldest_open(const std::string& directory, std::size_t limit) {
  auto db = open_for_reading(directory);
  try {
    auto s = db.prepare("SELECT key FROM runs INDEXED BY runs_open WHERE closed_at = 0 ORDER BY key LIMIT ?1");
    s.bind(1, static_cast<std::int64_t>(std::min<std::size_t>(limit, INT64_MAX)));
    std::vector<engine::run_key> out;
    while (s.step()) out.push_back(s.integer(0));
    return out;
  } catch (const sqlite_error& e) {
    throw view_error("the view in " + directory + " cannot be read: " + e.what() + "; see what `pawl verify` finds");
  }
}

}  // namespace pawl::store
