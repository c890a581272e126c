#include "workflow/code_queries.hpp"

#include <algorithm>
#include <exception>
#include <stdexcept>

#include <pawl/query.hpp>

#include "workflow/option_check.hpp"

namespace pawl::engine {

namespace {

std::string reproach(const char* what) {
  return "a query handler changes nothing, but this one " + std::string(what) +
         "; what changes the run belongs into the code itself, or into an update";
}

}  // namespace

std::uint64_t code_queries::add(std::shared_ptr<const pawl::detail::query_handler> handler) {
  no_change("adds a query handler");
  pawl::detail::option_checker c;
  c.check_name("query '" + handler->name + "'", handler->name);
  if (auto problems = std::move(c).take(); !problems.empty()) throw definition_error(problems.front());
  handlers_.push_back({.number = ++added_, .handler = std::move(handler)});
  return added_;
}

void code_queries::drop(std::uint64_t number) noexcept {
  std::erase_if(handlers_, [&](const auto& h) { return h.number == number; });
}

std::string code_queries::known() const {
  std::vector<std::string> names;
  for (const auto& h : handlers_) names.push_back(h.handler->name);
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  std::string out;
  for (const auto& n : names) out += (out.empty() ? "" : ", ") + n;
  return out;
}

query_answer code_queries::ask(std::string_view name, std::string_view input) {
  using status = query_answer::status;
  const auto at =
      std::find_if(handlers_.rbegin(), handlers_.rend(), [&](const auto& h) { return h.handler->name == name; });
  if (at == handlers_.rend()) {
    const auto names = known();
    return {.state = status::unknown,
            .message = names.empty() ? "the code answers no queries now" : "the code answers the queries " + names};
  }
  const auto handler = at->handler;  // lives until it returns
  query_answer out;
  misdeed_ = nullptr;
  asking_ = true;
  try {
    out = {.state = status::answered, .value = handler->call(input)};
  } catch (const pawl::detail::query_input_error& e) {
    out = {.state = status::invalid, .message = e.what()};
  } catch (...) {
    auto what = pawl::detail::describe_exception(std::current_exception());
    out = {.state = status::failed, .code = std::move(what.code), .message = std::move(what.message)};
  }
  asking_ = false;
  if (misdeed_) out = {.state = status::failed, .code = "query_changes_run", .message = reproach(misdeed_)};
  return out;
}

void code_queries::no_change(const char* what) {
  if (is_closed_to(what)) throw std::logic_error(reproach(what));
}

bool code_queries::is_closed_to(const char* what) noexcept {
  if (asking_ && !misdeed_) misdeed_ = what;
  return asking_;
}

}  // namespace pawl::engine
