// What an error of SQLite means for the store that was being written to: docs/store.md has the table.
#pragma once

#include <string>

#include "store/journal.hpp"
#include "store/sqlite.hpp"

namespace pawl::store {

/// Names the file, says what happened and what to do about it.
append_result describe_failure(const std::string& file, const sqlite_error& e);

}  // namespace pawl::store
