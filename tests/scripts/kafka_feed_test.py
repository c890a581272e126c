#!/usr/bin/env python3
# label: full
# needs: bad_steps
# timeout: 240
"""The event feed of a real node, read by a client that is not ours: every event once and in order for who follows
docs/events.md, across a SIGKILL of the node, and as docs/event.schema.json says."""
import json
import os
import re
import subprocess
import tempfile
import threading
import unittest
import urllib.parse
from pathlib import Path

from kafka_broker import Kafka, SOURCE
from pawl_node import Node, eventually

TERMINAL = {"run_completed", "run_failed", "run_cancelled", "run_killed"}
JSON_TYPES = {"string": str, "integer": int, "boolean": bool, "number": (int, float), "object": dict, "array": list}
PYTHON = "/usr/bin/python3"  # Debian's, which has Debian's python3-kafka


def has_kafka_python():
    return subprocess.run([PYTHON, "-c", "import kafka"], capture_output=True, check=False).returncode == 0


def wrong_with(value, schema, defs, at="$"):
    """As much of JSON Schema as docs/event.schema.json uses; what it does not know fails."""
    for word, rule in schema.items():
        if word == "$ref":
            yield from wrong_with(value, defs[rule.rsplit("/", 1)[1]], defs, at)
        elif word == "type":
            fits = isinstance(value, JSON_TYPES[rule]) and not (rule != "boolean" and isinstance(value, bool))
            if not fits:
                yield f"{at}: {value!r} is no {rule}"
        elif word == "enum":
            if value not in rule:
                yield f"{at}: {value!r} is none of {rule}"
        elif word == "anyOf":
            if all(list(wrong_with(value, one, defs, at)) for one in rule):
                yield f"{at}: {value!r} fits none"
        elif word == "properties":
            for name, member in rule.items():
                if name in value:
                    yield from wrong_with(value[name], member, defs, f"{at}.{name}")
        elif word == "required":
            yield from (f"{at}: {name} is missing" for name in rule if name not in value)
        elif word == "items":
            for k, one in enumerate(value):
                yield from wrong_with(one, rule, defs, f"{at}[{k}]")
        elif word == "format":
            if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", value):
                yield f"{at}: {value!r} is no date-time"
        elif word != "description":
            yield f"{at}: the checker does not know '{word}'"


