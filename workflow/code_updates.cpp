#include "workflow/code_updates.hpp"

#include <algorithm>
#include <stdexcept>

namespace pawl::engine {

namespace {

failure code_has_ended(const std::string& name) {
  return {.code = "code_ended",
          .message = "the code of the workflow ended without answering update '" + name +
                     "'; sent again under another command id it reaches what runs then",
          .permanent = true};
}

}  // namespace

const code_updates::open_update* code_updates::find(std::uint64_t seq) const {
  const auto at = std::find_if(open_.begin(), open_.end(), [&](const auto& u) { return u.seq == seq; });
  return at == open_.end() ? nullptr : &*at;
}

code_updates::open_update* code_updates::find(std::uint64_t seq) {
  return const_cast<open_update*>(static_cast<const code_updates*>(this)->find(seq));
}

void code_updates::refuse(open_update& u, failure why) {
  if (why.code.empty()) why.code = "refused";
  u.decided = true;
  decided_.push_back(u.seq);
  u.refusal = cut(std::move(why));
}

bool code_updates::give(open_update& u, pawl::detail::leaf& who, check_function check) {
  if (auto why = check(u.payload); !why.empty()) {
    refuse(u, {.code = "invalid", .message = "update '" + u.name + "': " + why, .permanent = true});
    return false;
  }
  u.taken = true;
  const auto seq = u.seq;
  const auto payload = std::move(u.payload);
  u.payload.clear();
  who.complete(payload, seq);  // may do anything to `u`
  return true;
}

void code_updates::on_received(const event& e) {
  auto& u = open_.emplace_back();
  u.seq = e.seq;
  u.name = e.name;
  u.payload = e.payload;
  if (ended_) return refuse(u, code_has_ended(u.name));
  const auto at = std::find_if(waiters_.begin(), waiters_.end(), [&](const auto& w) { return w.name == e.name; });
  if (at == waiters_.end()) return;
  const auto w = *at;
  waiters_.erase(at);
  if (!give(u, *w.who, w.check)) waiters_.insert(waiters_.begin(), w);
}

bool code_updates::on_answered(const event& e) {
  const auto* u = find(e.answers);
  if (!u || !u->decided) return false;
  std::erase_if(open_, [&](const auto& o) { return o.seq == e.answers; });
  std::erase(decided_, e.answers);
  return true;
}

void code_updates::await(pawl::detail::leaf& who, std::string_view name, check_function check) {
  for (auto& u : open_)
    if (!u.taken && !u.decided && u.name == name && give(u, who, check)) return;
  waiters_.push_back({.name = std::string(name), .who = &who, .check = check});
}

void code_updates::let_go(const pawl::detail::leaf& who) noexcept {
  std::erase_if(waiters_, [&](const auto& w) { return w.who == &who; });
}

void code_updates::answer(std::uint64_t seq, std::string value) {
  auto* u = find(seq);
  if (!u || u->decided) throw std::logic_error("the update has been answered");
  u->decided = true;
  decided_.push_back(seq);
  u->answer = std::move(value);
}

void code_updates::refuse(std::uint64_t seq, failure why) {
  auto* u = find(seq);
  if (!u || u->decided) return;
  if (why.message.empty()) why.message = "the code did not answer update '" + u->name + "'";
  refuse(*u, std::move(why));
}

void code_updates::end() {
  ended_ = true;
  for (auto& u : open_)
    if (!u.decided) refuse(u, code_has_ended(u.name));
}

void code_updates::add_awaited(std::vector<want>& out) const {
  for (const auto& w : waiters_) out.push_back({.kind = want_kind::update, .text = w.name});
}

void code_updates::add_wants(std::vector<want>& out) const {
  for (const auto seq : decided_) {
    const auto* u = find(seq);
    auto& w = out.emplace_back();
    w.kind = want_kind::answer;
    w.seq = seq;
    if (u->refusal.code.empty())
      w.text = u->answer;
    else
      w.error = &u->refusal;
  }
}

std::string code_updates::refusal_of(std::string_view name, std::string_view payload) const {
  for (const auto& w : waiters_)
    if (w.name == name) return w.check(payload);
  return {};
}

void code_updates::add_asked(std::vector<std::string>& out) const {
  for (const auto& w : waiters_) out.push_back("an update '" + w.name + "'");
  for (const auto& u : open_)
    if (u.decided) out.push_back("an answer to update '" + u.name + "' of event " + std::to_string(u.seq));
}

}  // namespace pawl::engine
