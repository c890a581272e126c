#!/usr/bin/env python3
# needs: approval
# timeout: 300
"""Durable code on a real node: signals, timers, kill -9 at any moment, cancel, and what the command line shows of it."""
import json
import unittest

from code_node import CodeNode
from pawl_node import eventually

EXPENSE = {"who": "ada", "what": "a chair", "amount": 250.0}


class Approval(CodeNode):
    program = "approval"

    def begin(self, workflow, **more):
        self.start_one("approve-expense", workflow, {**EXPENSE, **more})

    def waits(self, workflow, text="waits for a decision"):
        eventually(lambda: self.node.show(workflow)[1].get("status", {}).get("text") == text, f"{workflow} {text}")

    def decide(self, workflow, approved):
        code, out, err = self.node.cli("signal", workflow, "decision", "--input", json.dumps({"approved": approved, "by": "grace"}))
        self.assertEqual(code, 0, out + err)

    def test_it_outlives_its_process(self):
        self.begin("e-1")
        self.waits("e-1")
        self.kill_and_start()
        code, out, _ = self.node.cli("show", "e-1")
        self.assertEqual(code, 0)
        self.assertIn("waits for a decision", out)
        self.assertIn("timer 1", out)
        self.decide("e-1", True)
        end = self.ended("e-1")
        self.assertEqual(end["result"], {"paid": True, "why": "approved by grace", "reminders": 0})
        self.assertEqual([k for k in self.kinds("e-1") if "attempt" not in k],
                         ["run_started", "status_published", "timer_started", "signal_received", "timer_cancelled",
                          "status_published", "run_completed"])
        self.verified()

    def test_a_reminder_and_a_limit(self):
        self.begin("e-1", remind_after=300, give_up_after=300)
        end = self.ended("e-1")
        self.assertEqual((end["state"], end["error"]["code"]), ("failed", "no_decision"))
        kinds = self.kinds("e-1")
        self.assertEqual(kinds.count("timer_fired"), 2)
        self.assertIn("compensation_started", kinds)
        self.verified()

    def test_killed_over_and_over(self):
        for n in range(12):
            self.begin(f"e-{n}", remind_after=200 if n % 2 else 86_400_000)
        for _ in range(4):
            self.kill_and_start()
        for n in range(12):
            self.decide(f"e-{n}", n % 3 != 0)
            self.node.kill() if n == 6 else None
            if n == 6:
                self.node.start()
        for n in range(12):
            self.assertEqual(self.ended(f"e-{n}")["state"], "failed" if n % 3 == 0 else "completed")
        self.verified()

    def test_signals_that_are_refused(self):
        code, _, err = self.node.cli("signal", "nobody", "decision", "--input", "true")
        self.assertEqual(code, 3, err)
        self.begin("e-1")
        self.waits("e-1")
        code, _, err = self.node.cli("signal", "e-1", "decision", "--input", '{"aproved": true}')
        self.assertNotEqual(code, 0)
        self.assertIn("decision", err)
        status, answer = self.node.ask("POST", "/v1/workflows", {"id": "e-1", "type": "approve-expense", "input": EXPENSE,
                                                                 "signal": {"name": "decision", "input": {"approved": True, "by": "ada"}}})
        self.assertEqual(status, 201, answer)
        self.assertEqual(self.ended("e-1")["result"]["why"], "approved by ada")
        status, answer = self.node.ask("POST", "/v1/workflows/e-1/signal", {"name": "decision"})
        self.assertEqual(status, 409, answer)

    def test_cancel(self):
        self.begin("e-1")
        self.waits("e-1")
        self.assertEqual(self.node.cli("cancel", "e-1", "--reason", "not needed")[0], 0)
        self.assertEqual(self.ended("e-1")["state"], "cancelled")
        self.assertIn("compensation_started", self.kinds("e-1"))
        self.verified()

    def test_a_delayed_start_begins_when_it_is_due(self):
        self.start_one("approve-expense", "e-1", EXPENSE, delay_ms=400)
        self.kill_and_start()
        self.waits("e-1")
        self.assertEqual(self.kinds("e-1")[:3], ["run_started", "timer_started", "timer_fired"])


if __name__ == "__main__":
    unittest.main()
