#!/usr/bin/env python3
"""The profile by which release builds are compiled (`./dev profile`): clang can read it, it knows the hot paths by the names that they
have now, and nothing in it tells where it was made."""
import os
import re
import subprocess
import unittest
from pathlib import Path

SOURCE = Path(os.environ.get("PAWL_SOURCE", Path(__file__).resolve().parents[2]))
PROFILE = SOURCE / "cmake/release.profdata"
# Of each room something that every workflow passes; one that is renamed is compiled without a profile until it is counted anew.
HOT = ["pawl::engine::decide(", "pawl::engine::evolve(", "pawl::engine::encode_body(", "pawl::actors::workflow_state::decide(",
       "pawl::actors::commit_queue::append(", "pawl::store::record_writer::", "pawl::broker::feed_publisher::state::session::publish(",
       "pawl::broker::command_intake::", "pawl::node::write_event("]


class ReleaseProfile(unittest.TestCase):
    def test_names_the_hot_paths_of_today(self):
        told = subprocess.run(["llvm-profdata-19", "show", "--all-functions", "--counts", str(PROFILE)], capture_output=True, text=True, check=True).stdout
        shown = subprocess.run(["c++filt"], input=told, capture_output=True, text=True, check=True).stdout
        counted = {}
        name = ""
        for line in shown.splitlines():
            if re.match(r"^  \S.*:$", line):
                name = line.strip()
            elif line.startswith("    Block counts:"):
                counted[name] = max(map(int, re.findall(r"\d+", line)), default=0)
        self.assertGreater(len(counted), 1000)
        for hot in HOT:
            most = max((n for function, n in counted.items() if hot in function), default=0)
            self.assertGreater(most, 10_000, f"{hot} is not in {PROFILE.name}, or was hardly ever called: run ./dev profile")

    def test_tells_of_no_folder(self):
        self.assertNotIn(os.fsencode(SOURCE), PROFILE.read_bytes())
        told = subprocess.run(["llvm-profdata-19", "show", "--all-functions", str(PROFILE)], capture_output=True, text=True, check=True).stdout
        names = [line.strip() for line in told.splitlines() if line.startswith("  ") and ";" in line]
        self.assertTrue(names, "static functions have the name of their file before theirs")
        self.assertEqual([n for n in names if "/" in n.split(";")[0]], [])


if __name__ == "__main__":
    unittest.main()
