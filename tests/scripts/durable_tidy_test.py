#!/usr/bin/env python3
# timeout: 120
"""clang-tidy under tools/durable.clang-tidy finds each mistake that it is there for, and nothing in code that is right."""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SOURCE = Path(os.environ.get("PAWL_SOURCE") or Path(__file__).resolve().parents[2])
CONFIG = SOURCE / "tools" / "durable.clang-tidy"

HEAD = """\
#include <cstdlib>
#include <ctime>
#include <memory>
#include <mutex>
#include <random>
#include <shared_mutex>
#include <pawl/pawl.hpp>
using namespace std::chrono_literals;
"""
# A line each, and the check that has to name it.
OUTSIDE = [
    ("int calls = 0;", "cppcoreguidelines-avoid-non-const-global-variables"),
    ("static std::string last;", "cppcoreguidelines-avoid-non-const-global-variables"),
    ("std::mutex door;", "cppcoreguidelines-avoid-non-const-global-variables"),
    ("std::shared_mutex gate;", "cppcoreguidelines-avoid-non-const-global-variables"),
]
INSIDE = [
    ("auto home = std::getenv(\"HOME\");", "concurrency-mt-unsafe"),
    ("auto day = std::localtime(&when);", "concurrency-mt-unsafe"),
    ("auto text = std::asctime(day);", "concurrency-mt-unsafe"),
    ("auto dice = std::rand();", "cert-msc50-cpp"),
    ("auto drawn = ::drand48();", "concurrency-mt-unsafe"),
    ("std::mt19937 fixed(7);", "cert-msc51-cpp"),
    ("std::lock_guard one(door);", "misc-coroutine-hostile-raii"),
    ("std::unique_lock two(door);", "misc-coroutine-hostile-raii"),
    ("std::scoped_lock three(door);", "misc-coroutine-hostile-raii"),
    ("std::shared_lock four(gate);", "misc-coroutine-hostile-raii"),
    ("given = taken.size();", "bugprone-use-after-move"),
]
RIGHT = HEAD + """\
constexpr int most = 3;
const std::string greeting = "hello";
int work(pawl::step_context&, std::string name) { return static_cast<int>(name.size()); }
pawl::task<int> right(pawl::workflow_context& wf, std::string name) {
  auto when = wf.now();
  auto drawn = wf.random(6);
  int sum = 0;
  while (static_cast<int>(drawn) + sum < most) sum += co_await wf.step("work", work, name);
  co_await wf.sleep_until(when + 1h);
  co_return sum + static_cast<int>(greeting.size());
}
"""


def source_of_mistakes():
    lines = HEAD.splitlines()
    wanted = {}
    for text, check in OUTSIDE:
        lines.append(text)
        wanted[len(lines)] = (text, check)
    lines += ["pawl::task<void> wrong(pawl::workflow_context& wf, std::string taken, std::size_t given) {",
              "  std::time_t when = 0;", "  auto kept = std::move(taken);"]
    for text, check in INSIDE:
        lines.append("  " + text)
        wanted[len(lines)] = (text, check)
    lines += ["  co_await wf.sleep(1h);", "}"]
    return "\n".join(lines) + "\n", wanted


class DurableTidy(unittest.TestCase):
    def findings(self, *files):
        """{(file, line): checks}"""
        ran = subprocess.run(
            ["clang-tidy-19", "--quiet", f"--config-file={CONFIG}", *map(str, files), "--", "-std=c++20",
             f"-I{SOURCE / 'include'}", f"-I{SOURCE}"], capture_output=True, text=True)
        found = {}
        for m in re.finditer(r"^(\S+):(\d+):\d+: (?:error|warning): .* \[([\w\-.,]+)\]$", ran.stdout, re.M):
            found.setdefault((Path(m[1]).name, int(m[2])), set()).update(m[3].split(","))
        self.assertNotIn("clang-diagnostic-error", {c for checks in found.values() for c in checks}, ran.stdout + ran.stderr)
        self.assertEqual(ran.returncode != 0, bool(found), ran.stdout + ran.stderr)
        return found

    def setUp(self):
        self.dir = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.dir)

    def test_each_mistake_is_found_where_it_is(self):
        text, wanted = source_of_mistakes()
        (self.dir / "wrong.cpp").write_text(text)
        found = self.findings(self.dir / "wrong.cpp")
        for line, (what, check) in wanted.items():
            self.assertIn(check, found.get(("wrong.cpp", line), set()), f"line {line}: {what}")
        self.assertEqual({line for _, line in found} - set(wanted), set(), "found besides")

    def test_every_check_of_the_configuration_is_tried(self):
        checks = re.search(r"^Checks: >\n((?:  .*\n)+)", CONFIG.read_text(), re.M)[1].replace(" ", "").replace("\n", "").split(",")
        self.assertEqual({c for _, c in OUTSIDE + INSIDE}, {c for c in checks if c != "-*"})

    def test_code_that_is_right_and_the_examples_pass(self):
        (self.dir / "right.cpp").write_text(RIGHT)
        examples = [f for f in sorted(SOURCE.glob("examples/*/*_workflow.cpp")) if "co_await" in f.read_text()]
        self.assertGreaterEqual(len(examples), 4)
        self.assertEqual(self.findings(self.dir / "right.cpp", *examples), {})


if __name__ == "__main__":
    sys.exit(unittest.main())
