// Which runs of a view have been open the longest. Apart from the view, whose every reader would pay for its statement.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "workflow/ids.hpp"

namespace pawl::store {

/// Keys of open runs, those that were started first. Opens the file for itself; costs a walk over the index of all
/// open runs. Throws view_error.
std::vector<engine::run_key> oldest_open(const std::string& directory, std::size_t limit);

}  // namespace pawl::store
