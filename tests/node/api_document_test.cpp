// docs/openapi.json and docs/http.md against what the api answers.
#include <fstream>
#include <set>

#include <gmock/gmock.h>

#include "tests/node/api_fixture.hpp"
#include "tests/node/json_schema_check.hpp"

namespace pawl::node {
namespace {

std::string document(const std::string& name) {
  const char* source = std::getenv("PAWL_SOURCE");
  std::ifstream in((source != nullptr ? std::string(source) : ".") + "/docs/" + name);
  return {std::istreambuf_iterator<char>(in), {}};
}

const json& openapi() {
  static const json d = json::parse(document("openapi.json"));
  return d;
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return out;
}

TEST(api_document, has_the_routes_and_parameters_that_there_are) {
  std::set<std::string> there;
  const auto page = document("http.md");
  for (const auto& r : api_routes()) {
    std::string line = std::string(r.method) + " " + std::string(r.path);
    std::istringstream names{std::string(r.queries)};
    for (std::string name; names >> name;) line += " " + name;
    there.insert(line);
  }
  std::set<std::string> documented;
  for (const auto& [path, operations] : openapi()["paths"].items())
    for (const auto& [method, operation] : operations.items()) {
      std::string line = method + " " + path;
      std::transform(line.begin(), line.begin() + static_cast<long>(method.size()), line.begin(),
                     [](char c) { return static_cast<char>(c - 32); });
      for (const auto& p : operation.value("parameters", json::array()))
        if (p["in"] == "query") line += " " + p["name"].get<std::string>();
      documented.insert(line);
    }
  EXPECT_EQ(documented, there);
  for (const auto& r : api_routes()) {
    const auto last = r.path.substr(r.path.rfind('/') + 1);
    const bool command = r.method == "POST" && r.path != "/v1/workflows";
    const auto wanted = command ? std::string(last) : "## " + std::string(r.method) + " " + std::string(r.path);
    EXPECT_NE(page.find(wanted), std::string::npos) << "docs/http.md lacks " << wanted;
    std::istringstream names{std::string(r.queries)};
    for (std::string name; names >> name;) EXPECT_NE(page.find(name + "="), std::string::npos) << name;
  }
}

TEST(api_document, every_code_of_a_problem_is_on_the_page) {
  const auto page = document("http.md");
  for (const char* code : {"bad_request",      "bad_json",     "forbidden",       "no_such_route",
                           "not_found",        "no_such_type", "no_such_version", "method_not_allowed",
                           "conflict",         "too_large",    "invalid",         "busy",
                           "header_too_large", "damaged",      "internal",        "unavailable",
                           "no_node",          "unknown",      "unauthorized",    "no_cluster",
                           "not_leader",       "query_failed"})
    EXPECT_NE(page.find("`" + std::string(code) + "`"), std::string::npos) << code;
}

/// Asks and holds the answer against the document.
class checked_node : public api_node {
 public:
  using api_node::api_node;

  answer ask_checked(const std::string& path_form, const std::string& line, std::string body = {},
                     std::map<std::string, std::string> headers = {}) {
    const auto method = lower(line.substr(0, line.find(' ')));
    const auto& operation = openapi()["paths"][path_form][method];
    if (!body.empty() && operation.contains("requestBody")) {
      const auto request = parse_json(body);
      const auto& schema = operation["requestBody"]["content"]["application/json"]["schema"];
      if (request && request.value().is_object() && !wrong_is_meant)
        EXPECT_THAT(schema_check(openapi()).check(request.value(), schema), testing::IsEmpty()) << body;
    }
    const auto r = get(send(*asked, request(line, std::move(body), std::move(headers))));
    auto response = operation["responses"].value(std::to_string(r.status), json());
    if (response.contains("$ref"))
      response = openapi().at(json::json_pointer(response["$ref"].get<std::string>().substr(1)));
    EXPECT_TRUE(response.is_object()) << line << " answered " << r.status << ", which is not documented: " << r.body;
    EXPECT_TRUE(response.value("content", json::object()).contains(r.content_type))
        << line << " answered " << r.content_type;
    if (!response.is_object() || !response["content"].contains(r.content_type)) return {r.status, {}, {}};
    const auto& schema = response["content"][r.content_type]["schema"];
    if (r.stream) return {r.status, follow(r, schema), {}};
    const auto value = json::parse(r.body);
    EXPECT_THAT(schema_check(openapi()).check(value, schema), testing::IsEmpty()) << line << "\n" << r.body;
    seen.insert(method + " " + path_form + " " + std::to_string(r.status));
    return {r.status, value, r.headers};
  }

