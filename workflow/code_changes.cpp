#include "workflow/code_changes.hpp"

#include <algorithm>

#include <pawl/codec.hpp>

namespace pawl::engine {

void code_changes::await(pawl::detail::leaf& who, std::string_view id) {
  const auto known = std::find_if(met_.begin(), met_.end(), [&](const auto& c) { return c.first == id; });
  if (known != met_.end()) return who.complete(pawl::encode(known->second));
  waiters_.push_back({.id = std::string(id), .who = &who});
}

void code_changes::let_go(const pawl::detail::leaf& who) noexcept {
  std::erase_if(waiters_, [&](const auto& w) { return w.who == &who; });
}

bool code_changes::waits_for(std::string_view id) const {
  return std::any_of(waiters_.begin(), waiters_.end(), [&](const auto& w) { return w.id == id; });
}

void code_changes::answer(const std::string& id, bool changed) {
  if (std::none_of(met_.begin(), met_.end(), [&](const auto& c) { return c.first == id; }))
    met_.emplace_back(id, changed);
  std::vector<pawl::detail::leaf*> told;
  std::erase_if(waiters_, [&](const auto& w) {
    if (w.id != id) return false;
    told.push_back(w.who);
    return true;
  });
  for (auto* who : told) who->complete(pawl::encode(changed));
}

void code_changes::add_wants(std::vector<want>& out) const {
  if (!waiters_.empty()) out.push_back({.kind = want_kind::note_change, .text = waiters_.front().id});
}

void code_changes::add_asked(std::vector<std::string>& out) const {
  for (const auto& w : waiters_) out.push_back("the change '" + w.id + "'");
}

}  // namespace pawl::engine
