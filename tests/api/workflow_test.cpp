// What the builder makes of steps, handles and functions.
#include "tests/api/shapes.hpp"

#include <gtest/gtest.h>

#include <memory>

namespace {

using namespace std::chrono_literals;
using pawl::detail::source;

struct hold {
  std::string id;
  bool operator==(const hold&) const = default;
  PAWL_FIELDS(id)
};

hold reserve(pawl::step_context& context, const std::string& order) { return {context.step() + " " + order}; }
void release(pawl::step_context&, const std::string&, const std::optional<hold>&) {}
std::int64_t charge(pawl::step_context&, std::string order, const hold& h) noexcept {
  order += h.id;
  return static_cast<std::int64_t>(order.size());
}

class quiet_port : public pawl::detail::attempt_port {
 public:
  void heartbeat(std::optional<std::string>) override {}
  void log(pawl::log_level, std::string_view) override {}
};

/// Calls a step or undo as the engine does.
class caller {
 public:
  template <class... A>
  std::string invoke(const pawl::detail::step_definition& step, const A&... arguments) {
    const std::vector<std::string> encoded{pawl::encode(arguments)...};
    const std::vector<std::string_view> views(encoded.begin(), encoded.end());
    pawl::step_context context(facts_, port_, {});
    return step.invoke(context, views);
  }
  template <class... A>
  void undo(const pawl::detail::step_definition& step, std::optional<std::string_view> result, const A&... arguments) {
    const std::vector<std::string> encoded{pawl::encode(arguments)...};
    const std::vector<std::string_view> views(encoded.begin(), encoded.end());
    pawl::step_context context(facts_, port_, {});
    step.undo(context, views, result);
  }

