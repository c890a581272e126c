// A node whose workflows are durable code, for tests/scripts.
#include <time.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include <pawl/pawl.hpp>

namespace {

using namespace std::chrono_literals;

std::string rest(pawl::step_context& ctx, const int& ms, const std::string& word) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(ms);
  while (std::chrono::steady_clock::now() < end && !ctx.stop_token().stop_requested()) std::this_thread::sleep_for(5ms);
  if (ctx.stop_token().stop_requested()) throw pawl::step_error("told to stop", "stopped");
  return word;
}
void kill_process(pawl::step_context&) { std::abort(); }
void take_back(pawl::step_context&, const std::string&, const std::optional<std::string>&) {}

// The arguments of its second step follow from what came before it, so that a child process has to follow too.
pawl::task<std::string> rests(pawl::workflow_context& wf, int ms) {
  const auto first = co_await wf.step("first", rest, 1, "after " + std::to_string(wf.random(1000)));
  const auto second = co_await wf.step("second", rest, {.timeout = 60s}, ms, first + ", rested");
  co_return second == first + ", rested" ? "rested" : "mixed up";
}

pawl::task<void> aborts(pawl::workflow_context& wf) {
  co_await wf.step("before", rest, 1, "x").undo(take_back, "x");
  co_await wf.step("kill", kill_process, {.timeout = 60s});
}

// Computes for so long, however busy the machine is.
void compute(int ms) {
  const auto spent = [] {
    timespec t{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return std::int64_t{t.tv_sec} * 1000 + t.tv_nsec / 1'000'000;
  };
  for (const auto until = spent() + ms; spent() < until;) {
  }
}

// What code must not do, and a checked build would find first.
pawl::task<int> is_slow(pawl::workflow_context& wf, int ms) {
  co_await wf.step("before", rest, 1, "x");
  pawl::unchecked([&] { compute(ms); });
  co_await wf.step("after", rest, 1, "x");
  co_return ms;
}
pawl::task<int> nods(pawl::workflow_context& wf, int ms) {
  co_await wf.step("before", rest, 1, "x");
  pawl::unchecked([&] { std::this_thread::sleep_for(std::chrono::milliseconds(ms)); });
  co_await wf.step("after", rest, 1, "x");
  co_return ms;
}

// --- families

int twice(pawl::step_context&, const int& n) { return 2 * n; }

pawl::task<int> doubles(pawl::workflow_context& wf, int n) { co_return co_await wf.step("twice", twice, n); }

pawl::task<long> sums(pawl::workflow_context& wf, int n) {
  std::vector<int> all;
  for (int k = 0; k < n; ++k) all.push_back(k);
  long sum = 0;
  for (const auto part : co_await pawl::each(all, 200, [&](int k) { return wf.child("doubles", doubles, k); }))
    sum += part;
  co_return sum;
}

pawl::task<int> naps(pawl::workflow_context& wf, int n) {
  co_await wf.sleep(300ms);
  co_return n;
}

// Slow enough to be killed on the way.
pawl::task<long> dozes(pawl::workflow_context& wf, int n) {
  std::vector<int> all;
  for (int k = 0; k < n; ++k) all.push_back(k);
  long sum = 0;
  for (const auto part : co_await pawl::each(all, 40, [&](int k) { return wf.child("naps", naps, k); })) sum += part;
  co_return sum;
}

pawl::task<std::string> waits(pawl::workflow_context& wf) { co_return co_await wf.signal<std::string>("go"); }

struct family {
  std::string child;
  std::string when_dropped;
  PAWL_FIELDS(child, (when_dropped, "cancel"))
};

pawl::task<std::string> guards(pawl::workflow_context& wf, family f) {
  const auto drop = f.when_dropped == "kill"      ? pawl::parent_close::kill
                    : f.when_dropped == "abandon" ? pawl::parent_close::abandon
                                                  : pawl::parent_close::cancel;
  try {
    co_return co_await wf.child("waits", waits, {.id = f.child, .when_dropped = drop});
  } catch (const pawl::child_failed& e) {
    co_return "child " + e.workflow_id() + ": " + e.code();
  }
}

pawl::task<std::string> tells(pawl::workflow_context& wf, std::string id) {
  try {
    co_await wf.signal_to(id, "go", std::string("from another"));
  } catch (const pawl::signal_failed& e) {
    co_return e.code();
  }
  co_return "told";
}

// Many steps of one name, each of which is undone.
pawl::task<void> stacks(pawl::workflow_context& wf, int n) {
  for (int k = 0; k < n; ++k) co_await wf.step("push", rest, 1, "x").undo(take_back, "x");
  throw pawl::failure("that was all", "all");
}

struct counter {
  int left = 0;
  int total = 0;
  bool held = false;  ///< the run goes on when it is told so
  PAWL_FIELDS(left, (total, 0), (held, false))
};

pawl::task<int> renews(pawl::workflow_context& wf, counter c) {
  if (c.held) co_await wf.signal<std::string>("go");
  if (c.left == 0) co_return c.total;
  c.total += co_await wf.step("twice", twice, c.left);
  co_await wf.continue_as_new(counter{.left = c.left - 1, .total = c.total});
  co_return -1;
}

// --- what is done again after a reset

struct notebook {
  std::string file;
  std::vector<std::string> words;
  bool asks = false;
  PAWL_FIELDS(file, words, (asks, false))
};

std::string write_down(pawl::step_context& ctx, const std::string& file, const std::string& word) {
  std::ofstream(file, std::ios::app) << word << ' ' << ctx.idempotency_key() << '\n';
  return word;
}
// The bug for which version 2 is there.
std::string write_down_badly(pawl::step_context& ctx, const std::string& file, const std::string& word) {
  if (word == "bad") throw pawl::permanent_error("no ink", "no_ink");
  return write_down(ctx, file, word);
}

pawl::task<std::string> writes(pawl::workflow_context& wf, notebook n, bool mended) {
  auto all = std::to_string(wf.random(1'000'000)) + " in run " + std::to_string(wf.run());
  for (const auto& word : n.words)
    all += " " + co_await wf.step("write", mended ? write_down : write_down_badly, n.file, word);
  if (n.asks) all += " " + co_await wf.signal<std::string>("more");
  co_return all + " by " + wf.workflow_id() + " in run " + std::to_string(wf.run());
}
pawl::task<std::string> notes_1(pawl::workflow_context& wf, notebook n) {
  co_return co_await writes(wf, std::move(n), false);
}
pawl::task<std::string> notes_2(pawl::workflow_context& wf, notebook n) {
  co_return co_await writes(wf, std::move(n), true);
}

}  // namespace

int main(int argc, char** argv) {
  pawl::registry types;
  types.add("rests", {}, rests).add("aborts", {}, aborts).add("is-slow", {}, is_slow);
  types.add("doubles", {}, doubles)
      .add("sums", {}, sums)
      .add("naps", {}, naps)
      .add("dozes", {}, dozes)
      .add("waits", {}, waits)
      .add("guards", {}, guards)
      .add("nods", {}, nods);
  types.add("tells", {}, tells).add("renews", {}, renews).add("stacks", {}, stacks);
  types.add("notes", {.version = 1}, notes_1).add("notes", {.version = 2}, notes_2);
  return pawl::run(argc, argv, types);
}
