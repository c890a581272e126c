// The text side of json_codec.hpp: strict parsing, printing, base64.
#include <algorithm>
#include <array>
#include <unordered_set>

#include "node/json_codec.hpp"

namespace pawl::node {

namespace {

/// Builds the value while the text is read. Not nlohmann's own builder: that one takes a name twice, and looks through
/// the whole object for every name, which a hostile body would make quadratic.
class strict_builder final : public nlohmann::json_sax<json> {
 public:
  strict_builder(std::string_view text, std::string_view root) : text_(text), root_(root) {}

  bool null() override { return put(nullptr); }
  bool boolean(bool v) override { return put(v); }
  bool number_integer(number_integer_t v) override { return put(v); }
  bool number_unsigned(number_unsigned_t v) override { return put(v); }
  bool number_float(number_float_t v, const string_t&) override { return put(v); }
  bool string(string_t& v) override { return put(std::move(v)); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(json::object()); }
  bool end_object() override { return close(); }
  bool start_array(std::size_t) override { return open(json::array()); }
  bool end_array() override { return close(); }

  bool key(string_t& name) override {
    if (is_new(name)) {
      next_key_ = std::move(name);
      return true;
    }
    error = {.path = path(), .message = "the field '" + cut(name) + "' stands there twice"};
    return false;
  }

  bool parse_error(std::size_t position, const std::string& token, const nlohmann::detail::exception& e) override {
    // `position` counts the character that is wrong, or the end.
    const auto before = text_.substr(0, std::min(position > 0 ? position - 1 : 0, text_.size()));
    const auto line = 1 + std::count(before.begin(), before.end(), '\n');
    const auto column = 1 + before.size() - (before.rfind('\n') == std::string_view::npos ? 0 : before.rfind('\n') + 1);
    error.path = "line " + std::to_string(line) + ", column " + std::to_string(column);
    error.message = "not JSON";
    // "[json.exception.parse_error.101] parse error at line 1, column 2: syntax error while ... - what is wrong"
    const std::string_view what = e.what();
    const auto at = what.rfind(" - ");
    if (at != std::string_view::npos)
      error.message += ": " + cut(what.substr(at + 3));
    else if (!token.empty())
      error.message += ": '" + cut(token) + "' is out of range";
    return false;
  }

  json value;
  json_error error;

 private:
  static constexpr std::size_t few = 16;
  struct level {
    json* at;
    std::unordered_set<std::string> names;  // once there are more than `few`
  };

  // Of the object that is open.
  bool is_new(const std::string& name) {
    auto& [at, names] = open_.back();
    const auto& known = members(*at);
    if (known.size() < few)
      return std::none_of(known.begin(), known.end(), [&](const auto& m) { return m.first == name; });
    if (names.empty())
      for (const auto& m : known) names.insert(m.first);
    return names.insert(name).second;
  }

  static std::string cut(std::string_view text) {
    constexpr std::size_t longest = 160;
    return text.size() <= longest ? std::string(text) : std::string(text.substr(0, longest)) + "...";
  }

  std::string path() const {
    std::string out(root_);
    for (std::size_t i = 0; i + 1 < open_.size(); ++i) {
      const auto& outer = *open_[i].at;
      if (outer.is_array())
        out += '[' + std::to_string(outer.size() - 1) + ']';
      else
        out += '.' + cut(members(*open_[i].at).back().first);
    }
    return out;
  }

  static json::object_t::Container& members(json& object) { return object.get_ref<json::object_t&>(); }

  // A pointer to the newest child stays good as long as that child is open: until then its parent does not grow.
  json* put_value(json&& v) {
    if (open_.empty()) return &(value = std::move(v));
    auto& parent = *open_.back().at;
    if (parent.is_array()) {
      auto& elements = parent.get_ref<json::array_t&>();
      elements.push_back(std::move(v));
      return &elements.back();
    }
    members(parent).emplace_back(std::move(next_key_), std::move(v));
    return &members(parent).back().second;
  }

  bool put(json v) {
    put_value(std::move(v));
    return true;
  }
  bool open(json v) {
    if (open_.size() >= json_depth) {
      error = {.path = cut(path()), .message = "nested more than " + std::to_string(json_depth) + " levels deep"};
      return false;
    }
    const bool outermost = open_.empty();
    open_.push_back({put_value(std::move(v)), {}});
    // To grow it copies the names. Within it there may be too many that stay empty.
    if (outermost && value.is_object()) members(value).reserve(few);
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  const std::string_view text_;
  const std::string_view root_;
  std::vector<level> open_;
  std::string next_key_;
};

constexpr std::string_view base64_digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

}  // namespace

std::string json_error::text() const { return path + ": " + message + (mend.empty() ? "" : "; " + mend); }

config::outcome<json, json_error> parse_json(std::string_view text, std::string_view root) {
  strict_builder builder(text, root);
  if (!json::sax_parse(text.begin(), text.end(), &builder)) return std::move(builder.error);
  return std::move(builder.value);
}

std::string to_text(const json& value) { return value.dump(-1, ' ', false, json::error_handler_t::replace); }

std::string to_base64(std::string_view bytes) {
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const auto left = std::min<std::size_t>(3, bytes.size() - i);
    std::uint32_t group = 0;
    for (std::size_t k = 0; k < 3; ++k) group = group << 8 | (k < left ? static_cast<unsigned char>(bytes[i + k]) : 0U);
    for (std::size_t k = 0; k < 4; ++k) out += k <= left ? base64_digits[group >> (18 - 6 * k) & 63U] : '=';
  }
  return out;
}

bool from_base64(std::string_view text, std::string& bytes) {
  bytes.clear();
  if (text.size() % 4 != 0) return false;
  bytes.reserve(text.size() / 4 * 3);
  const auto padding = text.size() - std::min(text.size(), text.find_last_not_of('=') + 1);
  if (padding > 2) return false;
  const auto digits = text.size() - padding;
  std::uint32_t group = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto digit = i < digits ? base64_digits.find(text[i]) : 0;
    if (digit == std::string_view::npos) return false;
    group = group << 6 | static_cast<std::uint32_t>(digit);
    if (i % 4 != 3) continue;
    for (int shift = 16; shift >= 0; shift -= 8) bytes += static_cast<char>(group >> shift & 0xff);
    group = 0;
  }
  bytes.resize(bytes.size() - padding);
  return true;
}

}  // namespace pawl::node
