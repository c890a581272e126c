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
  template <class Number>
  bool number(Number& out) {
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

// A time past which no sum with a row's own overflows.
const std::int64_t latest = engine::to_micros(engine::latest_time);

bool read_entry(reader& in, chunk_entry& e, std::uint32_t& size) {
  if (!in.take('[') || !in.number(e.kind) || !in.take(',') || !in.number(size)) return false;
  if (in.take(']')) return true;
  if (!in.take(',') || !in.text(e.step) || !in.take(',') || !in.number(e.attempt)) return false;
  std::uint32_t undo = 0;
  const bool told = in.take(',');
  if (told && !in.number(undo)) return false;
  e.undo = undo == 1;
  if (told && in.take(',')) {
    if (undo > 1 || !in.number(e.later) || e.later < 1 || e.later > latest) return false;
  } else if (told && undo != 1) {
    return false;
  }
  return in.take(']');
}

}  // namespace

bool chunk_writer::takes(const event_row& e) const {
  if (e.seq != first_seq_ + count_ || e.at < last_at_ || e.at - at_ > latest) return false;
  return e.at == last_at_ || (count_ < most_joined_events && bodies_.size() < most_joined_bytes);
}

void chunk_writer::add(const event_row& e) {
  if (count_++ == 0) {
    first_seq_ = e.seq;
    at_ = e.at;
    heads_ += "[[";
  } else {
    heads_ += ",[";
  }
  last_at_ = e.at;
  put_number(heads_, static_cast<std::uint8_t>(e.kind));
  heads_.push_back(',');
  put_number(heads_, e.body.size());
  const bool later = e.at != at_;
  if (!e.step.empty() || e.attempt != 0 || e.undo || later) {
    heads_.push_back(',');
    put_text(heads_, e.step);
    heads_.push_back(',');
    put_number(heads_, e.attempt);
    if (e.undo || later) heads_ += e.undo ? ",1" : ",0";
    if (later) {
      heads_.push_back(',');
      put_number(heads_, static_cast<std::uint64_t>(e.at - at_));
    }
  }
  heads_.push_back(']');
  bodies_ += e.body;
}

// Then its last event is later than its first, and says so: after `"step",attempt,undo` comes another number.
bool is_joined(std::string_view heads) {
  const auto number = [&] {
    const auto before = heads.size();
    while (!heads.empty() && heads.back() >= '0' && heads.back() <= '9') heads.remove_suffix(1);
    return heads.size() < before;
  };
  const auto comma = [&] {
    const bool there = heads.ends_with(',');
    if (there) heads.remove_suffix(1);
    return there;
  };
  if (!heads.ends_with("]]")) return false;
  heads.remove_suffix(2);
  return number() && comma() && number() && comma() && number() && comma() && heads.ends_with('"');
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
