// What is refused at registration, and what is kept.
#include "tests/api/shapes.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

int one(pawl::step_context&, const int& n) { return n; }
void nothing(pawl::step_context&) {}

/// What registering says; empty when it is accepted.
template <class In>
std::string error_of(const pawl::workflow<In>& workflow) {
  pawl::registry registry;
  try {
    registry.add(workflow);
  } catch (const pawl::definition_error& e) {
    EXPECT_TRUE(registry.types().empty());
    return e.what();
  }
  return "";
}

/// What registering a workflow of one step with these options says.
std::string error_of(const pawl::step_options& options) {
  pawl::workflow<int> w("w");
  w.step("s", one, options, w.input());
  return error_of(w);
}

TEST(registry, finds_what_was_added) {
  pawl::registry registry;
  for (const std::uint32_t version : {2, 10, 1}) {
    pawl::workflow<int> w("w", {.version = version});
    w.step("s", one, w.input());
    registry.add(w);
  }
  pawl::workflow<int> other("a.b-c_D9");
  other.step("s", one, other.input());
  registry.add(other);
  EXPECT_EQ(registry.find("w", 2)->options.version, 2U);
  EXPECT_EQ(registry.find("w", 3), nullptr);
  EXPECT_EQ(registry.find("nobody", 1), nullptr);
  EXPECT_EQ(registry.latest("w")->options.version, 10U);
  EXPECT_EQ(registry.latest("nobody"), nullptr);
  EXPECT_EQ(registry.types(), (std::vector<std::string>{"a.b-c_D9", "w"}));
  EXPECT_EQ(registry.versions("w"), (std::vector<std::uint32_t>{1, 2, 10}));
  EXPECT_TRUE(registry.versions("nobody").empty());
}

TEST(registry, keeps_a_graph_that_outlives_its_builder) {
  std::shared_ptr<const pawl::detail::graph_definition> graph;
  {
    pawl::registry registry;
    pawl::workflow<int> w("w");
    w.step("s", one, w.input());
    registry.add(w);
    w.step("later", one, w.input());
    graph = pawl::detail::as_graph(registry.latest("w"));
  }
  EXPECT_EQ(graph->steps.size(), 1U);
}

TEST(registry, names_workflow_step_and_mend) {
  pawl::workflow<int> w("fulfil-order", {.version = 7});
  w.step("charge", one, {.timeout = 0s}, w.input());
  EXPECT_EQ(error_of(w), "workflow 'fulfil-order' version 7: step 'charge': .timeout must be more than zero");
}

TEST(registry, refuses_the_same_type_and_version_twice) {
  pawl::registry registry;
  pawl::workflow<int> w("w");
  w.step("s", one, w.input());
  registry.add(w);
  EXPECT_THROW(registry.add(w), pawl::definition_error);
  EXPECT_EQ(registry.versions("w").size(), 1U);
}

TEST(registry, refuses_bad_type_names) {
  for (const auto& type :
       {std::string(), std::string("a b"), std::string("a/b"), std::string("\xc3\xa9"), std::string(129, 'a')}) {
    pawl::workflow<int> w(type);
    w.step("s", one, w.input());
    EXPECT_THAT(error_of(w), HasSubstr("the type's name is not 1 to 128 of")) << type;
  }
  pawl::workflow<int> longest(std::string(128, 'a'));
  longest.step("s", one, longest.input());
  EXPECT_EQ(error_of(longest), "");
}

TEST(registry, refuses_bad_step_names) {
  for (const auto& [name, cause] : std::map<std::string, std::string>{
           {"", "the name is empty"}, {"a\nb", "control character"}, {std::string(129, 'a'), "longer than 128"}}) {
    pawl::workflow<int> w("w");
    w.step(name, one, w.input());
    EXPECT_THAT(error_of(w), HasSubstr(cause));
  }
  pawl::workflow<int> twice("w");
  twice.step("s", one, twice.input());
  twice.step("s", one, twice.input());
  EXPECT_THAT(error_of(twice), HasSubstr("step 's': there are two of that name: rename one"));
}

TEST(registry, lists_everything_that_is_wrong_at_once) {
  pawl::workflow<int> w("w");
  w.step("a", one, {.timeout = -1s}, w.input());
  w.step("a", one, {.heartbeat = 0s}, w.input());
  const auto text = error_of(w);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 2) << text;
}

