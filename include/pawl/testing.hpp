// Tests of workflows, graphs and code, without a node, a disk or sleeping: the engine itself, on a clock that jumps to
// whatever comes next, with steps that really run or are stood in for. docs/testing.md shows how.
//
//   pawl::testing::environment env(types);
//   env.step("charge").fails(2).returns(receipt{"ch_1"});
//   auto order = env.start("fulfil-order", the_order);
//   env.after(48h, [&] { order.signal("approved", true); });
//   order.run_to_end().expect_completed().expect_steps({"reserve", "charge"});
//
// What is expected and does not hold throws pawl::testing::mismatch, whose text has the history and, of a run with
// faults, the seed; any test framework shows it. Link the library pawl_testing. Not thread-safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <typeinfo>
#include <utility>
#include <variant>
#include <vector>

#include <pawl/codec.hpp>
#include <pawl/operation.hpp>
#include <pawl/registry.hpp>
#include <pawl/schema.hpp>
#include <pawl/step_context.hpp>
#include <pawl/wiring.hpp>

namespace pawl::testing {

using event_time = std::chrono::sys_time<std::chrono::microseconds>;

/// An expectation does not hold, or the run cannot go on.
class mismatch : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// How many attempts: all that follow.
inline constexpr std::uint32_t always = std::numeric_limits<std::uint32_t>::max();

/// Faults that are drawn from the seed. Each is the share, 0 to 1, of what it can happen to.
struct fault_rates {
  double fails = 0.1;          ///< attempts that throw instead of calling the function
  double times_out = 0.05;     ///< attempts that do not return in time; half of them have called the function
  double lost = 0.1;           ///< attempts whose process dies; half of them have called the function
  double crashes = 0.05;       ///< events after which the node dies; what was not on record is decided anew
  double evicts = 0.2;         ///< decisions before which the run is forgotten, and made again from its history
  std::chrono::milliseconds latency{
      200};  ///< attempts take up to this, so that what runs side by side ends in any order
  /// A step never gets its last attempt taken by `fails` and `times_out`: faults alone do not exhaust it.
  bool spare_last_attempt = true;
};

struct options {
  event_time start{std::chrono::sys_days{std::chrono::year{2025} / 1 / 1}};  ///< virtual time at the beginning
  std::uint64_t seed = 1;      ///< of run uids, so of jitter and of what code draws; and of the faults
  std::optional<fault_rates> faults{};
  std::uint64_t crash_after = 0;   ///< the node dies once, right after this event of each run; 0: it does not
  std::uint64_t crash_before = 0;  ///< ... when this event is about to be recorded: what caused it has happened
  std::uint32_t slots = 1000;  ///< attempts of all runs at once
  bool only_fakes = false;     ///< a step that nothing stands in for is an error
  std::uint64_t history_events = 50'000;
};

/// How often each fault happened.
struct fault_counts {
  std::uint64_t failures = 0;
  std::uint64_t time_outs = 0;
  std::uint64_t losses = 0;
  std::uint64_t crashes = 0;
  std::uint64_t evictions = 0;
  std::uint64_t events = 0;     ///< on record at the end
  std::uint64_t scenarios = 0;  ///< of for_each_*
  fault_counts& operator+=(const fault_counts& o);
};

namespace detail {

struct world;
struct script;
struct reply_state;

/// What an attempt was to be called with.
struct fake_call {
  const pawl::detail::held_values* held = nullptr;  ///< of code
  pawl::detail::byte_views arguments{};             ///< of a graph, msgpack
  std::optional<std::string_view> result{};         ///< of an undo
};
struct fake {
  std::function<std::string(step_context&, const fake_call&)> function;
  const type_descriptor* result = nullptr;  ///< nullptr: void
  bool answers = false;  ///< for any arguments
};

[[noreturn]] void refuse_arguments(const step_context& context, std::size_t wanted);

template <class P>
struct fake_parameters;
template <class... P>
struct fake_parameters<pawl::detail::types<P...>> {
  static constexpr bool context = false;
  using values = std::tuple<std::remove_cvref_t<P>...>;
};
template <class... P>
struct fake_parameters<pawl::detail::types<step_context&, P...>> {
  static constexpr bool context = true;
  using values = std::tuple<std::remove_cvref_t<P>...>;
};

template <class V, std::size_t... I>
V decode_arguments(pawl::detail::byte_views bytes, std::index_sequence<I...>) {
  return V{pawl::decode<std::tuple_element_t<I, V>>(bytes[I])...};
}

template <class V>
struct undo_values;
template <>
struct undo_values<std::tuple<>> {
  using values = std::tuple<>;
  using result = void;
};
template <class First, class... Rest>
struct undo_values<std::tuple<First, Rest...>> {
  using all = std::tuple<First, Rest...>;
  template <std::size_t... I>
  static std::tuple<std::tuple_element_t<I, all>...> pick(std::index_sequence<I...>);
  using values = decltype(pick(std::make_index_sequence<sizeof...(Rest)>()));
  using result = std::tuple_element_t<sizeof...(Rest), all>;
};

template <class T>
inline constexpr bool is_optional = false;
template <class T>
inline constexpr bool is_optional<std::optional<T>> = true;

/// The arguments as V, from whichever kind of definition. None at all stand for any.
template <class V>
V arguments_as(const step_context& context, const fake_call& call) {
  if constexpr (std::tuple_size_v<V> == 0) return V{};
  if (call.held) {
    if (!call.held->type || *call.held->type != typeid(V)) refuse_arguments(context, std::tuple_size_v<V>);
    return *static_cast<const V*>(call.held->tuple.get());
  }
  if (call.arguments.size() != std::tuple_size_v<V>) refuse_arguments(context, std::tuple_size_v<V>);
  return decode_arguments<V>(call.arguments, std::make_index_sequence<std::tuple_size_v<V>>());
}

/// `F`: R(step_context&, A...), R(A...), or without parameters for any arguments.
template <class F>
fake make_fake(F f) {
  using pawl::detail::signature;
  static_assert(signature<F>::exact,
                "what stands in for a step has one signature: a function, or a lambda without auto");
  using parameters = fake_parameters<typename signature<F>::parameters>;
  using values = typename parameters::values;
  using result = std::remove_cvref_t<typename signature<F>::result>;
  fake out;
  out.answers = std::tuple_size_v<values> == 0;
  if constexpr (!std::is_void_v<result>) {
    static_assert(storable<result>, "what stands in for a step returns what the step does");
    out.result = &descriptor_of<result>();
  }
  out.function = [f = std::move(f)](step_context& context, const fake_call& call) mutable -> std::string {
    const auto invoke = [&](const auto&... a) -> decltype(auto) {
      if constexpr (parameters::context) {
        return f(context, a...);
      } else {
        return f(a...);
      }
    };
    const auto given = arguments_as<values>(context, call);
    if constexpr (std::is_void_v<result>) {
      std::apply(invoke, given);
      return encode(std::monostate());
    } else {
      return encode<result>(std::apply(invoke, given));
    }
  };
  return out;
}

/// `F`: void(step_context&, A..., const std::optional<R>&), without the context, or without parameters.
template <class F>
fake make_fake_undo(F f) {
  using pawl::detail::signature;
  static_assert(signature<F>::exact,
                "what stands in for an undo has one signature: a function, or a lambda without auto");
  static_assert(std::is_void_v<typename signature<F>::result>, "an undo returns nothing");
  using parameters = fake_parameters<typename signature<F>::parameters>;
  using all = typename parameters::values;
  fake out;
  out.answers = std::tuple_size_v<all> == 0;
  out.function = [f = std::move(f)](step_context& context, const fake_call& call) mutable -> std::string {
    const auto invoke = [&](const auto&... a) {
      if constexpr (parameters::context) {
        f(context, a...);
      } else {
        f(a...);
      }
    };
    if constexpr (std::tuple_size_v<all> == 0) {
      invoke();
    } else if constexpr (is_optional<typename undo_values<all>::result>) {
      typename undo_values<all>::result known;
      if (call.result) known.emplace(pawl::decode<typename undo_values<all>::result::value_type>(*call.result));
      const auto given = arguments_as<typename undo_values<all>::values>(context, call);
      std::apply([&](const auto&... a) { invoke(a..., std::as_const(known)); }, given);
    } else {
      const auto given = arguments_as<all>(context, call);
      std::apply(invoke, given);
    }
    return {};
  };
  return out;
}

}  // namespace detail

/// What the attempts of a step come to, in the order in which it is said; then its function, or what stands in for it.
/// Steps of one name share it, over all runs. `Undo`: of the step's undo.
template <bool Undo>
class basic_script {
 public:
  /// The next `times` attempts throw pawl::step_error, so they are tried again as the policy says.
  basic_script& fails(std::uint32_t times = 1, std::string code = "error", std::string message = "injected");
  /// The next attempt throws pawl::permanent_error.
  basic_script& fails_for_good(std::string code = "permanent", std::string message = "injected");
  /// The next `times` attempts do not return within the step's timeout. Their function is not called.
  basic_script& times_out(std::uint32_t times = 1);
  /// ... have their process die under them. Their function is not called.
  basic_script& is_lost(std::uint32_t times = 1);
  /// ... have their process die when their function has done its work: nobody has heard that it returned.
  basic_script& is_lost_when_done(std::uint32_t times = 1);
  /// How long each attempt takes, in virtual time. Longer than the timeout, it times out. At first 0.
  basic_script& takes(std::chrono::milliseconds how_long);
  /// Stands in for the function: R(pawl::step_context&, A...), R(A...), or R() for any arguments. For an undo:
  /// void, with the arguments of the undo and, last, const std::optional<R>& where the step returns something. Other
  /// types than the step's are a mismatch when it is called.
  template <class F>
  basic_script& does(F f) {
    if constexpr (Undo) {
      return stand_in(detail::make_fake_undo(std::move(f)));
    } else {
      return stand_in(detail::make_fake(std::move(f)));
    }
  }
  /// Stands in for the function, whatever it is called with.
  template <class T>
    requires(!Undo)
  basic_script& returns(T value) {
    return does([value = std::move(value)]() -> T { return value; });
  }
  /// Stands in for a function that returns nothing.
  basic_script& does_nothing() {
    return does([] {});
  }

