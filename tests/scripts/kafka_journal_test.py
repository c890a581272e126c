#!/usr/bin/env python3
# label: full
# needs: bad_steps
# timeout: 180
"""The journal as others read it: `pawl journal dump | check`, and a reader that has nothing of pawl's (journal_reader.py)."""
import base64
import json
import os
import tempfile
import unittest

from kafka_broker import Kafka
from pawl_cluster import run_python
from pawl_node import Node, eventually

HERE = os.path.dirname(os.path.abspath(__file__))


def independent(kafka, name_space, feed=True):
    return run_python(os.path.join(HERE, "journal_reader.py"), kafka.bootstrap, name_space, *(["--feed"] if feed else []))


class KafkaJournal(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="pawl-kafka-journal-")
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

    def journal(self, *words, code=0):
        found, out, err = self.node.cli("-o", "json", "journal", *words)
        self.assertEqual(found, code, out + err)
        return [json.loads(line) for line in out.splitlines()] if words[0] == "dump" else json.loads(out)

    def work(self, prefix, count=10):
        for n in range(count):
            self.assertEqual(self.node.begin("sleeps", f"{prefix}-{n}", {"ms": 1}, command=f"c-{prefix}-{n}")[0], 201)
        for n in range(count):
            eventually(lambda n=n: self.node.result(f"{prefix}-{n}", wait_ms=2000)[0] == 200, f"{prefix}-{n} ends")

    def append(self, partition, *values):
        """Messages of somebody else, to the journal itself."""
        code = "import sys, json, base64; from kafka import KafkaProducer\n" \
               "asked = json.load(sys.stdin); p = KafkaProducer(bootstrap_servers=asked['bootstrap'])\n" \
               "print(json.dumps([p.send(asked['topic'], base64.b64decode(v), partition=asked['partition']).get(30).offset for v in asked['values']]))"
        return run_python("-c", code, text=json.dumps({"bootstrap": self.kafka.bootstrap, "topic": self.name + ".journal", "partition": partition,
                                                       "values": [base64.b64encode(v).decode() for v in values]}))

    def test_a_journal_is_read_by_others_alike(self):
        with self.node.start():
            self.work("first")
            self.node.kill()
        with self.node.start():
            self.work("second")
            self.assertEqual(self.node.begin("sleeps", "first-1", {"ms": 1}, command="again")[0], 409)
            self.assertEqual(self.node.drain(), 0, self.node.tail())
        found = independent(self.kafka, self.name)
        self.assertEqual(found["findings"], [])
        self.assertEqual(found["runs"], {f"{p}-{n}": ["completed"] for p in ("first", "second") for n in range(10)})
        self.assertEqual(found["outcomes"], 1)
        runs = events = 0
        for number, theirs in found["partitions"].items():
            ours = self.journal("check", "--partition", number)
            self.assertTrue(ours["clean"], ours)
            for same in ("records", "counted", "skipped", "garbage", "epoch"):
                self.assertEqual(ours[same], theirs[same], same)
            self.assertEqual(len(theirs["leaders"]), 2)
            records = self.journal("dump", "--partition", number)
            self.assertEqual([r["offset"] for r in records], list(range(len(records))))
            self.assertEqual([r["kind"] for r in records if r["state"] == "counts"].count("announcement"), 2)
            self.assertEqual(sum(len(c["events"]) for r in records if r.get("kind") == "batch" for c in r["runs"]), ours["events"])
            runs, events = runs + ours["runs"], events + ours["events"]
        self.assertEqual(runs, 20)
        self.assertGreaterEqual(events, 60)
        place = str(found["where"]["first-1"])
        self.assertEqual([r["offset"] for r in self.journal("dump", "--partition", place, "--from", 1, "--limit", 2)], [1, 2])
        code, out, _ = self.node.cli("journal", "dump", "--partition", place)
        self.assertEqual((code, len(out.splitlines())), (0, found["partitions"][place]["records"]))
        self.assertIn("announcement 1/0", out)

    def test_what_does_not_count_is_said_and_what_is_wrong_is_found(self):
        with self.node.start():
            self.work("w", 3)
            self.assertEqual(self.node.drain(), 0, self.node.tail())
        place = str(independent(self.kafka, self.name)["where"]["w-0"])
        self.assertEqual(self.journal("dump", "--partition", place)[-1]["kind"], "release")
        self.append(int(place), b"junk")
        self.assertEqual(self.journal("check", "--partition", place)["garbage"], 1)
        self.assertEqual(self.journal("dump", "--partition", place)[-1]["state"], "garbage")
        # Somebody who leads, and writes an event that follows nothing: every checksum is right.
        made = run_python("-c", "import sys, json, base64, msgpack, zlib\n"
                          "reign = [1, 2]\n"
                          "def record(kind, seq, body):\n"
                          "    b = msgpack.packb(body) if body is not None else b''\n"
                          "    return base64.b64encode(msgpack.packb([1, kind, 99, *reign, seq, zlib.crc32(b), b])).decode()\n"
                          "batch = [-1, [-1, 0, 0, 0, 0, False], [[1, 9, None, None, [[9, 2**60, 18, '', 0, False, b'']]]], [], [], [], [], []]\n"
                          "print(json.dumps([record(1, 0, ['forger', 1, 1]), record(2, 1, batch), record(2, 3, batch)]))")
        self.append(int(place), *[base64.b64decode(v) for v in made])
        found = self.journal("check", "--partition", place, code=1)
        self.assertFalse(found["clean"])
        self.assertIn("was never created", " ".join(found["findings"]))
        self.assertEqual(found["skipped"], 1)
        theirs = independent(self.kafka, self.name, feed=False)
        self.assertEqual(theirs["partitions"][place]["skipped"], 1)
        self.assertRegex(" ".join(theirs["findings"]), r"event 9 of w-\d run 1 follows the end")
        self.assertIn("offset", " ".join(theirs["findings"]))
        code, out, _ = self.node.cli("journal", "check", "--partition", place)
        self.assertEqual(code, 1)
        self.assertIn("wrong: offset", out)
        code, out, _ = self.node.cli("journal", "dump", "--partition", place)
        self.assertIn("(seq 3 does not follow 1)", out)

    def test_mistakes_have_their_exit_codes(self):
        self.assertEqual(self.node.cli("journal", "check", "--set", "kafka.brokers=127.0.0.1:1")[0], 5)
        self.assertEqual(self.node.cli("journal", "dump", "--from", "-1")[0], 2)


if __name__ == "__main__":
    unittest.main(verbosity=2)
