// Whether a log goes on from where a view or a snapshot of it stands: the record there is read again. A log that lost
// its tail, or was made anew, has another one there.
#pragma once

#include <string>

#include "broker/kafka_client.hpp"
#include "store/journal.hpp"

namespace pawl::broker {

/// Why it does not; empty: it does. `log` is what the partition holds. Moves the reader. A position whose record was
/// trimmed, but not the one behind it, is believed. Throws kafka_error, and store::store_error where the record does
/// not come within 30 s.
std::string misfit(kafka_reader& reader, const kafka_reader::range& log, const store::log_position& p);

}  // namespace pawl::broker
