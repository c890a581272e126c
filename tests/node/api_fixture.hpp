// A node over a real store in a directory of its own, and blocking calls to its api.
#pragma once

#include <gtest/gtest.h>

#include <stdlib.h>

#include <condition_variable>
#include <filesystem>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include <pawl/pawl.hpp>

#include "actors/node_system.hpp"
#include "node/api.hpp"
#include "node/json_codec.hpp"
#include "store/embedded_journal.hpp"

namespace pawl::node {

inline constexpr std::chrono::seconds patience{60};

template <class Condition>
bool eventually(Condition condition, std::chrono::milliseconds within = patience) {
  const auto deadline = std::chrono::steady_clock::now() + within;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

class temporary_directory {
 public:
  temporary_directory() {
    std::string form = (std::filesystem::temp_directory_path() / "pawl-test-XXXXXX").string();
    if (::mkdtemp(form.data()) == nullptr) throw std::runtime_error("mkdtemp");
    path_ = form;
  }
  ~temporary_directory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  temporary_directory(const temporary_directory&) = delete;
  temporary_directory& operator=(const temporary_directory&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

/// Steps named "wait" block here until the test opens it.
class gate {
 public:
  void open() {
    {
      const std::lock_guard lock(mutex_);
      open_ = true;
    }
    changed_.notify_all();
  }
  void pass(std::stop_token stop) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, stop, [&] { return open_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable_any changed_;
  bool open_ = false;
};

struct api_order {
  std::string id;
  double total = 0;
  std::string currency;
  static constexpr std::string_view pawl_name = "order";
  PAWL_FIELDS(id, total, (currency, "EUR"))
};

#if !defined(__GNUC__) || defined(__clang__)  // durable code: see pawl/task.hpp
inline task<int> api_counter(workflow_context& wf, int limit) {
  int sum = 0;
  const auto q = wf.on_query("sum", [&] { return sum; });
  const auto bad = wf.on_query("bad", [&]() -> int { throw failure("no sum", "no_sum"); });
  while (sum < limit) {
    auto u = co_await wf.update<int, int>("add");
    if (u.input() < 0) {
      u.refuse("it only grows", "negative");
    } else {
      sum += u.input();
      u.answer(sum);
    }
  }
  co_return sum;
}
#endif

/// order: two steps. gated: waits at the gate of the input's name. failing: fails for good, after an undo. stuck:
/// pauses. counter: durable code that is told to `add`, and asked for its `sum`.
inline registry api_types(gate& g) {
  using namespace std::chrono_literals;
  registry types;
  {
    workflow<api_order> w{"order", {}};
    auto in = w.input();
    auto twice = w.step("twice", [](step_context&, const api_order& o) { return 2 * o.total; }, {}, in);
    auto said = w.step(
        "say",
        [](step_context&, const api_order& o, const double& t) {
          return o.id + " " + std::to_string(static_cast<int>(t)) + o.currency;
        },
        {.timeout = 5s, .retry = {.max_attempts = 3}}, in, twice);
    w.returns(said);
    types.add(w);
  }
  {
    workflow<int> w{"gated", {.version = 3}};
    auto done = w.step(
        "wait",
        [&g](step_context& c, const int& n) {
          g.pass(c.stop_token());
          if (c.stop_token().stop_requested()) throw permanent_error("told to stop", "stopped");
          return n + 1;
        },
        {.timeout = 10min}, w.input());
    w.returns(done);
    types.add(w);
  }
  {
    workflow<std::monostate> w{"failing", {}};
    auto in = w.input();
    auto first = w.step("first", [](step_context&, const std::monostate&) { return 1; }, {}, in);
    w.undo(first, [](step_context&, const std::monostate&, const std::optional<int>&) {}, in);
    w.step("second", [](step_context&, const int&) -> int { throw permanent_error("no card", "declined"); }, {}, first);
    types.add(w);
  }
  {
    workflow<std::monostate> w{"stuck", {}};
    auto in = w.input();
    auto bad = w.step(
        "bad",
        [](step_context&, const std::monostate&) -> api_order { throw permanent_error("always", "broken_thing"); },
        {.exhausted = when_exhausted::pause}, in);
    w.returns(bad);
    types.add(w);
  }
#if !defined(__GNUC__) || defined(__clang__)
  types.add("counter", {}, api_counter);
#endif
  return types;
}

class api_node {
 public:
  explicit api_node(std::optional<actors::node_options> o = {}, api_options a = {}) : types(api_types(doors)) {
    journal = store::open_embedded({.directory = directory.path()});
    actors::node_options options = o ? std::move(*o) : actors::node_options();
    options.log = [](log_level, std::string_view) {};
    a.limits = options.limits;
    a.version = "0.0.1";
    a.data_dir = directory.path();
    system = std::make_unique<actors::node_system>(
        types, std::move(options),
        actors::partition_options{.number = 0,
                                  .journal = *journal,
                                  .may_exist = [this](std::string_view id) { return journal->may_exist(id); },
                                  .open_view = [this] { return journal->open_view(); }});
    asked = std::make_unique<api>(types, system.get(), [this] { return journal->open_view(); }, std::move(a));
  }
  ~api_node() {
    doors.open();
    if (asked) asked->stop();
    system.reset();
  }

  static std::future<api_response> send(api& to, api_request r) {
    auto answer = std::make_shared<std::promise<api_response>>();
    auto future = answer->get_future();
    to.handle(std::move(r), [answer](api_response a) { answer->set_value(std::move(a)); });
    return future;
  }
  static api_response get(std::future<api_response> f) {
    if (f.wait_for(patience) != std::future_status::ready)
      throw std::runtime_error("no answer within the test's patience");
    return f.get();
  }
  /// "GET /v1/status?a=b"
  static api_request request(const std::string& line, std::string body = {},
                             std::map<std::string, std::string> headers = {}) {
    const auto space = line.find(' ');
    const auto mark = line.find('?');
    return {.method = line.substr(0, space),
            .path = line.substr(space + 1, mark == std::string::npos ? mark : mark - space - 1),
            .query = mark == std::string::npos ? "" : line.substr(mark + 1),
            .headers = std::move(headers),
            .body = std::move(body)};
  }
  struct answer {
    int status;
    json body;
    std::map<std::string, std::string> headers;
  };
  answer ask(const std::string& line, std::string body = {}, std::map<std::string, std::string> headers = {}) {
    return read(get(send(*asked, request(line, std::move(body), std::move(headers)))));
  }
  static answer read(const api_response& r) {
    const auto body = parse_json(r.body);
    if (!body) ADD_FAILURE() << "not JSON: " << r.body;
    EXPECT_EQ(r.content_type, r.status < 400 ? "application/json" : "application/problem+json");
    return {r.status, body ? body.value() : json(), r.headers};
  }

  gate doors;
  temporary_directory directory;
  registry types;
  std::unique_ptr<store::embedded_journal> journal;
  std::unique_ptr<actors::node_system> system;
  std::unique_ptr<api> asked;
};

}  // namespace pawl::node
