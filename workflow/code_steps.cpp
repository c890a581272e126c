#include "workflow/code_steps.hpp"

#include <exception>
#include <utility>

#include <pawl/code_errors.hpp>

namespace pawl::engine {

code_steps::record* code_steps::record_of(const event& e) {
  if (e.step >= all_.size()) return nullptr;
  auto& s = all_[e.step];
  return !s.over && s.call && (e.name.empty() || e.name == s.call->name) ? &s : nullptr;
}

bool code_steps::on_seen(const event& e) {
  auto* s = record_of(e);
  if (s) s->on_record = true;
  return s != nullptr;
}

bool code_steps::on_done(const event& e) {
  auto* s = record_of(e);
  if (!s) return false;
  if (s->call->undo_options) s->result = std::make_unique<std::string>(e.payload);
  auto* waiter = std::exchange(s->waiter, nullptr);
  close(e.step);
  if (waiter) waiter->complete(e.payload);
  return true;
}

bool code_steps::on_failed(const event& e) {
  auto* s = record_of(e);
  if (!s) return false;
  auto* waiter = std::exchange(s->waiter, nullptr);
  const auto name = s->call->name;
  close(e.step);
  const auto error = e.error.value_or(failure{.code = "failed", .message = "step '" + name + "' has failed"});
  if (waiter) waiter->fail(std::make_exception_ptr(step_failed(name, error.message, error.code)));
  return true;
}

// An attempt that is under way may still complete it, and then there is something to undo.
bool code_steps::on_abandoned(const event& e) {
  auto* s = record_of(e);
  if (!s || s->waiter) return false;
  s->dropped = false;
  std::erase(open_, e.step);
  return true;
}

void code_steps::close(std::uint32_t k) {
  auto& s = all_[k];
  s.over = true;
  s.dropped = false;
  std::erase(open_, k);
  if (!s.call->undo_options) s.call.reset();
}

std::uint32_t code_steps::ask(pawl::detail::leaf& who, std::shared_ptr<const pawl::detail::code_step> call) {
  const auto k = static_cast<std::uint32_t>(all_.size());
  all_.push_back({.call = std::move(call), .waiter = &who, .result = nullptr});
  open_.push_back(k);
  return k;
}

// What is not on record yet never was.
void code_steps::let_go(std::uint32_t k) noexcept {
  auto& s = all_[k];
  s.waiter = nullptr;
  s.dropped = true;
  if (s.on_record) return;
  s.over = true;
  s.call.reset();
  std::erase(open_, k);
}

void code_steps::drop_all() noexcept {
  for (auto& s : all_) s.waiter = nullptr;
  for (const auto k : open_) all_[k].dropped = true;
  std::erase_if(open_, [&](std::uint32_t k) { return !all_[k].on_record; });
}

void code_steps::add_dropped(std::vector<want>& out) const {
  for (const auto k : open_)
    if (all_[k].dropped) out.push_back({.kind = want_kind::drop_step, .step = k});
}

void code_steps::add_wants(std::vector<want>& out) const {
  for (const auto k : open_)
    if (!all_[k].dropped) out.push_back({.kind = want_kind::step, .step = k});
}

step_info code_steps::info(std::uint32_t k) const {
  if (k >= all_.size() || !all_[k].call) return {};
  const auto& c = *all_[k].call;
  return {.name = c.name, .options = &c.options, .undo_options = c.undo_options.get()};
}

std::optional<std::uint32_t> code_steps::named(std::string_view name) const {
  for (auto k = static_cast<std::uint32_t>(all_.size()); k-- > 0;)
    if (all_[k].call && all_[k].call->name == name) return k;
  return std::nullopt;
}

step_call code_steps::call(std::uint32_t k, bool undo) const {
  const auto& s = all_.at(k);
  step_call c;
  if (undo) {
    c.undo = {s.call, &s.call->undo};
    c.held = &s.call->undo_arguments;
    if (s.result) c.result = *s.result;
  } else {
    c.invoke = {s.call, &s.call->invoke};
    c.held = &s.call->arguments;
  }
  c.returns = s.call->result;
  return c;
}

std::string_view code_steps::value_of(std::uint32_t k) const {
  return k < all_.size() && all_[k].result ? std::string_view(*all_[k].result) : std::string_view{};
}

std::string code_steps::refusal_of_result(std::uint32_t k, std::string_view payload) const {
  const auto* call = k < all_.size() ? all_[k].call.get() : nullptr;
  return call && call->check_result ? call->check_result(payload) : std::string{};
}

void code_steps::add_asked(std::vector<std::string>& out) const {
  for (const auto k : open_)
    if (all_[k].waiter) out.push_back("step " + std::to_string(k) + " '" + all_[k].call->name + "'");
}

}  // namespace pawl::engine
