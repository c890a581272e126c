#!/usr/bin/env python3
# needs: odd_jobs
# timeout: 240
"""The commands against a running node and, for those that read, without one: what they print and their exit codes."""
import json
import os
import tempfile
import threading
import time
import unittest

from pawl_node import Node, eventually


class Commands(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="pawl-cli-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.node = Node("odd_jobs", os.path.join(folder.name, "data"), flags=["--set", "node.drain_grace=200ms"],
                         log=os.path.join(folder.name, "node.log"))
        self.addCleanup(lambda: self.node.__exit__())

    def run_cli(self, *arguments, expect=0, stdin=None):
        """stdout of a command that ends with that exit code; all of (stdout, stderr) where the code is an error."""
        code, out, err = self.node.cli(*arguments, stdin=stdin)
        self.assertEqual(code, expect, f"{arguments}\n{out}\n{err}")
        self.assertNotIn("Sanitizer", err)
        if expect == 0:
            return out
        self.assertTrue(err.startswith("odd_jobs: ") or "json" in arguments, err)
        return out, err

    def json(self, *arguments, expect=0):
        out = self.run_cli(*arguments, "-o", "json", expect=expect)
        return json.loads(out if expect == 0 else out[0])

    def gate(self, name="gate"):
        return os.path.join(self.folder, name)

    def gated(self, workflow, *flags):
        return self.run_cli("start", "gated", "--id", workflow, "--input", json.dumps({"gate": self.gate(), "text": "through"}), *flags)

    def open_gate(self):
        with open(self.gate(), "w", encoding="utf-8"):
            pass