  std::set<std::string> seen;
  bool wrong_is_meant = false;

 private:
  static json follow(const api_response& r, const json& schema) {
    auto lines = std::make_shared<std::vector<std::string>>();
    std::promise<void> ended;
    r.stream(
        [lines](std::string_view line) {
          if (!line.empty()) lines->emplace_back(line);
          return line_answer::more;
        },
        [&] { ended.set_value(); });
    EXPECT_EQ(ended.get_future().wait_for(patience), std::future_status::ready);
    for (const auto& line : *lines)
      EXPECT_THAT(schema_check(openapi()).check(json::parse(line), schema), testing::IsEmpty()) << line;
    return lines->size();
  }
};

TEST(api_document, every_answer_is_as_documented) {
  api_options o;
  o.configuration = {{"data.dir", "./x", "default", "Where"}};
  checked_node node(std::nullopt, std::move(o));
  const std::string all = "/v1/workflows";
  const std::string one = "/v1/workflows/{id}";
  const auto start = [&](const std::string& query, const std::string& body) {
    return node.ask_checked(all, "POST /v1/workflows" + query, body);
  };
  const auto ask = [&](const std::string& rest, const std::string& line, const std::string& body = {}) {
    return node.ask_checked(one + rest, line, body);
  };

  EXPECT_EQ(start("?wait_ms=30000", R"({"type":"order","id":"o","input":{"id":"x","total":1}})").status, 201);
  EXPECT_EQ(start("?wait_ms=30000", R"({"type":"failing","id":"f","deadline_ms":60000})").body["state"], "failed");
  EXPECT_EQ(start("", R"({"type":"gated","id":"g","input":1,"version":3,"closed_id":"allow"})").status, 201);
  EXPECT_EQ(start("", R"({"type":"gated","id":"later","input":1,"start_at":"2099-01-01T00:00:00Z"})").status, 201);
  EXPECT_EQ(start("", R"({"type":"gated","id":"delayed","input":1,"delay_ms":3600000})").status, 201);
  EXPECT_EQ(start("", R"({"type":"stuck","id":"s"})").status, 201);
  EXPECT_EQ(start("", R"({"type":"gated","id":"g","input":1})").status, 409);
  node.wrong_is_meant = true;
  EXPECT_EQ(start("", R"({"type":"gated","input":"one"})").status, 422);
  EXPECT_EQ(start("", R"({"type":"none"})").status, 404);
  EXPECT_EQ(start("", "{").status, 400);
  EXPECT_EQ(start("", R"({"type":"gated","input":1,"id":")" + std::string(10'000, 'x') + "\"}").status, 413);
  node.wrong_is_meant = false;
  ASSERT_TRUE(eventually([&] { return node.ask("GET /v1/workflows/s").body["paused"] == true; }));

