#include "node/cli_input.hpp"

#include "config/quantity.hpp"
#include "config/setting.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

namespace pawl::node {
namespace {

cli_error too_long(const std::string& where, std::size_t limit) {
  return usage_error(
      where + " is longer than " + config::format_size(config::byte_size{limit}) + ", four times limits.payload",
      "Keep large data elsewhere and hand over where it is, or raise limits.payload");
}

cli_result<std::string> read_all(int fd, const std::string& where, std::size_t limit) {
  std::string text;
  std::vector<char> buffer(std::size_t{64} << 10);
  for (;;) {
    const auto n = ::read(fd, buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return usage_error(where + " cannot be read: " + std::strerror(errno), "Name a file that can be read");
    if (n == 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(n));
    if (text.size() > limit) return too_long(where, limit);
  }
}

cli_result<std::string> read_file(const std::string& path, const std::string& where, std::size_t limit) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return usage_error(where + " cannot be read: " + std::strerror(errno), "Check the name behind the @");
  auto text = read_all(fd, where, limit);
  ::close(fd);
  return text;
}

cli_result<json> to_json_value(const std::string& where, std::string_view text) {
  auto parsed = parse_json(text, where);
  if (parsed) return std::move(parsed).value();
  const auto& wrong = parsed.error();
  std::string what = where + " is not JSON";
  if (!wrong.path.empty() && wrong.path != where) what += " at " + wrong.path;
  const bool bare = !text.empty() && text.find_first_of("{[\"") == std::string_view::npos;
  const std::string mend = bare ? "A text is in quotes, which a shell wants quoted as well: '\"...\"'"
                                : "Write JSON, @FILE, or - for standard input";
  return usage_error(what + ": " + wrong.message, wrong.mend.empty() ? mend : wrong.mend);
}

}  // namespace

cli_result<json> read_json_argument(const std::string& flag, const std::string& argument, std::size_t limit) {
  // The limit itself is held against the encoded form; text may be longer by its white space and escapes.
  const auto text_limit = limit * 4;
  std::string where = flag;
  if (argument == "-") {
    where = "standard input (" + flag + " -)";
    const auto text = read_all(STDIN_FILENO, where, text_limit);
    if (!text) return text.error();
    return to_json_value(where, text.value());
  }
  if (argument.starts_with('@')) {
    where = "the file " + config::in_quotes(argument.substr(1)) + " (" + flag + ")";
    const auto text = read_file(argument.substr(1), where, text_limit);
    if (!text) return text.error();
    return to_json_value(where, text.value());
  }
  if (argument.size() > text_limit) return too_long(flag, text_limit);
  return to_json_value(where, argument);
}

}  // namespace pawl::node
