// Random programs: a tree that one coroutine interprets. The tree follows from the seed alone, and so does what each
// step comes to, whatever attempt of it; so a program without races comes to the same end whatever crashes.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include <pawl/pawl.hpp>

#include "tests/sim/rng.hpp"

namespace pawl::sim {

struct part {
  enum class kind : std::uint8_t {
    step,      ///< with an undo where `n` is odd
    sleep,
    signal,
    child,     ///< another workflow, whose end is awaited
    tell,      ///< a signal to another workflow
    sequence,
    loop,      ///< its part `n` times
    all,
    each,      ///< `n` times its part, two at once
    task,
    attempt,   ///< goes on where its part fails
    choice,    ///< one of its parts, by wf.random
    cleanup,   ///< a step more when its part is cancelled
    any,       ///< a race
    within,    ///< a race with a timer
    update,    ///< answered, late where `n` is odd, never where it is 3
  };
  kind what = kind::step;
  int id = 0;
  int n = 0;
  std::chrono::milliseconds time{0};
  std::vector<part> parts{};
};

struct program_tree {
  part root;
  int parts = 0;
  std::vector<int> signals{};  ///< ids of those that are awaited
  std::vector<int> updates{};
};

/// `races`: it may have parts whose result depends on who is first.
program_tree random_program(std::uint64_t seed, bool races);

/// Interprets the program of a seed; `races` as above. Its input is {seed, races}.
task<std::int64_t> interpret(workflow_context& wf, std::vector<std::uint64_t> input);

/// Whether the step of that name fails for good, and whether its first attempt fails.
bool is_hopeless(std::uint64_t seed, const std::string& step);
bool is_flaky(std::uint64_t seed, const std::string& step);
std::int64_t value_of_step(std::uint64_t seed, const std::string& step);

}  // namespace pawl::sim
