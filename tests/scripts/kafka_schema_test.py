#!/usr/bin/env python3
# label: full
# needs: approval
# timeout: 300
"""docs/command.schema.json and docs/event.schema.json against a real node, by a checker of JSON Schema that is not ours: what the
schema allows the node takes, what it forbids is a dead letter; and all that is told of it in the feed is as it says."""
import base64
import copy
import json
import os
import subprocess
import tempfile
import unittest

from kafka_broker import SOURCE, Kafka
from pawl_cluster import HERE, PYTHON, Cluster, run_python
from pawl_node import eventually

START = {"command": "start", "type": "sleeps", "input": {"ms": 1}}
TRIP = {"command": "start", "type": "trip", "input": {}}
# As docs/commands.md has them. Of one that names a workflow which is not there the refusal is on record, and it is no dead letter.
ALLOWED = {
    "plain": START,
    "whole": {**START, "command_id": "c-whole", "id": "whole", "version": 1, "delay_ms": 5, "deadline_ms": 60000, "closed_id": "allow"},
    "at": {**START, "start_at": "2026-01-01T00:00:00Z"},
    "fails": {"command": "start", "type": "trip", "input": {"fails_at": 3, "flaky": 1}},
    "hangs": {"command": "start", "type": "hangs", "input": {"ms": 1}},
    "cancel": {"command": "cancel"},
    "kill": {"command": "kill", "reason": "enough", "command_id": "c-kill"},
    "pause": {"command": "pause", "reason": "wait", "id": "pause"},
    "resume": {"command": "resume", "command_id": "c-resume"},
    "skip": {"command": "skip", "step": "work", "result": {"any": ["thing", 1]}, "undo": False},
    "signal": {"command": "signal", "name": "approved", "input": {"by": "me"}},
}
FORBIDDEN = {
    "nothing": {},
    "a-list": [START],
    "a-text": "start",
    "unknown": {"command": "dance"},
    "no-type": {"command": "start", "input": {}},
    "type-is-a-number": {**START, "type": 7},
    "version-is-a-text": {**START, "version": "1"},
    "version-is-negative": {**START, "version": -1},
    "version-is-broken": {**START, "version": 1.5},
    "delay-is-a-text": {**START, "delay_ms": "1s"},
    "closed-id": {**START, "closed_id": "maybe"},
    "a-member-too-many": {**START, "inputs": {}},
    "empty-command-id": {**START, "command_id": ""},
    "command-id-is-a-number": {"command": "cancel", "command_id": 5},
    "reason-is-a-list": {"command": "pause", "reason": []},
    "resume-has-a-reason": {"command": "resume", "reason": "no"},
    "skip-without-a-step": {"command": "skip", "result": 1},
    "skip-undo-is-a-text": {"command": "skip", "step": "work", "undo": "yes"},
    "signal-without-a-name": {"command": "signal", "input": 1},
    "signal-without-any-name": {"command": "signal", "name": ""},
    "start-with-a-signal-of-no-name": {**START, "signal": {"input": 1}},
}


def wrong(schema, values, **more):
    return run_python(os.path.join(HERE, "schema_check.py"),
                      text=json.dumps({"schema": os.path.join(SOURCE, "docs", schema), "values": list(values), **more}))