  for (const char* path : {"/v1/status", "/v1/types", "/v1/config"})
    EXPECT_EQ(node.ask_checked(path, std::string("GET ") + path).status, 200);
  const auto use = [&](const std::string& type, const std::string& body) {
    return node.ask_checked("/v1/types/{type}/use", "POST /v1/types/" + type + "/use", body);
  };
  EXPECT_EQ(use("gated", R"({"version":3})").status, 200);
  EXPECT_EQ(node.ask_checked("/v1/types", "GET /v1/types").status, 200) << "with a mark";
  EXPECT_EQ(use("gated", R"({"clear":true})").status, 200);
  EXPECT_EQ(use("none", R"({"version":3})").status, 404);
  EXPECT_EQ(use("gated", R"({"version":9})").status, 404);
  EXPECT_EQ(use("gated", "{}").status, 422);
  EXPECT_EQ(use("gated", "{").status, 400);
  for (const char* path : {"/v1/nodes", "/v1/partitions"})
    EXPECT_EQ(node.ask_checked(path, std::string("GET ") + path).status, 404);
  EXPECT_EQ(node.ask_checked(all, "GET /v1/workflows?limit=2").status, 200);
  EXPECT_EQ(node.ask_checked(all, "GET /v1/workflows?limit=0").status, 400);
  for (const char* id : {"o", "f", "g", "later", "s"}) {
    const std::string path = std::string("GET /v1/workflows/") + id;
    EXPECT_EQ(ask("", path).status, 200);
    EXPECT_EQ(ask("/history", path + "/history?limit=3").status, 200);
    EXPECT_EQ(ask("/history", path + "/history").status, 200);
    EXPECT_EQ(ask("/history", path + "/history?raw=true&limit=3").status, 200);
    EXPECT_LE(ask("/result", path + "/result").status, 202);
  }
  EXPECT_GT(ask("/history", "GET /v1/workflows/f/history?follow=true").body, 5);
  EXPECT_EQ(ask("/history", "GET /v1/workflows/f/history?follow=perhaps").status, 400);
  EXPECT_EQ(ask("/history", "GET /v1/workflows/f/history?follow=true&raw=true").status, 400);
  EXPECT_EQ(ask("", "GET /v1/workflows/nobody").status, 404);
  EXPECT_EQ(ask("/history", "GET /v1/workflows/nobody/history").status, 404);
  EXPECT_EQ(ask("/result", "GET /v1/workflows/nobody/result?wait_ms=10").status, 404);
  EXPECT_EQ(ask("/pause", "POST /v1/workflows/g/pause", R"({"reason":"lunch"})").status, 200);
  EXPECT_EQ(ask("", "GET /v1/workflows/g").body["pause"]["cause"], "requested");
  EXPECT_EQ(ask("/resume", "POST /v1/workflows/g/resume").status, 200);
  EXPECT_EQ(ask("/resume", "POST /v1/workflows/g/resume").status, 409);
  EXPECT_EQ(ask("/skip", "POST /v1/workflows/s/skip", R"({"step":"bad","result":{"id":"a","total":1}})").status, 200);
  EXPECT_EQ(ask("/skip", "POST /v1/workflows/g/skip", R"({"step":"wait","result":"x"})").status, 422);
  EXPECT_EQ(ask("/cancel", "POST /v1/workflows/g/cancel", R"({"reason":"enough"})").status, 200);
  EXPECT_EQ(ask("/kill", "POST /v1/workflows/later/kill").status, 200);
  EXPECT_EQ(ask("/kill", "POST /v1/workflows/nobody/kill").status, 404);
  EXPECT_EQ(ask("/result", "GET /v1/workflows/g/result?wait_ms=30000").body["state"], "cancelled");
  EXPECT_EQ(ask("", "GET /v1/workflows/g").status, 200);

