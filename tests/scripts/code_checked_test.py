#!/usr/bin/env python3
# needs: code_checked
"""A node that is a checked build pauses the run whose code reads a clock, says where that is, and runs the others."""
import os
import re
import unittest
from pathlib import Path

from code_node import CodeNode
from pawl_node import eventually

SOURCE = Path(os.environ["PAWL_SOURCE"]) / "tests" / "programs" / "code_checked.cpp"


class Checked(CodeNode):
    program = "code_checked"

    def paused(self, workflow):
        return eventually(lambda: (lambda s: s if s["paused"] else None)(self.node.show(workflow)[1]), f"{workflow} is paused")

    def test_code_that_reads_a_clock_is_paused_where_it_does(self):
        self.start_one("reads-clock", "c-1", 1)
        for n in range(20):
            self.start_one("is-right", f"r-{n}", n)
        shown = self.paused("c-1")
        self.assertEqual(shown["pause"]["cause"], "code_side_effect", shown)
        said = shown["pause"]["error"]["message"]
        line = next(n for n, text in enumerate(SOURCE.read_text().splitlines(), 1) if "system_clock::now" in text)
        self.assertRegex(said, r"^given event 3 \(attempt_completed\), the code reads a clock \(clock_gettime\) in .*reads_clock")
        self.assertRegex(said, re.escape(f"code_checked.cpp:{line},"))
        self.assertIn("use wf.now()", said)
        for n in range(20):
            self.assertEqual(self.ended(f"r-{n}")["state"], "completed")

        code, out, err = self.node.cli("resume", "c-1")
        self.assertEqual(code, 4, out + err)
        self.assertIn("reads a clock", out + err)
        self.kill_and_start()  # and the replay finds it again
        self.assertEqual(self.paused("c-1")["pause"]["cause"], "code_side_effect")
        self.assertEqual(self.kinds("c-1").count("run_paused"), 1)
        self.verified()


if __name__ == "__main__":
    unittest.main()