class Schemas(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="pawl-schema-")
        cls.addClassCleanup(cls.folder.cleanup)
        cls.kafka = Kafka(os.path.join(cls.folder.name, "kafka"), 1)
        cls.addClassCleanup(cls.kafka.close)

    def cluster(self, name, **more):
        return Cluster(self.kafka, os.path.join(self.folder.name, name), name, nodes=1, **more)

    def produce(self, c, messages):
        """By a client that has nothing of pawl's, to the one partition. The offsets."""
        def raw(text):
            return base64.b64encode(text.encode()).decode()
        asked = [{"key": raw(key), "value": raw(json.dumps(value)), "partition": 0} for key, value in messages.items()]
        return run_python(os.path.join(HERE, "foreign_client.py"),
                          text=json.dumps({"bootstrap": self.kafka.bootstrap, "topic": c.name_space + ".commands", "messages": asked}))

    def fed_messages(self, c):
        read = subprocess.run([PYTHON, os.path.join(HERE, "kafka_events_reader.py"), self.kafka.bootstrap, c.name_space + ".events"],
                              capture_output=True, text=True, timeout=120, check=False)
        self.assertEqual(read.returncode, 0, read.stderr)
        return [json.loads(json.loads(line)["value"]) for line in read.stdout.splitlines()]

    def test_what_the_schema_of_commands_says_is_what_a_node_takes(self):
        found = wrong("command.schema.json", [*ALLOWED.values(), *FORBIDDEN.values()])
        self.assertEqual([k for k, w in zip(ALLOWED, found) if w], [], found)
        self.assertEqual([k for k, w in zip(FORBIDDEN, found[len(ALLOWED):]) if not w], [])
        with self.cluster("commands", **{"kafka.partitions": 1}) as c:
            c.start()
            c.settled()
            messages = {**ALLOWED, **FORBIDDEN}
            offsets = dict(zip(self.produce(c, messages), messages))
            c.completes(c.begin("last"))
            def dead():
                code, out, err = c.any().cli("-o", "json", "dlq", "list", "--limit", "1000")
                self.assertEqual(code, 0, out + err)
                rows = json.loads(out)["dead_letters"]
                return rows if len(rows) >= len(FORBIDDEN) else None
            letters = eventually(dead, f"{len(FORBIDDEN)} dead letters")
            self.assertEqual(sorted(offsets[int(row["from"].rsplit("/", 1)[1])] for row in letters), sorted(FORBIDDEN))
            for workflow, state in [("plain", "completed"), ("whole", "completed"), ("at", "completed"), ("fails", "failed"), ("hangs", "failed")]:
                self.assertEqual(c.ends(workflow)["state"], state)
            c.ends_well()

    def test_all_that_is_told_in_the_feed_is_as_its_schema_says(self):
        with self.cluster("feed", **{"kafka.partitions": 2}) as c:
            c.start()
            c.settled()
            c.begin("good")
            c.begin("trip", kind="trip", ms=0)
            c.begin("undone", kind="trip", ms=0, fails_at=3, flaky=1)
            c.begin("hangs", kind="hangs")
            for n, what in enumerate(("pause", "resume", "cancel")):
                c.begin("asked", ms=60_000) if n == 0 else None
                c.ask_for(what, "asked", f"x-{what}", **({} if what == "resume" else {"reason": "to see it"}))
            c.begin("killed", ms=60_000)
            c.ask_for("kill", "killed", "x-kill", reason="to see it")
            for workflow in ("good", "trip", "undone", "hangs", "asked", "killed"):
                c.ends(workflow)
            c.ends_well(undone={"trip": ["first", "second", "third"]})
            events = self.fed_messages(c)
        self.checked(events, {"run_started", "attempt_started", "attempt_completed", "attempt_failed", "attempt_timed_out", "run_completed",
                              "run_failed", "run_killed", "run_cancelled", "run_paused", "run_resumed", "compensation_started"})

    def test_so_is_what_is_told_of_durable_code(self):
        with self.cluster("code", binary="approval", **{"kafka.partitions": 1}) as c:
            c.start()
            c.settled()
            expense = {"who": "ada", "what": "a chair", "amount": 250.0}
            start = {"command": "start", "type": "approve-expense", "input": expense}
            signal = {"name": "decision", "input": {"approved": True, "by": "grace"}}
            asked = {"yes": start, "both": {**start, "signal": signal}, "cancelled": start}
            then = {"yes": {"command": "signal", **signal}, "cancelled": {"command": "cancel", "reason": "to see it"}}
            self.assertEqual(wrong("command.schema.json", [*asked.values(), *then.values()]), [None] * 5)
            self.produce(c, asked)
            for workflow in ("yes", "cancelled"):
                eventually(lambda w=workflow: c.shown(w)[1].get("status", {}).get("text") == "waits for a decision", f"{workflow} waits")
            self.produce(c, then)
            for workflow, state in [("yes", "completed"), ("both", "completed"), ("cancelled", "cancelled")]:
                self.assertEqual(c.ends(workflow)["state"], state)
            c.fed()
            c.drain()
            c.verified()
            events = self.fed_messages(c)
        self.checked(events, {"timer_started", "timer_cancelled", "signal_received", "status_published", "run_cancelled", "compensation_started"})

    def checked(self, events, kinds):
        told = {e["kind"] for e in events}
        print(f"{len(events)} events, of the kinds {sorted(told)}", flush=True)
        found = [(e, w) for e, w in zip(events, wrong("event.schema.json", events, strict=True)) if w]
        self.assertEqual(found[:3], [])
        self.assertEqual(kinds - told, set())
        # A checker that finds nothing wrong would be no checker: each message with one thing wrong.
        spoilt = []
        for event in events:
            for name in ("workflow_id", "run", "run_uid", "seq", "at", "kind"):
                spoilt.append({**event, name: [event[name]]})
                spoilt.append({k: v for k, v in copy.deepcopy(event).items() if k != name})
            spoilt.append({**event, "surprise": 1})
        self.assertEqual([s for s, w in zip(spoilt, wrong("event.schema.json", spoilt, strict=True)) if not w][:3], [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
