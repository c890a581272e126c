// pawl/client.hpp: the HTTP API in typed calls.
#include <pawl/client.hpp>

#include <algorithm>
#include <optional>

#include "node/answer.hpp"
#include "node/http_client.hpp"
#include "node/json_codec.hpp"
#include "node/random_id.hpp"

namespace pawl {

namespace {

using namespace std::chrono_literals;
using node::json;

/// For an answer, beside what it is asked to wait.
constexpr std::chrono::milliseconds transport_patience = 30s;
/// The longest that a node waits before it answers (docs/http.md); a longer wait is asked for again.
constexpr std::chrono::milliseconds longest_wait = 60s;

std::string path_of(std::string_view workflow_id, std::string_view what) {
  return "/v1/workflows/" + node::percent_encode(workflow_id) + (what.empty() ? "" : "/" + std::string(what));
}

}  // namespace

struct client::state {
  explicit state(node::http_client c) : connection(std::move(c)) {}

  struct answer {
    int status = 0;
    json body;
  };

  // A command whose connection broke is sent once more: its id makes that safe.
  answer ask(const std::string& method, std::string path, std::string query, const json& body,
             const std::string& command_id, std::chrono::milliseconds wait) {
    node::api_request r{.method = method, .path = std::move(path), .query = std::move(query)};
    if (!body.is_null()) {
      r.body = node::to_text(body);
      r.headers["content-type"] = "application/json";
    }
    if (!command_id.empty()) r.headers["idempotency-key"] = command_id;
    auto got = connection.call(r, wait + transport_patience);
    if (!got && got.error().what == node::transport_error::kind::broken)
      got = connection.call(r, wait + transport_patience);
    if (!got) throw client_error(0, "no_answer", "the node gave no answer: " + got.error().message, command_id);
    const auto& response = got.value();
    auto document = json::parse(response.body, nullptr, false);
    if (response.status < 400 && !document.is_discarded()) return {response.status, std::move(document)};
    auto why = document.is_object() ? node::text_at(document, "detail") : std::string{};
    if (const auto mend = document.is_object() ? node::text_at(document, "mend") : std::string{}; !mend.empty())
      why += "; " + mend;
    throw client_error(response.status, document.is_object() ? node::text_at(document, "code") : "unreadable",
                       why.empty() ? "the node answered " + std::to_string(response.status) : why, command_id);
  }

  node::http_client connection;
};

client::client(std::unique_ptr<state> s) : state_(std::move(s)) {}
client::~client() = default;
client::client(client&&) noexcept = default;
client& client::operator=(client&&) noexcept = default;

client client::on(const std::string& data_directory) {
  return client(std::make_unique<state>(node::http_client(data_directory + "/pawl.sock")));
}

client client::at(const std::string& address, const std::string& token) {
  return client(std::make_unique<state>(node::http_client(node::remote_node{
      .address = address, .token = token.empty() ? node::access_token() : node::access_token(token)})));
}

started_run client::start_with(std::string_view type, std::string_view workflow_id, std::string input,
                               const start_choices& choices) {
  json body{{"type", type}, {"id", workflow_id}, {"input", node::to_json(input)}};
  if (choices.version != 0) body["version"] = choices.version;
  if (choices.deadline.count() > 0) body["deadline_ms"] = choices.deadline.count();
  if (choices.again_if_closed) body["closed_id"] = "allow";
  const auto id = choices.command_id.empty() ? node::random_id() : choices.command_id;
  const auto a = state_->ask("POST", "/v1/workflows", {}, body, id, 0ms);
  return {.run_uid = node::text_at(a.body, "run_uid"),
          .run = static_cast<std::uint32_t>(node::number_at(a.body, "run")),
          .began_now = node::text_at(a.body, "outcome") == "applied"};
}

void client::signal_with(std::string_view workflow_id, std::string_view name, std::string value,
                         const std::string& command_id) {
  const json body{{"name", name}, {"input", node::to_json(value)}};
  const auto id = command_id.empty() ? node::random_id() : command_id;
  state_->ask("POST", path_of(workflow_id, "signal"), {}, body, id, 0ms);
}

void client::cancel(std::string_view workflow_id, std::string_view reason, const std::string& command_id) {
  const json body{{"reason", reason}};
  const auto id = command_id.empty() ? node::random_id() : command_id;
  state_->ask("POST", path_of(workflow_id, "cancel"), {}, body, id, 0ms);
}

std::string client::result_of(std::string_view workflow_id, std::chrono::milliseconds wait,
                              const type_descriptor* type) {
  const auto until = std::chrono::steady_clock::now() + wait;
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
    const auto now = std::clamp<std::chrono::milliseconds>(left, 0ms, longest_wait);
    const auto a = state_->ask("GET", path_of(workflow_id, "result"),
                               now.count() > 0 ? "wait_ms=" + std::to_string(now.count()) : "", nullptr, {}, now);
    if (a.status == 202) {
      if (left > now) continue;
      throw client_error(202, "not_yet", "workflow '" + std::string(workflow_id) + "' has not ended", {});
    }
    const auto state = node::text_at(a.body, "state");
    if (state != "completed") {
      const auto& error = node::part_at(a.body, "error");
      throw run_failed(state, node::text_at(error, "code"),
                       "workflow '" + std::string(workflow_id) + "' " + (state == "failed" ? "" : "was ") + state +
                           ": " + node::text_at(error, "message"));
    }
    const auto found = a.body.find("result");
    const json value = found == a.body.end() ? json(nullptr) : *found;
    if (type == nullptr) return {};
    auto bytes = node::encode_json(value, type, "result");
    if (!bytes)
      throw client_error(200, "other_type",
                         "the result of workflow '" + std::string(workflow_id) + "': " + bytes.error().text(), {});
    return std::move(bytes).value();
  }
}

}  // namespace pawl
