// The node's log: one line an event worth knowing, for people as key=value, for programs as a JSON object.
//
//     2026-05-09T07:29:33.123Z info  node is up pid=4711 data=./pawl-data
//     {"time":"2026-05-09T07:29:33.123Z","level":"info","node":"n1","event":"node is up","pid":"4711",...}
//
// What others hand in as text, "event words key=value key=\"two words\"", is taken apart for JSON. No line is ever
// broken in two: control characters are escaped.
#pragma once

#include <pawl/step_context.hpp>

#include "config/settings.hpp"
#include "node/cli_error.hpp"

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pawl::node {

using log_field = std::pair<std::string, std::string>;

/// Thread-safe; copies share one sink. A line that cannot be written (a full disk) is dropped.
class node_log {
 public:
  /// Writes nothing.
  node_log();
  /// To standard error, or appended to settings.file; an error names that file.
  static cli_result<node_log> open(const config::log_settings& settings, const std::string& node_name);

  void write(log_level level, std::string_view event, const std::vector<log_field>& fields = {}) const;
  /// A line whose fields are still in its text.
  void write_text(log_level level, std::string_view text) const;
  void flush() const;

 private:
  struct sink;
  std::shared_ptr<sink> sink_;
};

/// "event words key=value key=\"two words\"" as its words and its fields. Where the fields are in front, what follows
/// them is the event.
std::pair<std::string, std::vector<log_field>> split_log_text(std::string_view text);

}  // namespace pawl::node
