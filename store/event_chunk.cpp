#include "store/event_chunk.hpp"

#include <array>
#include <charconv>
#include <limits>

namespace pawl::store {

namespace {

void put_number(std::string& out, std::uint64_t v) {
  std::array<char, 20> digits{};
  out.append(digits.data(), std::to_chars(digits.data(), digits.data() + digits.size(), v).ptr);
}

// A JSON string; bytes above 0x7f pass as they are.
void put_text(std::string& out, std::string_view s) {
  static constexpr char hex[] = "0123456789abcdef";
  out.push_back('"');
  for (const char c : s) {
    if (c == '"' || c == '\\') {
      out.push_back('\\');
      out.push_back(c);
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += "\\u00";
      out.push_back(hex[static_cast<unsigned char>(c) >> 4]);
      out.push_back(hex[static_cast<unsigned char>(c) & 15]);
    } else {
      out.push_back(c);
    }
  }
  out.push_back('"');
}

// Reads exactly what write_chunk writes.
class reader {
 public:
  explicit reader(std::string_view text) : rest_(text) {}
  bool take(char c) {
    if (rest_.empty() || rest_.front() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  bool number(std::uint32_t& out) {
    const auto r = std::from_chars(rest_.data(), rest_.data() + rest_.size(), out);
    if (r.ec != std::errc{}) return false;
    rest_.remove_prefix(static_cast<std::size_t>(r.ptr - rest_.data()));
    return true;
  }
  bool text(std::string& out) {
    if (!take('"')) return false;
    while (!rest_.empty()) {
      const char c = rest_.front();
      rest_.remove_prefix(1);
      if (c == '"') return true;
      if (c != '\\') {
        out.push_back(c);
      } else if (!escaped(out)) {
        return false;
      }
    }
    return false;
  }
  bool done() const { return rest_.empty(); }

 private:
  bool escaped(std::string& out) {
    if (rest_.empty()) return false;
    const char c = rest_.front();
    if (c == '"' || c == '\\') {
      rest_.remove_prefix(1);
      out.push_back(c);
      return true;
    }
    unsigned value = 0;
    if (c != 'u' || rest_.size() < 5 ||
        std::from_chars(rest_.data() + 1, rest_.data() + 5, value, 16).ptr != rest_.data() + 5)
      return false;
    if (value > 0x7f) return false;
    rest_.remove_prefix(5);
    out.push_back(static_cast<char>(value));
    return true;
  }
  std::string_view rest_;
};

bool read_entry(reader& in, chunk_entry& e, std::uint32_t& size) {
  if (!in.take('[') || !in.number(e.kind) || !in.take(',') || !in.number(size)) return false;
  if (in.take(']')) return true;
  if (!in.take(',') || !in.text(e.step) || !in.take(',') || !in.number(e.attempt)) return false;
  std::uint32_t undo = 0;
  if (in.take(',') && (!in.number(undo) || undo != 1)) return false;
  e.undo = undo == 1;
  return in.take(']');
}

}  // namespace

void write_chunk(std::span<const event_row> events, std::string& heads, std::string& bodies) {
  heads.push_back('[');
  for (std::size_t n = 0; n < events.size(); ++n) {
    const auto& e = events[n];
    heads += n == 0 ? "[" : ",[";
    put_number(heads, static_cast<std::uint8_t>(e.kind));
    heads.push_back(',');
    put_number(heads, e.body.size());
    if (!e.step.empty() || e.attempt != 0 || e.undo) {
      heads.push_back(',');
      put_text(heads, e.step);
      heads.push_back(',');
      put_number(heads, e.attempt);
      if (e.undo) heads += ",1";
    }
    heads.push_back(']');
    bodies += e.body;
  }
  heads.push_back(']');
}

std::string read_chunk(std::string_view heads, std::string_view bodies, std::vector<chunk_entry>& out) {
  out.clear();
  reader in(heads);
  if (!in.take('[')) return "the heads are not a list";
  do {
    auto& e = out.emplace_back();
    std::uint32_t size = 0;
    if (!read_entry(in, e, size)) return "entry " + std::to_string(out.size()) + " of the heads cannot be read";
    if (size > bodies.size()) return "the bodies are shorter than the heads say";
    e.body = bodies.substr(0, size);
    bodies.remove_prefix(size);
  } while (in.take(','));
  if (!in.take(']') || !in.done()) return "the heads do not end where they should";
  if (!bodies.empty()) return "the bodies are longer than the heads say";
  return {};
}

std::uint64_t chunk_size(std::string_view heads) {
  // Outside of texts every '[' but the first begins an entry.
  std::uint64_t brackets = 0;
  bool in_text = false;
  for (std::size_t n = 0; n < heads.size(); ++n) {
    if (in_text && heads[n] == '\\') {
      ++n;
    } else if (heads[n] == '"') {
      in_text = !in_text;
    } else if (!in_text && heads[n] == '[') {
      ++brackets;
    }
  }
  return brackets > 1 ? brackets - 1 : 1;
}

}  // namespace pawl::store
