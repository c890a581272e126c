// Queries of a run: what can be asked of it, whoever keeps it in memory.
#pragma once

#include <string_view>

#include "workflow/instance.hpp"
#include "workflow/limits.hpp"

namespace pawl::engine {

/// Looks at the state of the run's code; changes nothing. `input` is msgpack. Whether every event of `i` is committed
/// is the caller's to know.
query_answer ask(instance& i, std::string_view name, std::string_view input, const limits& l);

}  // namespace pawl::engine
