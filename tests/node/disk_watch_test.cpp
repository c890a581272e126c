#include "node/disk_watch.hpp"

#include <sys/stat.h>

#include "node/strikes.hpp"
#include "tests/node/api_fixture.hpp"

namespace pawl::node {
namespace {

using namespace std::chrono_literals;

struct told {
  std::vector<std::pair<bool, std::string>> all;
  disk_watch::changed_function hear() {
    return [this](bool sick, const std::string& why) { all.emplace_back(sick, why); };
  }
};

TEST(disk_watch, is_sick_from_a_failure_on_until_the_disk_takes_and_gives_back_what_is_written) {
  temporary_directory directory;
  told heard;
  disk_watch disk(directory.path(), heard.hear());
  EXPECT_FALSE(disk.sick());
  disk.look();
  EXPECT_FALSE(std::filesystem::exists(directory.path() + "/pawl.probe")) << "a disk that is well is left alone";
  disk.failed("x.db: no space is left");
  disk.failed("y.db: no space is left");
  EXPECT_TRUE(disk.sick());
  EXPECT_EQ(disk.why(), "x.db: no space is left");
  disk.look();
  EXPECT_TRUE(disk.sick()) << "it is not tried at once";
  ASSERT_TRUE(eventually([&] {
    disk.look();
    return !disk.sick();
  }));
  EXPECT_EQ(disk.why(), "");
  EXPECT_FALSE(std::filesystem::exists(directory.path() + "/pawl.probe"));
  const std::vector<std::pair<bool, std::string>> expected{{true, "x.db: no space is left"}, {false, ""}};
  EXPECT_EQ(heard.all, expected);
}

TEST(disk_watch, one_that_cannot_be_written_stays_sick_and_says_why) {
  std::optional<temporary_directory> directory(std::in_place);
  told heard;
  const auto path = directory->path();
  disk_watch disk(path, heard.hear());
  directory.reset();
  disk.failed("gone");
  ASSERT_TRUE(eventually([&] {
    disk.look();
    return disk.why() != "gone";
  }));
  EXPECT_TRUE(disk.sick());
  EXPECT_NE(disk.why().find(path + "/pawl.probe cannot be made: No such file"), std::string::npos) << disk.why();
  EXPECT_EQ(heard.all.size(), 1U);
  ASSERT_TRUE(std::filesystem::create_directory(path));
  ASSERT_TRUE(eventually([&] {
    disk.look();
    return !disk.sick();
  }));
  std::filesystem::remove_all(path);
}

TEST(disk_watch, a_relapse_is_probed_more_seldom) {
  temporary_directory directory;
  told heard;
  disk_watch disk(directory.path(), heard.hear());
  const auto heals = [&] {
    disk.failed("full");
    const auto begun = std::chrono::steady_clock::now();
    EXPECT_TRUE(eventually([&] {
      disk.look();
      return !disk.sick();
    }));
    return std::chrono::steady_clock::now() - begun;
  };
  EXPECT_GE(heals(), first_probe_pause);
  EXPECT_GE(heals(), 2 * first_probe_pause);
}

TEST(strikes, are_too_many_only_within_the_window) {
  strikes s(3, 10s);
  const strikes::clock::time_point t{1000s};
  EXPECT_FALSE(s.hit(t));
  EXPECT_FALSE(s.hit(t + 6s));
  EXPECT_FALSE(s.hit(t + 12s)) << "the first is too long ago";
  EXPECT_TRUE(s.hit(t + 13s));
  EXPECT_FALSE(s.hit(t + 14s)) << "counted from none again";
}

}  // namespace
}  // namespace pawl::node