class WithNode(Commands):
    def setUp(self):
        super().setUp()
        self.node.start()

    def test_start_and_wait(self):
        self.assertEqual(self.run_cli("start", "gated", "--id", "w-1", "--input", '{"text":"hello"}', "--wait"), '"hello"\n')
        self.assertEqual(self.run_cli("result", "w-1"), '"hello"\n')
        answer = self.json("result", "w-1", "--wait")
        self.assertEqual((answer["state"], answer["result"], answer["id"]), ("completed", "hello", "w-1"))

    def test_the_input_may_be_a_file_or_standard_input(self):
        path = os.path.join(self.folder, "in.json")
        with open(path, "w", encoding="utf-8") as f:
            f.write('{\n  "text": "from a file"\n}\n')
        self.assertEqual(self.run_cli("start", "gated", "--input", f"@{path}", "--wait"), '"from a file"\n')
        self.assertEqual(self.run_cli("start", "gated", "--input", "-", "--wait", stdin='{"text":"from a pipe"}'), '"from a pipe"\n')

    def test_start_without_waiting_and_an_id_of_its_own(self):
        self.assertEqual(self.gated("w-1"), "w-1 started\n")
        shown = self.run_cli("start", "gated", "--input", "{}")
        self.assertRegex(shown, r"^gated-[0-9a-f]{12} started\n$")
        answer = self.json("start", "gated", "--id", "w-3", "--input", "{}", "--command-id", "c-3")
        self.assertEqual((answer["id"], answer["run"], answer["outcome"], answer["command_id"]), ("w-3", 1, "applied", "c-3"))
        again = self.run_cli("start", "gated", "--id", "w-3", "--input", "{}", "--command-id", "c-3")
        self.assertEqual(again, "w-3 had been started by this command\n")
        self.open_gate()

    def test_one_id_is_one_run_unless_told_otherwise(self):
        start = ["start", "gated", "--id", "w-1", "--input", '{"text":"x"}']
        self.run_cli(*start, "--wait")
        _, err = self.run_cli(*start, expect=4)
        self.assertIn("'w-1'", err)
        self.assertIn("--closed-id", err)
        self.run_cli(*start, "--closed-id", "allow_if_failed", expect=4)
        self.assertEqual(self.run_cli(*start, "--closed-id", "allow"), "w-1 started (run 2)\n")
        self.assertEqual(self.json("show", "w-1", "--run", "1")["run"], 1)
        self.run_cli("show", "w-1", "--run", "3", expect=3)

    def test_delay(self):
        self.run_cli("start", "gated", "--id", "later", "--input", "{}", "--delay", "1h")
        shown = self.json("show", "later")
        self.assertEqual(shown["timeline"], [])
        self.assertIsNotNone(shown["start_at"])
        self.assertIn("delayed to", self.run_cli("show", "later"))
        self.run_cli("kill", "later")

    def test_a_failed_workflow_is_exit_code_1_and_undone(self):
        _, err = self.run_cli("start", "refused", "--id", "r-1", "--input", "{}", "--wait", expect=1)
        self.assertIn("workflow 'r-1' failed: refused: it can not be done", err)
        answer = self.json("result", "r-1", expect=1)
        self.assertEqual((answer["state"], answer["error"]["code"]), ("failed", "refused"))
        shown = self.run_cli("show", "r-1")
        self.assertIn("undo prepare", shown)
        self.assertIn("failed: refused: it can not be done", shown)
        kinds = [json.loads(line)["kind"] for line in self.run_cli("history", "r-1", "-o", "json").splitlines()]
        self.assertIn("compensation_started", kinds)
        self.assertEqual(kinds[-1], "run_failed")
        self.assertEqual(len(self.run_cli("history", "r-1").splitlines()), len(kinds))
        self.assertEqual(len(self.run_cli("history", "r-1", "--from", "3", "--limit", "2").splitlines()), 2)

    def test_retries_are_shown(self):
        self.assertEqual(self.run_cli("start", "flaky", "--id", "f-1", "--input", '{"failures":3,"text":"done"}', "--wait"), '"done"\n')
        shown = self.run_cli("show", "f-1")
        for row in ("try ", "try #2 ", "try #3 ", "try #4 "):
            self.assertIn(row, shown)
        self.assertIn("█", shown)
        self.assertNotIn("\x1b", shown)

    def test_resume_and_skip(self):
        self.run_cli("start", "stuck", "--id", "s-1", "--input", '{"failures":3,"text":"at last"}')
        eventually(lambda: self.json("show", "s-1")["paused"], "s-1 is paused")
        self.assertIn("step_exhausted, at try", self.run_cli("show", "s-1"))
        self.assertEqual([w["id"] for w in self.json("list", "--state", "paused")["workflows"]], ["s-1"])
        _, err = self.run_cli("result", "s-1", expect=5)
        self.assertIn("still running", err)
        self.run_cli("resume", "s-1")
        self.assertEqual(self.run_cli("result", "s-1", "--wait"), '"at last"\n')

        self.run_cli("start", "stuck", "--id", "s-2", "--input", '{"failures":99}')
        eventually(lambda: self.json("show", "s-2")["paused"], "s-2 is paused")
        _, err = self.run_cli("skip", "s-2", "--step", "try", "--result", "5", expect=2)
        self.assertIn("expected a string", err)
        _, err = self.run_cli("skip", "s-2", "--step", "tri", "--result", '"x"', expect=3)
        self.assertIn("'tri'", err)
        self.run_cli("skip", "s-2", "--step", "try", "--result", '"given"')
        self.assertEqual(self.run_cli("result", "s-2", "--wait"), '"given"\n')
        _, err = self.run_cli("resume", "s-2", expect=4)
        self.assertIn("'s-2'", err)

    def test_who_waits_hears_of_a_pause(self):
        self.run_cli("start", "stuck", "--id", "s-1", "--input", '{"failures":3,"text":"at last"}')
        answer = {}
        waiter = threading.Thread(target=lambda: answer.update(all=self.node.cli("result", "s-1", "--wait")))
        waiter.start()
        eventually(lambda: self.json("show", "s-1")["paused"], "s-1 is paused")
        time.sleep(2.5)  # longer than the first wait of the command, which only then can tell
        self.run_cli("resume", "s-1")
        waiter.join(60)
        code, out, err = answer["all"]
        self.assertEqual((code, out), (0, '"at last"\n'))
        self.assertIn("'s-1' is paused", err)

    def test_cancel_kill_and_pause(self):
        for workflow in ("c-1", "k-1", "p-1"):
            self.gated(workflow)
        self.assertEqual(self.run_cli("cancel", "c-1", "--reason", "no time"), "c-1: cancel is recorded\n")
        _, err = self.run_cli("result", "c-1", "--wait", expect=1)
        self.assertIn("was cancelled: no time", err)
        self.run_cli("kill", "k-1", "--command-id", "k")
        self.assertIn("was killed", self.run_cli("result", "k-1", "--wait", expect=1)[1])
        self.assertEqual(self.run_cli("kill", "k-1", "--command-id", "k"), "k-1: kill had been recorded by this command\n")
        self.run_cli("pause", "p-1")
        self.assertIn("running, paused", self.run_cli("list", "--prefix", "p-"))
        self.run_cli("resume", "p-1")
        self.open_gate()
        self.assertEqual(self.run_cli("result", "p-1", "--wait"), '"through"\n')

    def test_follow_ends_with_the_workflow(self):
        self.gated("w-1")
        followed = {}
        follower = threading.Thread(target=lambda: followed.update(out=self.run_cli("history", "w-1", "--follow", "-o", "json")))
        follower.start()
        self.open_gate()
        follower.join(60)
        events = [json.loads(line) for line in followed["out"].splitlines()]
        self.assertEqual([e["seq"] for e in events], list(range(1, len(events) + 1)))
        self.assertEqual(events[-1]["kind"], "run_completed")

    def test_lists_and_pages(self):
        for k in range(7):
            self.run_cli("start", "gated", "--id", f"w-{k}", "--input", "{}", "--wait")
        page = self.json("list", "--limit", "4")
        self.assertEqual([w["id"] for w in page["workflows"]], ["w-6", "w-5", "w-4", "w-3"])
        rest = self.json("list", "--limit", "4", "--cursor", page["next"])
        self.assertEqual([w["id"] for w in rest["workflows"]], ["w-2", "w-1", "w-0"])
        self.assertIsNone(rest["next"])
        self.assertIn("run uid", self.run_cli("list", "-o", "wide"))
        self.assertEqual(self.json("list", "--type", "flaky")["workflows"], [])
        self.assertIn("'completed'", self.run_cli("list", "--state", "completd", expect=2)[1])

    def test_status_types_and_config_of_the_node(self):
        status = self.json("status")
        self.assertTrue(status["running"])
        self.assertEqual(status["node"]["pid"], self.node.process.pid)
        self.assertIn(str(self.node.process.pid), self.run_cli("status"))
        self.assertIn("pool", self.run_cli("status", "-o", "wide"))
        self.assertEqual({t["type"] for t in self.json("types")["types"]}, {"gated", "flaky", "refused", "stuck", "hangs"})
        self.assertIn("exhausted=pause", self.run_cli("types", "stuck"))
        self.assertIn("Did you mean stuck?", self.run_cli("types", "stuk", expect=3)[1])
        rows = {r["name"]: r for r in self.json("config", "show", "--running")}
        self.assertEqual((rows["node.drain_grace"]["value"], rows["node.drain_grace"]["source"]), ("200ms", "flag"))

    def test_verify_beside_a_node(self):
        self.run_cli("start", "gated", "--id", "w-1", "--input", "{}", "--wait")
        report = self.json("verify")
        self.assertEqual((report["clean"], report["runs"], report["found"]), (True, 1, 0))

    def test_a_second_node_and_a_run_are_refused_with_the_pid(self):
        for words in (["node"], ["run", "gated", "--input", "{}"]):
            _, err = self.run_cli(*words, expect=4)
            self.assertIn(f"pid {self.node.process.pid}", err)
        self.assertIn("odd_jobs start gated", err)