 private:
  friend class environment;
  basic_script(std::shared_ptr<detail::world> w, std::string name) : world_(std::move(w)), name_(std::move(name)) {}
  basic_script& stand_in(detail::fake f);
  detail::script& script();
  std::shared_ptr<detail::world> world_;
  std::string name_;
};
using step_script = basic_script<false>;
using undo_script = basic_script<true>;

/// How a run ended that did not complete.
struct run_error {
  std::string code;
  std::string message;
};

/// What an update or a query came to. Copies are the same one.
class reply {
 public:
  /// Nobody has answered or refused it. A query never is: it is answered where it is asked.
  bool is_open() const;
  /// What was answered; a mismatch while it is open and when it was refused, codec_error when that is no T.
  template <class T>
  T answer() const {
    return decode<T>(answer_bytes());
  }
  /// Why it was refused; nothing while it is open, or answered.
  std::optional<run_error> refusal() const;

  // Each throws mismatch, with the history, where it does not hold.
  const reply& expect_open() const;
  const reply& expect_answered() const;
  template <class T>
  const reply& expect_answer(const T& expected) const {
    return expect_answer_bytes(encode(expected));
  }
  const reply& expect_refused(std::string_view code) const;

 protected:
  friend class run;
  reply(std::shared_ptr<detail::world> w, std::shared_ptr<const detail::reply_state> s)
      : world_(std::move(w)),
        state_(std::move(s)) {}
  std::shared_ptr<detail::world> world_;
  std::shared_ptr<const detail::reply_state> state_;

