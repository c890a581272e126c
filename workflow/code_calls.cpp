#include "workflow/code_calls.hpp"

#include <algorithm>
#include <exception>

#include <pawl/code_errors.hpp>
#include <pawl/codec.hpp>

namespace pawl::engine {

code_calls::record* code_calls::find(std::uint32_t number) {
  const auto at = std::find_if(open_.begin(), open_.end(), [&](const auto& c) { return c.number == number; });
  return at == open_.end() ? nullptr : &*at;
}

bool code_calls::on_asked(const event& e, bool kept) {
  auto* c = find(e.number);
  if (!c || c->name != e.name) return false;
  if (kept && c->is_named_by_run && e.child && e.child->workflow_id.ends_with("/" + std::to_string(e.number)))
    c->request.workflow_id = e.child->workflow_id;
  const bool starts = c->is_child || c->request.detached;
  const bool same = e.kind == event_kind::child_asked ? starts && e.child->workflow_id == c->request.workflow_id
                                                      : !starts && e.target == c->request.workflow_id;
  if (!same) return false;
  c->on_record = true;
  c->request.payload.clear();
  return true;
}

bool code_calls::on_answered(const event& e) {
  auto* c = find(e.number);
  if (!c || !c->on_record || (e.kind == event_kind::child_dropped && c->waiter)) return false;
  const auto call = std::move(*c);
  std::erase_if(open_, [&](const auto& o) { return o.number == e.number; });
  if (!call.waiter) return true;
  const auto& id = call.request.workflow_id;
  if (!e.error)
    call.waiter->complete(call.request.detached ? pawl::encode(id) : e.payload);
  else if (call.is_child || call.request.detached)
    call.waiter->fail(std::make_exception_ptr(child_failed(id, e.error->message, e.error->code)));
  else
    call.waiter->fail(std::make_exception_ptr(signal_failed(id, e.error->message, e.error->code)));
  return true;
}

std::uint32_t code_calls::ask(pawl::detail::leaf& who, pawl::detail::code_call call, const std::string& uid) {
  using kind = pawl::detail::code_call::kind;
  const auto number = ++made_;
  record c;
  c.number = number;
  c.name = std::move(call.name);
  c.waiter = &who;
  c.is_child = call.what == kind::child;
  c.request.workflow_id = std::move(call.workflow_id);
  c.is_named_by_run = c.request.workflow_id.empty();
  if (c.is_named_by_run) c.request.workflow_id = uid + "/" + std::to_string(number);
  c.request.payload = std::move(call.payload);
  c.request.version = call.options.version;
  c.request.policy = static_cast<child_policy>(call.options.when_dropped);
  c.request.detached = call.what == kind::detached;
  c.request.deadline = call.options.deadline;
  c.request.cancels = call.what == kind::cancel;
  open_.push_back(std::move(c));
  return number;
}

void code_calls::let_go(const pawl::detail::leaf& who) noexcept {
  for (auto& c : open_)
    if (c.waiter == &who) {
      c.waiter = nullptr;
      c.dropped = true;
    }
  forget_dropped();
}

void code_calls::drop_all() noexcept {
  for (auto& c : open_) {
    c.waiter = nullptr;
    c.dropped = true;
  }
  forget_dropped();
}

// What is not on record yet never was. A message that is on record is answered some time; nobody hears it.
void code_calls::forget_dropped() noexcept {
  std::erase_if(open_, [](const auto& c) { return c.dropped && !c.on_record; });
  for (auto& c : open_)
    if (!c.is_child) c.dropped = false;
}

void code_calls::add_dropped(std::vector<want>& out) const {
  for (const auto& c : open_)
    if (c.dropped) out.push_back({.kind = want_kind::drop_child, .number = c.number, .call = &c.request});
}

// What is on record is somebody else's to do.
void code_calls::add_wants(std::vector<want>& out) const {
  for (const auto& c : open_)
    if (!c.dropped && !c.on_record)
      out.push_back({.kind = c.is_child || c.request.detached ? want_kind::child : want_kind::message,
                     .number = c.number,
                     .text = c.name,
                     .call = &c.request});
}

void code_calls::add_asked(std::vector<std::string>& out) const {
  for (const auto& c : open_) {
    if (!c.waiter) continue;
    const bool child = c.is_child && !c.request.cancels;
    out.push_back((child ? "child " : "call ") + std::to_string(c.number) + " '" + c.name + "'");
  }
}

}  // namespace pawl::engine
