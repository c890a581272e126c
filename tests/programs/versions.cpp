// A node whose types come in the versions that the variable PAWL_TEST_VERSIONS names ("1", "2" or "1,2"), for
// tests/scripts: one binary that stands for several.
#include <cstdlib>
#include <string>

#include <pawl/pawl.hpp>

namespace {

using namespace std::chrono_literals;

// Each says which version it is.
pawl::task<std::string> picks_1(pawl::workflow_context&, std::string word) { co_return "1 " + word; }
pawl::task<std::string> picks_2(pawl::workflow_context&, std::string word) { co_return "2 " + word; }

// Whose version its child has: the two have that of their parent in front.
pawl::task<std::string> asks_1(pawl::workflow_context& wf, std::string word) {
  co_return "1 asks " + co_await wf.child("picks", picks_1, word);
}
pawl::task<std::string> asks_2(pawl::workflow_context& wf, std::string word) {
  co_return "2 asks " + co_await wf.child("picks", picks_1, word);
}

// Goes on as new once, when it is told to.
pawl::task<std::string> renews_1(pawl::workflow_context& wf, std::string so_far) {
  if (!so_far.empty()) co_return so_far + " 1";
  co_await wf.signal<std::string>("go");
  co_await wf.continue_as_new(std::string("1"));
  co_return "";
}
pawl::task<std::string> renews_2(pawl::workflow_context& wf, std::string so_far) {
  if (!so_far.empty()) co_return so_far + " 2";
  co_await wf.signal<std::string>("go");
  co_await wf.continue_as_new(std::string("2"));
  co_return "";
}

// The second version wants more.
struct one {
  std::string word;
  PAWL_FIELDS(word)
};
struct two {
  std::string word;
  int times = 0;
  PAWL_FIELDS(word, times)
};
pawl::task<std::string> strict_1(pawl::workflow_context&, one o) { co_return "1 " + o.word; }
pawl::task<std::string> strict_2(pawl::workflow_context&, two t) { co_return "2 " + t.word; }

}  // namespace

int main(int argc, char** argv) {
  const char* given = std::getenv("PAWL_TEST_VERSIONS");
  const std::string wanted = given != nullptr ? given : "1,2";
  pawl::registry types;
  if (wanted.find('1') != std::string::npos) {
    types.add("picks", {.version = 1}, picks_1).add("asks", {.version = 1}, asks_1);
    types.add("renews", {.version = 1}, renews_1).add("strict", {.version = 1}, strict_1);
  }
  if (wanted.find('2') != std::string::npos) {
    types.add("picks", {.version = 2}, picks_2).add("asks", {.version = 2}, asks_2);
    types.add("renews", {.version = 2}, renews_2).add("strict", {.version = 2}, strict_2);
  }
  return pawl::run(argc, argv, types);
}
