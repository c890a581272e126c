// A node over a journal in memory, and blocking calls to it.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include <pawl/pawl.hpp>

#include "actors/node_system.hpp"
#include "tests/actors/memory_journal.hpp"

namespace pawl::test {

inline constexpr std::chrono::seconds patience{30};

template <class Condition>
bool eventually(Condition condition, std::chrono::milliseconds within = patience) {
  const auto deadline = std::chrono::steady_clock::now() + within;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

using reply_status = actors::command_reply::status;
using result_status = actors::run_result::status;
using engine::command_result;
using engine::phase;

class test_node {
 public:
  explicit test_node(const registry& types, std::shared_ptr<memory_store> s = std::make_shared<memory_store>(),
                     actors::node_options o = {}, std::function<void(const std::string&)> on_broken = {})
      : store(std::move(s)),
        journal_(store) {
    if (!o.log) o.log = [](log_level, std::string_view) {};
    system = std::make_unique<actors::node_system>(
        types, std::move(o),
        actors::partition_options{.number = 0,
                                  .journal = journal_,
                                  .may_exist = [](std::string_view) { return true; },
                                  .open_view = [s2 = store] { return std::make_unique<memory_view>(s2); },
                                  .on_broken = std::move(on_broken)});
  }

  struct started {
    std::future<actors::command_reply> replied;
    std::future<actors::run_result> result;
    actors::command_reply reply{};
  };

  /// Does not wait. Without an id the command gets one of its own.
  template <class T>
  started begin(const std::string& type, const std::string& id, const T& input, std::string command_id = {},
                engine::closed_id_policy closed_id = engine::closed_id_policy::reject,
                std::optional<engine::time_point> at = {}, engine::milliseconds deadline = {}) {
    auto replied = std::make_shared<std::promise<actors::command_reply>>();
    auto closed = std::make_shared<std::promise<actors::run_result>>();
    actors::command_request r;
    r.workflow_id = id;
    r.command.id = command_id.empty() ? "start-" + std::to_string(++commands_) : command_id;
    engine::start_command c;
    c.facts.type = type;
    c.facts.version = 0;
    c.facts.start_at = at;
    c.facts.deadline = deadline;
    c.input = encode(input);
    r.command.body = std::move(c);
    r.closed_id = closed_id;
    r.reply = actors::owed_reply([replied](const actors::command_reply& a) { replied->set_value(a); });
    r.on_result = [closed](const actors::run_result& x) { closed->set_value(x); };
    system->submit(std::move(r));
    return {replied->get_future(), closed->get_future()};
  }

  template <class T>
  started start(const std::string& type, const std::string& id, const T& input, std::string command_id = {},
                engine::closed_id_policy closed_id = engine::closed_id_policy::reject,
                std::optional<engine::time_point> at = {}, engine::milliseconds deadline = {}) {
    auto s = begin(type, id, input, std::move(command_id), closed_id, at, deadline);
    s.reply = get(std::move(s.replied));
    return s;
  }

  template <class Body>
  std::future<actors::command_reply> send(const std::string& id, Body body, std::string command_id = {}) {
    auto replied = std::make_shared<std::promise<actors::command_reply>>();
    actors::command_request r;
    r.workflow_id = id;
    r.command.id = command_id.empty() ? "command-" + std::to_string(++commands_) : command_id;
    r.command.body = std::move(body);
    r.reply = actors::owed_reply([replied](const actors::command_reply& a) { replied->set_value(a); });
    system->submit(std::move(r));
    return replied->get_future();
  }

  template <class Body>
  actors::command_reply command(const std::string& id, Body body, std::string command_id = {}) {
    return get(send(id, std::move(body), std::move(command_id)));
  }

  std::future<actors::run_result> await(const std::string& id, std::uint32_t run = 0) {
    auto closed = std::make_shared<std::promise<actors::run_result>>();
    system->await_result(
        {.workflow_id = id, .run = run, .on_result = [closed](const actors::run_result& x) { closed->set_value(x); }});
    return closed->get_future();
  }

  actors::run_result result(const std::string& id) { return get(await(id)); }

  actors::run_description describe(const std::string& id) {
    auto p = std::make_shared<std::promise<actors::run_description>>();
    system->describe({.workflow_id = id, .on_description = [p](const actors::run_description& d) { p->set_value(d); }});
    return get(p->get_future());
  }

  actors::node_status status() {
    auto p = std::make_shared<std::promise<actors::node_status>>();
    system->status([p](const actors::node_status& s) { p->set_value(s); });
    return get(p->get_future());
  }

  template <class T>
  static T get(std::future<T> f) {
    if (f.wait_for(patience) != std::future_status::ready)
      throw std::runtime_error("no answer within the test's patience");
    return f.get();
  }

  /// Until views show all that is on record.
  void await_views() const {
    EXPECT_TRUE(eventually([&] {
      try {
        journal_.await_views();
        return true;
      } catch (const store::view_error&) {
        return false;  // until it is opened anew
      }
    }));
  }

  std::vector<engine::event> history(const std::string& id) const {
    await_views();
    memory_view v(store);
    const auto row = v.find(id);
    return row ? v.history(row->key).events : std::vector<engine::event>{};
  }

  std::vector<std::string> kinds(const std::string& id) const {
    std::vector<std::string> out;
    for (const auto& e : history(id)) out.emplace_back(to_text(e.kind));
    return out;
  }

  std::size_t count(const std::string& id, std::string_view kind) const {
    std::size_t n = 0;
    for (const auto& k : kinds(id)) n += k == kind ? 1 : 0;
    return n;
  }

  std::shared_ptr<memory_store> store;

 private:
  mutable memory_journal journal_;
  std::atomic<int> commands_{0};

 public:
  std::unique_ptr<actors::node_system> system;
};

}  // namespace pawl::test
