// A payment service to test workflows against: a process of its own that fails, hangs, answers 503 and 429, loses
// answers, and counts what it did per idempotency key. Its behaviour is held by
// tests/scripts/payment_service_test.py.
//
//   POST /charges               {order_id, amount, card}      201 {charge_id, ...}; the same key again: 200, the same
//   POST /refunds               {charge_id} or {order_id}
//   POST /reservations          {order_id, ...}
//   POST /reservations/release  {reservation_id} or {order_id}
//   POST /emails, /shipments    {order_id, ...}               all of these need the header Idempotency-Key
//   GET  /effects?key=...  or  ?order_id=...                  what was done
//   GET  /stats                                               how often; ?keys=false leaves the list of keys out
//   GET, POST /faults                                         rates, now
//
// A card that begins with tok_declined is refused with 402 on every try.
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <stdexcept>
#include <string>

#include <CLI/CLI.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>

#include "examples/order/effect_ledger.hpp"
#include "examples/order/fault_plan.hpp"
#include "examples/order/payment_api.hpp"
#include "examples/order/payment_server.hpp"

namespace {

struct settings {
  std::uint16_t port = 0;
  std::string port_file;
  std::string state;
  bool bug_no_idempotency = false;
  payment::fault_plan faults;
};

void declare(CLI::App& app, settings& s) {
  const auto rate = [&](const std::string& flag, payment::fault which, const std::string& what) {
    app.add_option(flag, s.faults.rates[static_cast<std::size_t>(which)], what)->check(CLI::Range(0.0, 1.0));
  };
  app.add_option("--port", s.port, "Port on 127.0.0.1; 0: any free one")->capture_default_str();
  app.add_option("--port-file", s.port_file, "Write the port into this file, all at once, when listening");
  app.add_option("--state", s.state, "Journal of what was done, read again at the next start; without: memory only");
  rate("--fail-rate", payment::fault::fail, "Share of requests that get a 500");
  rate("--hang-rate", payment::fault::hang, "Share of requests that get no answer for --hang-seconds");
  rate("--unavailable-rate", payment::fault::unavailable, "Share of requests that get a 503 with Retry-After");
  rate("--throttle-rate", payment::fault::throttle, "Share of requests that get a 429 with Retry-After");
  rate("--drop-after-rate", payment::fault::drop_after, "Share of requests that are done, but never answered");
  app.add_option("--hang-seconds", s.faults.hang_seconds, "How long a hanging request is held")->capture_default_str();
  app.add_option_function<std::int64_t>(
         "--retry-after", [&](std::int64_t value) { s.faults.retry_after = std::chrono::seconds(value); },
         "Seconds in the Retry-After of 503 and 429, 1 unless told")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--seed", s.faults.seed, "Decides, together with key and try, which requests are spoiled")
      ->capture_default_str();
  app.add_flag("--bug-no-idempotency", s.bug_no_idempotency,
               "A planted bug: a repeated key does its effect again. Proves that a test would see it");
}

// Who waits for the file must never read half a number.
void write_port(const std::string& file, std::uint16_t port) {
  const std::string draft = file + "." + std::to_string(::getpid()) + ".tmp";
  std::ofstream out(draft);
  out << port << "\n";
  out.close();
  if (!out) throw std::runtime_error("cannot write " + draft);
  std::filesystem::rename(draft, file);
}

void serve(settings& s) {
  payment::effect_ledger ledger(s.state, !s.bug_no_idempotency);
  payment::payment_api api(ledger, s.faults);
  boost::asio::io_context io(1);
  boost::asio::signal_set stop(io, SIGINT, SIGTERM);
  stop.async_wait([&](boost::system::error_code ec, int) {
    if (!ec) io.stop();
  });
  payment::payment_server server(io, api, s.faults, s.port);
  server.start();
  std::cout << "listening 127.0.0.1:" << server.port() << std::endl;
  if (!s.port_file.empty()) write_port(s.port_file, server.port());
  io.run();
}

}  // namespace

int main(int argc, char** argv) {
  settings s;
  CLI::App app("A payment service that misbehaves on request, for examples and tests.", "payment_service");
  declare(app, s);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  if (auto wrong = s.faults.mistake()) {
    std::cerr << "payment_service: " << *wrong << "\n";
    return 2;
  }
  try {
    serve(s);
  } catch (const std::exception& e) {
    std::cerr << "payment_service: " << e.what() << "\n";
    return 1;
  }
  return 0;
}
