#include "workflow/code_signals.hpp"

#include <algorithm>

namespace pawl::engine {

void code_signals::on_received(const event& e) {
  const auto at = std::find_if(waiters_.begin(), waiters_.end(), [&](const auto& w) { return w.name == e.name; });
  if (at == waiters_.end())
    return void(unread_.push_back({.name = e.name, .payload = e.payload, .command_id = e.command_id}));
  auto* who = at->who;
  waiters_.erase(at);
  who->complete(e.payload);
}

void code_signals::await(pawl::detail::leaf& who, std::string_view name, check_function check) {
  const auto at = std::find_if(unread_.begin(), unread_.end(), [&](const auto& s) { return s.name == name; });
  if (at == unread_.end()) return void(waiters_.push_back({.name = std::string(name), .who = &who, .check = check}));
  const auto payload = std::move(at->payload);
  unread_.erase(at);
  who.complete(payload);
}

void code_signals::let_go(const pawl::detail::leaf& who) noexcept {
  std::erase_if(waiters_, [&](const auto& w) { return w.who == &who; });
}

void code_signals::add_wants(std::vector<want>& out) const {
  for (const auto& w : waiters_) out.push_back({.kind = want_kind::signal, .text = w.name});
}

std::string code_signals::refusal_of(std::string_view name, std::string_view payload) const {
  for (const auto& w : waiters_)
    if (w.name == name) return w.check(payload);
  return {};
}

std::vector<event> code_signals::unread() const {
  std::vector<event> out;
  for (const auto& s : unread_) {
    event e;
    e.kind = event_kind::signal_received;
    e.name = s.name;
    e.payload = s.payload;
    e.command_id = s.command_id;
    out.push_back(std::move(e));
  }
  return out;
}

void code_signals::add_asked(std::vector<std::string>& out) const {
  for (const auto& w : waiters_) out.push_back("a signal '" + w.name + "'");
}

}  // namespace pawl::engine