TEST(registry, refuses_handles_of_another_workflow) {
  pawl::workflow<int> a("a");
  pawl::workflow<int> b("b");
  auto of_a = a.step("s", one, a.input());
  b.step("argument", one, of_a);
  b.step("input", one, a.input());
  b.step("after", one, {.after = {of_a}}, b.input());
  b.undo(of_a, [](pawl::step_context&, const std::optional<int>&) {});
  auto of_b = b.step("undone", one, b.input());
  b.undo(of_b, [](pawl::step_context&, const int&, const std::optional<int>&) {}, of_a);
  b.returns(of_a);
  const auto text = error_of(b);
  for (const auto* where : {"step 'argument': argument 1 is a handle", "step 'input': argument 1 is a handle",
                            "step 'after': .after is given a handle", "undo() is given a handle",
                            "step 'undone': undo: argument 1 is a handle", "returns() is given a handle"}) {
    EXPECT_THAT(text, HasSubstr(where));
  }
  EXPECT_EQ(error_of(a), "");
}

TEST(registry, refuses_the_input_where_a_step_is_meant) {
  pawl::workflow<int> w("w");
  w.step("s", one, {.after = {w.input()}}, w.input());
  w.undo(w.input(), [](pawl::step_context&, const std::optional<int>&) {});
  w.returns(w.input());
  const auto text = error_of(w);
  EXPECT_THAT(text, HasSubstr("step 's': .after is given the input"));
  EXPECT_THAT(text, HasSubstr("undo() is given the input"));
  EXPECT_THAT(text, HasSubstr("returns() is given the input"));
}

TEST(registry, refuses_two_undos_and_two_results) {
  pawl::workflow<int> w("w");
  auto s = w.step("s", one, w.input());
  const auto undo = [](pawl::step_context&, const std::optional<int>&) {};
  w.undo(s, undo);
  w.undo(s, undo);
  w.returns(s);
  w.returns(s);
  const auto text = error_of(w);
  EXPECT_THAT(text, HasSubstr("step 's': has two undos"));
  EXPECT_THAT(text, HasSubstr("returns() is called twice"));
}

TEST(registry, refuses_functions_that_are_null) {
  pawl::workflow<int> w("w");
  int (*none)(pawl::step_context&, const int&) = nullptr;
  void (*no_undo)(pawl::step_context&, const std::optional<int>&) = nullptr;
  auto s = w.step("pointer", none, w.input());
  w.undo(s, no_undo);
  w.step("function", std::function<int(pawl::step_context&, const int&)>(), w.input());
  const auto text = error_of(w);
  EXPECT_THAT(text, HasSubstr("step 'pointer': has no function"));
  EXPECT_THAT(text, HasSubstr("step 'pointer': its undo has no function"));
  EXPECT_THAT(text, HasSubstr("step 'function': has no function"));
}

TEST(registry, refuses_options_that_make_no_sense) {
  const auto nowhere = static_cast<pawl::run_on>(9);  // NOLINT(clang-analyzer-optin.core.EnumCastOutOfRange)
  EXPECT_EQ(error_of({.timeout = 1s, .deadline = 1s, .heartbeat = 1s}), "");
  EXPECT_THAT(error_of({.timeout = 24h * 5000}), HasSubstr(".timeout must not be more than ten years"));
  EXPECT_THAT(error_of({.deadline = -1ms}), HasSubstr(".deadline must be more than zero"));
  EXPECT_THAT(error_of({.heartbeat = 0ms}), HasSubstr(".heartbeat must be more than zero"));
  EXPECT_THAT(error_of({.timeout = 2s, .deadline = 1s}), HasSubstr(".deadline"));
  EXPECT_THAT(error_of({.timeout = 1s, .heartbeat = 2s}), HasSubstr(".heartbeat is longer than .timeout"));
  EXPECT_THAT(error_of({.retry = {.max_attempts = 0}}), HasSubstr(".retry.max_attempts must be at least 1"));
  EXPECT_THAT(error_of({.retry = {.first_delay = 0ms}}), HasSubstr(".retry.first_delay must be more than zero"));
  EXPECT_THAT(error_of({.retry = {.factor = 0.5}}), HasSubstr(".retry.factor"));
  EXPECT_THAT(error_of({.retry = {.factor = std::numeric_limits<double>::quiet_NaN()}}), HasSubstr(".retry.factor"));
  EXPECT_THAT(error_of({.retry = {.first_delay = 2s, .max_delay = 1s}}), HasSubstr(".retry.max_delay is shorter"));
  EXPECT_THAT(error_of({.where = nowhere}), HasSubstr(".where is none of run_on"));

  pawl::workflow<int> w("w", {.version = 0, .deadline = 0s});
  auto s = w.step("s", one, w.input());
  w.undo(s, [](pawl::step_context&, const std::optional<int>&) {}, {.timeout = 0s, .after = {s}});
  const auto text = error_of(w);
  EXPECT_THAT(text, HasSubstr("versions count from 1"));
  EXPECT_THAT(text, HasSubstr("options: .deadline must be more than zero"));
  EXPECT_THAT(text, HasSubstr("step 's': undo: .timeout must be more than zero"));
  EXPECT_THAT(text, HasSubstr("step 's': undo: has an .after"));
}

