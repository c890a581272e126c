// dlq: the messages that could be no commands, read from the topic itself. docs/commands.md says what they hold.
#include "broker/command_intake.hpp"
#include "config/setting.hpp"
#include "node/cli.hpp"
#include "node/command_body.hpp"
#include "node/present.hpp"
#include "node/render_table.hpp"
#include "node/settings_map.hpp"

#include <algorithm>

namespace pawl::node {
namespace {

using namespace std::chrono_literals;

constexpr auto patience = 15'000ms;

struct dead_letter {
  std::int64_t offset = 0;
  std::int64_t timestamp_ms = -1;
  std::optional<std::string> key;
  std::string value;
  std::vector<std::pair<std::string, std::string>> headers;

  std::string header(std::string_view name) const {
    for (const auto& [n, value_of_it] : headers)
      if (n == name) return value_of_it;
    return {};
  }
  std::string when() const {
    if (timestamp_ms < 0) return {};
    return time_to_text(engine::time_point(std::chrono::milliseconds(timestamp_ms)));
  }
};

dead_letter copy_of(const broker::kafka_message& m, const broker::kafka_reader& reader) {
  dead_letter d;
  d.offset = m.offset;
  d.timestamp_ms = m.timestamp_ms;
  if (m.has_key) d.key = std::string(m.key);
  d.value = std::string(m.value);
  for (const auto& [name, value] : reader.headers()) d.headers.emplace_back(name, value);
  return d;
}

/// Those from `from` to `end`; f returns false to stop.
template <class F>
void read_letters(broker::kafka_reader& reader, std::int64_t from, std::int64_t end, F f) {
  if (from >= end) return;
  reader.seek(from);
  auto deadline = std::chrono::steady_clock::now() + patience;
  // The last offsets may hold no message: the end is also where nothing more comes.
  auto quiet = 0ms;
  bool any = false;
  while (quiet < 1'000ms || !any) {
    const auto* m = reader.next(100ms);
    if (m == nullptr) {
      quiet += 100ms;
      if (std::chrono::steady_clock::now() > deadline) return;
      continue;
    }
    quiet = 0ms;
    any = true;
    if (m->offset >= end || !f(copy_of(*m, reader)) || m->offset + 1 >= end) return;
  }
}

json bytes_json(const std::string& bytes) {
  if (is_utf8_text(bytes)) return bytes;
  return {{"$bin", to_base64(bytes)}};
}

json head_json(const dead_letter& d) {
  json out{{"offset", d.offset},
           {"at", d.when()},
           {"from", config::printable(d.header("pawl-from"))},
           {"key", d.key ? bytes_json(*d.key) : json(nullptr)},
           {"cause", config::printable(d.header("pawl-cause"))},
           {"detail", config::printable(d.header("pawl-detail"))}};
  return out;
}

command_result list(const cli_context& c, broker::kafka_reader& reader, std::uint32_t limit) {
  const auto log = reader.offsets(patience);
  std::vector<dead_letter> letters;
  read_letters(reader, std::max(log.first, log.end - limit), log.end, [&](dead_letter d) {
    d.value.clear();
    letters.push_back(std::move(d));
    return true;
  });
  std::reverse(letters.begin(), letters.end());
  if (c.wants_json()) {
    json rows = json::array();
    for (const auto& d : letters) rows.push_back(head_json(d));
    say_json({{"dead_letters", rows}});
    return exit_code::ok;
  }
  if (letters.empty()) {
    say("no dead letters\n");
    return exit_code::ok;
  }
  table t({">offset", "when", "from", "key", "cause", "detail"});
  for (const auto& d : letters) {
    const auto key = d.key ? config::printable(*d.key, c.wide() ? 512 : 40) : std::string("-");
    t.add({cell(std::to_string(d.offset)), cell(d.timestamp_ms < 0 ? "" : time_text(d.timestamp_ms * 1000)),
           cell(d.header("pawl-from")), cell(key), cell(d.header("pawl-cause"), paint::bad),
           cell(d.header("pawl-detail"))});
  }
  auto screen = c.screen;
  screen.cut = screen.cut && !c.wide();
  say(t.draw(screen));
  return exit_code::ok;
}

/// Sixteen bytes a line, as hexdump writes them.
std::string hex_text(const std::string& bytes) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string out;
  for (std::size_t at = 0; at < bytes.size(); at += 16) {
    std::string line, plain;
    for (int shift = 28; shift >= 0; shift -= 4) line += digits[at >> static_cast<unsigned>(shift) & 15U];
    for (std::size_t k = at; k < at + 16; ++k) {
      if (k % 8 == 0) line += ' ';
      if (k >= bytes.size()) {
        line += "   ";
        continue;
      }
      const auto b = static_cast<unsigned char>(bytes[k]);
      line += {' ', digits[b >> 4U], digits[b & 15U]};
      plain += b >= 0x20 && b < 0x7f ? bytes[k] : '.';
    }
    out += line + "  " + plain + "\n";
  }
  return out;
}

/// For a terminal: text as it is, but for control characters other than line ends and tabs; else hex.
std::string value_text(const std::string& bytes) {
  auto without = bytes;
  std::erase_if(without, [](char ch) { return ch == '\n' || ch == '\r' || ch == '\t'; });
  if (!is_utf8_text(without)) return hex_text(bytes);
  return bytes.ends_with('\n') ? bytes : bytes + "\n";
}

command_result show(const cli_context& c, broker::kafka_reader& reader, std::int64_t offset) {
  const auto log = reader.offsets(patience);
  std::optional<dead_letter> found;
  if (offset >= log.first)
    read_letters(reader, offset, log.end, [&](dead_letter d) {
      if (d.offset == offset) found = std::move(d);
      return false;
    });
  if (!found)
    return cli_error{exit_code::not_found,
                     reader.name() + " has no dead letter at offset " + std::to_string(offset),
                     "`" + c.global.program + " dlq list` names those that there are",
                     {}};
  if (c.wants_json()) {
    auto out = head_json(*found);
    auto headers = json::array();
    for (const auto& [name, value] : found->headers)
      headers.push_back({{"name", config::printable(name)}, {"value", bytes_json(value)}});
    out["headers"] = headers;
    auto without = found->value;
    std::erase_if(without, [](char ch) { return ch == '\n' || ch == '\r' || ch == '\t'; });
    out["value"] = is_utf8_text(without) ? json(found->value) : bytes_json(found->value);
    say_json(out);
    return exit_code::ok;
  }
  std::vector<std::pair<std::string, cell>> pairs{
      {"offset", cell(std::to_string(offset))},
      {"when", cell(found->when())},
      {"key", cell(found->key ? config::printable(*found->key) : "(none)")},
  };
  for (const auto& [name, value] : found->headers) pairs.emplace_back(config::printable(name), cell(value));
  pairs.emplace_back("value", cell(std::to_string(found->value.size()) + " bytes"));
  say(draw_pairs(c.screen, pairs));
  say("\n" + value_text(found->value));
  return exit_code::ok;
}

}  // namespace

command_result care_for_dead_letters(const cli_context& c, const dlq_args& args) {
  const auto& settings = c.settings();
  if (settings.kafka.brokers.empty())
    return cli_error{
        exit_code::usage, "kafka.brokers is empty", "Name the brokers, such as --set kafka.brokers=host:9092", {}};
  try {
    broker::kafka_reader reader(to_kafka_options(settings), to_topic_options(settings).name_space + ".dlq", 0);
    return args.what == dlq_args::action::list ? list(c, reader, args.limit) : show(c, reader, args.offset);
  } catch (const broker::kafka_error& e) {
    const bool away = e.advice() == broker::kafka_advice::again;
    return cli_error{away ? exit_code::unavailable : exit_code::failed,
                     config::printable(e.what()),
                     away ? "See that the brokers of kafka.brokers are up and can be reached"
                          : "`" + c.global.program + " topics check` says whether the topics are there",
                     {}};
  }
}

}  // namespace pawl::node
