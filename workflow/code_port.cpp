// The untyped part of operations, and what workflow_context does not do in its header.
#include <pawl/operation.hpp>
#include <pawl/registry.hpp>
#include <pawl/workflow_context.hpp>

#include <algorithm>

#include "workflow/ids.hpp"
#include "workflow/option_check.hpp"

namespace pawl {
namespace detail {

leaf::~leaf() {
  if (registered_) port_->let_go(*this);
}

void leaf::cancel(const cancelled& why) noexcept {
  if (done()) return;
  if (registered_) port_->let_go(*this);
  registered_ = false;
  error_ = std::make_exception_ptr(why);
  settle();
}

void leaf::complete(std::string_view payload) {
  registered_ = false;
  payload_ = payload;
  settle();
}

void leaf::fail(std::exception_ptr error) {
  registered_ = false;
  error_ = std::move(error);
  settle();
}

std::string_view leaf::outcome() const {
  if (error_) std::rethrow_exception(error_);
  return payload_;
}

void code_port::enter(frame& f) noexcept {
  f.older = newest_;
  f.newer = nullptr;
  if (newest_) newest_->newer = &f;
  newest_ = &f;
}

void code_port::leave(frame& f) noexcept {
  (f.newer ? f.newer->older : newest_) = f.older;
  if (f.older) f.older->newer = f.newer;
}

code_time after(code_time now, std::chrono::milliseconds wait) {
  const auto longest = engine::latest_time - now;
  if (wait <= std::chrono::milliseconds::zero()) return now;
  return wait > longest ? engine::latest_time : now + wait;
}

code_failure describe_exception(const std::exception_ptr& error) noexcept {
  try {
    std::rethrow_exception(error);
  } catch (const failure& e) {
    return {e.code(), e.what()};
  } catch (const step_error& e) {
    return {e.code(), e.what()};
  } catch (const codec_error& e) {
    return {"codec_error", e.what()};
  } catch (const definition_error& e) {
    return {"definition_error", e.what()};
  } catch (const std::exception& e) {
    return {"error", e.what()};
  } catch (const cancelled& e) {
    return {"cancelled", e.reason()};
  } catch (...) {
    return {"error", "the code threw something that is not a std::exception"};
  }
}

}  // namespace detail

void workflow_context::check(const detail::code_step& call) {
  const auto where = "step '" + call.name + "'";
  detail::option_checker c;
  c.check_name(where, call.name);
  c.check_options(where, call.options);
  auto problems = std::move(c).take();
  if (!call.invoke) problems.push_back(where + ": has no function: give it one that is not null");
  if (call.options.after.begin() != call.options.after.end())
    problems.push_back(where + ": .after is for graphs: code awaits what comes first");
  if (!problems.empty()) throw definition_error(problems.front());
}

detail::code_call workflow_context::call_of(detail::code_call::kind what, std::string_view type,
                                            const child_options& options, std::string input) {
  if (type.empty()) throw definition_error("a child is given no type: name the one that is registered");
  if (options.deadline < std::chrono::milliseconds::zero())
    throw definition_error("child '" + std::string(type) + "': its deadline is negative");
  return {.what = what,
          .workflow_id = options.id,
          .name = std::string(type),
          .payload = std::move(input),
          .options = options};
}

detail::code_call workflow_context::call_to(detail::code_call::kind what, std::string_view workflow_id,
                                            std::string_view name, std::string payload) {
  if (workflow_id.empty()) throw definition_error("a signal is sent to no workflow id");
  if (name.empty() || name.size() > max_name_length)
    throw definition_error("a signal to workflow '" + std::string(workflow_id) + "': its name has 1 to 128 bytes");
  return {
      .what = what, .workflow_id = std::string(workflow_id), .name = std::string(name), .payload = std::move(payload)};
}

change_operation workflow_context::changed(std::string_view id) {
  if (id.empty() || id.size() > max_name_length)
    throw definition_error("wf.changed: the id of a change has 1 to 128 bytes, not " + std::to_string(id.size()));
  return {port_, std::string(id)};
}

std::uint64_t workflow_context::random(std::uint64_t below) {
  if (below < 2) return 0;
  // Draws above the last whole multiple would make small numbers likelier.
  const auto rest = (~std::uint64_t{0} % below + 1) % below;
  while (true) {
    const auto drawn = random();
    if (drawn <= ~std::uint64_t{0} - rest) return drawn % below;
  }
}

std::string workflow_context::new_id() {
  const std::uint64_t halves[] = {(random() & ~0xf000ULL) | 0x4000ULL, (random() & ~(3ULL << 62)) | (2ULL << 62)};
  std::string out;
  for (const auto half : halves) {
    for (int shift = 60; shift >= 0; shift -= 4) {
      out += "0123456789abcdef"[(half >> static_cast<unsigned>(shift)) & 0xfU];
      if (out.size() == 8 || out.size() == 13 || out.size() == 18 || out.size() == 23) out += '-';
    }
  }
  return out;
}

}  // namespace pawl
