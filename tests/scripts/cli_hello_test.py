#!/usr/bin/env python3
# needs: hello
"""The transcript in the README of examples/hello is what the example prints."""
import os
import re
import subprocess
import tempfile
import unittest

from pawl_node import DEADLINE, binary, eventually

SOURCE = os.environ.get("PAWL_SOURCE", os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))


def transcript():
    """[(command, expected output)]"""
    with open(os.path.join(SOURCE, "examples/hello/README.md"), encoding="utf-8") as f:
        lines = [line[4:] for line in f.read().splitlines() if line.startswith("    ")]
    steps = []
    for line in lines:
        if line.startswith("$ "):
            steps.append((line[2:], []))
        else:
            steps[-1][1].append(line)
    return steps


class Hello(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="pawl-hello-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.environment = {**os.environ, "PATH": os.path.dirname(binary("hello")) + ":" + os.environ["PATH"]}

    def shell(self, command):
        return subprocess.run(["bash", "-c", command], cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=DEADLINE, check=False)

    def begin(self):
        node = subprocess.Popen([binary("hello"), "node"], cwd=self.folder, stderr=subprocess.DEVNULL)

        def end():
            node.terminate()
            self.assertEqual(node.wait(DEADLINE), 0)
        self.addCleanup(end)
        eventually(lambda: self.shell("hello status").returncode == 0, "the node is up")

    def test_transcript(self):
        steps = transcript()
        self.assertGreaterEqual(len(steps), 7)
        for command, expected in steps:
            if command == "hello node &":
                self.begin()
                continue
            out = self.shell(command).stdout.splitlines()
            self.assertEqual(len(out), len(expected), (command, out))
            for line, wanted in zip(out, expected):
                # "..." stands for times, which differ.
                pattern = ".*".join(re.escape(re.sub(r" +", " ", part)) for part in wanted.split("..."))
                self.assertRegex(re.sub(r" +", " ", line), f"^{pattern}$", command)


if __name__ == "__main__":
    unittest.main(verbosity=2)
