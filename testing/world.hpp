// What is behind an environment: runs in memory, an agenda of what happens when, and the scripts of steps. A run is
// decided by the engine itself; this stands in for partition, journal, clock and workers.
//
// A crash loses what was not on record: the history is cut after some event, the run is folded from it with new frames,
// attempts under way are written off, and whoever had sent a command that is not on record any more sends it again.
// What step functions have done stays done, as in real life.
#pragma once

#include <deque>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <pawl/testing.hpp>

#include "workflow/decide.hpp"

namespace pawl::testing::detail {

enum class ending : std::uint8_t { as_it_returns, fails, fails_for_good, times_out, lost, lost_when_done };

struct planned_ending {
  ending how = ending::as_it_returns;
  std::uint32_t times = 1;
  std::string code;
  std::string message;
};

struct script {
  std::deque<planned_ending> endings;
  std::optional<fake> stands_in;
  engine::milliseconds takes{0};
};

/// One that has been granted a slot.
struct attempt {
  std::uint32_t step = engine::no_step;
  bool undo = false;
  std::uint32_t number = 0;
  std::uint64_t process = 0;
  std::string name;
  planned_ending planned;
  bool by_script = false;
  bool called = true;  ///< its function is, of one that times out or is lost
};

/// What came of an update or a query.
struct reply_state {
  std::string what;  ///< "update 'change-plan'"
  std::string run;
  std::string command_id{};  ///< of an update
  bool sent = true;
  std::optional<std::string> answer{};  ///< msgpack
  std::optional<run_error> refusal{};  ///< with neither: it is open
  bool is_open() const { return !answer && !refusal; }
};

/// A run in memory.
struct life {
  std::string id;
  std::shared_ptr<const pawl::detail::workflow_definition> definition;
  std::unique_ptr<engine::instance> state;
  std::vector<engine::event> history;
  std::vector<engine::command> sent;  ///< that have been applied
  std::map<std::string, std::shared_ptr<reply_state>> updates;  ///< that were ever sent, by command id
  std::map<std::pair<std::uint32_t, bool>, std::string> details;  ///< of heartbeats
  std::uint64_t process = 1;  ///< rises with each crash: attempts of earlier ones are gone
  std::set<std::pair<std::uint64_t, bool>> crashes;  ///< that have happened: event, before it
  std::size_t replayed_at = 0;  ///< events that the last check by replay had
  std::uint64_t commands = 0;
  std::vector<std::shared_ptr<attempt>> under_way;
};

struct world : std::enable_shared_from_this<world> {
  world(const registry& t, options o) : types(t), given(std::move(o)), now(given.start) {}

  life& find(const std::string& id);
  life& begin(std::string_view type, std::string input, const type_descriptor* input_type, const start_options& o);
  /// Submits a command as a client does; a mismatch when it is refused.
  void ask(life& r, decltype(engine::command::body) body);
  /// Sends an update, or asks again for one whose command id has been sent.
  std::shared_ptr<const reply_state> update(life& r, const engine::update_command& u, const update_options& o);
  std::shared_ptr<const reply_state> query(life& r, std::string_view name, std::string_view input);
  void after(engine::milliseconds delay, std::function<void()> f) { agenda.emplace(now + delay, std::move(f)); }
  /// The next thing that is due by then; false: there is none.
  bool step_until(engine::time_point until);
  script& script_of(const std::string& step, bool undo) { return scripts[{step, undo}]; }
  script* find_script(const std::string& step, bool undo);
  std::string story() const;
  std::string context_of(const life& r) const;

  const registry& types;
  const options given;
  engine::time_point now;
  std::multimap<engine::time_point, std::function<void()>> agenda;
  std::map<std::string, std::unique_ptr<life>> runs;
  std::map<std::pair<std::string, bool>, script> scripts;
  fault_counts counts;
  std::uint64_t serial = 0;
  int woken_in_vain = 0;

 private:
  class granted;
  life& enter(std::shared_ptr<const pawl::detail::workflow_definition> definition, const std::string& id,
              engine::start_command s);
  void reach_out(life& r, const engine::event& e);
  void answer(const engine::return_address& to, engine::call_end how, std::string payload,
              std::optional<engine::failure> error);
  void start_child(const engine::return_address& call, const engine::event& e);
  void drop_child(const engine::return_address& call, const engine::event& e);
  void tell_other(const engine::return_address& call, const engine::event& e);
  void renew(life& r, const engine::allowance& a);
  void send(life& r, const engine::command& update);
  void send_again(life& r, const engine::command& c);
  void hear(life& r, const engine::event& e);
  void hear(reply_state& s, std::optional<std::string> answer, std::optional<run_error> refusal, const life& r);
  engine::outcome say(life& r, const engine::command& c);
  bool keep(life& r, std::vector<engine::event> events);
  std::optional<std::uint64_t> crash_among(life& r, std::uint64_t before, std::uint64_t after);
  void crash(life& r, std::uint64_t after);
  std::unique_ptr<engine::instance> replayed(const life& r) const;
  void fold(life& r) { r.state = replayed(r); }
  void check_replay(life& r);
  void launch(life& r, const engine::event& e);
  void end_attempt(life& r, const std::shared_ptr<attempt>& a);
  engine::attempt_ended call(life& r, const attempt& a);
  std::string perform(life& r, const attempt& a);
  planned_ending plan(life& r, attempt& a);
  void give_back(const attempt& a);
  double drawn(std::string_view what, std::uint64_t a, std::uint64_t b = 0) const;
};

/// Up to so many events whatever can be checked by a replay is; beyond it every so often, so that the whole stays
/// linear.
inline constexpr std::size_t replayed_always = 100;

/// A history for people.
std::string history_text(const std::vector<engine::event>& history);
std::string value_text(std::string_view msgpack);
std::string in_words(const std::vector<std::string>& list);
/// What a run waits for.
std::vector<std::string> wants_text(const engine::instance& i);

}  // namespace pawl::testing::detail
