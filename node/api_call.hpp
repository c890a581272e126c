// What the handlers of the api share: one request taken apart, the answer that is owed, and what all of them stand on.
// Private to the api.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "actors/node_context.hpp"
#include "node/api.hpp"
#include "node/api_follow.hpp"
#include "node/api_readers.hpp"
#include "node/api_waiters.hpp"
#include "node/command_body.hpp"
#include "node/problem.hpp"

namespace pawl::node {

/// Owed to one request. The first send() counts; dropped without one, it answers that the outcome is unknown.
class owed_answer {
 public:
  explicit owed_answer(std::function<void(api_response)> respond) : respond_(std::move(respond)) {}
  owed_answer(const owed_answer&) = delete;
  owed_answer& operator=(const owed_answer&) = delete;
  ~owed_answer();
  void send(api_response r);
  void send(const problem& p) { send(to_response(p)); }
  void send(int status, const json& body) { send(api_response{.status = status, .body = to_text(body) + "\n"}); }

 private:
  const std::function<void(api_response)> respond_;
  std::atomic<bool> sent_{false};
};
using answer_ptr = std::shared_ptr<owed_answer>;

/// A request that has found its route.
struct api_call {
  api_request request;
  std::map<std::string, std::string, std::less<>> query;
  std::string workflow_id;  ///< from the path or, of a start, the body; empty where the route has none
  std::string command_id;   ///< of a command, once it is submitted
  answer_ptr answer;
};
using call_ptr = std::shared_ptr<api_call>;

/// Reads parameters of the query one by one and keeps the first thing that is wrong with them.
class query_reader {
 public:
  explicit query_reader(const api_call& call) : query_(call.query) {}
  std::uint64_t number(std::string_view name, std::uint64_t fallback, std::uint64_t lowest, std::uint64_t highest);
  bool flag(std::string_view name);
  std::string text(std::string_view name) const;
  bool has(std::string_view name) const { return query_.contains(name); }
  void refuse(std::string detail, std::string mend = {});
  /// Milliseconds to wait; refused above longest_wait.
  std::chrono::milliseconds wait();
  const std::optional<problem>& wrong() const { return wrong_; }

 private:
  const std::map<std::string, std::string, std::less<>>& query_;
  std::optional<problem> wrong_;
};

/// A start that another node has checked against its type: format 2 of docs/commands.md, with the id in this header,
/// percent-encoded.
inline constexpr const char* checked_key_header = "pawl-key";

/// False: a "%" that is not followed by two hex digits. `plus`: "+" is a blank, as in queries.
bool percent_decode(std::string_view text, bool plus, std::string& out);

struct api::state : std::enable_shared_from_this<api::state> {
  state(const registry& t, actors::node_system* s, actors::view_pool::factory open_view, api_options o);

  void handle(api_request request, std::function<void(api_response)> respond);
  void stop();

  // One a route; each answers its call, now or later.
  void get_status(const call_ptr& call);
  void finish_status(const call_ptr& call, json body);
  void get_types(const call_ptr& call);
  void use_version(const call_ptr& call);
  void get_config(const call_ptr& call);
  /// What the door of a cluster answers; here there is none.
  void get_no_cluster(const call_ptr& call);
  void start_workflow(const call_ptr& call);
  void refuse_start(const call_ptr& call, problem wrong);
  void begin_start(const call_ptr& call, start_request start, std::chrono::milliseconds wait);
  void list_workflows(const call_ptr& call);
  void get_workflow(const call_ptr& call);
  void get_history(const call_ptr& call);
  void get_result(const call_ptr& call);
  void cancel(const call_ptr& call);
  void kill(const call_ptr& call);
  void pause(const call_ptr& call);
  void resume(const call_ptr& call);
  void skip(const call_ptr& call);
  void signal(const call_ptr& call);
  void reset(const call_ptr& call);
  void fork(const call_ptr& call);
  void begin_fork(const call_ptr& call, engine::start_command start);
  void update(const call_ptr& call);
  void query(const call_ptr& call);

  /// Runs `f` on a thread of the readers; refuses the call when they have too much to do, and answers what it throws.
  void post(const call_ptr& call, std::function<void()> f, api_readers::room room = api_readers::room::limited);
  /// ... with a view.
  void read(const call_ptr& call, std::function<void(store::view&)> f,
            api_readers::room room = api_readers::room::limited);
  version_chooser version_chooser_of() const;
  /// The run that the call's `run` names, or an answer of 404.
  std::optional<store::run_row> find_run(api_call& call, store::view& view, std::uint64_t run);
  /// Answers with the result of that run, or 202 while it is open.
  void answer_result(const call_ptr& call, store::view& view, std::uint64_t run);
  void await_result(const call_ptr& call, std::uint32_t run, std::chrono::milliseconds wait);
  /// Answers with what came of an update that is on record, or 202.
  void await_answer(const call_ptr& call, const actors::command_reply& r, std::chrono::milliseconds wait);
  /// Begins to send a history; ends at once when too many are followed.
  void follow(followed_run f);
  /// Sets what every command has and submits it. `accepted` hears of what was applied or is a duplicate and has to
  /// answer; what is refused is answered here, then `refused` is called.
  void submit(const call_ptr& call, engine::command command, engine::closed_id_policy closed_id,
              std::function<void(const actors::command_reply&)> accepted, std::function<void()> refused = {},
              actors::result_function on_result = {});
  void submit_command(const call_ptr& call, decltype(engine::command::body) body);
  /// Sets the command id of the call, given or made. False: refused.
  bool set_command_id(api_call& call);
  /// The body as JSON, an empty one as {}; nullopt: refused.
  std::optional<json> body_of(const api_call& call);

  const registry& types;
  actors::node_system* const system;
  const api_options options;
  const std::chrono::steady_clock::time_point began = std::chrono::steady_clock::now();
  actors::view_pool views;
  api_readers readers;
  result_waiters waiters;
  history_followers followers;
  std::atomic<bool> stopping{false};
};

problem not_found(const std::string& workflow_id, std::uint64_t run = 0);
/// What a command that was not taken is answered with.
problem refusal_of(const actors::command_reply& r, std::chrono::milliseconds outcome_age);
problem stopping_problem();

}  // namespace pawl::node