  EXPECT_EQ(start("", R"({"type":"counter","id":"c","input":10})").status, 201);
  const auto update = [&](const std::string& query, const std::string& body, const std::string& command) {
    return node.ask_checked(one + "/update", "POST /v1/workflows/c/update" + query, body,
                            {{"idempotency-key", command}});
  };
  const auto added = update("?wait_ms=30000", R"({"name":"add","input":4})", "u-1");
  EXPECT_EQ(added.body["state"], "answered");
  EXPECT_EQ(added.body["answer"], 4);
  EXPECT_EQ(update("", R"({"name":"add","input":4})", "u-1").body["outcome"], "duplicate");
  EXPECT_EQ(update("?wait_ms=30000", R"({"name":"add","input":-1})", "u-2").body["error"]["code"], "negative");
  EXPECT_EQ(update("", R"({"name":"unheard"})", "u-3").status, 202);
  EXPECT_EQ(update("", R"({"name":"add","input":"four"})", "u-4").status, 422);
  EXPECT_EQ(update("?wait_ms=x", R"({"name":"add","input":4})", "u-5").status, 400);
  EXPECT_EQ(ask("/update", "POST /v1/workflows/nobody/update", R"({"name":"add"})").status, 404);
  EXPECT_EQ(ask("/query", "POST /v1/workflows/c/query", R"({"name":"sum"})").body["answer"], 4);
  EXPECT_EQ(ask("/query", "POST /v1/workflows/c/query", R"({"name":"som"})").status, 422);
  const auto failed = ask("/query", "POST /v1/workflows/c/query", R"({"name":"bad"})");
  EXPECT_EQ(failed.status, 500);
  EXPECT_EQ(failed.body["code"], "query_failed");
  EXPECT_EQ(failed.body["detail"], "the query failed: no_sum: no sum");
  EXPECT_EQ(ask("/query", "POST /v1/workflows/nobody/query", R"({"name":"sum"})").status, 404);
  EXPECT_EQ(update("?wait_ms=30000", R"({"name":"add","input":6})", "u-6").body["answer"], 10);
  EXPECT_EQ(ask("/result", "GET /v1/workflows/c/result?wait_ms=30000").body["result"], 10);
  EXPECT_EQ(update("", R"({"name":"unheard"})", "u-3").body["error"]["code"], "code_ended");
  EXPECT_EQ(update("", R"({"name":"add","input":6})", "u-7").status, 409);
  EXPECT_EQ(ask("/query", "POST /v1/workflows/c/query", R"({"name":"sum"})").status, 409);
  EXPECT_EQ(ask("/history", "GET /v1/workflows/c/history").status, 200);
  EXPECT_EQ(ask("/fork", "POST /v1/workflows/c/fork", R"({"id":"d","to":1,"signals":false})").status, 201);
  EXPECT_EQ(ask("/fork", "POST /v1/workflows/c/fork", R"({"id":"d","to":1})").status, 409);
  EXPECT_EQ(ask("/fork", "POST /v1/workflows/c/fork", R"({"id":"c","to":1})").status, 422);
  EXPECT_EQ(ask("/fork", "POST /v1/workflows/nobody/fork", R"({"id":"e","to":1})").status, 404);
  EXPECT_EQ(ask("/history", "GET /v1/workflows/d/history").body["events"][0]["start"]["origin"]["kind"], "forked");
  EXPECT_EQ(ask("/reset", "POST /v1/workflows/d/reset", R"({"to":1,"reason":"a bug"})").body["run"], 2);
  EXPECT_EQ(ask("/history", "GET /v1/workflows/d/history?run=1").status, 200);
  EXPECT_EQ(ask("/reset", "POST /v1/workflows/c/reset", R"({"to":1,"signals":false})").body["run"], 2);
  EXPECT_EQ(ask("/reset", "POST /v1/workflows/c/reset", R"({"to":999})").status, 422);
  EXPECT_EQ(ask("/reset", "POST /v1/workflows/c/reset", R"({"to":0})").status, 422);
  EXPECT_EQ(ask("/reset", "POST /v1/workflows/nobody/reset", R"({"to":1})").status, 404);
  node.asked->stop();
  for (const char* path : {"/v1/status", "/v1/types", "/v1/config", "/v1/workflows"})
    EXPECT_EQ(node.ask_checked(path, std::string("GET ") + path).status, 503);
  EXPECT_GE(node.seen.size(), 30U);
}

}  // namespace
}  // namespace pawl::node