 private:
  std::string answer_bytes() const;
  const reply& expect_answer_bytes(const std::string& expected) const;
};

/// An update on its way, and then its answer. Whoever sent it hears that once it is on record, and never anything else:
/// that a crash takes it back, or a repeat is answered otherwise, is a mismatch.
class sent_update : public reply {
 public:
  const std::string& command_id() const;
  /// Jumps from one thing that is due to the next, of all runs, until it is answered or refused. A mismatch when
  /// nothing in the environment will bring that.
  sent_update& run_to_answer();

 private:
  friend class run;
  using reply::reply;
};

struct update_options {
  std::chrono::milliseconds after{0};  ///< it is sent when so much time has passed
  std::string command_id{};  ///< empty: made up. One that has been sent to this run is that update, and its answer
};

/// A run in an environment, which it keeps alive. Copies are the same run. What changes it returns the run. When it
/// continues as new, this goes on as the next one, whose history is its own.
class run {
 public:
  const std::string& id() const { return id_; }
  bool is_open() const;
  /// `running`, `stopping`, `compensating`, `completed`, `failed`, `cancelled` or `killed`.
  std::string state() const;
  bool is_paused() const;

  /// Jumps from one thing that is due to the next, of all runs, until this one is closed. A mismatch when it is paused,
  /// or waits for something that nothing in the environment will bring; the text says for what.
  run& run_to_end();

