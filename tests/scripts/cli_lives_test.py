#!/usr/bin/env python3
# needs: odd_jobs
# timeout: 300
"""A node and its command line through signals: a drain, a second signal, a kill, and what is read and goes on after."""
import contextlib
import http.client
import json
import os
import signal
import subprocess
import tempfile
import time
import unittest

from pawl_node import DEADLINE, Node, binary, eventually


class Lives(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="pawl-cli-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.gate = os.path.join(folder.name, "gate")
        self.node = Node("odd_jobs", os.path.join(folder.name, "data"), log=os.path.join(folder.name, "node.log"))
        self.addCleanup(lambda: self.node.__exit__())
        with open(self.node.log, "w", encoding="utf-8"):
            pass

    def start_node(self, grace):
        self.node.flags = ["--set", f"node.drain_grace={grace}"]
        return self.node.start()

    def begin(self, workflow="w-1", kind="gated", running=1):
        """Starts one that waits for the gate; then so many attempts are under way."""
        status, answer = self.node.begin(kind, workflow, {"gate": self.gate, "text": "through"})
        self.assertEqual(status, 201, answer)
        eventually(lambda: self.node.ask("GET", "/v1/status")[1]["attempts"]["running"] == running, f"the attempt of {workflow} is under way")

    def open_gate(self):
        with open(self.gate, "w", encoding="utf-8"):
            pass

    def cli(self, *words, expect=0):
        code, out, err = self.node.cli(*words)
        self.assertEqual(code, expect, f"{words}\n{out}\n{err}\n{self.node.tail()}")
        self.assertNotIn("Sanitizer", err)
        return out + err

    def kinds(self, workflow="w-1"):
        return [json.loads(line)["kind"] for line in self.cli("history", workflow, "-o", "json").splitlines()]

    def assert_cut_short(self, workflow="w-1"):
        """The attempt under way has ended on record, by us or by its function, which was told to stop."""
        self.assertIn(self.kinds(workflow)[2], ("attempt_interrupted", "attempt_failed"))

    def background(self, *words):
        process = subprocess.Popen([binary("odd_jobs"), "--data", self.node.data, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(lambda: (process.poll() is None and process.kill(), process.communicate()))
        return process

    def waits(self, count=1):
        eventually(lambda: self.node.ask("GET", "/v1/status")[1]["node"]["waiting_requests"] >= count, "somebody waits for a result")

    def logged(self, word):
        eventually(lambda: word in self.node.tail(), f"the log says {word!r}")

    def ended(self, within=DEADLINE):
        return self.node.process.wait(within)


class Drain(Lives):
    def test_an_attempt_that_ends_within_the_grace_is_recorded(self):
        self.start_node("60s")
        self.begin()
        self.node.process.send_signal(signal.SIGTERM)
        self.logged("draining")
        self.open_gate()
        self.assertEqual(self.ended(), 0)
        self.assertIn("interrupted=0 hung=0", self.node.tail())
        self.assertEqual(self.kinds()[:3], ["run_started", "attempt_started", "attempt_completed"])
        self.assertFalse(os.path.exists(self.node.socket))

    def test_after_the_grace_it_is_recorded_as_interrupted_and_goes_on_with_the_next_node(self):
        self.start_node("300ms")
        self.begin()
        self.assertEqual(self.node.drain(), 0)
        self.assert_cut_short()
        self.assertIn("no node runs", self.cli("result", "w-1", "--wait", expect=5))
        self.assertIn("no node runs", self.cli("history", "w-1", "--follow", expect=5))
        self.open_gate()
        self.start_node("300ms")
        self.assertIn("through", self.cli("result", "w-1", "--wait"))
        self.assertEqual(self.node.drain(), 0)
        self.assertIn("all is well", self.cli("verify"))

    def test_a_second_signal_stops_at_once_and_loses_nothing(self):
        for running, first in enumerate((signal.SIGTERM, signal.SIGINT), 1):
            self.start_node("1h")
            workflow = f"w-{first}"
            self.begin(workflow, running=running)
            self.node.process.send_signal(first)
            self.logged("draining")
            self.assertIsNone(self.node.process.poll())
            began = time.monotonic()
            self.node.process.send_signal(signal.SIGTERM)
            self.assertEqual(self.ended(), 0)
            self.assertLess(time.monotonic() - began, 20)
            self.assert_cut_short(workflow)
            os.truncate(self.node.log, 0)
        self.open_gate()
        self.start_node("1h")
        for workflow in (f"w-{signal.SIGTERM}", f"w-{signal.SIGINT}"):
            self.assertIn("through", self.cli("result", workflow, "--wait"))

    def test_progress_is_told(self):
        self.start_node("60s")
        self.begin()
        self.node.process.send_signal(signal.SIGTERM)
        self.logged("seconds_left=59")
        self.open_gate()
        self.assertEqual(self.ended(), 0)

    def test_a_function_that_hangs_does_not_hold_the_node(self):
        self.start_node("200ms")
        self.begin("h-1", "hangs")
        self.assertEqual(self.node.drain(), 0)
        self.assertIn("hung=1", self.node.tail())
        self.assertIn("attempt_interrupted", self.kinds("h-1"))

    def test_who_waits_is_told_that_nothing_is_lost(self):
        self.start_node("200ms")
        client = self.background("start", "gated", "--id", "w-1", "--input", json.dumps({"gate": self.gate}), "--wait")
        reader = self.background("history", "w-1", "--follow")
        self.waits()
        self.assertEqual(self.node.drain(), 0)
        _, err = client.communicate(timeout=DEADLINE)
        self.assertEqual(client.returncode, 5, err)
        self.assertIn("Nothing", err)
        out, err = reader.communicate(timeout=DEADLINE)
        self.assertIn(reader.returncode, (3, 5), err)  # 3: it asked before the workflow was there

    def test_a_new_start_is_refused_while_draining(self):
        self.start_node("60s")
        self.begin()
        self.node.process.send_signal(signal.SIGTERM)
        self.logged("draining")
        err = self.cli("start", "gated", "--input", "{}", expect=5)
        self.assertIn("stopping", err)
        self.open_gate()
        self.assertEqual(self.ended(), 0)


class Kill(Lives):
    def test_what_a_kill_leaves_is_read_safely_and_goes_on(self):
        self.start_node("1s")
        for k in range(20):
            self.cli("start", "gated", "--id", f"done-{k}", "--input", '{"text":"x"}', "--wait")
        self.begin()
        self.node.kill()
        self.assertGreater(os.path.getsize(os.path.join(self.node.data, "pawl.db-wal")), 0)
        # With the socket of the dead node still there, each of these reads the data itself.
        self.assertTrue(os.path.exists(self.node.socket))
        self.assertEqual(len(json.loads(self.cli("list", "-o", "json"))["workflows"]), 21)
        self.assertIn("running", self.cli("show", "w-1"))
        self.assertEqual(self.kinds(), ["run_started", "attempt_started"])
        self.assertIn("all is well", self.cli("verify"))
        self.assertIn("1 open", self.cli("status", expect=5))
        self.assertIn("no node runs", self.cli("cancel", "w-1", expect=5))
        self.open_gate()
        self.start_node("1s")
        self.assertIn("through", self.cli("result", "w-1", "--wait"))
        self.assertEqual(self.kinds().count("attempt_lost"), 1)
        self.assertIn("all is well", self.cli("verify"))

    def test_who_waits_is_told(self):
        self.start_node("1s")
        client = self.background("start", "gated", "--id", "w-1", "--input", json.dumps({"gate": self.gate}), "--wait")
        self.waits()
        self.node.kill()
        _, err = client.communicate(timeout=DEADLINE)
        self.assertEqual(client.returncode, 5, err)
        self.assertIn("'w-1'", err)
        self.assertIn("odd_jobs", err)


class BrokenDisk(Lives):
    def test_a_disk_that_fails_ends_the_node_and_loses_nothing(self):
        # No file may grow above 3 MB: a write beyond it fails with EFBIG, which is no lack of space.
        command = f'trap "" XFSZ; ulimit -f 3000; exec {binary("odd_jobs")} --data {self.node.data} --set journal.wal_limit=64MiB node'
        with open(self.node.log, "ab") as log:
            self.node.process = subprocess.Popen(["bash", "-c", command], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        eventually(self.node.answers, "the node answers")
        acknowledged = []
        with contextlib.suppress(OSError, http.client.HTTPException):
            for k in range(2_000):
                status, _ = self.node.begin("gated", f"w-{k}", {"text": "x" * 10_000})
                if status not in (200, 201):
                    break
                acknowledged.append(f"w-{k}")
        self.assertEqual(self.ended(), 1)
        self.assertIn("the journal is broken", self.node.tail())
        self.assertGreater(len(acknowledged), 20)
        self.assertLess(len(acknowledged), 2_000, "the disk failed")
        self.start_node("1s")
        for workflow in acknowledged:
            self.assertEqual(self.node.result(workflow, wait_ms=20_000)[0], 200, workflow)
        self.assertIn("all is well", self.cli("verify"))


class Run(Lives):
    def run_gated(self):
        process = self.background("run", "gated", "--id", "w-1", "--input", json.dumps({"gate": self.gate, "text": "through"}), "--set", "node.drain_grace=200ms")
        eventually(lambda: os.path.exists(self.node.socket) and "running" in self.node.cli("show", "w-1")[1], "the run is under way, and others can look at it")
        return process

    def test_a_signal_ends_it_and_the_next_node_goes_on(self):
        process = self.run_gated()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=DEADLINE)
        self.assertEqual((process.returncode, out), (5, ""), err)
        self.assertIn("stopped by SIGINT before workflow 'w-1' had ended", err)
        self.assert_cut_short()
        self.open_gate()
        self.start_node("1s")
        self.assertIn("through", self.cli("result", "w-1", "--wait"))

    def test_a_kill_loses_nothing(self):
        process = self.run_gated()
        process.kill()
        process.communicate(timeout=DEADLINE)
        self.assertEqual(self.kinds(), ["run_started", "attempt_started"])
        self.open_gate()
        self.start_node("1s")
        self.assertIn("through", self.cli("result", "w-1", "--wait"))

    def test_a_node_is_refused_meanwhile_with_the_pid(self):
        process = self.run_gated()
        self.assertIn(f"pid {process.pid}", self.cli("node", expect=4))
        self.open_gate()
        out, err = process.communicate(timeout=DEADLINE)
        self.assertEqual((process.returncode, out), (0, '"through"\n'), err)

    def test_what_was_open_before_goes_on_meanwhile(self):
        self.start_node("1s")
        self.begin("old-1")
        self.node.kill()
        self.open_gate()
        self.cli("run", "gated", "--id", "w-1", "--input", "{}")
        self.cli("run", "flaky", "--id", "w-2", "--input", '{"failures":1}')
        self.assertIn("all is well", self.cli("verify"))


class Log(Lives):
    def test_json_lines_in_a_file(self):
        path = os.path.join(self.folder, "lines.json")
        self.node.flags = ["--set", f"log.file={path}", "--set", "log.format=json", "--set", "node.name=n-1"]
        self.node.start()
        self.assertEqual(self.node.drain(), 0)
        with open(path, encoding="utf-8") as f:
            lines = [json.loads(line) for line in f]
        self.assertEqual([line["event"] for line in lines], ["node is up", "draining", "node has stopped"])
        self.assertTrue(all(line["node"] == "n-1" and line["level"] == "info" for line in lines))
        self.assertEqual(lines[0]["pid"], str(self.node.process.pid))


if __name__ == "__main__":
    unittest.main(verbosity=2)
