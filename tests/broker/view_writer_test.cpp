// A leader's view that is written behind its journal.
#include "broker/view_writer.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "store/sqlite.hpp"
#include "tests/store/fixture.hpp"

namespace pawl::broker {
namespace {

using namespace std::chrono_literals;
using store::append_status;

class written : public ::testing::Test {
 protected:
  void SetUp() override { view = store::open_embedded({.directory = directory.path(), .truth = false}); }
  void write(std::chrono::milliseconds linger) {
    writer.emplace(*view, view_writer::options{
                              .name = "n", .linger = linger, .shown = [this](std::int64_t next) { position = next; }});
  }
  static std::string id(engine::run_key key) { return "w-" + std::to_string(key); }
  void put(engine::run_key key) {
    store::scripted_run run(key, id(key), {{1, 2}, static_cast<std::uint64_t>(key)});
    auto r = std::make_shared<store::record>();
    r->runs.push_back(run.start(10));
    ++offset;
    store::log_position at;
    at.at = {.offset = offset, .epoch = 1, .reign = {1, 2}, .seq = 1, .released = false};
    writer->put(std::move(r), 100, at);
  }
  bool has(engine::run_key key) const { return view->open_view()->find(id(key)).has_value(); }
  template <class Condition>
  static bool eventually(Condition c) {
    const auto deadline = std::chrono::steady_clock::now() + 30s;
    while (!c()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::sleep_for(1ms);
    }
    return true;
  }

  store::temporary_directory directory;
  std::unique_ptr<store::embedded_journal> view;
  std::int64_t offset = -1;
  std::atomic<std::int64_t> position{0};
  std::optional<view_writer> writer;  // gone first
};

TEST_F(written, a_few_wait_for_company_until_they_are_due) {
  write(20ms);
  put(1);
  EXPECT_TRUE(eventually([&] { return position == 1; }));
  EXPECT_TRUE(has(1));
  EXPECT_FALSE(writer->lag().is_awaited());
}

TEST_F(written, enough_do_not_wait) {
  write(10min);
  for (engine::run_key k = 1; k <= 7; ++k) put(k);
  writer->passed(++offset);
  EXPECT_FALSE(has(1));
  EXPECT_TRUE(writer->lag().may_begin(id(7)));
  put(8);
  EXPECT_TRUE(eventually([&] { return position == 9; }));
  for (engine::run_key k = 1; k <= 8; ++k) EXPECT_TRUE(has(k)) << k;
}

TEST_F(written, who_reads_does_not_wait_for_company) {
  write(10min);
  for (engine::run_key k = 1; k <= 100; ++k) {
    put(k);
    writer->lag().wait(30s);
    EXPECT_TRUE(has(k));
    EXPECT_EQ(position, offset + 1) << "how far it is, is told before";
  }
}

TEST_F(written, all_is_shown_in_the_end_and_what_changes_nothing_is_passed) {
  write(10min);
  put(1);
  writer->passed(++offset);
  EXPECT_EQ(position, 0);
  EXPECT_EQ(writer->finish().status, append_status::committed);
  EXPECT_TRUE(has(1));
  EXPECT_EQ(position, 2);
  writer->passed(++offset);
  EXPECT_EQ(position, 3);
  EXPECT_EQ(writer->finish().status, append_status::committed) << "of nothing";
}

TEST_F(written, who_appends_waits_for_a_view_that_lags_too_far) {
  write(0ms);
  for (engine::run_key k = 1; k <= 2'000; ++k) put(k);
  EXPECT_GT(position, 1'000) << "not all of them are in memory";
  EXPECT_EQ(writer->finish().status, append_status::committed);
  EXPECT_EQ(view->open_view()->list({.limit = 3'000}).size(), 2'000U);
}

TEST_F(written, a_view_that_cannot_be_written_takes_nothing_more_until_it_is_read_anew) {
  write(10min);
  put(1);
  ASSERT_EQ(writer->finish().status, append_status::committed);
  store::database other(store::database_file(directory.path()), store::database::mode::read_write, 5s);
  other.execute("CREATE TRIGGER sick BEFORE INSERT ON runs BEGIN SELECT RAISE(ABORT, 'sick'); END");
  put(2);
  EXPECT_THROW(writer->lag().wait(30s), store::view_error);
  EXPECT_EQ(writer->trouble().status, append_status::unknown);
  other.execute("DROP TRIGGER sick");
  for (engine::run_key k = 3; k <= 300; ++k) put(k);
  EXPECT_EQ(writer->finish().status, append_status::unknown) << "and nobody waits for ever";
  EXPECT_FALSE(has(3)) << "2 would be missing";
  EXPECT_EQ(position, 1);
  writer->reset();
  EXPECT_EQ(writer->trouble().status, append_status::committed);
  writer->lag().wait(0ms);
  offset = 0;
  put(2);
  EXPECT_EQ(writer->finish().status, append_status::committed);
  EXPECT_TRUE(has(2));
}

TEST_F(written, what_is_not_shown_when_it_ends_is_left_to_the_log) {
  write(10min);
  put(1);
  writer.reset();
  EXPECT_FALSE(has(1));
}

}  // namespace
}  // namespace pawl::broker