  template <class T>
  run& signal(std::string_view name, const T& value) {
    return send_signal(name, encode(value));
  }
  run& signal(std::string_view name) { return send_signal(name, encode(std::monostate())); }
  /// Sends a request that code answers (wf.update). What can be done about it at once is done. The answer may come
  /// later, so keep what this returns: it has `answer<T>()`, `refusal()` and expectations. A refusal on the door is one
  /// too, with the codes `invalid`, `conflict` and `too_large`; of a run that is killed before it answers the code is
  /// `ended`.
  template <class T>
  [[nodiscard]] sent_update update(std::string_view name, const T& request, const update_options& o = {}) {
    return send_update(name, encode(request), o);
  }
  [[nodiscard]] sent_update update(std::string_view name, const update_options& o = {}) {
    return send_update(name, encode(std::monostate()), o);
  }
  /// Asks a handler (wf.on_query), as the code stands now. It is asked twice, and in a replay: a handler that changes
  /// what it looks at, and one that looks at what differs in a replay, are a mismatch. Refused it is with the code that
  /// the handler has thrown, with `query_changes_run`, `invalid` (no such query, or another input), `conflict` (the
  /// code has ended) or `too_large`.
  template <class T>
  [[nodiscard]] reply query(std::string_view name, const T& input) const {
    return ask_query(name, encode(input));
  }
  [[nodiscard]] reply query(std::string_view name) const { return ask_query(name, encode(std::monostate())); }
  run& cancel(std::string_view reason = {});
  run& kill(std::string_view reason = {});
  run& pause(std::string_view reason = {});
  run& resume();
  /// Closes the step that has stopped the run, as `pawl skip` does.
  template <class T>
  run& skip(std::string_view step, const T& result) {
    return send_skip(step, encode(result));
  }

  /// What it returned; a mismatch when it has not completed, codec_error when that is no T.
  template <class T>
  T result() const {
    return decode<T>(result_bytes());
  }
  /// Why it failed or was cancelled or killed; nothing while it is open, or completed.
  std::optional<run_error> error() const;
  /// Steps that completed, in that order, undos not among them; a name may occur many times.
  std::vector<std::string> steps() const;
  /// Steps whose undo completed, in that order.
  std::vector<std::string> undone() const;
  /// How many attempts of steps of this name are on record, undos not among them.
  std::uint64_t attempts(std::string_view step) const;
  /// What it waits for right now: "signal 'approved'", "timer 'sleep' until ...".
  std::vector<std::string> waits_for() const;
  /// The text of wf.status; empty when there is none.
  std::string status() const;
  /// One line an event: its number, the time since the start, what happened, values as JSON.
  std::string history() const;
  std::uint64_t events() const;

