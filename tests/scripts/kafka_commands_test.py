#!/usr/bin/env python3
# label: full
# needs: bad_steps
# timeout: 240
"""Clients that have nothing of pawl's start workflows through a real Kafka and tell them things: kafka-python and kcat."""
import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import unittest

from kafka_broker import Kafka
from pawl_node import Node, eventually

HERE = os.path.dirname(os.path.abspath(__file__))
PYTHON = "/usr/bin/python3"  # Debian's, which has Debian's python3-kafka


def has_kafka_python():
    return subprocess.run([PYTHON, "-c", "import kafka"], capture_output=True, check=False).returncode == 0


def start(ms=1, **more):
    return {"command": "start", "type": "sleeps", "input": {"ms": ms}, **more}


class KafkaCommands(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not has_kafka_python() or not shutil.which("kcat"):
            raise AssertionError("python3-kafka and kcat are not there: run ./dev setup")
        cls.folder = tempfile.TemporaryDirectory(prefix="pawl-kafka-commands-")
        cls.addClassCleanup(cls.folder.cleanup)
        cls.kafka = Kafka(os.path.join(cls.folder.name, "kafka"))
        cls.addClassCleanup(cls.kafka.close)

    def setUp(self):
        self.name = self.id().rsplit(".", 1)[1]
        given = {"brokers": self.kafka.bootstrap, "durability": "single-broker", "namespace": self.name, "partitions": 1}
        flags = [word for key, value in given.items() for word in ("--set", f"kafka.{key}={value}")]
        folder = os.path.join(self.folder.name, self.name)
        os.makedirs(folder)
        self.node = Node("bad_steps", os.path.join(folder, "data"), flags=flags, log=os.path.join(folder, "node.log"))
        code, out, err = self.node.cli("topics", "create")
        self.assertEqual(code, 0, out + err)

    def produce(self, *messages):
        """(key, value[, headers]): a value that is no bytes is sent as JSON. The offsets."""

        def encoded(key, value, headers=()):
            value = value if value is None or isinstance(value, bytes) else json.dumps(value).encode()
            key = key.encode() if isinstance(key, str) else key
            return {"key": None if key is None else base64.b64encode(key).decode(),
                    "value": None if value is None else base64.b64encode(value).decode(), "headers": list(headers)}

        asked = {"bootstrap": self.kafka.bootstrap, "topic": self.name + ".commands", "messages": [encoded(*m) for m in messages]}
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "LD_PRELOAD"))}
        done = subprocess.run([PYTHON, os.path.join(HERE, "foreign_client.py")], input=json.dumps(asked), env=environment,
                              capture_output=True, text=True, timeout=120, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def kcat(self, *lines):
        done = subprocess.run(["kcat", "-P", "-b", self.kafka.bootstrap, "-t", self.name + ".commands", "-p", "0", "-K", "|",
                               "-X", "message.max.bytes=8388608"],
                              input="".join(line + "\n" for line in lines), capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)

    def completes(self, workflow, state="completed"):
        answer = eventually(lambda: (lambda r: r if r[0] == 200 else None)(self.node.result(workflow, wait_ms=2000)), f"{workflow} ends")
        self.assertEqual(answer[1]["state"], state, answer)

    def dead_letters(self, count):
        def rows():
            code, out, err = self.node.cli("-o", "json", "dlq", "list", "--limit", "1000")
            self.assertEqual(code, 0, out + err)
            found = json.loads(out)["dead_letters"]
            return found if len(found) >= count else None

        found = eventually(rows, f"{count} dead letters: {self.node.tail()}")
        self.assertEqual(len(found), count, found)
        return {row["from"].rsplit("/", 1)[1]: row for row in found}

    def runs(self):
        """{workflow: how many runs}"""
        counts, cursor = {}, ""
        while True:
            status, page = self.node.ask("GET", "/v1/workflows?limit=1000" + (f"&cursor={cursor}" if cursor else ""))
            self.assertEqual(status, 200, page)
            for row in page["workflows"]:
                counts[row["id"]] = counts.get(row["id"], 0) + 1
            cursor = page["next"]
            if not cursor:
                return counts

    def verified(self):
        code, out, err = self.node.cli("verify")
        self.assertEqual(code, 0, out + err)
        return out

    def test_starts_that_were_there_first_and_a_kill_in_the_middle(self):
        self.produce(*[(f"early-{n}", start()) for n in range(200)])
        with self.node.start():
            for n in range(200):
                self.completes(f"early-{n}")
            # Killed as soon as the first is there, so that some are unread, some on record, some begun; and once more
            # while what was read is read again.
            producing = threading.Thread(target=self.produce, args=[(f"killed-{n}", start(ms=20)) for n in range(200)])
            producing.start()
            eventually(lambda: len(self.runs()) > 200, "some are started")
            self.node.kill()
            self.node.start()
            self.node.kill()
            producing.join()
            self.node.start()
            for n in range(200):
                self.completes(f"killed-{n}")
            expected = {**{f"early-{n}": 1 for n in range(200)}, **{f"killed-{n}": 1 for n in range(200)}}
            self.assertEqual(self.runs(), expected)
            events = self.node.history("killed-7")[1]["events"]
            self.assertRegex(events[0]["command_id"], rf"^{self.name}\.commands/0/\d+$")
            self.assertEqual(self.node.drain(), 0, self.node.tail())
        self.assertIn("checked 400 runs (0 open)", self.verified())
        # All are dealt with, and the last batch says so: nothing is read again.
        with self.node.start():
            self.kcat('late|{"command": "start", "type": "sleeps", "input": {"ms": 1}}')
            self.completes("late")
            self.assertEqual(len(self.runs()), 401)
            self.assertEqual(self.node.drain(), 0, self.node.tail())
        code, out, _ = self.node.cli("dlq", "list")
        self.assertEqual((code, out), (0, "no dead letters\n"))

    def test_a_command_sent_five_times_is_done_once(self):
        with self.node.start():
            self.produce(*[("once", start(command_id="order-17", closed_id="allow"))] * 5)
            self.kcat('marker|{"command": "start", "type": "sleeps", "input": {"ms": 1}}')
            self.completes("once")
            self.completes("marker")
            self.produce(*[("once", start(command_id="order-17", closed_id="allow"))] * 2, ("end", start()))
            self.completes("end")
            self.assertEqual(self.runs(), {"once": 1, "marker": 1, "end": 1})
            events = self.node.history("once")[1]["events"]
            self.assertEqual(events[0]["command_id"], "order-17")
            self.assertEqual(self.node.drain(), 0, self.node.tail())
        self.verified()

    def test_what_is_no_command_is_a_dead_letter(self):
        junk = os.urandom(500_000).hex().encode()[:1_000_000]
        wrong = [
            (None, start(), "bad_key"),
            (b"\xff\xfe\x00", start(), "bad_key"),
            ("k", b"\x00\x01garbage\xff", "bad_json"),
            ("k", None, "bad_json"),
            ("k", junk, "bad_json"),
            ("k", start(type="sleepz"), "invalid"),
            ("k", start(inptu=1), "invalid"),
            ("k", {"command": "start", "type": "sleeps", "input": {"ms": "long"}}, "invalid"),
            ("k", {"command": "cancle"}, "invalid"),
            ("k", start(id="other"), "invalid"),
            ("k", b"[" * 100_000, "bad_json"),
        ]
        messages = []
        for n, (key, value, _) in enumerate(wrong):
            messages += [(f"good-{n}", start()), (key, value)]
        messages += [("k", start(), [("content-type", "application/x-msgpack")]), ("last", start(), [("content-type", "application/json")])]
        offsets = self.produce(*messages)
        self.kcat('k|{"command": "cancel", "reason": "' + "x" * 6_000_000 + '"}', 'behind|{"command": "start", "type": "sleeps", "input": {"ms": 1}}')
        with self.node.start():
            for n in range(len(wrong)):
                self.completes(f"good-{n}")
            self.completes("last")
            self.completes("behind")
            found = self.dead_letters(len(wrong) + 2)
            for n, (_, _, cause) in enumerate(wrong):
                self.assertEqual(found[str(offsets[2 * n + 1])]["cause"], cause, found)
            self.assertEqual(found[str(offsets[-2])]["cause"], "bad_content_type")
            self.assertEqual(found[str(offsets[-1] + 1)]["cause"], "too_large")
            self.assertIn("did you mean 'sleeps'?", found[str(offsets[11])]["detail"])
            self.assertIsNone(found[str(offsets[1])]["key"])
            self.shows(found, offsets, junk)
            self.assertNotIn("k", self.runs())
            self.assertEqual(self.node.drain(), 0, self.node.tail())
        with self.node.start():
            self.kcat('again|{"command": "start", "type": "sleeps", "input": {"ms": 1}}')
            self.completes("again")
            self.dead_letters(len(wrong) + 2)
            self.assertEqual(self.node.drain(), 0, self.node.tail())
        self.verified()

    def shows(self, found, offsets, junk):
        code, out, err = self.node.cli("-o", "json", "dlq", "show", found[str(offsets[9])]["offset"])
        self.assertEqual(code, 0, err)
        self.assertEqual(json.loads(out)["value"], junk.decode())
        code, out, err = self.node.cli("dlq", "show", found[str(offsets[5])]["offset"])
        self.assertEqual(code, 0, err)
        self.assertIn("00 01 67 61 72 62 61 67", out)
        self.assertIn(f"{self.name}.commands/0/{offsets[5]}", out)
        code, out, err = self.node.cli("dlq", "list", "--limit", "2")
        self.assertEqual((code, out.count("commands/0/")), (0, 2), out + err)
        self.assertEqual(self.node.cli("dlq", "show", 4711)[0], 3)
        self.assertEqual(self.node.cli("dlq", "list", "--limit", "0")[0], 2)

    def dlq(self, *words, code=0):
        found, out, err = self.node.cli("-o", "json", "dlq", *words)
        self.assertEqual(found, code, out + err)
        return json.loads(out)

    def test_dead_letters_are_replayed_and_dropped(self):
        with self.node.start():
            # The right key and a good value, but a header that nobody reads: with the header mended it would be a command.
            offsets = self.produce(("a", {"command": "start", "type": "nothing"}), ("b", b"{"), (None, b"no key"), ("c", b"[]"),
                                   ("w", start(), [["content-type", "text/plain"]]))
            rows = self.dead_letters(5)
            letters = {n: rows[str(offsets[n])]["offset"] for n in range(5)}
            first = min(letters.values())
            # Sent again they are dead again, under where they were first.
            done = self.dlq("replay", letters[1])["replayed"]
            self.assertEqual([d["offset"] for d in done], [letters[1]])
            self.assertRegex(done[0]["to"], rf"^{self.name}\.commands/0/\d+$")
            again = eventually(lambda: [d for d in self.dlq("list")["dead_letters"] if d["from"] == done[0]["to"]], "it is dead again")[0]
            headers = {h["name"]: h["value"] for h in self.dlq("show", again["offset"])["headers"]}
            self.assertEqual(headers["pawl-origin"], f"{self.name}.commands/0/{offsets[1]}")
            self.assertEqual({h["name"]: h["value"] for h in self.dlq("show", letters[4])["headers"]}["content-type"], "text/plain")
            # It is done with, and seen only with --all.
            self.assertNotIn(letters[1], [d["offset"] for d in self.dlq("list")["dead_letters"]])
            states = {d["offset"]: d["state"] for d in self.dlq("list", "--all")["dead_letters"]}
            self.assertEqual((states[letters[1]], states[letters[0]]), ("replayed", "open"))
            self.assertEqual(self.dlq("show", letters[1])["state"], "replayed")
            # Without a key it would be dead again.
            refused = self.dlq("replay", letters[2], code=1)["refused"]
            self.assertIn("no key", refused[0]["why"])
            self.assertEqual(self.node.cli("dlq", "replay", 4711)[0], 3)
            # One in the middle is hidden, and deleted with those before it.
            middle = sorted(letters.values())[2]
            self.assertEqual(self.dlq("drop", middle), {"deleted": 0, "hidden": [middle]})
            self.assertEqual(self.dlq("show", middle)["state"], "dropped")
            before = [o for o in sorted(letters.values())[:2] if o != letters[1]]
            self.assertEqual(self.dlq("drop", *before)["hidden"], [])
            self.assertEqual(self.node.cli("dlq", "show", middle)[0], 3, "it went with those before it")
            self.assertEqual(self.node.cli("dlq", "show", first)[0], 3)
            code, out, _ = self.node.cli("dlq", "replay", "--all")
            self.assertIn(code, (0, 1), out)  # the one without a key may be among them
            self.dead_letters_settle()
            upto = max(d["offset"] for d in self.dlq("list")["dead_letters"])
            self.dlq("drop", "--upto", upto)
            self.assertEqual(self.node.cli("dlq", "list")[1], "no dead letters\n")
            self.assertEqual(self.node.drain(), 0, self.node.tail())

    def dead_letters_settle(self):
        """Until every command is dealt with: one that is produced behind them is."""
        self.produce(("settled", start()))
        self.completes("settled")

    def test_a_command_that_is_replayed_twice_is_one(self):
        # The first node takes short ids only.
        flags = list(self.node.flags)
        self.node.flags += ["--set", "limits.id_length=16B"]
        workflow = "an-id-of-more-than-16-bytes"
        with self.node.start():
            offset = self.produce((workflow, start()))[0]
            letter = next(iter(self.dead_letters(1).values()))
            self.assertEqual(letter["cause"], "bad_key")
            self.assertEqual(self.node.drain(), 0, self.node.tail())
        self.node.flags = flags
        with self.node.start():
            self.assertEqual(len(self.dlq("replay", letter["offset"], letter["offset"])["replayed"]), 2)
            self.completes(workflow)
            self.dead_letters_settle()
            self.assertEqual(self.runs(), {workflow: 1, "settled": 1})
            self.assertEqual(self.node.history(workflow)[1]["events"][0]["command_id"], f"{self.name}.commands/0/{offset}")
            self.assertEqual(self.node.drain(), 0, self.node.tail())
        self.verified()

    def test_a_running_workflow_is_cancelled_and_told_more(self):
        with self.node.start():
            self.produce(("long", start(ms=30_000)), ("held", start(ms=1, delay_ms=600_000)))
            eventually(lambda: self.node.show("long")[0] == 200 and self.node.show("held")[0] == 200, "both are there")
            begun = time.monotonic()
            self.produce(("long", {"command": "cancel", "reason": "no longer wanted"}), ("held", {"command": "pause"}))
            self.completes("long", "cancelled")
            self.assertLess(time.monotonic() - begun, 20)
            eventually(lambda: self.node.show("held")[1]["paused"], "it is paused")
            self.kcat('held|{"command": "resume"}', 'held|{"command": "kill", "reason": "enough"}', 'nobody|{"command": "cancel"}')
            self.completes("held", "killed")
            self.assertEqual(self.node.drain(), 0, self.node.tail())
        self.assertEqual(self.node.cli("dlq", "list")[1], "no dead letters\n")
        self.verified()


if __name__ == "__main__":
    sys.exit(unittest.main(verbosity=2))
