#!/usr/bin/env python3
# label: full
# needs: bad_steps
# timeout: 400
"""Steps that abort, hang or are merely long, in a real node that is killed for real."""
import os
import random
import tempfile
import time
import unittest

from pawl_node import Node, eventually

SEED = int(os.environ.get("PAWL_SEED", random.SystemRandom().randrange(2**32)))


class BadSteps(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="pawl-bad-steps-")
        self.addCleanup(folder.cleanup)
        self.node = Node("bad_steps", os.path.join(folder.name, "data"), flags=["--set", "node.drain_grace=300ms"],
                         log=os.path.join(folder.name, "node.log"))
        self.addCleanup(lambda: self.node.__exit__())

    def begin(self, kind, workflow, ms):
        status, answer = self.node.begin(kind, workflow, {"ms": ms})
        self.assertEqual(status, 201, answer)

    def kinds(self, workflow):
        return [e["kind"] for e in self.node.history(workflow)[1]["events"]]

    def ended(self, workflow, within=90):
        def result():
            status, answer = self.node.result(workflow, wait_ms=2000)
            return answer if status == 200 else None
        return eventually(result, f"{workflow} ends: {self.node.show(workflow)}", within)

    def test_a_step_that_aborts_is_paused_and_bystanders_finish(self):
        self.node.start()
        bystanders = [f"by-{k}" for k in range(20)]
        for workflow in bystanders:
            self.begin("sleeps", workflow, 2500)
        self.begin("aborts", "killer", 300)
        eventually(lambda: self.node.process.poll() is not None, "the step takes the node down")
        self.assertEqual(self.node.process.returncode, -6, self.node.tail())
        self.node.start()
        shown = eventually(lambda: (lambda s: s if s["paused"] else None)(self.node.show("killer")[1]), "the killer is paused")
        self.assertEqual(shown["pause"]["cause"], "step_kills_process", shown)
        for workflow in bystanders:
            self.assertEqual(self.ended(workflow)["state"], "completed")
            kinds = self.kinds(workflow)
            self.assertEqual(kinds.count("attempt_lost"), 1, kinds)
            self.assertEqual(kinds.count("attempt_failed") + kinds.count("attempt_timed_out"), 0, "no attempt was burnt")
        self.assertIsNone(self.node.process.poll(), "the node lives: the step died in a child")
        self.assertEqual(self.node.drain(), 0, self.node.tail())

    def test_many_kills_convict_no_innocent_long_step(self):
        print(f"seed {SEED}", flush=True)
        rng = random.Random(SEED)
        self.node.start()
        long_ones = [f"long-{k}" for k in range(8)]
        for workflow in long_ones:
            self.begin("sleeps", workflow, 1500)
        for _ in range(50):
            time.sleep(rng.uniform(0.01, 0.3))  # the moment is the fault
            self.node.kill()
            self.node.start(wait=rng.random() < 0.7)
        eventually(self.node.answers, "the node answers after the last kill")
        lost = 0
        for workflow in long_ones:
            self.assertEqual(self.ended(workflow)["state"], "completed", self.node.show(workflow))
            kinds = self.kinds(workflow)
            lost += kinds.count("attempt_lost")
            self.assertNotIn("run_paused", kinds)
        self.assertGreater(lost, 50, "the kills hit the steps")
        self.assertEqual(self.node.drain(), 0, self.node.tail())
        code, out, err = self.node.cli("verify")
        self.assertEqual(code, 0, out + err)

    def test_a_step_that_hangs_is_timed_out_and_the_node_drains(self):
        self.node.start()
        for k in range(5):
            self.begin("hangs", f"hang-{k}", 0)
        for k in range(5):
            answer = self.ended(f"hang-{k}")
            self.assertEqual(answer["state"], "failed", answer)
            self.assertEqual(self.kinds(f"hang-{k}").count("attempt_timed_out"), 2)
        self.begin("sleeps", "after", 10)
        self.assertEqual(self.ended("after")["state"], "completed")
        begun = time.monotonic()
        self.assertEqual(self.node.drain(), 0, self.node.tail())
        self.assertLess(time.monotonic() - begun, 15)


if __name__ == "__main__":
    unittest.main(verbosity=2)
