#include "node/logging.hpp"

#include "config/setting.hpp"
#include "node/json_codec.hpp"

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <optional>

namespace pawl::node {
namespace {

constexpr std::size_t longest_event = 4096;

spdlog::level::level_enum to_spdlog(log_level level) {
  constexpr std::array levels{spdlog::level::debug, spdlog::level::info, spdlog::level::warn, spdlog::level::err};
  return levels[static_cast<std::size_t>(level)];
}

bool is_key_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.';
}

std::string quoted_value(std::string_view value) {
  const auto text = config::printable(value, longest_event);
  if (!text.empty() && text.find_first_of(" \"=\\") == std::string::npos) return text;
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}

struct word {
  std::string text;  // of a value: without its quotes
  std::optional<std::string> key;
  std::size_t length = 0;
};

// One blank-separated word; key="..." goes to its closing quote.
word take_word(std::string_view text) {
  std::size_t at = 0;
  while (at < text.size() && is_key_character(text[at])) ++at;
  word w;
  if (at > 0 && at < text.size() && text[at] == '=') {
    w.key = std::string(text.substr(0, at++));
    if (at < text.size() && text[at] == '"') {
      for (++at; at < text.size() && text[at] != '"'; ++at) {
        if (text[at] == '\\' && at + 1 < text.size()) ++at;
        w.text += text[at];
      }
      w.length = std::min(at + 1, text.size());
      return w;
    }
  }
  const auto begin = w.key ? at : 0;
  const auto end = std::min(text.find(' ', begin), text.size());
  w.text = std::string(text.substr(begin, end - begin));
  w.length = end;
  return w;
}

}  // namespace

std::pair<std::string, std::vector<log_field>> split_log_text(std::string_view text) {
  std::string event;
  std::vector<log_field> fields;
  bool words_seen = false, fields_in_front = false;
  while (!text.empty()) {
    if (text.front() == ' ') {
      text.remove_prefix(1);
      continue;
    }
    auto w = take_word(text);
    if (w.key && !(fields_in_front && words_seen)) {
      fields_in_front = fields_in_front || !words_seen;
      fields.emplace_back(std::move(*w.key), std::move(w.text));
    } else {
      // Behind fields in front stands what somebody wrote; it is left as it is.
      if (fields_in_front) {
        event = std::string(text);
        break;
      }
      words_seen = true;
      event += (event.empty() ? "" : " ") + std::string(text.substr(0, w.length));
    }
    text.remove_prefix(w.length);
  }
  return {std::move(event), std::move(fields)};
}

struct node_log::sink {
  sink(std::shared_ptr<spdlog::logger> l, bool as_json, std::string name)
      : out(std::move(l)),
        is_json(as_json),
        node(std::move(name)) {}

  void put(log_level level, std::string_view event, const std::vector<log_field>& fields) const {
    const auto to = to_spdlog(level);
    if (!out->should_log(to)) return;
    out->log(to, "{}", is_json ? json_body(event, fields) : text_body(event, fields));
  }

  std::string text_body(std::string_view event, const std::vector<log_field>& fields) const {
    auto line = config::printable(event, longest_event);
    for (const auto& [key, value] : fields) line += (line.empty() ? "" : " ") + key + "=" + quoted_value(value);
    return line;
  }

  // What follows `{"time":...,"level":...` of the pattern.
  std::string json_body(std::string_view event, const std::vector<log_field>& fields) const {
    json body = {{"node", node}, {"event", std::string(event.substr(0, longest_event))}};
    for (const auto& [key, value] : fields) {
      auto name = key == "time" || key == "level" || body.contains(key) ? key + "_" : key;
      body[name] = value;
    }
    return to_text(body).substr(1);
  }

  const std::shared_ptr<spdlog::logger> out;
  const bool is_json;
  const std::string node;
};

node_log::node_log() = default;

cli_result<node_log> node_log::open(const config::log_settings& settings, const std::string& node_name) {
  std::shared_ptr<spdlog::sinks::sink> to;
  try {
    if (settings.file.empty())
      to = std::make_shared<spdlog::sinks::stderr_sink_mt>();
    else
      to = std::make_shared<spdlog::sinks::basic_file_sink_mt>(settings.file);
  } catch (const spdlog::spdlog_ex& e) {
    return cli_error{
        exit_code::failed,
        "log.file: " + config::in_quotes(settings.file) + " cannot be opened: " + config::printable(e.what()),
        "Name a file in a directory that this user may write to",
        {}};
  }
  auto logger = std::make_shared<spdlog::logger>("pawl", std::move(to));
  const bool as_json = settings.format == config::log_format::json;
  logger->set_level(to_spdlog(static_cast<log_level>(settings.level)));
  logger->set_error_handler([](const std::string&) {});  // nowhere to say it
  logger->set_pattern(as_json ? R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l",%v)" : "%Y-%m-%dT%H:%M:%S.%eZ %-7l %v",
                      spdlog::pattern_time_type::utc);
  logger->flush_on(spdlog::level::debug);
  node_log l;
  l.sink_ = std::make_shared<sink>(std::move(logger), as_json, node_name);
  return l;
}

void node_log::write(log_level level, std::string_view event, const std::vector<log_field>& fields) const {
  if (sink_) sink_->put(level, event, fields);
}

void node_log::write_text(log_level level, std::string_view text) const {
  if (!sink_) return;
  const auto [event, fields] = split_log_text(text);
  sink_->put(level, event, fields);
}

void node_log::flush() const {
  if (sink_) sink_->out->flush();
}

}  // namespace pawl::node
