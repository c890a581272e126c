// Bytes of events: a msgpack map with small integers as keys, described in docs/history.md. What the store keeps in
// columns of its own (kind, seq, time, step name, attempt) is not in the body.
#pragma once

#include <string>
#include <string_view>

#include "workflow/event.hpp"

namespace pawl::engine {

/// Appends the body of `e` to `out`; an event with nothing in its body appends nothing.
void encode_body(const event& e, std::string& out);

/// Fills what encode_body wrote into `e`, whose other members the caller has set. Keys that are not known are skipped
/// (a newer writer). Returns an empty string, or what is wrong with the bytes. Safe on hostile input.
std::string decode_body(std::string_view body, event& e);

}  // namespace pawl::engine
