"""A test case that has a node of one binary with durable code: what such tests do with it over and over."""
import os
import tempfile
import unittest

from pawl_node import Node


class CodeNode(unittest.TestCase):
    program = None
    flags = ()

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="pawl-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.node = Node(self.program, os.path.join(folder.name, "d"), flags=self.flags, log=os.path.join(folder.name, "log")).start()
        self.addCleanup(lambda: self.node.__exit__())

    def start_one(self, kind, workflow, value=None, **more):
        status, answer = self.node.begin(kind, workflow, value, **more)
        self.assertEqual(status, 201, answer)

    def kill_and_start(self):
        self.node.kill()
        self.node.start()

    def kinds(self, workflow):
        return [e["kind"] for e in self.node.history(workflow)[1]["events"]]

    def ended(self, workflow):
        status, end = self.node.result(workflow, wait_ms=60_000)
        self.assertEqual(status, 200, (end, self.node.tail()))
        return end

    def verified(self):
        code, out, err = self.node.cli("verify")
        self.assertEqual(code, 0, out + err)