  // Each throws mismatch, with the history, where it does not hold.
  const run& expect_completed() const;
  template <class T>
  const run& expect_result(const T& expected) const {
    return expect_result_bytes(encode(expected));
  }
  const run& expect_failed(std::string_view code) const;
  const run& expect_cancelled() const;
  const run& expect_steps(const std::vector<std::string>& names) const;
  const run& expect_undone(const std::vector<std::string>& names) const;

 private:
  friend class environment;
  run(std::shared_ptr<detail::world> w, std::string id) : world_(std::move(w)), id_(std::move(id)) {}
  run& send_signal(std::string_view name, std::string payload);
  run& send_skip(std::string_view step, std::string result);
  sent_update send_update(std::string_view name, std::string payload, const update_options& o);
  reply ask_query(std::string_view name, std::string input) const;
  std::string result_bytes() const;
  const run& expect_result_bytes(const std::string& expected) const;
  std::shared_ptr<detail::world> world_;
  std::string id_;
};

struct start_options {
  std::string id{};  ///< empty: made up
  std::uint32_t version = 0;  ///< 0: the newest
  std::optional<std::chrono::milliseconds> deadline{};
  std::optional<std::chrono::milliseconds> delay{};
};

/// What stands in for nodes and their disks. `types` outlives it.
class environment {
 public:
  explicit environment(const registry& types, options o = {});
  environment(const environment&) = delete;
  environment& operator=(const environment&) = delete;
  ~environment();

  step_script step(std::string name) { return {world_, std::move(name)}; }
  undo_script undo(std::string step) { return {world_, std::move(step)}; }

  /// A run that code has started: a child, or by wf.start. std::out_of_range when there is none.
  run find(const std::string& id) const;
  /// What can be done at once is done: it comes back when all there is to do needs time or the outside. Throws
  /// std::invalid_argument for a type that there is not, and for an input of another type.
  template <class T>
  run start(std::string_view type, const T& input, const start_options& o = {}) {
    return start_with(type, encode(input), &descriptor_of<T>(), o);
  }
  run start(std::string_view type, const start_options& o = {}) { return start_with(type, "\xc0", nullptr, o); }

  event_time now() const;
  /// Lets time pass, and everything happen that becomes due in it.
  environment& advance(std::chrono::milliseconds how_long);
  /// Calls `f` when so much time has passed: for signals, cancels and looks at a run in the middle.
  environment& after(std::chrono::milliseconds delay, std::function<void()> f);

  const fault_counts& faults() const;
  /// What repeats this very environment: "seed 7, crash after event 12". In every mismatch.
  std::string story() const;
  /// Events of the run that has most.
  std::uint64_t longest_history() const;

 private:
  run start_with(std::string_view type, std::string input, const type_descriptor* given, const start_options& o);
  std::shared_ptr<detail::world> world_;
};

/// Sets up, starts, goes on to an end and checks. Run many times, so it begins anew each time.
using scenario = std::function<void(environment&)>;

/// `what` undisturbed, and then twice for each event of its longest run: with a node that dies right after that event,
/// and with one that dies when the event is about to be recorded (a function may have been called, and nobody knows).
/// What it throws is thrown on as a mismatch that says which. The variables PAWL_TEST_CRASH_AFTER=n and
/// PAWL_TEST_CRASH_BEFORE=n run one alone. Returns what happened.
fault_counts for_each_crash(const registry& types, const scenario& what, options o = {});

/// `what` with the faults of o.faults (the default rates without) under seeds o.seed, o.seed + 1, ... A scenario that
/// throws ends it, with a mismatch that names the seed; the variable PAWL_TEST_SEED=n runs that one alone. Returns what
/// happened: expect that it is something.
fault_counts for_each_seed(const registry& types, std::uint64_t seeds, const scenario& what, options o = {});

}  // namespace pawl::testing
