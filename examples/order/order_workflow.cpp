#include "examples/order/order_workflow.hpp"

#include <chrono>
#include <cstdlib>

#include <nlohmann/json.hpp>

#include "examples/order/http_client.hpp"

namespace shop {

namespace {

using namespace std::chrono_literals;
using nlohmann::json;

// Turns what the service said into what the engine should do about it: 429 and 503 are tried again when the service
// says, other refusals of the request will not get better, and everything else is tried again under the policy.
[[noreturn]] void refuse(const std::string& what, const order_http::response& r) {
  const auto parsed = json::parse(r.body, nullptr, false);
  const std::string detail = parsed.is_object() ? parsed.value("detail", parsed.value("title", r.body)) : r.body;
  const std::string message = what + ": HTTP " + std::to_string(r.status) + " " + detail;
  const std::string code = "http_" + std::to_string(r.status);
  if (r.status == 429 || r.status == 503) throw pawl::step_error(message, code, r.retry_after);
  if (r.status >= 400 && r.status < 500) throw pawl::permanent_error(message, code);
  throw pawl::step_error(message, code);
}

class service {
 public:
  explicit service(std::string url) : url_(std::move(url)) {}

  // Every request carries the step's idempotency key, so an attempt that is repeated has one effect.
  json post(pawl::step_context& ctx, const std::string& path, const json& body) const {
    const auto r = order_http::post_json(url_ + path, body.dump(), {{"Idempotency-Key", ctx.idempotency_key()}}, 60s,
                                         ctx.stop_token());
    if (r.status != 200 && r.status != 201) refuse(path, r);
    auto answer = json::parse(r.body, nullptr, false);
    if (!answer.is_object()) throw pawl::step_error(path + ": the answer is not a JSON object", "bad_answer");
    return answer;
  }

 private:
  std::string url_;
};

}  // namespace

void add_fulfil_order(pawl::registry& types, std::string service_url) {
  const service s(std::move(service_url));
  const pawl::step_options patient{.timeout = 2s,
                                   .retry = {.max_attempts = 25, .first_delay = 50ms, .factor = 1.6, .max_delay = 1s}};

  pawl::workflow<order> g{"fulfil-order", {.version = 1}};
  auto in = g.input();

  auto held = g.step(
      "reserve",
      [s](pawl::step_context& ctx, const order& o) {
        const auto answer = s.post(ctx, "/reservations", {{"order_id", o.id}});
        return hold{answer.at("reservation_id").get<std::string>()};
      },
      patient, in);
  g.undo(
      held,
      [s](pawl::step_context& ctx, const order& o, const std::optional<hold>&) {
        // By order, not by reservation: an attempt whose outcome is unknown may have reserved without our knowing what.
        s.post(ctx, "/reservations/release", {{"order_id", o.id}});
      },
      patient, in);

  auto paid = g.step(
      "charge",
      [s](pawl::step_context& ctx, const order& o, const hold&) {
        const auto answer = s.post(ctx, "/charges", {{"order_id", o.id}, {"amount", o.total}, {"card", o.card}});
        return receipt{answer.at("charge_id").get<std::string>(), o.total};
      },
      patient, in, held);
  g.undo(
      paid,
      [s](pawl::step_context& ctx, const order& o, const std::optional<receipt>&) {
        s.post(ctx, "/refunds", {{"order_id", o.id}});
      },
      patient, in);

  g.step(
      "email",
      [s](pawl::step_context& ctx, const order& o, const receipt& r) {
        s.post(ctx, "/emails", {{"order_id", o.id}, {"charge_id", r.charge_id}});
      },
      patient, in, paid);
  g.step(
      "ship",
      [s](pawl::step_context& ctx, const order& o, const receipt& r) {
        s.post(ctx, "/shipments", {{"order_id", o.id}, {"charge_id", r.charge_id}});
      },
      patient, in, paid);
  g.returns(paid);
  types.add(g);
}

std::string service_url_from_environment() {
  const char* url = std::getenv("ORDER_SERVICE_URL");
  return url != nullptr ? url : "http://127.0.0.1:8099";
}

}  // namespace shop
