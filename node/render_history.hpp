// Events for people: one line each, in columns that need not know what follows.
#pragma once

#include "node/json_codec.hpp"
#include "node/render_text.hpp"

#include <string>

namespace pawl::node {

/// With its end of line. `wide` leaves nothing out.
std::string draw_event(const canvas& c, const json& event, bool wide);

/// What an event says besides its kind and step: the payload, the error, when the next attempt is.
std::string event_details(const json& event, bool wide);

}  // namespace pawl::node
