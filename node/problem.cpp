#include "node/problem.hpp"

namespace pawl::node {

std::string_view status_text(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 411:
      return "Length Required";
    case 413:
      return "Content Too Large";
    case 422:
      return "Unprocessable Content";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 503:
      return "Service Unavailable";
    default:
      return "Error";
  }
}

api_response to_response(const problem& p) {
  json body{{"type", "urn:pawl:problem:" + p.code},
            {"title", status_text(p.status)},
            {"status", p.status},
            {"code", p.code},
            {"detail", p.detail}};
  const auto add = [&](const char* name, const std::string& value) {
    if (!value.empty()) body[name] = value;
  };
  add("mend", p.mend);
  add("workflow_id", p.workflow_id);
  add("step", p.step);
  add("setting", p.setting);
  add("command_id", p.command_id);
  if (p.retry_after) body["retry_after_ms"] = p.retry_after->count();
  if (p.remembered_for) body["remembered_for_ms"] = p.remembered_for->count();
  api_response r{.status = p.status, .content_type = "application/problem+json", .body = to_text(body)};
  if (p.status == 401) r.headers["WWW-Authenticate"] = "Bearer";
  if (p.retry_after) {
    const auto seconds = std::chrono::ceil<std::chrono::seconds>(*p.retry_after).count();
    r.headers["Retry-After"] = std::to_string(std::max<long>(1, seconds));
  }
  return r;
}

}  // namespace pawl::node
