// Which statements fill the sections of a snapshot from a view's tables, and a view's tables from a snapshot.
#pragma once

#include <span>

#include "store/snapshot_codec.hpp"

namespace pawl::store {

/// A table that a snapshot holds whole, row by row. `runs` and `events` are not of this kind: they go by run.
struct whole_table {
  section as;
  const char* select;
  const char* insert;
};
std::span<const whole_table> whole_tables();

/// The columns of section `runs`, of `runs r JOIN reigns g JOIN types t`; g.reign is the only one that is kept in
/// another form (16 bytes).
extern const char* const run_columns_of_snapshot;
/// Binds: key, id, run, number of the reign, serial, number of the type, and the rest as in the section.
extern const char* const insert_run_of_snapshot;
extern const char* const insert_events_of_snapshot;

}  // namespace pawl::store
