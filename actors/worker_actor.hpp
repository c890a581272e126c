// One attempt under way. Starts the user's function on the pool, in a child process or in place, and answers for the
// deadline: whatever the function does, the attempt ends.
#pragma once

#include <memory>

#include "actors/messages.hpp"
#include "actors/node_context.hpp"

namespace pawl::actors {

enum class attempt_place : std::uint8_t { pool, in_place, child };

/// The worker ends when the attempt has; it is monitored by `parent`.
caf::actor spawn_worker(caf::event_based_actor* parent, shared_context& node, std::shared_ptr<attempt> a,
                        attempt_place place);

}  // namespace pawl::actors
