#include "examples/saga/saga_workflow.hpp"

#include <chrono>
#include <optional>
#include <string>

#include <nlohmann/json.hpp>

#include <pawl/pawl.hpp>

#include "examples/order/http_client.hpp"

namespace saga {
namespace {

using namespace std::chrono_literals;

/// Asks a service. What it refuses for good (4xx) is permanent; what may be better later is tried again.
nlohmann::json ask(pawl::step_context& c, const std::string& url, const nlohmann::json& body) {
  try {
    // The service knows a repeat by this key: each attempt of a step sends the same.
    const auto answer =
        order_http::post_json(url, body.dump(), {{"Idempotency-Key", c.idempotency_key()}}, 4s, c.stop_token());
    auto told = nlohmann::json::parse(answer.body, nullptr, false);
    const auto why = told.is_object() ? told.value("error", std::string("no reason")) : "what is no JSON";
    if (answer.status >= 500 || answer.status == 429)
      throw pawl::step_error(url + " answered " + std::to_string(answer.status) + ": " + why, "http_5xx");
    if (answer.status >= 400) throw pawl::permanent_error(why, "refused");
    return told;
  } catch (const order_http::transport_error& e) {
    throw pawl::step_error(e.what(), "no_answer");
  }
}

std::string book(pawl::step_context& c, const std::string& service, const trip& t) {
  return ask(c, service + "/book", {{"who", t.who}, {"to", t.to}, {"for", c.workflow_id()}}).at("booking");
}
// Without a booking nobody knows whether there is one: the service is told for whom it would be.
void give_back(pawl::step_context& c, const std::string& service, const std::optional<std::string>& booking) {
  nlohmann::json body{{"for", c.workflow_id()}};
  if (booking) body["booking"] = *booking;
  ask(c, service + "/cancel", body);
}

const pawl::step_options patient{.timeout = 5s, .retry = {.max_attempts = 10, .first_delay = 100ms}};

pawl::task<bookings> book_trip(pawl::workflow_context& wf, trip t) {
  bookings b;
  b.flight = co_await wf.step("flight", book, patient, t.flights, t).undo(give_back, patient, t.flights);
  b.hotel = co_await wf.step("hotel", book, patient, t.hotels, t).undo(give_back, patient, t.hotels);
  b.car = co_await wf.step("car", book, patient, t.cars, t).undo(give_back, patient, t.cars);
  co_return b;
}

}  // namespace

void add_to(pawl::registry& types) { types.add("book-trip", {.version = 1}, book_trip); }

}  // namespace saga
