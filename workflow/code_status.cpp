#include "workflow/code_status.hpp"

#include <algorithm>
#include <stdexcept>

#include <pawl/value_stream.hpp>

namespace pawl::engine {

namespace {

/// Bytes of text and attributes together.
constexpr std::size_t most_status = 16 * 1024;

}  // namespace

void code_status::set_text(std::string_view text) {
  text_ = text;
  pack();
}

void code_status::set_attribute(std::string_view name, std::string value) {
  const auto at = std::find_if(attributes_.begin(), attributes_.end(), [&](const auto& a) { return a.first == name; });
  if (at == attributes_.end())
    attributes_.emplace_back(name, std::move(value));
  else
    at->second = std::move(value);
  pack();
}

void code_status::add_wants(std::vector<want>& out) const {
  if (!unpublished_.empty()) out.push_back({.kind = want_kind::publish, .text = unpublished_});
}

void code_status::pack() {
  pawl::detail::encoder e;
  e.map(2);
  e.string("text");
  e.string(text_);
  e.string("attributes");
  e.map(attributes_.size());
  for (const auto& [name, value] : attributes_) {
    e.string(name);
    e.raw(value);
  }
  e.leave();
  e.leave();
  auto bytes = std::move(e).take();
  if (bytes.size() > most_status)
    throw std::length_error("status and attributes together have " + std::to_string(bytes.size()) +
                            " bytes and may have " + std::to_string(most_status) + ": they are for people to look at");
  unpublished_ = std::move(bytes);
}

}  // namespace pawl::engine
