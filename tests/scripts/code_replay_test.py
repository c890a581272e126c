#!/usr/bin/env python3
# needs: approval
# timeout: 300
"""Histories leave the store as files, and a binary says whether its code still fits them: `history --export`, `replay`."""
import io
import json
import os
import subprocess
import sys
import tempfile
import unittest

from pawl_cluster import PYTHON

try:
    import msgpack
except ModuleNotFoundError:  # Debian's Python has Debian's python3-msgpack
    if os.path.realpath(sys.executable) == os.path.realpath(PYTHON):
        raise
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    os.execve(PYTHON, [PYTHON, *sys.argv], kept)

from pawl_node import Node, binary, eventually

EXPENSE = {"who": "ada", "what": "a chair", "amount": 250.0}


class Replay(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="pawl-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.node = Node("approval", os.path.join(folder.name, "d"), log=os.path.join(folder.name, "log")).start()
        self.addCleanup(lambda: self.node.__exit__())
        self.assertEqual(self.node.begin("approve-expense", "e-1", EXPENSE)[0], 201)
        eventually(lambda: self.node.show("e-1")[1].get("timers"), "it waits")
        self.file = os.path.join(folder.name, "e-1.pawl")

    def export(self):
        code, out, err = self.node.cli("history", "e-1", "--export", self.file)
        self.assertEqual(code, 0, out + err)
        with open(self.file, "rb") as f:
            return f.read()

    def without_node(self, name, *arguments):
        done = subprocess.run([binary(name), *arguments], capture_output=True, text=True, cwd=self.folder, timeout=60, check=False)
        return done.returncode, done.stdout, done.stderr

    def test_a_history_is_exported_whole_and_replayed_without_data(self):
        raw = self.export()
        told = self.node.history("e-1")[1]["events"]
        values = list(msgpack.Unpacker(io.BytesIO(raw), raw=False))
        self.assertEqual(values[0][:2], ["pawl-history", 1])
        self.assertEqual([v[0] for v in values[1:-1]], [e["seq"] for e in told])
        self.assertEqual(values[-1], len(told))
        code, out, err = self.without_node("approval", "replay", self.file)
        self.assertEqual(code, 0, err)
        self.assertEqual(out, f"{self.file}: replayed {len(told)} events: as recorded\n")
        code, out, err = self.node.cli("replay", "e-1", self.file, "-o", "json")
        self.assertEqual(code, 0, err)
        report = json.loads(out)
        self.assertTrue(report["ok"])
        self.assertEqual([r["verdict"] for r in report["replays"]], ["as_recorded"] * 2)
        self.assertEqual([r["events"] for r in report["replays"]], [len(told)] * 2)

    def test_a_binary_without_the_code_says_so_and_exits_1(self):
        self.export()
        code, out, err = self.without_node("code_jobs", "replay", self.file)
        self.assertEqual(code, 1)
        self.assertIn("no_code at event 1: this binary has no workflow type approve-expense version 1", out)
        self.assertIn("not every history fits", err)

    def test_what_is_no_file_and_no_workflow_is_not_found_and_what_is_damaged_is_refused(self):
        raw = self.export()
        self.assertEqual(self.node.cli("replay", "nobody")[0], 3)
        for damaged in (raw[:-1], b"{}", b""):
            with open(self.file, "wb") as f:
                f.write(damaged)
            code, _, err = self.without_node("approval", "replay", self.file)
            self.assertEqual(code, 2, err)
            self.assertIn("is no exported history", err)

    def test_without_a_node_the_store_is_read(self):
        self.node.kill()
        code, out, err = self.node.cli("replay", "e-1")
        self.assertEqual(code, 0, err)
        self.assertIn(": as recorded", out)


if __name__ == "__main__":
    unittest.main()
