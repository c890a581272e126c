// dlq: the messages that could be no commands, read from the topic itself. docs/commands.md says what they hold.
#include "broker/dead_letters.hpp"
#include "config/setting.hpp"
#include "node/cli.hpp"
#include "node/command_body.hpp"
#include "node/present.hpp"
#include "node/render_table.hpp"
#include "node/settings_map.hpp"

#include <algorithm>
#include <set>

namespace pawl::node {
namespace {

using broker::dead_letter;
using broker::dead_letter_box;

std::string when(const broker::dead_letter& d) {
  if (d.timestamp_ms < 0) return {};
  return time_to_text(engine::time_point(std::chrono::milliseconds(d.timestamp_ms)));
}

json bytes_json(const std::string& bytes) {
  if (is_utf8_text(bytes)) return bytes;
  return {{"$bin", to_base64(bytes)}};
}

json head_json(const dead_letter& d) {
  json out{{"offset", d.offset},
           {"at", when(d)},
           {"state", std::string(text(d.what))},
           {"from", config::printable(d.header("pawl-from"))},
           {"key", d.key ? bytes_json(*d.key) : json(nullptr)},
           {"cause", config::printable(d.header("pawl-cause"))},
           {"detail", config::printable(d.header("pawl-detail"))}};
  return out;
}

command_result list(const cli_context& c, dead_letter_box& box, const dlq_args& args) {
  const auto letters = box.newest(args.limit, args.all);
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
  std::vector<std::string> columns{">offset", "when", "from", "key", "cause", "detail"};
  if (args.all) columns.insert(columns.begin() + 1, "state");
  table t(columns);
  for (const auto& d : letters) {
    const auto key = d.key ? config::printable(*d.key, c.wide() ? 512 : 40) : std::string("-");
    std::vector<cell> row{cell(std::to_string(d.offset)),
                          cell(d.timestamp_ms < 0 ? "" : time_text(d.timestamp_ms * 1000)),
                          cell(d.header("pawl-from")),
                          cell(key),
                          cell(d.header("pawl-cause"), paint::bad),
                          cell(d.header("pawl-detail"))};
    if (args.all) row.insert(row.begin() + 1, cell(std::string(text(d.what))));
    t.add(std::move(row));
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

cli_error no_such_letter(const cli_context& c, const dead_letter_box& box, std::int64_t offset) {
  return {exit_code::not_found,
          box.name() + " has no dead letter at offset " + std::to_string(offset),
          "`" + c.global.program + " dlq list` names those that there are",
          {}};
}

command_result show(const cli_context& c, dead_letter_box& box, std::int64_t offset) {
  const auto found = box.find(offset);
  if (!found) return no_such_letter(c, box, offset);
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
      {"state", cell(std::string(text(found->what)))},
      {"when", cell(when(*found))},
      {"key", cell(found->key ? config::printable(*found->key) : "(none)")},
  };
  for (const auto& [name, value] : found->headers) pairs.emplace_back(config::printable(name), cell(value));
  pairs.emplace_back("value", cell(std::to_string(found->value.size()) + " bytes"));
  say(draw_pairs(c.screen, pairs));
  say("\n" + value_text(found->value));
  return exit_code::ok;
}

// What can be sent is sent, whatever is the matter with the others.
command_result replay(const cli_context& c, dead_letter_box& box, const dlq_args& args) {
  json sent = json::array(), refused = json::array();
  std::string lines;
  for (const auto offset : args.all ? box.open() : args.offsets) {
    const auto letter = box.find(offset, false);
    if (!letter) return no_such_letter(c, box, offset);
    if (const auto why = box.refuses_replay(*letter); !why.empty()) {
      refused.push_back({{"offset", offset}, {"why", why}});
      lines += "not replayed: offset " + std::to_string(offset) + ": " + why + "\n";
      continue;
    }
    const auto to = box.replay(*letter);
    sent.push_back({{"offset", offset}, {"to", to}});
    lines += "replayed offset " + std::to_string(offset) + " as " + to + "\n";
  }
  const bool all = refused.empty();
  if (c.wants_json())
    say_json({{"replayed", std::move(sent)}, {"refused", std::move(refused)}});
  else
    say(lines.empty() ? "no dead letters\n" : lines);
  return all ? exit_code::ok : exit_code::failed;
}

command_result drop(const cli_context& c, dead_letter_box& box, const dlq_args& args) {
  broker::dead_letter_box::dropped done;
  std::size_t deleted = 0;
  if (args.upto >= 0) {
    deleted = box.drop_up_to(args.upto);
  } else {
    for (const auto offset : args.offsets)
      if (!box.find(offset, false)) return no_such_letter(c, box, offset);
    done = box.drop({args.offsets.begin(), args.offsets.end()});
    deleted = done.deleted.size();
  }
  if (c.wants_json()) {
    say_json({{"deleted", deleted}, {"hidden", done.hidden}});
    return exit_code::ok;
  }
  say("deleted " + std::to_string(deleted) + "\n");
  if (!done.hidden.empty())
    say("hidden " + std::to_string(done.hidden.size()) + ": Kafka deletes from the oldest on, and offset " +
        std::to_string(done.first_open) + " is still open; they go with it\n");
  return exit_code::ok;
}

}  // namespace

command_result care_for_dead_letters(const cli_context& c, const dlq_args& args) {
  const auto& settings = c.settings();
  if (settings.kafka.brokers.empty()) return no_brokers_error();
  try {
    dead_letter_box box(to_kafka_options(settings), to_topic_options(settings).name_space);
    switch (args.what) {
      case dlq_args::action::list:
        return list(c, box, args);
      case dlq_args::action::show:
        return show(c, box, args.offsets.front());
      case dlq_args::action::replay:
        return replay(c, box, args);
      case dlq_args::action::drop:
        return drop(c, box, args);
    }
    return exit_code::usage;
  } catch (const broker::kafka_error& e) {
    return to_cli_error(e, "`" + c.global.program + " topics check` says whether the topics are there");
  }
}

}  // namespace pawl::node