class KafkaFeed(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not has_kafka_python():
            raise AssertionError("python3-kafka is not there: run ./dev setup")
        cls.folder = tempfile.TemporaryDirectory(prefix="pawl-kafka-feed-")
        cls.addClassCleanup(cls.folder.cleanup)
        cls.kafka = Kafka(os.path.join(cls.folder.name, "kafka"))
        cls.addClassCleanup(cls.kafka.close)

    def node(self, name_space):
        # kafka-python reads LZ4 only with another package: so the broker stores this topic uncompressed, as docs/events.md says.
        settings = {"cleanup.policy": "delete", "max.message.bytes": 8388608, "min.insync.replicas": 1,
                    "unclean.leader.election.enable": "false", "compression.type": "uncompressed"}
        self.kafka.create_topic(f"{name_space}.events", settings=settings)
        given = {"brokers": self.kafka.bootstrap, "durability": "single-broker", "namespace": name_space, "partitions": 1}
        flags = [word for key, value in given.items() for word in ("--set", f"kafka.{key}={value}")]
        data = os.path.join(self.folder.name, name_space)
        return Node("bad_steps", data, flags=flags, log=data + ".log")

    def published(self, name_space):
        read = subprocess.run([PYTHON, os.path.join(os.path.dirname(os.path.abspath(__file__)), "kafka_events_reader.py"),
                               self.kafka.bootstrap, f"{name_space}.events"], capture_output=True, text=True, timeout=120, check=False)
        self.assertEqual(read.returncode, 0, read.stderr)
        return [json.loads(line) for line in read.stdout.splitlines()]

    def consumed(self, messages):
        """{run_uid: [events]}, as a consumer sees them that drops what it has seen; and how many it has dropped."""
        runs, dropped = {}, 0
        for m in messages:
            event = json.loads(m["value"])
            seen = runs.setdefault(event["run_uid"], [])
            self.assertLessEqual(event["seq"], len(seen) + 1, f"a gap at offset {m['offset']}: {event}")
            if event["seq"] <= len(seen):
                self.assertEqual(event, seen[event["seq"] - 1], "a repeat says the same")
                dropped += 1
                continue
            seen.append(event)
        return runs, dropped

    def check_message(self, m, name_space, schema):
        event = json.loads(m["value"])
        self.assertEqual(list(wrong_with(event, {"$ref": schema["$ref"]}, schema["$defs"])), [], event)
        self.assertEqual(m["key"], event["workflow_id"])
        self.assertEqual(sorted(m["headers"]), sorted([
            ["ce_specversion", "1.0"], ["ce_id", f"{event['run_uid']}/{event['seq']}"], ["ce_source", f"/pawl/{name_space}"],
            ["ce_type", "pawl." + event["kind"]], ["ce_time", event["at"]], ["ce_subject", event["workflow_id"]],
            ["content-type", "application/json"]]))

    def test_every_event_across_a_kill(self):
        node = self.node("shop")
        workflows = [f"w-{n}" for n in range(120)] + ["ü-1"]
        begun = 0
        with node.start():

            def begin(some):
                nonlocal begun
                for workflow in some:
                    # One whose answer the kill took away is the start that it was, under its command id.
                    status, answer = node.begin("sleeps", workflow, {"ms": 20}, command="c-" + urllib.parse.quote(workflow))
                    self.assertIn(status, (200, 201), answer)
                    begun += 1

            begin(workflows[:40])
            killer = threading.Thread(target=lambda: (eventually(lambda: begun >= 70, "the load is under way"), node.kill()))
            killer.start()
            try:
                begin(workflows[40:])
            except OSError:
                pass
            killer.join()
            self.assertGreaterEqual(begun, 70)
            node.start()
            begin([w for w in workflows if node.show(w)[0] == 404])
            node.begin("hangs", "hangs", {"ms": 1}, command="c-hangs")
            # This one takes the node with it, and when it is tried again a child.
            node.begin("aborts", "dies", {"ms": 100}, command="c-dies")
            node.process.wait(60)
            node.start()
            eventually(lambda: node.show("dies")[1]["paused"], "the step that kills its process has stopped its run")
            self.assertEqual(node.ask("POST", "/v1/workflows/dies/kill", {"reason": "enough"})[0], 200)
            histories = {}
            for workflow in [*workflows, "dies", "hangs"]:
                eventually(lambda w=workflow: node.result(w, wait_ms=2000)[0] == 200, f"{workflow} ends")
                _, history = node.history(workflow)
                histories[history["run_uid"]] = history

            def complete():
                messages = self.published("shop")
                ended = {json.loads(m["value"])["run_uid"] for m in messages if dict(m["headers"])["ce_type"][5:] in TERMINAL}
                return messages if ended == set(histories) else None

            messages = eventually(complete, "every end is published")
            node.drain()
        self.assertNotIn("the feed", node.tail())
        schema = json.loads((Path(SOURCE) / "docs/event.schema.json").read_text())
        for m in messages:
            self.check_message(m, "shop", schema)
        runs, dropped = self.consumed(messages)
        self.assertEqual(set(runs), set(histories))
        for uid, events in runs.items():
            self.assertEqual([e["seq"] for e in events], list(range(1, len(events) + 1)))
            kinds = [e["kind"] for e in events]
            self.assertEqual(sum(kind in TERMINAL for kind in kinds), 1, kinds)
            self.assertIn(kinds[-1], TERMINAL)
            head = {"workflow_id", "run", "run_uid", "type", "version"}
            self.assertEqual([{k: v for k, v in e.items() if k not in head} for e in events], histories[uid]["events"])
        kinds = {e["kind"] for events in runs.values() for e in events}
        self.assertLessEqual({"run_started", "run_completed", "run_killed", "attempt_lost", "attempt_timed_out"}, kinds)
        # The kill left a stretch that was published and not recorded as such, and not more than that.
        self.assertLess(dropped, len(messages) / 2)
        print(f"{len(messages)} messages of {len(runs)} runs, {dropped} of them repeats")

        # Stopped as planned, it has nothing left to say.
        with node.start():
            node.drain()
        self.assertEqual(len(self.published("shop")), len(messages))


if __name__ == "__main__":
    unittest.main(verbosity=2)
