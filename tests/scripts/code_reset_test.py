#!/usr/bin/env python3
# needs: code_jobs
# timeout: 300
"""reset and fork by the command line: what was kept is not done again, the rest is, under new keys."""
import json
import os
import tempfile
import threading
import unittest

from pawl_node import Node, eventually


class CodeReset(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="pawl-")
        self.addCleanup(folder.cleanup)
        self.file = os.path.join(folder.name, "notes")
        self.node = Node("code_jobs", os.path.join(folder.name, "d"), flags=["--set", "node.drain_grace=300ms"],
                         log=os.path.join(folder.name, "log")).start()
        self.addCleanup(lambda: self.node.__exit__())

    def begin(self, workflow, words, version=2, asks=False):
        body = {"id": workflow, "type": "notes", "version": version, "input": {"file": self.file, "words": words, "asks": asks}}
        status, answer = self.node.ask("POST", "/v1/workflows", body)
        self.assertEqual(status, 201, answer)
        return answer

    def events(self, workflow, run=None):
        status, history = self.node.ask("GET", f"/v1/workflows/{workflow}/history" + (f"?run={run}" if run else ""))
        self.assertEqual(status, 200, history)
        return history["events"]

    def seq_of(self, workflow, kind, nth=1, run=None):
        return [e["seq"] for e in self.events(workflow, run) if e["kind"] == kind][nth - 1]

    def ended(self, workflow):
        status, end = self.node.result(workflow, wait_ms=60_000)
        self.assertEqual(status, 200, (end, self.node.tail()))
        return end

    def written(self):
        if not os.path.exists(self.file):
            return []
        with open(self.file) as f:
            return [line.split() for line in f]

    def cli(self, *words, code=0):
        got, out, err = self.node.cli(*words)
        self.assertEqual(got, code, out + err)
        return out + err

    def verified(self):
        self.cli("verify")

    def test_a_failed_run_goes_on_with_mended_code(self):
        first = self.begin("n", ["a", "bad", "c"], version=1)
        self.assertEqual(self.ended("n")["state"], "failed")
        seq = self.seq_of("n", "attempt_completed")
        told = self.cli("reset", "n", "--to", str(seq), "--version", "2", "--reason", "ink is there", "--command-id", "r-1")
        self.assertIn("run 2 goes on behind events 1 to", told)
        self.assertIn("new idempotency keys", told)
        end = self.ended("n")
        self.assertEqual([end["state"], end["run"]], ["completed", 2])
        self.assertIn("in run 1 a bad c by n in run 2", end["result"], "what was kept was said by run 1")
        words = self.written()
        self.assertEqual([w for w, _ in words], ["a", "bad", "c"], "what was done is not done again")
        second = self.events("n")[0]["start"]
        self.assertEqual([k.startswith(first["run_uid"]) for _, k in words], [True, False, False])
        self.assertEqual([k.startswith(second["run_uid"]) for _, k in words], [False, True, True])
        self.assertEqual([second["version"], second["origin"]["kind"], second["origin"]["run"], second["origin"]["seq"]], [2, "reset", 1, seq])
        self.assertEqual(self.node.ask("GET", "/v1/workflows/n?run=1")[1]["state"], "failed", "the failed run stays as it is")
        self.assertIn("had been recorded", self.cli("reset", "n", "--to", str(seq), "--version", "2", "--command-id", "r-1"))
        self.assertEqual(self.ended("n")["run"], 2)
        self.verified()

    def test_an_open_run_is_ended_and_the_next_one_outlives_its_node(self):
        self.begin("n", ["a", "b"], asks=True)
        eventually(lambda: len(self.written()) == 2 and self.node.show("n")[1]["pending"] == [], "it waits for a signal")
        seq = self.seq_of("n", "attempt_completed")
        answer = json.loads(self.cli("-o", "json", "reset", "n", "--to", str(seq)))
        self.assertEqual([answer["run"], answer["outcome"]], [2, "applied"])
        self.node.kill()  # what was answered is on record
        self.node.start()
        eventually(lambda: len(self.written()) == 3, "the step behind the cut is done again")
        self.cli("signal", "n", "more", "--input", '"please"')
        self.assertIn("please by n in run 2", self.ended("n")["result"])
        old = self.events("n", run=1)[-1]
        self.assertEqual([old["kind"], old["to_run"], old["to_seq"]], ["run_reset", 1, seq])
        self.assertEqual(self.node.ask("GET", "/v1/workflows/n/result?run=1")[1]["run"], 2, "the result is that of the run that went on")
        self.verified()

    def test_who_waits_for_an_open_run_gets_the_result_of_the_next(self):
        self.begin("n", ["a"], asks=True)
        eventually(lambda: self.node.show("n")[1]["events"] > 2, "its step is done")
        heard = []
        waiter = threading.Thread(target=lambda: heard.append(self.node.result("n", wait_ms=60_000)))
        waiter.start()
        eventually(lambda: self.node.ask("GET", "/v1/status")[1]["partition"]["waiters"] == 1, "somebody waits")
        self.cli("reset", "n", "--to", "1")
        self.cli("signal", "n", "more", "--input", '"x"')
        waiter.join()
        self.assertEqual([heard[0][0], heard[0][1]["run"], heard[0][1]["state"]], [200, 2, "completed"])
        self.verified()

    def test_signals_behind_the_cut_come_along_unless_they_are_dropped(self):
        self.begin("n", ["a"], asks=True)
        self.cli("signal", "n", "more", "--input", '"once"', "--command-id", "s-1")
        self.assertIn("once", self.ended("n")["result"])
        seq = self.seq_of("n", "attempt_completed")
        self.cli("reset", "n", "--to", str(min(seq, self.seq_of("n", "signal_received") - 1)))
        again = self.ended("n")
        self.assertEqual(again["run"], 2)
        self.assertIn("once", again["result"])
        self.cli("reset", "n", "--to", "1", "--drop-signals")
        eventually(lambda: self.node.show("n")[1]["run"] == 3, "the third run is there")
        self.assertEqual(self.node.show("n")[1]["state"], "running")
        self.cli("signal", "n", "more", "--input", '"twice"', "--command-id", "s-2")
        self.assertIn("twice", self.ended("n")["result"])
        self.verified()

    def test_a_fork_leaves_its_origin_alone(self):
        self.begin("n", ["a", "b"], asks=True)
        eventually(lambda: len(self.written()) == 2, "it waits for a signal")
        seq = self.seq_of("n", "attempt_completed")
        told = self.cli("fork", "n", "m", "--to", str(seq), "--command-id", "f-1")
        self.assertIn(f"m: begun with events 1 to {seq} of n", told)
        self.assertIn("had been recorded", self.cli("fork", "n", "m", "--to", str(seq), "--command-id", "f-1"))
        eventually(lambda: len(self.written()) == 3, "the step behind the cut is done again")
        self.cli("signal", "m", "more", "--input", '"forked"')
        self.assertIn("forked by m in run 1", self.ended("m")["result"])
        self.assertEqual(self.node.show("n")[1]["state"], "running")
        self.cli("signal", "n", "more", "--input", '"first"')
        one, other = self.ended("n")["result"], self.ended("m")["result"]
        self.assertEqual(one.split()[0], other.split()[0], "what was drawn before the cut was kept")
        origin = self.events("m")[0]["start"]["origin"]
        self.assertEqual([origin["kind"], origin["workflow_id"], origin["run"], origin["seq"]], ["forked", "n", 1, seq])
        self.assertIn(f"behind event {seq} of n, run 1", self.cli("show", "m"))
        self.assertIn("is completed", self.cli("fork", "n", "m", "--to", "1", code=4))
        self.assertIn("is the workflow itself", self.cli("fork", "n", "n", "--to", "1", code=2))
        self.verified()

    def test_what_cannot_be_kept_is_refused_and_changes_nothing(self):
        self.begin("n", ["a"], asks=True)
        eventually(lambda: "attempt_completed" in [e["kind"] for e in self.events("n")], "its step is done, on record")
        before = self.node.show("n")[1]["events"]
        self.assertIn("has no event 99; it has 1 to", self.cli("reset", "n", "--to", "99", "--command-id", "r-99", code=2))
        self.assertIn("has no event 99; it has 1 to", self.cli("reset", "n", "--to", "99", "--command-id", "r-99", code=2))
        self.assertIn("there is no run 7", self.cli("reset", "n", "--to", "1", "--run", "7", code=3))
        self.assertIn("no version 9", self.cli("reset", "n", "--to", "1", "--version", "9", code=2))
        self.assertIn("no workflow 'nobody'", self.cli("reset", "nobody", "--to", "1", code=3))
        self.assertIn("no workflow 'nobody'", self.cli("fork", "nobody", "m", "--to", "1", code=3))
        self.assertIn("--to is 0", self.cli("reset", "n", "--to", "0", code=2))
        self.assertEqual([self.node.show("n")[1]["run"], self.node.show("n")[1]["events"]], [1, before])
        self.cli("signal", "n", "more", "--input", '"x"')
        self.ended("n")
        end = self.events("n")[-1]["seq"]
        self.assertIn(f"(run_completed) ends the run; the last that can be kept is {end - 1}", self.cli("reset", "n", "--to", str(end), code=2))
        self.verified()

    def test_children_before_during_and_after(self):
        self.node.begin("guards", "parent", {"child": "kid"})
        asked = eventually(lambda: [e["seq"] for e in self.events("parent") if e["kind"] == "child_asked"], "the child is asked")[0]
        told = self.cli("reset", "parent", "--to", str(asked), code=4)
        self.assertIn(f"waits for the answer to the start of workflow 'kid' (event {asked})", told)
        self.assertIn(f"choose an event before {asked}", told)
        # The child is reset while its parent waits: the parent gets the result of the run that went on.
        eventually(lambda: self.node.show("kid")[0] == 200, "the child runs")
        self.cli("reset", "kid", "--to", "1")
        self.cli("signal", "kid", "go", "--input", '"grown up"')
        self.assertEqual(self.ended("parent")["result"], "grown up")
        self.assertEqual(self.ended("kid")["run"], 2)
        ended = self.seq_of("parent", "child_ended")
        self.assertIn(f"or an event from {ended} on", self.cli("reset", "parent", "--to", str(asked), code=4))
        self.cli("reset", "parent", "--to", str(ended))
        again = self.ended("parent")
        self.assertEqual([again["run"], again["result"]], [2, "grown up"], "its child is not asked again")
        self.assertEqual(self.ended("kid")["run"], 2)
        # A parent that is ended by a reset takes its child along.
        self.node.begin("guards", "other", {"child": "tot"})
        eventually(lambda: self.node.show("tot")[0] == 200, "the child runs")
        self.cli("reset", "other", "--to", "1")
        eventually(lambda: self.node.show("tot")[1]["state"] == "cancelled", "the child goes with the run that asked for it")
        self.verified()


if __name__ == "__main__":
    unittest.main()
