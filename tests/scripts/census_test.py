#!/usr/bin/env python3
# needs: census
# timeout: 300
"""The example with a thousand children: what its README says, and the same with a node that is killed on the way."""
import json
import os
import tempfile
import unittest

from pawl_node import Node, eventually

ALL = {"households": 1000, "people": 2440, "nobody_home": 20}


class Census(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="pawl-")
        self.addCleanup(folder.cleanup)
        self.node = Node("census", os.path.join(folder.name, "d"), flags=["--set", "node.drain_grace=300ms"], log=os.path.join(folder.name, "log")).start()
        self.addCleanup(lambda: self.node.__exit__())

    def counted(self, **filters):
        query = "&".join(f"{k}={v}" for k, v in {"type": "ask-household", "limit": 1000, **filters}.items())
        status, answer = self.node.ask("GET", "/v1/workflows?" + query)
        self.assertEqual(status, 200, answer)
        return len(answer["workflows"])

    def test_as_its_readme_says(self):
        code, out, err = self.node.cli("start", "take-census", "--id", "town", "--input", "{}", "--wait")
        self.assertEqual(code, 0, out + err)
        self.assertEqual(json.loads(out), ALL)
        self.assertEqual(self.counted(), 1000)
        self.assertEqual(self.counted(state="failed"), 20)

    def test_the_node_is_killed_on_the_way(self):
        status, answer = self.node.begin("take-census", "town", {"at_once": 50})
        self.assertEqual(status, 201, answer)
        eventually(lambda: self.counted(state="closed") > 100, "some have answered")
        self.node.kill()
        self.node.start()
        status, end = self.node.result("town", wait_ms=60_000)
        self.assertEqual(status, 200, end)
        self.assertEqual(end["result"], ALL)
        self.assertEqual(self.counted(), 1000)
        code, out, err = self.node.cli("verify")
        self.assertEqual(code, 0, out + err)

    def test_it_is_cancelled_with_those_who_have_not_answered(self):
        status, answer = self.node.begin("take-census", "town", {"households": 400, "at_once": 400})
        self.assertEqual(status, 201, answer)
        eventually(lambda: self.counted() > 0, "some are asked")
        self.node.cli("cancel", "town")
        eventually(lambda: self.counted(state="open") == 0, "nobody is asked any more")


if __name__ == "__main__":
    unittest.main()
