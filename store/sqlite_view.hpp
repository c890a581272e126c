// The view over the embedded store.
#pragma once

#include <memory>
#include <string>

#include "store/recent_ids.hpp"
#include "store/sqlite.hpp"
#include "store/view.hpp"

namespace pawl::store {

/// Opens the store of a directory for reading only, and checks that its schema is one that this binary can read. A WAL
/// left by a kill is read. Throws view_error.
database open_for_reading(const std::string& directory);

/// `ids`: those of the journal in this process; null when it lives in another, or in none. Throws view_error.
std::unique_ptr<view> open_view_with(const std::string& directory, std::shared_ptr<const recent_ids> ids);

}  // namespace pawl::store
