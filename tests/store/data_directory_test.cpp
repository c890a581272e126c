#include "store/data_directory.hpp"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "store/errors.hpp"
#include "tests/store/fixture.hpp"

namespace pawl::store {
namespace {

std::string error_of(const std::string& path) {
  try {
    const data_directory d(path);
    return "";
  } catch (const store_error& e) {
    return e.what();
  }
}

TEST(data_directory, is_made_for_its_owner_alone) {
  const temporary_directory t;
  const data_directory d(t.path() + "/a/b/");
  EXPECT_EQ(d.path(), t.path() + "/a/b");
  struct stat s{};
  ASSERT_EQ(::stat(d.path().c_str(), &s), 0);
  EXPECT_EQ(s.st_mode & 0777U, 0700U);
  EXPECT_EQ(d.node_id().size(), 16U);
}

TEST(data_directory, keeps_its_node_id) {
  const temporary_directory t;
  const auto first = data_directory(t.path()).node_id();
  EXPECT_EQ(data_directory(t.path()).node_id(), first);
  const temporary_directory other;
  EXPECT_NE(data_directory(other.path()).node_id(), first);
  std::ofstream(t.path() + "/node_id") << "not an id";
  EXPECT_EQ(error_of(t.path()), t.path() + "/node_id does not hold 16 hex digits; delete it, and a new id is drawn");
}

TEST(data_directory, is_refused_to_a_second_node_with_the_pid_of_the_first) {
  const temporary_directory t;
  EXPECT_EQ(data_directory::holder(t.path()), std::nullopt);
  {
    const data_directory first(t.path());
    EXPECT_EQ(error_of(t.path()), "the data directory " + t.path() + " is in use by another node, pid " +
                                      std::to_string(::getpid()) +
                                      "; stop that one, or choose another directory with data.dir");
    EXPECT_EQ(data_directory::holder(t.path()), ::getpid());
  }
  EXPECT_EQ(data_directory::holder(t.path()), std::nullopt);
  EXPECT_EQ(error_of(t.path()), "");
}

TEST(data_directory, is_free_when_its_node_was_killed) {
  const temporary_directory t;
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const data_directory d(t.path());
    const char c = 'x';
    if (::write(ready[1], &c, 1) != 1) ::_exit(1);
    for (;;) ::pause();
  }
  char c = 0;
  ASSERT_EQ(::read(ready[0], &c, 1), 1);
  EXPECT_NE(error_of(t.path()).find("pid " + std::to_string(child)), std::string::npos);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_EQ(error_of(t.path()), "");
  ::close(ready[0]);
  ::close(ready[1]);
}

TEST(data_directory, is_refused_when_it_is_a_file_or_below_one) {
  const temporary_directory t;
  const auto file = t.path() + "/file";
  std::ofstream(file) << "x";
  EXPECT_EQ(error_of(file),
            "the data directory " + file + " is not a directory; move the file away, or choose another with data.dir");
  EXPECT_NE(error_of(file + "/below").find("cannot make the data directory " + file + "/below"), std::string::npos);
}

// As somebody who is not root, for whom permissions do not count.
TEST(data_directory, is_refused_when_it_cannot_be_written) {
  const temporary_directory t;
  const auto path = t.path() + "/locked";
  ASSERT_EQ(::mkdir(path.c_str(), 0555), 0);
  ASSERT_EQ(::chmod(t.path().c_str(), 0755), 0);
  int told[2];
  ASSERT_EQ(::pipe(told), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    if (::geteuid() == 0 && ::setuid(65534) != 0) ::_exit(1);
    const auto text = error_of(path);
    ::_exit(::write(told[1], text.data(), text.size()) == static_cast<ssize_t>(text.size()) ? 0 : 1);
  }
  ::close(told[1]);
  std::string text(4096, '\0');
  const auto n = ::read(told[0], text.data(), text.size());
  ::close(told[0]);
  ::waitpid(child, nullptr, 0);
  text.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
  EXPECT_EQ(text, "the data directory " + path +
                      " is not writable: Permission denied; give it to the user that the node runs as, or choose "
                      "another with data.dir");
}

TEST(data_directory, tells_a_file_system_that_lives_in_memory) {
  struct stat s{};
  if (::stat("/dev/shm", &s) == 0) {
    EXPECT_TRUE(data_directory::is_in_memory("/dev/shm"));
  }
  EXPECT_FALSE(data_directory::is_in_memory("/proc"));
}

}  // namespace
}  // namespace pawl::store
