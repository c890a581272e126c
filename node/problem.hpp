// Refusals as application/problem+json (RFC 9457), one shape for every route.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "node/api.hpp"
#include "node/json_codec.hpp"

namespace pawl::node {

struct problem {
  int status = 500;
  std::string code{};  ///< for programs; docs/http.md lists them
  std::string detail{};  ///< what happened
  std::string mend{};  ///< what to do
  std::string workflow_id{};
  std::string step{};
  std::string setting{};     ///< the limit that was hit
  std::string command_id{};  ///< under which the command may be sent again, or is remembered
  std::optional<std::chrono::milliseconds> retry_after{};
  std::optional<std::chrono::milliseconds> remembered_for{};
};

api_response to_response(const problem& p);

/// "Not Found" and so on, for the statuses that are used.
std::string_view status_text(int status);

}  // namespace pawl::node
