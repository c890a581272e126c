// The whole program of a node and of its command line.
#pragma once

namespace pawl {

class registry;

/// Reads the command line, does what it says, and returns the exit code for main:
///
///   0  ok
///   1  failed: the workflow that was waited for, or the node itself; the reason is on stderr
///   2  usage: an unknown command or flag, a configuration or an input that cannot be read
///   3  not found: no such workflow, type, version or step
///   4  conflict: the id is in use, or the workflow is not in a state in which that can be done
///   5  unavailable: nobody leads the partition now, or the node is too busy; try again later
///
/// `registry` holds what this binary can run. It is not changed after the call, and outlives it. Throws nothing: what
/// user code throws is recorded, everything else becomes an exit code. Call it once, from main, before other threads
/// are started: it handles SIGTERM and SIGINT, and re-executes the binary for attempts of suspect steps.
int run(int argc, char** argv, registry& registry);

}  // namespace pawl
