// A history given to this binary's definitions: does the code still ask for what is on record? Changes nothing.
#pragma once

#include <string>
#include <vector>

#include <pawl/registry.hpp>

#include "workflow/event.hpp"

namespace pawl::engine {

struct replay_report {
  enum class verdict : std::uint8_t {
    as_recorded,
    diverged,   ///< the code asks for something else
    changed,    ///< another definition under the same type and version
    no_code,    ///< this binary does not have the type and version
    broken,     ///< the history itself breaks a law
  } what = verdict::as_recorded;
  std::string workflow_id;
  std::string type;
  std::uint32_t version = 0;
  std::uint32_t run = 0;
  std::uint64_t events = 0;  ///< that were replayed
  std::uint64_t seq = 0;     ///< of the event that does not fit; 0: none
  std::string message;       ///< for people: what is on record there, and what the code asks for
};
std::string_view to_text(replay_report::verdict v);

replay_report replay(const registry& types, const std::vector<event>& history);

}  // namespace pawl::engine
