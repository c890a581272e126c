#include "node/render_bars.hpp"

#include "node/render_table.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <sstream>

namespace pawl::node {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using namespace std::chrono_literals;

bar make(std::chrono::microseconds from, std::chrono::microseconds to, bar_end end = bar_end::completed) {
  return {"step", from, to, end, {}, {}};
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> out;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) out.push_back(line);
  return out;
}

TEST(render_bar, is_true_to_scale) {
  EXPECT_EQ(draw_bar(make(0s, 10s), 10s, 10), "██████████");
  EXPECT_EQ(draw_bar(make(0s, 5s), 10s, 10), "█████     ");
  EXPECT_EQ(draw_bar(make(5s, 10s), 10s, 10), "     █████");
  EXPECT_EQ(draw_bar(make(2500ms, 6s), 10s, 10), "  ▐███    ");
  EXPECT_EQ(draw_bar(make(1s, 3250ms), 10s, 10), " ██▎      ");
}

TEST(render_bar, never_vanishes_and_never_overflows) {
  EXPECT_EQ(draw_bar(make(0s, 0s), 10s, 10), "▏         ");
  EXPECT_EQ(draw_bar(make(10s, 10s), 10s, 10), "         ▏");
  EXPECT_EQ(draw_bar(make(0s, 0s), 0s, 4), "▏   ");
  EXPECT_EQ(draw_bar(make(20s, 30s), 10s, 4), "   ▏");
  EXPECT_EQ(draw_bar(make(0s, 1s), 10s, 0), "");
  EXPECT_EQ(draw_bar(make(0s, 1s), 10s, 1), "▏");
}

TEST(render_bar, waits_are_dots) {
  auto failed = make(0s, 2s, bar_end::failed);
  failed.waits_until = 6s;
  EXPECT_EQ(draw_bar(failed, 10s, 10), "██····    ");
  EXPECT_EQ(draw_bar(make(4s, 8s, bar_end::waiting), 10s, 10), "    ····  ");
  EXPECT_EQ(draw_bar(make(0s, 5s, bar_end::lost), 10s, 10), "▒▒▒▒▒     ");
}

TEST(render_bars, no_line_is_wider_than_the_canvas) {
  const std::vector<bar> bars{{"reserve", 0ms, 212ms, bar_end::completed, {}, ""},
                              {"ünïcode-日本語-a-very-long-name-that-nobody-would-choose", 213ms, 400ms,
                               bar_end::failed, 700ms, "503: " + std::string(300, 'x')},
                              {"", 700ms, 1200ms, bar_end::timed_out, 1400ms, "no answer"},
                              {"email", 1801ms, 1802ms, bar_end::running, {}, ""},
                              {"x\n\x1b[2J", 2390ms, 2400ms, bar_end::lost, {}, "\x07"}};
  for (std::size_t width = 1; width <= 250; ++width) {
    canvas c;
    c.width = width;
    const auto lines = lines_of(draw_bars(c, bars, 2500ms));
    EXPECT_GE(lines.size(), bars.size()) << width;
    for (const auto& line : lines) {
      EXPECT_LE(display_width(line), width) << width << ": " << line;
      EXPECT_EQ(line.find('\x1b'), std::string::npos);
    }
  }
}

TEST(render_bars, random_bars_keep_to_their_columns) {
  const auto seed = std::random_device{}();
  std::mt19937 random(seed);
  SCOPED_TRACE("seed " + std::to_string(seed));
  for (int i = 0; i < 5'000; ++i) {
    const std::chrono::microseconds total(random() % 10'000), from(random() % 12'000),
        to(from.count() + random() % 12'000);
    auto b = make(from, to, static_cast<bar_end>(random() % 7));
    b.waits_until = std::chrono::microseconds(random() % 20'000);
    const std::size_t columns = random() % 60;
    EXPECT_EQ(display_width(draw_bar(b, total, columns)), columns)
        << from.count() << " " << to.count() << " of " << total.count();
  }
}

TEST(render_bars, words_tell_what_colours_would) {
  canvas c;
  c.width = 100;
  auto failed = make(0s, 1s, bar_end::failed);
  failed.note = "503";
  const auto plain = draw_bars(c, std::vector{failed, make(1s, 2s, bar_end::running)}, 2s);
  EXPECT_THAT(plain, HasSubstr("failed: 503"));
  EXPECT_THAT(plain, HasSubstr("running"));
  EXPECT_THAT(plain, HasSubstr("1.00s"));
  EXPECT_THAT(plain, Not(HasSubstr("\x1b")));
  c.colors = true;
  EXPECT_THAT(draw_bars(c, std::vector{failed}, 2s), HasSubstr("\x1b[31m"));
}

TEST(render_table, columns_line_up) {
  table t({"id", "state", ">events", "note"});
  t.add({"o-1", {"completed", paint::good}, "8", "x"});
  t.add({"a-longer-id", "日本", "12345", "\n"});
  canvas c;
  EXPECT_EQ(t.draw(c),
            "id           state      events  note\n"
            "o-1          completed       8  x\n"
            "a-longer-id  日本        12345  \\x0a\n");
}

TEST(render_table, only_the_last_column_is_cut_and_only_on_a_terminal) {
  table t({"id", "note"});
  t.add({"a-very-long-id", std::string(100, 'x')});
  canvas c;
  c.width = 30;
  EXPECT_THAT(t.draw(c), HasSubstr(std::string(100, 'x')));
  c.cut = true;
  for (const auto& line : lines_of(t.draw(c))) EXPECT_LE(display_width(line), 30U);
  EXPECT_THAT(t.draw(c), HasSubstr("a-very-long-id  xxxxxxxxxxxxx…"));
}

TEST(render_table, pairs) {
  canvas c;
  EXPECT_EQ(draw_pairs(c, {{"id", cell("o-1")}, {"state", cell("running")}}), "id     o-1\nstate  running\n");
}

}  // namespace
}  // namespace pawl::node
