#include "store/snapshot_tables.hpp"

namespace pawl::store {

namespace {

constexpr whole_table all[] = {
    {section::heartbeats, "SELECT run_key, step, undo, details FROM heartbeats ORDER BY run_key, step, undo",
     "INSERT INTO heartbeats VALUES(?1,?2,?3,?4)"},
    {section::outcomes, "SELECT workflow_id, command_id, result, seq, message, at FROM outcomes ORDER BY number",
     "INSERT INTO outcomes(workflow_id, command_id, result, seq, message, at) VALUES(?1,?2,?3,?4,?5,?6)"},
    {section::outbox, "SELECT peer, number, reign, message FROM outbox ORDER BY peer, number",
     "INSERT INTO outbox VALUES(?1,?2,?3,?4)"},
    {section::peers, "SELECT peer, given_below, acknowledged_below, receives FROM peers ORDER BY peer",
     "INSERT INTO peers VALUES(?1,?2,?3,?4)"},
    {section::received, "SELECT peer, first, last, reign FROM received ORDER BY peer, first",
     "INSERT INTO received VALUES(?1,?2,?3,?4)"},
    {section::marks, "SELECT type, version, revision, at, command FROM type_marks ORDER BY type",
     "INSERT INTO type_marks VALUES(?1,?2,?3,?4,?5)"},
};

}  // namespace

std::span<const whole_table> whole_tables() { return all; }

const char* const run_columns_of_snapshot =
    "r.key, r.id, r.run, g.reign, r.serial, t.name, r.version, r.phase, r.paused, r.wake_at, r.started_at, "
    "r.closed_at, r.start_command";
const char* const insert_run_of_snapshot = "INSERT INTO runs VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13)";
const char* const insert_events_of_snapshot = "INSERT INTO events(key, at, heads, bodies) VALUES(?1,?2,?3,?4)";

}  // namespace pawl::store
