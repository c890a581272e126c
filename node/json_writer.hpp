// JSON said member by member, to two listeners: one appends its text to a string, the other builds a value. What is
// shown of an event is so said in one place, and who sends ten thousand of them a second builds no tree for each.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "node/json_codec.hpp"

namespace pawl::node {

/// A text of which is known that JSON writes it as it is: no quote, backslash or control character, ASCII.
struct plain_text {
  std::string_view text;
};

/// The text that to_text() makes of the same value, behind what is in `out`; that is whole when the writer is gone, or
/// after finish().
class json_text_writer {
 public:
  explicit json_text_writer(std::string& out) : out_(out) { begin_at(out.size()); }
  ~json_text_writer() { finish(); }
  json_text_writer(const json_text_writer&) = delete;
  json_text_writer& operator=(const json_text_writer&) = delete;
  /// Nothing is written after it.
  void finish() {
    if (auto* end = std::exchange(at_, nullptr)) out_.resize(static_cast<std::size_t>(end - out_.data()));
  }

  void begin_object() { open('{'); }
  void end_object() { close('}'); }
  void begin_list() { open('['); }
  void end_list() { close(']'); }
  /// Of the member whose value comes next.
  void name(std::string_view n);
  /// The names in our sources are plain.
  template <std::size_t N>
  void name(const char (&n)[N]) {
    room(N + 3);
    separate();
    *at_++ = '"';
    std::memcpy(at_, n, N - 1);
    at_ += N - 1;
    *at_++ = '"';
    *at_++ = ':';
    more_ = false;
  }

  void null() { value_as_is("null"); }
  void value(bool v) { value_as_is(v ? "true" : "false"); }
  void value(plain_text v);
  void value(std::string_view v);
  void value(const char* v) { value(std::string_view(v)); }
  void value(double v);
  template <std::integral T>
  void value(T v) {
    if constexpr (std::is_signed_v<T>)
      number(static_cast<std::int64_t>(v));
    else
      number(static_cast<std::uint64_t>(v));
  }
  /// As to_json() shows it.
  void msgpack(std::string_view bytes);

  template <std::size_t N, class T>
  void member(const char (&n)[N], const T& v) {
    name(n);
    value(v);
  }
  template <class T>
  void member(std::string_view n, const T& v) {
    name(n);
    value(v);
  }

 private:
  // The string is longer than what is written as long as there is more to come: it would look for room, and end itself
  // with a zero, for each piece that is appended.
  void begin_at(std::size_t size) {
    out_.resize(std::max(out_.capacity(), size));
    at_ = out_.data() + size;
    end_ = out_.data() + out_.size();
  }
  void room(std::size_t bytes) {
    if (static_cast<std::size_t>(end_ - at_) < bytes) grow(bytes);
  }
  void grow(std::size_t bytes);
  void separate() {
    if (more_) *at_++ = ',';
    more_ = true;
  }
  void open(char c) {
    room(2);
    separate();
    *at_++ = c;
    more_ = false;
  }
  void close(char c) {
    room(1);
    *at_++ = c;
    more_ = true;
  }
  void text(std::string_view v);
  void value_as_is(std::string_view word);
  void number(std::int64_t v);
  void number(std::uint64_t v);

  std::string& out_;
  char* at_ = nullptr;
  char* end_ = nullptr;
  bool more_ = false;  // a comma comes before the next
};

/// The value itself.
class json_tree_writer {
 public:
  void begin_object() { open_.push_back(put(json::object())); }
  void end_object() { open_.pop_back(); }
  void begin_list() { open_.push_back(put(json::array())); }
  void end_list() { open_.pop_back(); }
  void name(std::string_view n) { name_ = n; }

  void null() { put(nullptr); }
  void value(plain_text v) { put(std::string(v.text)); }
  void value(std::string_view v) { put(std::string(v)); }
  void value(const char* v) { put(std::string(v)); }
  template <class T>
    requires std::is_arithmetic_v<T>
  void value(T v) {
    put(v);
  }
  void msgpack(std::string_view bytes) { put(to_json(bytes)); }

  template <class T>
  void member(std::string_view n, const T& v) {
    name(n);
    value(v);
  }
  json take() { return std::move(root_); }

 private:
  // A pointer to the newest child stays good as long as that child is open: until then its parent does not grow. Names
  // are not looked up.
  json* put(json&& v) {
    if (open_.empty()) return &(root_ = std::move(v));
    auto& parent = *open_.back();
    if (parent.is_array()) {
      auto& elements = parent.get_ref<json::array_t&>();
      elements.push_back(std::move(v));
      return &elements.back();
    }
    json::object_t::Container& members = parent.get_ref<json::object_t&>();
    members.emplace_back(std::move(name_), std::move(v));
    return &members.back().second;
  }

  json root_;
  std::vector<json*> open_;
  std::string name_;
};

}  // namespace pawl::node
