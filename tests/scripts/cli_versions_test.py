#!/usr/bin/env python3
# needs: versions
# timeout: 300
"""Several versions of a type in one binary, and `types use`, on one node: which version new runs get, children and runs that
continue as new too; over kills, restarts and binaries that lack a version."""
import json
import os
import tempfile
import unittest

from pawl_node import Node


class Versions(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="pawl-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.started = 0
        self.node = self.binary("1,2").start()
        self.addCleanup(lambda: self.node.__exit__())

    def binary(self, versions):
        return Node("versions", os.path.join(self.folder, "d"), {"PAWL_TEST_VERSIONS": versions}, log=os.path.join(self.folder, "log"))

    def run_cli(self, *words, expect=0):
        code, out, err = self.node.cli(*words)
        self.assertEqual(code, expect, f"{words}: {out}{err}")
        return out if expect == 0 else err

    def result(self, kind, value="x", *flags):
        self.started += 1
        return json.loads(self.run_cli("start", kind, "--id", f"w-{self.started}", "--input", json.dumps(value), "--wait", *flags))

    def type(self, name="picks"):
        return json.loads(self.run_cli("types", name, "-o", "json"))

    def test_a_mark_is_what_new_runs_get(self):
        self.assertEqual(self.result("picks"), "2 x")
        self.assertEqual((self.type()["current"], self.type()["current_by"], self.type()["marked"]), (2, "local", None))
        self.assertRegex(self.run_cli("types"), r"picks +2 +newest")
        self.assertEqual(self.run_cli("types", "use", "picks", "1"), "picks: new runs get version 1\n")
        self.assertEqual(self.result("picks"), "1 x")
        self.assertEqual(self.result("picks", "x", "--version", "2"), "2 x", "one that names its version gets it")
        self.assertEqual(self.result("asks"), "2 asks 1 x", "the child is a new run of its own type")
        self.assertRegex(self.run_cli("types"), r"picks +1 +marked")
        # What goes on as new is a new run too.
        self.run_cli("start", "renews", "--id", "r", "--input", '""')
        self.run_cli("types", "use", "renews", "1")
        self.run_cli("signal", "r", "go", "--input", '"now"')
        self.assertEqual(json.loads(self.run_cli("result", "r", "--wait")), "2 1")
        # It is on record: a kill, another start, and no node at all.
        self.node.kill()
        self.assertEqual((self.type()["current"], self.type()["current_by"]), (1, "marked"))
        self.assertIn("Start one", self.run_cli("types", "use", "picks", "2", expect=5))
        self.node.start()
        self.assertEqual(self.result("picks"), "1 x")
        self.assertIn("no version is marked", self.run_cli("types", "use", "picks", "latest"))
        self.assertEqual(self.result("picks"), "2 x")
        self.run_cli("types", "use", "picks", "1")
        self.run_cli("types", "use", "picks", "--clear")
        self.assertEqual(self.result("picks"), "2 x")
        self.assertEqual(self.result("asks"), "2 asks 2 x")
        self.run_cli("verify")

    def test_one_command_is_done_once(self):
        first = json.loads(self.run_cli("types", "use", "picks", "1", "--command-id", "u-1", "-o", "json"))
        self.assertEqual((first["version"], first["revision"], first["outcome"]), (1, 1, "applied"))
        self.run_cli("types", "use", "picks", "2", "--command-id", "u-2")
        self.node.kill()
        self.node.start()
        again = json.loads(self.run_cli("types", "use", "picks", "1", "--command-id", "u-1", "-o", "json"))
        self.assertEqual((again["revision"], again["outcome"]), (1, "duplicate"))
        self.assertIn("had been recorded", self.run_cli("types", "use", "picks", "1", "--command-id", "u-1"))
        self.assertEqual(self.type()["marked"], 2, "a repeat that comes late takes nothing back")
        # A start that is sent again says which version it got, whatever is marked by now.
        start = ("start", "picks", "--id", "s", "--input", '"x"', "--command-id", "c-1", "-o", "json")
        self.assertEqual(json.loads(self.run_cli(*start))["version"], 2)
        self.run_cli("types", "use", "picks", "1")
        repeat = json.loads(self.run_cli(*start))
        self.assertEqual((repeat["version"], repeat["outcome"]), (2, "duplicate"))

    def test_what_cannot_be_marked(self):
        self.assertIn("no living node runs version 7 of workflow type 'picks': this node runs 1, 2", self.run_cli("types", "use", "picks", "7", expect=3))
        self.assertIn("--force", self.run_cli("types", "use", "picks", "7", expect=3))
        self.assertIn("did you mean 'picks'?", self.run_cli("types", "use", "pics", "1", expect=3).lower())
        self.assertIn("is no version", self.run_cli("types", "use", "picks", "two", expect=2))
        self.run_cli("types", "use", "picks", "7", "--force")
        err = self.run_cli("start", "picks", "--input", '"x"', expect=3)
        self.assertIn("version 7", err)
        self.assertIn("marked for new runs", err)
        self.assertEqual(self.result("picks", "x", "--version", "1"), "1 x")
        self.assertRegex(self.run_cli("types"), r"picks +7 +marked")
        self.run_cli("types", "use", "picks", "latest")
        self.assertEqual(self.result("picks"), "2 x")

    def test_the_input_is_that_of_the_version(self):
        self.run_cli("types", "use", "strict", "1")
        self.assertEqual(self.result("strict", {"word": "x"}), "1 x")
        self.run_cli("types", "use", "strict", "2")
        self.assertIn("times", self.run_cli("start", "strict", "--input", '{"word": "x"}', expect=2))
        self.assertEqual(self.result("strict", {"word": "x", "times": 2}), "2 x")

    def test_a_binary_that_lacks_the_marked_version(self):
        self.run_cli("types", "use", "picks", "1")
        self.node.drain()
        self.node = self.binary("2").start()
        self.assertIn("marked for new runs", self.run_cli("start", "picks", "--input", '"x"', expect=3))
        self.assertEqual(self.result("asks"), "2 asks 2 x", "a child gets what it would get without the mark")
        self.run_cli("types", "use", "picks", "2")
        self.assertEqual(self.result("picks"), "2 x")


if __name__ == "__main__":
    unittest.main(verbosity=2)