class WithoutNode(Commands):
    def test_run_needs_no_node_and_leaves_the_history(self):
        self.assertEqual(self.run_cli("run", "gated", "--id", "w-1", "--input", '{"text":"alone"}'), '"alone"\n')
        self.assertEqual(self.run_cli("result", "w-1"), '"alone"\n')
        self.assertIn("completed", self.run_cli("show", "w-1"))
        self.assertIn("completed", self.run_cli("list"))
        self.assertEqual(len(self.run_cli("history", "w-1").splitlines()), 4)
        self.assertEqual(len(self.run_cli("history", "w-1", "--follow").splitlines()), 4)
        self.assertTrue(self.json("verify")["clean"])
        self.assertIn("1 closed", self.run_cli("status", expect=5)[0])
        self.assertIn("failed: refused", self.run_cli("run", "refused", "--input", "{}", expect=1)[1])
        out, err = self.run_cli("run", "gated", "--id", "w-1", "--input", "{}", expect=4)
        self.assertEqual((out, "'w-1'" in err), ("", True))
        # The log of a node is not in the way.
        self.assertEqual(self.node.cli("run", "gated", "--id", "w-2", "--input", "{}")[2], "")

    def test_what_needs_a_node_says_how_to_start_one(self):
        self.run_cli("run", "gated", "--id", "w-1", "--input", "{}")
        for words in (["start", "gated", "--input", "{}"], ["cancel", "w-1"], ["kill", "w-1"], ["pause", "w-1"], ["resume", "w-1"],
                      ["skip", "w-1", "--step", "wait"], ["config", "show", "--running"]):
            _, err = self.run_cli(*words, expect=5)
            self.assertIn("no node runs", err)
            self.assertIn(f"`odd_jobs node --set node.drain_grace=200ms --data {self.node.data}`", err)

    def test_no_data_at_all(self):
        for words in (["list"], ["show", "x"], ["history", "x"], ["result", "x"], ["verify"], ["status"]):
            _, err = self.run_cli(*words, expect=5)
            self.assertIn("there is no data directory", err)
        os.mkdir(self.node.data)
        self.assertIn("holds no data", self.run_cli("list", expect=5)[1])
        for words in (["types"], ["config", "show"], ["version"], ["completion", "bash"]):
            self.run_cli(*words)

    def test_two_workflows_in_one_process_after_another(self):
        self.run_cli("run", "flaky", "--id", "f", "--input", '{"failures":2,"text":"x"}')
        self.assertIn("try #3", self.run_cli("show", "f"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
