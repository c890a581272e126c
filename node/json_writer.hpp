// JSON said member by member, to two listeners: one appends its text to a string, the other builds a value. What is
// shown of an event is so said in one place, and who sends ten thousand of them a second builds no tree for each.
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "node/json_codec.hpp"

namespace pawl::node {

/// The text that to_text() makes of the same value.
class json_text_writer {
 public:
  explicit json_text_writer(std::string& out) : out_(out) {}

  void begin_object() { open('{'); }
  void end_object() { close('}'); }
  void begin_list() { open('['); }
  void end_list() { close(']'); }
  /// Of the member whose value comes next.
  void name(std::string_view n);

  void null() { word("null"); }
  void value(bool v) { word(v ? "true" : "false"); }
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

  template <class T>
  void member(std::string_view n, const T& v) {
    name(n);
    value(v);
  }

 private:
  void separate() {
    if (more_) out_.push_back(',');
    more_ = true;
  }
  void open(char c) {
    separate();
    out_.push_back(c);
    more_ = false;
  }
  void close(char c) {
    out_.push_back(c);
    more_ = true;
  }
  void word(std::string_view w) {
    separate();
    out_ += w;
  }
  void number(std::int64_t v);
  void number(std::uint64_t v);

  std::string& out_;
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
