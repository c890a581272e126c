// An event as a message of the public feed: docs/events.md, docs/event.schema.json.
#pragma once

#include <pawl/registry.hpp>

#include "broker/feed_publisher.hpp"

namespace pawl::node {

/// `types` gives names to the steps of an order of compensation, where it has the type.
broker::feed_message present_for_feed(const broker::feed_event& e, const registry& types);

}  // namespace pawl::node
