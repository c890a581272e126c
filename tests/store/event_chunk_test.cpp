#include "store/event_chunk.hpp"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace pawl::store {
namespace {

event_row row(std::uint64_t seq, engine::event_kind kind, std::string step, std::uint32_t attempt, std::string body,
              bool undo = false) {
  return {.seq = seq,
          .at = 1,
          .kind = kind,
          .attempt = attempt,
          .step = std::move(step),
          .body = std::move(body),
          .undo = undo};
}

// All in one row, whatever their times.
void write_chunk(const std::vector<event_row>& events, std::string& heads, std::string& bodies) {
  chunk_writer w;
  for (const auto& e : events) w.add(e);
  bodies = w.bodies();
  heads = w.finish();
}

TEST(event_chunk, is_what_people_read) {
  std::string heads;
  std::string bodies;
  write_chunk(std::vector{row(1, engine::event_kind::run_started, "", 0, "abc"),
                          row(2, engine::event_kind::attempt_started, "reserve", 1, ""),
                          row(3, engine::event_kind::attempt_started, "reserve", 12, "de", true)},
              heads, bodies);
  EXPECT_FALSE(is_joined(heads));
  EXPECT_EQ(heads, R"([[1,3],[3,0,"reserve",1],[3,2,"reserve",12,1]])");
  EXPECT_EQ(bodies, "abcde");
  EXPECT_EQ(chunk_size(heads), 3U);
}

event_row at(std::int64_t time, event_row e) {
  e.at = time;
  return e;
}

TEST(event_chunk, later_events_say_by_how_much) {
  std::string heads;
  std::string bodies;
  const std::vector events{at(1'000, row(4, engine::event_kind::attempt_completed, "reserve", 1, "a")),
                           at(1'000, row(5, engine::event_kind::attempt_started, "char\"ge", 1, "b", true)),
                           at(1'250, row(6, engine::event_kind::attempt_completed, "char\"ge", 1, "", true)),
                           at(90'001'000, row(7, engine::event_kind::run_completed, "", 0, "de"))};
  write_chunk(events, heads, bodies);
  EXPECT_EQ(heads, R"([[4,1,"reserve",1],[3,1,"char\"ge",1,1],[4,0,"char\"ge",1,1,250],[20,2,"",0,0,90000000]])");
  EXPECT_EQ(chunk_size(heads), 4U);
  EXPECT_TRUE(is_joined(heads));
  std::vector<chunk_entry> out;
  ASSERT_EQ(read_chunk(heads, bodies, out), "");
  ASSERT_EQ(out.size(), events.size());
  for (std::size_t n = 0; n < out.size(); ++n) {
    EXPECT_EQ(1'000 + out[n].later, events[n].at);
    EXPECT_EQ(out[n].step, events[n].step);
    EXPECT_EQ(out[n].attempt, events[n].attempt);
    EXPECT_EQ(out[n].undo, events[n].undo);
    EXPECT_EQ(out[n].body, events[n].body);
  }
  for (const std::string wrong : {"0", "-1", "1152921504606846977", "9223372036854775808", ""})
    EXPECT_EQ(read_chunk("[[20,0,\"\",0,0," + wrong + "]]", "", out), "entry 1 of the heads cannot be read") << wrong;
  EXPECT_EQ(read_chunk("[[20,0,\"\",0,2,1]]", "", out), "entry 1 of the heads cannot be read");
  EXPECT_EQ(read_chunk("[[20,0,\"\",0,0]]", "", out), "entry 1 of the heads cannot be read");
}

TEST(event_chunk, a_row_takes_what_follows_until_it_is_full) {
  chunk_writer w;
  const auto kind = engine::event_kind::signal_received;
  w.add(at(50, row(1, kind, "", 0, "x")));
  EXPECT_FALSE(w.takes(at(60, row(3, kind, "", 0, "x")))) << "one is missing between them";
  EXPECT_FALSE(w.takes(at(49, row(2, kind, "", 0, "x")))) << "it is earlier";
  EXPECT_TRUE(w.takes(at(60, row(2, kind, "", 0, "x"))));
  for (std::uint64_t seq = 2; seq <= most_joined_events; ++seq) w.add(at(60, row(seq, kind, "", 0, "x")));
  EXPECT_TRUE(w.takes(at(60, row(most_joined_events + 1, kind, "", 0, "x")))) << "of one decision";
  EXPECT_FALSE(w.takes(at(61, row(most_joined_events + 1, kind, "", 0, "x"))));
  w.finish();
  w.clear();
  EXPECT_TRUE(w.empty());
  w.add(at(70, row(9, kind, "", 0, std::string(most_joined_bytes, 'x'))));
  EXPECT_TRUE(w.takes(at(70, row(10, kind, "", 0, "x"))));
  EXPECT_FALSE(w.takes(at(71, row(10, kind, "", 0, "x"))));
}

TEST(event_chunk, comes_back_as_it_was_whatever_the_name) {
  for (const std::string name :
       {"a", "with \"quotes\"", "back\\slash", "[bracket],[", "line\nbreak\x01", "\xc3\xa4\xc3\xb6", "\xff\xfe"}) {
    std::string heads;
    std::string bodies;
    write_chunk(std::vector{row(1, engine::event_kind::attempt_started, name, 7, std::string(300, '\0')),
                            row(2, engine::event_kind::run_paused, "", 0, "x")},
                heads, bodies);
    std::vector<chunk_entry> out;
    ASSERT_EQ(read_chunk(heads, bodies, out), "") << heads;
    ASSERT_EQ(out.size(), 2U);
    EXPECT_EQ(out[0].step, name);
    EXPECT_EQ(out[0].attempt, 7U);
    EXPECT_EQ(out[0].body, std::string(300, '\0'));
    EXPECT_EQ(out[1].kind, static_cast<std::uint32_t>(engine::event_kind::run_paused));
    EXPECT_EQ(out[1].body, "x");
    EXPECT_EQ(chunk_size(heads), 2U) << heads;
  }
}

TEST(event_chunk, says_what_is_wrong) {
  std::vector<chunk_entry> out;
  EXPECT_EQ(read_chunk("", "", out), "the heads are not a list");
  EXPECT_EQ(read_chunk("[]", "", out), "entry 1 of the heads cannot be read");
  EXPECT_EQ(read_chunk("[[1,5]]", "abcd", out), "the bodies are shorter than the heads say");
  EXPECT_EQ(read_chunk("[[1,3]]", "abcd", out), "the bodies are longer than the heads say");
  EXPECT_EQ(read_chunk("[[1,1]", "a", out), "the heads do not end where they should");
  EXPECT_EQ(read_chunk("[[1,1]]x", "a", out), "the heads do not end where they should");
  EXPECT_EQ(read_chunk(R"([[3,0,"a\u0",1]])", "", out), "entry 1 of the heads cannot be read");
  EXPECT_EQ(read_chunk("[[99999999999,1]]", "a", out), "entry 1 of the heads cannot be read");
}

TEST(event_chunk, survives_hostile_bytes) {
  std::string heads;
  std::string bodies;
  write_chunk(std::vector{row(1, engine::event_kind::run_started, "", 0, "abc"),
                          row(2, engine::event_kind::attempt_started, "re\"serve\n", 1, ""),
                          at(77, row(3, engine::event_kind::attempt_completed, "re\"serve\n", 1, ""))},
              heads, bodies);
  std::vector<chunk_entry> out;
  for (std::size_t n = 0; n < heads.size(); ++n) {
    EXPECT_NE(read_chunk(std::string_view(heads).substr(0, n), bodies, out), "") << n;
    chunk_size(std::string_view(heads).substr(0, n));
    is_joined(std::string_view(heads).substr(0, n));
  }
  const std::uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  for (int k = 0; k < 20'000; ++k) {
    auto broken = heads;
    for (std::size_t times = 1 + random() % 3; times > 0; --times)
      broken[random() % broken.size()] = static_cast<char>(random());
    is_joined(broken);
    read_chunk(broken, bodies, out);  // any answer will do, as long as one comes
    std::size_t size = 0;
    for (const auto& e : out) size += e.body.size();
    EXPECT_LE(size, bodies.size());
    EXPECT_GE(chunk_size(broken), 1U);
  }
}

TEST(event_chunk, keys_keep_the_order_of_runs_and_events) {
  EXPECT_LT(event_key(1, last_possible_seq), event_key(2, 1));
  EXPECT_LT(event_key(last_possible_run, 1), event_key(last_possible_run, last_possible_seq));
  EXPECT_GT(event_key(last_possible_run, last_possible_seq), 0);
  EXPECT_EQ(run_of(event_key(123456789, 77)), 123456789);
  EXPECT_EQ(seq_of(event_key(123456789, 77)), 77U);
}

}  // namespace
}  // namespace pawl::store
