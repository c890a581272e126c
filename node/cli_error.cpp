#include "node/cli_error.hpp"

#include <array>
#include <string_view>

namespace pawl::node {

std::string_view to_text(exit_code code) {
  constexpr std::array<std::string_view, 6> names{"ok", "failed", "usage", "not_found", "conflict", "unavailable"};
  return names[static_cast<std::size_t>(code)];
}

std::string cli_error::text(const std::string& program) const {
  const auto ended = [](std::string_view s) {
    return s.empty() || std::string_view(".?!").find(s.back()) != std::string_view::npos;
  };
  std::string out = program + ": ";
  for (const char c : what) {
    out += c;
    if (c == '\n') out += program + ": ";
  }
  if (!ended(what)) out += '.';
  if (!mend.empty()) out += " " + mend + (ended(mend) ? "" : ".");
  return out + "\n";
}

}  // namespace pawl::node
