#include "config/assignment.hpp"

#include <toml++/toml.h>

#include <cerrno>
#include <fstream>
#include <map>
#include <system_error>

namespace pawl::config {
namespace {

constexpr std::size_t largest_file = 64 * 1024;

struct file_content {
  std::string text;
  std::string failure;  // empty if it was read
  bool missing = false;
};

file_content read_file(const std::filesystem::path& path) {
  file_content content;
  std::error_code code;
  if (std::filesystem::is_directory(path, code)) return {"", "it is a directory", false};
  errno = 0;
  std::ifstream in(path, std::ios::binary);
  if (!in) return {"", std::generic_category().message(errno), errno == ENOENT};
  content.text.resize(largest_file + 1);
  in.read(content.text.data(), static_cast<std::streamsize>(content.text.size()));
  content.text.resize(static_cast<std::size_t>(in.gcount()));
  if (in.bad()) content.failure = "it cannot be read";
  if (content.text.size() > largest_file) content.failure = "it is larger than " + format_size({largest_file});
  return content;
}

// Turns the tables of one document into a layer.
class toml_reader {
 public:
  toml_reader(std::string file, const setting_table& table) : file_(std::move(file)), table_(table) {}

  layer read(std::string_view text) && {
    try {
      const auto document = toml::parse(text);
      for (const auto& [key, node] : document) read_section(key, node);
    } catch (const toml::parse_error& e) {
      // What the parser quotes from the file may be a part of a secret.
      const auto message = std::string(e.description());
      const auto shown = table_.has_secrets() ? message.substr(0, message.find('\'')) : message;
      refuse(problem_code::syntax, e.source().begin.line, "this is not TOML: " + printable(shown),
             "Mend the line; texts, durations and sizes stand in double quotes");
    }
    return in_order();
  }

 private:
  using line_number = toml::source_index;

  void read_section(const toml::key& key, const toml::node& node) {
    const auto line = key.source().begin.line;
    const auto* section = node.as_table();
    if (section == nullptr && table_.has_section(key.str()))
      return refuse(problem_code::wrong_type, line, in_quotes(key.str()) + " is a section, not a setting",
                    "Write [" + std::string(key.str()) + "] and its settings below");
    if (section == nullptr)
      return refuse(problem_code::unknown_name, line,
                    "there is no setting " + in_quotes(key.str()) + " outside of sections",
                    name_mend(table_.nearest_setting(key.str())));
    if (!table_.has_section(key.str())) {
      const auto nearest = table_.nearest_section(key.str());
      return refuse(problem_code::unknown_name, line, "there is no section [" + printable(key.str()) + "]",
                    name_mend(nearest ? std::optional("[" + *nearest + "]") : std::nullopt));
    }
    for (const auto& [setting_key, value] : *section) read_setting(key.str(), setting_key, value);
  }

  void read_setting(std::string_view section, const toml::key& key, const toml::node& node) {
    const auto line = key.source().begin.line;
    const auto name = std::string(section) + "." + std::string(key.str());
    if (const auto* open = table_.find_open(name)) return read_open(*open, name, node);
    auto target = table_.named(name);
    if (target == nullptr)
      return refuse(problem_code::unknown_name, line, "there is no setting " + in_quotes(name),
                    name_mend(table_.nearest_setting(name)));
    auto [text, form] = scalar(node);
    given_.emplace(line, assignment{std::move(target), std::move(text), form, {source::origin::file, place(line)}});
  }

  // TOML takes `a.b = 1` for a table `a`; the dots belong to the names here. A number or a boolean is text as well.
  void read_open(const open_section& section, const std::string& name, const toml::node& node) {
    const auto line = node.source().begin.line;
    const auto* keys = node.as_table();
    if (keys == nullptr)
      return refuse(problem_code::wrong_type, line, in_quotes(name) + " is a section, not a setting",
                    "Write [" + section.name + "] and its properties below");
    for (const auto& [key, value] : *keys) {
      const auto longer = name + "." + std::string(key.str());
      if (value.is_table()) {
        read_open(section, longer, value);
        continue;
      }
      auto target = table_.named(longer);
      if (target == nullptr) {
        refuse(problem_code::unknown_name, key.source().begin.line, in_quotes(longer) + " cannot be a property's name",
               "Write the lower case name that librdkafka's documentation has");
        continue;
      }
      auto [text, form] = scalar(value);
      if (form != written_as::toml_other) form = written_as::text;
      const auto at = key.source().begin.line;
      given_.emplace(at, assignment{std::move(target), std::move(text), form, {source::origin::file, place(at)}});
    }
  }

  static std::pair<std::string, written_as> scalar(const toml::node& node) {
    if (const auto* v = node.as_string()) return {v->get(), written_as::toml_string};
    if (const auto* v = node.as_integer()) return {format_value(v->get()), written_as::toml_integer};
    if (const auto* v = node.as_floating_point()) return {format_value(v->get()), written_as::toml_float};
    if (const auto* v = node.as_boolean()) return {format_value(v->get()), written_as::toml_boolean};
    return {"", written_as::toml_other};
  }

  std::string place(line_number line) const { return file_ + ":" + std::to_string(line); }

  void refuse(problem_code code, line_number line, std::string what, std::string mend) {
    wrong_.emplace(line, problem{code, place(line), "", std::move(what), std::move(mend)});
  }

  layer in_order() {
    layer read;
    for (auto& [line, given] : given_) read.given.push_back(std::move(given));
    for (auto& [line, wrong] : wrong_) read.wrong.push_back(std::move(wrong));
    return read;
  }

  std::string file_;
  const setting_table& table_;
  // By line, as people read files; toml++ keeps tables sorted by key.
  std::multimap<line_number, assignment> given_;
  std::multimap<line_number, problem> wrong_;
};

}  // namespace

layer read_toml_file(const std::filesystem::path& path, bool must_exist, const setting_table& table) {
  const auto content = read_file(path);
  if (content.missing && !must_exist) return {};
  if (!content.failure.empty())
    return {{},
            {{problem_code::unreadable_file, printable(path.string()), "",
              "the configuration file cannot be used: " + content.failure,
              "Name a TOML file that this user can read, or none"}}};
  return toml_reader(printable(path.string()), table).read(content.text);
}

}  // namespace pawl::config
