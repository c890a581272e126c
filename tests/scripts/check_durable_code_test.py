#!/usr/bin/env python3
"""tools/check_durable_code.py finds each mistake that it says it finds, where it is, and nothing in code that is right."""
import os
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SOURCE = Path(os.environ.get("PAWL_SOURCE") or Path(__file__).resolve().parents[2])
TOOL = SOURCE / "tools" / "check_durable_code.py"

# A line each, alone in a task, and what must be said of it.
MISTAKES = [
    ("auto t = std::chrono::system_clock::now();", "a clock"),
    ("auto t = std::chrono::steady_clock::now();", "a clock"),
    ("auto t = time(nullptr);", "a clock"),
    ("auto t = std::time(0);", "a clock"),
    ("timespec t; clock_gettime(CLOCK_REALTIME, &t);", "a clock"),
    ("int n = rand();", "random numbers"),
    ("int n = std::rand() % 6;", "random numbers"),
    ("std::random_device d;", "random numbers"),
    ("std::mt19937 g(7);", "random numbers"),
    ("auto home = std::getenv(\"HOME\");", "the environment"),
    ("auto p = getpid();", "the environment"),
    ("std::thread t([] {});", "threads"),
    ("auto f = std::async([] { return 1; });", "threads"),
    ("std::this_thread::sleep_for(std::chrono::seconds(1));", "something that blocks"),
    ("sleep(1);", "something that blocks"),
    ("::usleep(1);", "something that blocks"),
    ("std::lock_guard lock(m);", "something that blocks"),
    ("std::ofstream out(name);", "files and processes"),
    ("std::filesystem::remove_all(name);", "files and processes"),
    ("auto f = fopen(name, \"r\");", "files and processes"),
    ("system(\"date\");", "files and processes"),
    ("curl_easy_perform(c);", "the network"),
    ("std::cout << 1;", "output"),
    ("printf(\"x\");", "output"),
    ("static int calls = 0;", "state that outlives the run"),
    ("thread_local int calls = 0;", "state that outlives the run"),
    ("std::unordered_map<std::string, int> m;", "an order that is not the same everywhere"),
    ("std::map<order*, int> m;", "an order that is not the same everywhere"),
    ("throw pawl::failure(co_await wf.step(\"why\", why));", "a thrown value that awaits"),
]

RIGHT = r'''
#include <ctime>
// std::this_thread::sleep_for in a comment, and rand() too
hold reserve(pawl::step_context&, const order& o) { std::this_thread::sleep_for(1s); return {std::getenv("SHELF")}; }
int plain(int n) { return n + 1; }
long not_called() { return time(nullptr); }
pawl::task<int> helper(pawl::workflow_context& wf, int n) { co_return plain(n); }
pawl::task<receipt> fulfil(pawl::workflow_context& wf, order o) {
  /* std::cout */ const auto text = "call rand() or std::getenv(x)"; const char quote = '"';
  static constexpr int most = 5;
  static_assert(most == 5);
  auto h = co_await wf.step("reserve", reserve, o).undo(release, o);
  co_await wf.step("inline", [](pawl::step_context&, const order&) { std::this_thread::sleep_for(1s); return rand(); }, o);
  co_await wf.sleep_until(wf.now() + 1h);
  if (wf.random(6) == 1) throw pawl::failure(R"(std::cout << "no")");
  const auto zone = std::getenv("TZ");  // durable: ok, the same on every node
  const std::chrono::seconds time(5);
  order.time(); o.remove(1);
  co_return co_await helper(wf, most);
}
'''


class CheckDurableCode(unittest.TestCase):
    def run_on(self, *texts):
        with tempfile.TemporaryDirectory() as scratch:
            paths = []
            for n, text in enumerate(texts):
                paths.append(str(Path(scratch) / f"{n}.cpp"))
                Path(paths[-1]).write_text(text, encoding="utf-8")
            done = subprocess.run([sys.executable, str(TOOL), *paths], capture_output=True, text=True, timeout=60, check=False)
            return done.returncode, done.stdout.replace(scratch + "/", ""), done.stderr

    def test_each_mistake_is_found_at_its_line(self):
        for line, what in MISTAKES:
            with self.subTest(line):
                code, out, _ = self.run_on("pawl::task<void> pays(pawl::workflow_context& wf, order o) {\n  co_await wf.sleep(1s);\n"
                                           f"  {line}\n}}\n")
                self.assertEqual(code, 1, out)
                self.assertRegex(out, rf"^0\.cpp:3: task 'pays': {re.escape(what)} \(")
                self.assertEqual(len({f.split(": ")[2].split(" (")[0] for f in out.splitlines()}), 1, out)

    def test_code_that_is_right_is_let_pass(self):
        code, out, err = self.run_on(RIGHT)
        self.assertEqual((code, out), (0, ""))
        self.assertIn("2 tasks in 1 files: nothing found", err)

    def test_what_a_task_calls_is_looked_at_too_in_all_files(self):
        code, out, _ = self.run_on("long now_ms();\npawl::task<long> t(pawl::workflow_context& wf) { co_return now_ms(); }\n",
                                   "long inner() { return std::time(nullptr); }\nlong now_ms() { return 1000 * inner(); }\n")
        self.assertEqual(code, 1)
        self.assertRegex(out, r"^1\.cpp:1: task 't', through inner\(\): a clock")

    def test_every_rule_is_told_and_tried(self):
        done = subprocess.run([sys.executable, str(TOOL), "--rules"], capture_output=True, text=True, timeout=60, check=False)
        told = [line.split(":")[0] for line in done.stdout.splitlines()]
        self.assertEqual(sorted(told), sorted({what for _, what in MISTAKES}))

    def test_the_examples_are_clean(self):
        files = sorted(str(p) for p in (SOURCE / "examples").rglob("*.cpp"))
        done = subprocess.run([sys.executable, str(TOOL), *files], capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual((done.returncode, done.stdout), (0, ""), done.stderr)
        self.assertRegex(done.stderr, r"^[1-9]\d* tasks in ")

    def test_a_wrong_command_line_is_2(self):
        for arguments in ([], ["--what"], ["/nowhere/a.cpp"]):
            done = subprocess.run([sys.executable, str(TOOL), *arguments], capture_output=True, text=True, timeout=60, check=False)
            self.assertEqual(done.returncode, 2)


if __name__ == "__main__":
    unittest.main()
