#!/usr/bin/env python3
# needs: code_jobs
# timeout: 300
"""Steps of durable code that are lost with their process and go on in a child, that kill it; code that is too slow."""
import unittest

from code_node import CodeNode
from pawl_node import eventually


class CodeLives(CodeNode):
    program = "code_jobs"
    flags = ("--set", "node.drain_grace=300ms")

    def paused(self, workflow, cause):
        shown = eventually(lambda: (lambda s: s if s["paused"] else None)(self.node.show(workflow)[1]), f"{workflow} is paused")
        self.assertEqual(shown["pause"]["cause"], cause, shown)
        return shown

    def test_a_step_that_is_lost_runs_again_in_a_child_which_follows_the_code(self):
        for n in range(4):
            self.start_one("rests", f"r-{n}", 1500)
        eventually(lambda: all(self.kinds(f"r-{n}").count("attempt_started") == 2 for n in range(4)), "all rest")
        self.kill_and_start()
        for n in range(4):
            self.assertEqual(self.ended(f"r-{n}").get("result"), "rested", self.node.history(f"r-{n}"))
            self.assertIn("attempt_lost", self.kinds(f"r-{n}"))
            self.assertTrue(any(e.get("in_child") for e in self.node.history(f"r-{n}")[1]["events"]))
        self.verified()

    def test_a_step_that_kills_its_process_is_found_out(self):
        self.start_one("aborts", "a-1")
        eventually(lambda: self.node.process.poll() is not None, "the step takes the node down")
        self.node.start()
        self.paused("a-1", "step_kills_process")
        self.assertEqual(self.node.cli("skip", "a-1", "--step", "kill")[0], 0)
        self.assertEqual(self.ended("a-1")["state"], "completed")

    def test_code_that_is_too_slow_is_paused_and_goes_on_when_it_is_told(self):
        self.start_one("is-slow", "s-1", 1300)
        shown = self.paused("s-1", "code_too_slow")
        self.assertIn("between two awaits", shown["pause"]["error"]["message"])
        self.assertEqual(self.node.cli("resume", "s-1")[0], 0)
        self.assertEqual(self.ended("s-1")["result"], 1300)
        self.assertIn("workflow code is too slow", self.node.tail())

    def test_code_that_sleeps_is_told_of_but_has_not_computed(self):
        self.start_one("nods", "n-1", 1300)
        self.assertEqual(self.ended("n-1")["result"], 1300)
        self.assertIn("workflow code is too slow workflow_id=n-1", self.node.tail())

    def test_a_step_of_code_is_skipped_with_a_result_of_its_type_only(self):
        self.start_one("aborts", "a-2")
        eventually(lambda: self.node.process.poll() is not None, "the step takes the node down")
        self.node.start()
        self.paused("a-2", "step_kills_process")
        code, out, err = self.node.cli("skip", "a-2", "--step", "kill", "--result", "7")
        self.assertEqual(code, 2, err)
        self.assertIn("the result of step 'kill': the step returns nothing", err)
        self.assertEqual(self.node.cli("skip", "a-2", "--step", "kill")[0], 0)
        self.assertEqual(self.ended("a-2")["state"], "completed")


if __name__ == "__main__":
    unittest.main()