TEST(registry, lets_an_undo_take_only_what_is_there_by_then) {
  const auto undo = [](pawl::step_context&, const int&, const std::optional<int>&) {};
  pawl::workflow<int> w("w");
  auto a = w.step("a", one, w.input());
  auto b = w.step("b", nothing, {.after = {a}});
  auto c = w.step("c", one, {.after = {b}}, w.input());
  w.undo(c, undo, a);  // a is before b, which is before c
  EXPECT_EQ(error_of(w), "");

  auto d = w.step("d", one, w.input());
  w.undo(d, undo, c);
  auto e = w.step("e", one, w.input());
  w.undo(e, undo, e);
  auto f = w.step("f", one, w.input());
  auto g = w.step("g", one, f);
  w.undo(f, undo, g);
  const auto text = error_of(w);
  EXPECT_THAT(text, HasSubstr("step 'd': undo: takes the result of step 'c', which need not be there yet"));
  EXPECT_THAT(text, HasSubstr("step 'e': undo: takes the result of its own step"));
  EXPECT_THAT(text, HasSubstr("step 'f': undo: takes the result of step 'g', which need not be there yet"));
}

TEST(registry, limits_the_number_of_steps) {
  EXPECT_THAT(error_of(pawl::workflow<int>("w")), HasSubstr("has no step"));
  pawl::workflow<int> w("w");
  auto last = w.step("s0", one, w.input());
  for (std::size_t i = 1; i < pawl::max_steps; ++i) last = w.step("s" + std::to_string(i), one, last);
  w.undo(last, [](pawl::step_context&, const int&, const std::optional<int>&) {}, w.input());
  EXPECT_EQ(error_of(w), "");
  w.step("one too many", one, w.input());
  EXPECT_THAT(error_of(w), HasSubstr("has 10001 steps and may have 10000"));
}

// --- the digest -----------------------------------------------------------------------------------------------------

struct shape {
  std::string first = "a";
  bool wire = true;
  bool undo = true;
  bool undo_takes_input = true;
  bool after = true;
  bool returns = true;
  pawl::step_options options{};
  pawl::workflow_options graph{};
};

std::uint64_t digest_of(const shape& s) {
  pawl::workflow<int> w("w", s.graph);
  auto a = w.step(s.first, one, s.options, w.input());
  auto b = w.step("b", one, {}, s.wire ? a : w.input());
  auto options = s.options;
  if (s.after) options.after = {a};
  w.step("c", nothing, options);
  if (s.undo && s.undo_takes_input) {
    w.undo(b, [](pawl::step_context&, const int&, const std::optional<int>&) {}, w.input());
  } else if (s.undo) {
    w.undo(b, [](pawl::step_context&, const std::optional<int>&) {});
  }
  if (s.returns) w.returns(b);
  pawl::registry registry;
  registry.add(w);
  return registry.latest("w")->digest;
}

TEST(digest, is_kept_for_ever) {
  // Recorded runs carry it. If this fails, the code is wrong, not the number.
  EXPECT_EQ(digest_of({}), 389763528640981297U);
  pawl::workflow<shapes::all> w("w");
  w.returns(
      w.step("s", [](pawl::step_context&, const shapes::all&) { return std::vector<shapes::tree>(); }, w.input()));
  pawl::registry registry;
  registry.add(w);
  EXPECT_EQ(registry.latest("w")->digest, 3073527678060630867U);
}

TEST(digest, tells_structures_apart) {
  const std::vector<std::uint64_t> digests{digest_of({}),
                                           digest_of({.first = "A"}),
                                           digest_of({.wire = false}),
                                           digest_of({.undo = false}),
                                           digest_of({.undo_takes_input = false}),
                                           digest_of({.after = false}),
                                           digest_of({.returns = false})};
  for (std::size_t i = 0; i < digests.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) EXPECT_NE(digests[i], digests[j]) << i << " and " << j;
  }
}

template <class T>
std::uint64_t digest_of_type() {
  pawl::workflow<T> w("w");
  w.step("s", [](pawl::step_context&, const T& value) { return value; }, w.input());
  pawl::registry registry;
  registry.add(w);
  return registry.latest("w")->digest;
}

TEST(digest, tells_types_apart) {
  EXPECT_NE(digest_of_type<std::int32_t>(), digest_of_type<std::int64_t>());
  EXPECT_NE(digest_of_type<shapes::line>(), digest_of_type<shapes::order>());
}

TEST(digest, leaves_options_and_version_out) {
  shape s;
  s.options.timeout = 5s;
  s.options.retry.max_attempts = 3;
  s.graph.version = 9;
  EXPECT_EQ(digest_of(s), digest_of({}));
}

}  // namespace