 private:
  pawl::detail::attempt_facts facts_ = [] {
    pawl::detail::attempt_facts f;
    f.step = "here";
    return f;
  }();
  quiet_port port_;
};

std::shared_ptr<const pawl::detail::graph_definition> only_graph(const auto& workflow) {
  pawl::registry registry;
  registry.add(workflow);
  return pawl::detail::as_graph(registry.latest(registry.types().front()));
}

TEST(workflow, records_steps_and_edges) {
  pawl::workflow<std::string> w("orders", {.version = 3, .deadline = 1h});
  auto in = w.input();
  auto h = w.step("reserve", reserve, {.timeout = 2s}, in);
  w.undo(h, release, {.timeout = 3s}, in);
  auto paid = w.step("charge", charge, in, h);
  w.step("last", [](pawl::step_context&) {}, {.after = {paid, h, paid}});
  static_assert(std::is_same_v<decltype(h), pawl::value<hold>>);
  static_assert(std::is_same_v<decltype(paid), pawl::value<std::int64_t>>);
  static_assert(std::is_same_v<decltype(w.step("", [](pawl::step_context&) {})), pawl::value<void>>);
  w.returns(paid);

  const auto graph = only_graph(w);
  EXPECT_EQ(graph->type, "orders");
  EXPECT_EQ(graph->options.version, 3U);
  EXPECT_EQ(graph->options.deadline, 1h);
  EXPECT_EQ(graph->input, &pawl::descriptor_of<std::string>());
  EXPECT_EQ(graph->returns, source{1});
  ASSERT_EQ(graph->steps.size(), 3U);
  EXPECT_EQ(graph->steps[0].name, "reserve");
  EXPECT_EQ(graph->steps[0].options.timeout, 2s);
  EXPECT_EQ(graph->steps[0].arguments, std::vector{source{}});
  EXPECT_EQ(graph->steps[0].result, &pawl::descriptor_of<hold>());
  EXPECT_EQ(graph->steps[0].undo_arguments, std::vector{source{}});
  EXPECT_EQ(graph->steps[0].undo_options.timeout, 3s);
  EXPECT_EQ(graph->steps[1].arguments, (std::vector{source{}, source{0}}));
  EXPECT_FALSE(graph->steps[1].undo);
  EXPECT_EQ(graph->steps[2].result, nullptr);
  EXPECT_EQ(graph->steps[2].after, (std::vector<std::uint32_t>{0, 1}));
}

TEST(workflow, decodes_arguments_and_encodes_results) {
  pawl::workflow<std::string> w("orders");
  auto h = w.step("reserve", reserve, w.input());
  w.step("charge", charge, w.input(), h);
  w.step("nothing", [](pawl::step_context&) {});
  const auto graph = only_graph(w);
  caller c;
  EXPECT_EQ(pawl::decode<hold>(c.invoke(graph->steps[0], std::string("o-1"))), hold{"here o-1"});
  EXPECT_EQ(pawl::decode<std::int64_t>(c.invoke(graph->steps[1], std::string("12"), hold{"345"})), 5);
  EXPECT_EQ(c.invoke(graph->steps[2]), "\xc0");
  EXPECT_THROW(c.invoke(graph->steps[0], 17), pawl::codec_error);
  EXPECT_THROW(c.invoke(graph->steps[0]), pawl::codec_error);
  EXPECT_THROW(c.invoke(graph->steps[2], 1), pawl::codec_error);
}

TEST(workflow, gives_an_undo_the_result_if_there_is_one) {
  std::vector<std::optional<hold>> seen;
  pawl::workflow<std::string> w("orders");
  auto h = w.step("reserve", reserve, w.input());
  w.undo(
      h, [&seen](pawl::step_context&, const std::string&, const std::optional<hold>& r) { seen.push_back(r); },
      w.input());
  int void_undone = 0;
  auto nothing = w.step("nothing", [](pawl::step_context&) {});
  w.undo(nothing, [&void_undone](pawl::step_context&) { ++void_undone; });
  const auto graph = only_graph(w);
  caller c;
  const auto result = pawl::encode(hold{"h"});
  c.undo(graph->steps[0], result, std::string("o"));
  c.undo(graph->steps[0], std::nullopt, std::string("o"));
  EXPECT_EQ(seen, (std::vector<std::optional<hold>>{hold{"h"}, std::nullopt}));
  c.undo(graph->steps[1], "\xc0");
  c.undo(graph->steps[1], std::nullopt);
  EXPECT_EQ(void_undone, 2);
  EXPECT_THROW(c.undo(graph->steps[0], "\x01", std::string("o")), pawl::codec_error);
}

TEST(workflow, lets_what_the_function_throws_through) {
  pawl::workflow<void> w("w");
  w.step("a", [](pawl::step_context&) { throw pawl::permanent_error("no", "code"); });
  const auto graph = only_graph(w);
  EXPECT_EQ(graph->input, &pawl::descriptor_of<void>());
  EXPECT_THROW(caller().invoke(graph->steps[0]), pawl::permanent_error);
}

struct counted {
  std::shared_ptr<int> calls;
  int operator()(const pawl::step_context&, std::vector<int> values) const {
    ++*calls;
    values.push_back(0);
    return static_cast<int>(values.size() - 1);
  }
};

TEST(workflow, takes_every_kind_of_callable) {
  const auto calls = std::make_shared<int>(0);
  pawl::workflow<std::vector<int>> w("w");
  auto in = w.input();
  w.step("object", counted{calls}, in);
  w.step("function", std::function<int(pawl::step_context&, const std::vector<int>&)>(counted{calls}), in);
  auto generic =
      w.step("generic", [](auto& context, const auto& v) { return context.step() + std::to_string(v.size()); }, in);
  auto forwarded =
      w.step("forwarded", [](auto&, auto&& v) { return std::string(std::forward<decltype(v)>(v)); }, generic);
  static_assert(std::is_same_v<decltype(generic), pawl::value<std::string>>);
  (void)forwarded;
  const auto graph = only_graph(w);
  caller c;
  EXPECT_EQ(pawl::decode<int>(c.invoke(graph->steps[0], std::vector{1, 2})), 2);
  EXPECT_EQ(pawl::decode<int>(c.invoke(graph->steps[1], std::vector{1, 2, 3})), 3);
  EXPECT_EQ(pawl::decode<std::string>(c.invoke(graph->steps[2], std::vector{1})), "here1");
  EXPECT_EQ(*calls, 2);
}

TEST(workflow, can_be_made_by_a_function) {
  const auto make = [] {
    pawl::workflow<std::string> w("made");
    w.returns(w.step("reserve", reserve, w.input()));
    return w;
  };
  EXPECT_EQ(only_graph(make())->steps.size(), 1U);
}

}  // namespace
