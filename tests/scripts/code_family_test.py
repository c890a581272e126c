#!/usr/bin/env python3
# needs: code_jobs
# timeout: 300
"""Workflows that start, tell and stop each other on one node, which is killed on the way; one that goes on as new."""
import json
import threading
import time
import unittest

from code_node import CodeNode
from pawl_node import DEADLINE, eventually


class CodeFamily(CodeNode):
    program = "code_jobs"
    flags = ("--set", "node.drain_grace=300ms")

    def ask(self, method, path):
        status, answer = self.node.ask(method, path)
        self.assertEqual(status, 200, answer)
        return answer

    def state(self, workflow):
        status, shown = self.node.show(workflow)
        return shown.get("state") if status == 200 else None

    def test_children_one_each_although_the_node_is_killed(self):
        n = 200
        self.start_one("dozes", "sum", n)
        for part in (10, 90):
            eventually(lambda: self.kinds("sum").count("child_ended") > part, "some children have ended")
            self.node.kill()
            self.assertNotIn("run_completed", self.kinds_on_disk("sum"), "it was killed on the way")
            self.node.start()
        self.assertEqual(self.ended("sum")["result"], n * (n - 1) // 2)
        kinds = self.kinds("sum")
        self.assertEqual(kinds.count("child_asked"), n)
        self.assertEqual(kinds.count("child_ended"), n)
        listed = self.ask("GET", "/v1/workflows?type=naps&limit=1000")
        self.assertEqual(len(listed["workflows"]), n, "one child a call")
        self.assertEqual({w["run"] for w in listed["workflows"]}, {1})
        eventually(lambda: self.ask("GET", "/v1/status")["runs"]["open"] == 0, "all has ended")
        self.verified()

    def kinds_on_disk(self, workflow):
        code, out, _ = self.node.cli("history", workflow)
        return out if code == 0 else ""

    def test_a_child_is_dropped_as_its_call_says(self):
        for what, end in (("cancel", "cancelled"), ("kill", "killed"), ("abandon", "running")):
            self.start_one("guards", f"p-{what}", {"child": f"c-{what}", "when_dropped": what})
            eventually(lambda: self.state(f"c-{what}") == "running", "the child runs")
            self.assertEqual(self.node.show(f"p-{what}")[1]["calls"], [{"call": 1, "what": "child", "workflow_id": f"c-{what}"}])
            self.assertEqual(self.node.show(f"c-{what}")[1]["parent"]["workflow_id"], f"p-{what}")
            self.assertRegex(self.node.cli("show", f"p-{what}")[1], rf"child 1 +c-{what}")
            self.assertEqual(self.node.cli("cancel", f"p-{what}")[0], 0)
            self.assertEqual(self.ended(f"p-{what}")["state"], "cancelled")
            if what != "abandon":
                self.assertEqual(self.ended(f"c-{what}")["state"], end)
        self.assertEqual(self.state("c-abandon"), "running")
        self.assertEqual(self.node.cli("signal", "c-abandon", "go", "--input", '"on"')[0], 0)
        self.assertEqual(self.ended("c-abandon")["result"], "on")
        self.start_one("guards", "p-killed", {"child": "c-killed"})
        eventually(lambda: self.state("c-killed") == "running", "the child runs")
        self.assertEqual(self.node.cli("kill", "p-killed")[0], 0)
        self.assertEqual(self.ended("c-killed")["state"], "cancelled", "although no code ran for it")
        self.verified()

    def test_an_id_that_is_taken_is_a_conflict_and_left_alone(self):
        self.start_one("waits", "taken")
        self.start_one("guards", "p", {"child": "taken"})
        self.assertEqual(self.ended("p")["result"], "child taken: conflict")
        self.assertEqual(self.state("taken"), "running")

    def test_signals_between_workflows(self):
        self.start_one("waits", "w")
        self.start_one("tells", "t", "w")
        self.assertEqual(self.ended("t")["result"], "told")
        self.assertEqual(self.ended("w")["result"], "from another")
        self.start_one("tells", "late", "w")
        self.assertEqual(self.ended("late")["result"], "conflict", "its run has ended")
        self.start_one("tells", "lost", "nobody")
        self.assertEqual(self.ended("lost")["result"], "not_found")
        self.verified()

    def test_it_goes_on_as_new_and_who_waits_gets_the_end(self):
        code, out, err = self.node.cli("start", "renews", "--id", "r", "--input", '{"left": 20}', "--wait")
        self.assertEqual(code, 0, out + err)
        self.assertIn("420", out)
        status, shown = self.node.show("r")
        self.assertEqual((status, shown["run"], shown["state"]), (200, 21, "completed"), shown)
        first = self.ask("GET", "/v1/workflows/r/history?run=1")["events"]
        self.assertEqual(first[-1]["kind"], "run_continued")
        self.assertEqual(first[-1]["input"], {"left": 19, "total": 40, "held": False})
        second = self.ask("GET", "/v1/workflows/r/history?run=2")["events"]
        self.assertEqual(second[0]["start"]["origin"]["kind"], "continued")
        self.assertEqual(second[0]["start"]["origin"]["run_uid"], first[0]["start"]["run_uid"])
        self.verified()

    def test_steps_of_one_name_are_told_apart_by_their_numbers(self):
        self.start_one("stacks", "s", 4)
        self.assertEqual(self.ended("s")["error"]["code"], "all")
        events = self.node.history("s")[1]["events"]
        done = [(e["step"], e["step_number"], e.get("undo", False)) for e in events if e["kind"] == "attempt_completed"]
        self.assertEqual(done, [("push", n, False) for n in range(4)] + [("push", n, True) for n in reversed(range(4))])
        self.assertEqual([e["order"] for e in events if "order" in e], [["#3", "#2", "#1", "#0"]])
        self.verified()

    def test_who_follows_a_history_goes_on_with_the_next_run(self):
        self.start_one("renews", "r", {"left": 3, "held": True})
        followed = {}
        words = ("-o", "json", "history", "r", "--follow")
        readers = {name: threading.Thread(target=lambda n=name, f=flags: followed.update({n: self.node.cli(*words, *f)}))
                   for name, flags in (("all", ()), ("one", ("--run", "1")), ("late", ("--from", "2")))}
        for reader in readers.values():
            reader.start()
        eventually(lambda: self.ask("GET", "/v1/status")["node"]["followers"] == len(readers), "they follow")
        self.assertEqual(self.node.cli("signal", "r", "go", "--input", '"on"')[0], 0)
        for reader in readers.values():
            reader.join(DEADLINE)
        run = ["signal_received", "attempt_started", "attempt_completed", "run_continued"]
        rest = [["run_started", *run[1:]]] * 2 + [["run_started", "run_completed"]]
        for name, expected in (("all", [["run_started", *run], *rest]), ("one", [["run_started", *run]]), ("late", [run, *rest])):
            code, out, err = followed[name]
            events = [json.loads(line) for line in out.splitlines()]
            self.assertEqual((code, [e["kind"] for e in events]), (0, sum(expected, [])), (name, err))
            seqs = [e["seq"] for e in events]
            first = 2 if name == "late" else 1
            self.assertEqual(seqs, list(range(first, 6)) + sum((list(range(1, len(e) + 1)) for e in expected[1:]), []), name)
            told = [f"following run {n + 2}" for n in range(len(expected) - 1)]
            self.assertEqual([line.split("; ")[1] for line in err.splitlines()], told, err)

    def test_signals_that_come_while_runs_follow_each_other_are_not_lost(self):
        self.start_one("renews", "r", {"left": 200})
        sent = 0
        while self.state("r") != "completed" and sent < 20:
            status, answer = self.node.ask("POST", "/v1/workflows/r/signal", {"name": "any", "input": sent})
            self.assertIn(status, (200, 409), answer)
            if status == 409:
                break
            sent += 1
        self.assertEqual(self.ended("r")["result"], 200 * 201)
        self.assertGreater(sent, 0)
        last = [e for e in self.node.history("r")[1]["events"] if e["kind"] == "signal_received"]
        self.assertEqual([e["payload"] for e in last], list(range(sent)), "the last run has all of them, in order")

    def test_a_thousand_children_are_quick(self):
        began = time.monotonic()
        self.start_one("sums", "many", 1000)
        self.assertEqual(self.ended("many")["result"], 1000 * 999)
        print(f"1,000 children took {time.monotonic() - began:.2f} s")


if __name__ == "__main__":
    unittest.main()
