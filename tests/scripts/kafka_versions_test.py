#!/usr/bin/env python3
# label: full
# needs: versions
# timeout: 580
"""Nodes of two versions on one Kafka: which version new runs get, on every partition and whoever is asked; and marks, which
survive every disk, a journal that is trimmed above them, and the loss of whoever leads."""
import base64
import glob
import json
import os
import shutil
import subprocess
import tempfile
import unittest

from kafka_broker import Kafka
from pawl_cluster import Cluster
from pawl_node import DEADLINE, eventually

FOREIGN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "foreign_client.py")
PARTITIONS = 4


class Versions(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="pawl-vers-")
        cls.addClassCleanup(cls.folder.cleanup)
        cls.kafka = Kafka(os.path.join(cls.folder.name, "kafka"), 1)
        cls.addClassCleanup(cls.kafka.close)

    def cluster(self, *versions, **settings):
        """A node for each of the given sets of versions."""
        name = self.id().rsplit(".", 1)[1].replace("test_", "")
        c = Cluster(self.kafka, os.path.join(self.folder.name, name), name, nodes=len(versions), binary="versions",
                    **{"kafka.partitions": PARTITIONS, **settings})
        for node, what in zip(c.nodes.values(), versions):
            self.runs(node, what)
        self.n = 0
        return c

    @staticmethod
    def runs(node, versions):
        node.environment = {**node.environment, "PAWL_TEST_VERSIONS": versions}

    def start(self, c, partition, node=None, kind="picks", value="x"):
        """Of a new run there: its id, and the version that it got."""
        self.n += 1
        workflow = c.id_on(partition, f"{kind}-{self.n}")
        answer = c.tell("POST", "/v1/workflows", {"id": workflow, "type": kind, "input": value}, workflow, "c-" + workflow, (200, 201), node)
        return workflow, answer["version"]

    def everywhere(self, c, **more):
        """The versions that new runs get on each partition, through each node."""
        return {self.start(c, p, node, **more)[1] for p in range(PARTITIONS) for node in c.alive().values()}

    def use(self, c, version, command, node=None):
        body = {"version": version} if version else {"clear": True}

        def answered():
            status, answer = (node or c.any()).ask("POST", "/v1/types/picks/use", body, {"Idempotency-Key": command})
            self.assertIn(status, (200, 503), answer)
            return answer if status == 200 else None
        return eventually(answered, f"{command} is answered")

    def type(self, node, name="picks"):
        def told():  # who has just come, and follows nothing closely yet, asks who leads, if anybody does
            status, answer = node.ask("GET", "/v1/types")
            self.assertIn(status, (200, 503), answer)
            return answer if status == 200 else None
        answer = eventually(told, "the types are told")
        return next(t for t in answer["types"] if t["type"] == name)

    def current(self, node, name="picks"):
        t = self.type(node, name)
        return t["current"], t["current_by"]

    def produce(self, topic, key, value, partition):
        def raw(text):
            return base64.b64encode(text.encode()).decode()
        asked = {"bootstrap": self.kafka.bootstrap, "topic": topic, "messages": [{"key": raw(key), "value": raw(value), "partition": partition}]}
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "LD_PRELOAD"))}
        done = subprocess.run(["/usr/bin/python3", FOREIGN], input=json.dumps(asked) + "\n", env=environment, capture_output=True, text=True,
                              timeout=120, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_mixed(self):
        """n1 has version 1, n2 both: new runs get 1 until all run 2, but for a mark."""
        with self.cluster("1", "1,2") as c:
            n1, n2 = c.nodes["n1"], c.nodes["n2"]
            c.start()
            leaders = eventually(lambda: (lambda found: found if sorted(found.values()) == ["n1", "n1", "n2", "n2"] else None)(c.settled()), "each leads half")
            eventually(lambda: {self.current(n) for n in (n1, n2)} == {(1, "common")}, "both know it")
            self.assertEqual(self.everywhere(c), {1})
            lacking = {n["name"]: n["versions"] for n in self.type(n1)["nodes"]}
            self.assertEqual(lacking, {"n1": [1], "n2": [1, 2]})
            code, out, err = n2.cli("types")
            self.assertEqual(code, 0, err)
            self.assertRegex(out, r"picks +1 +all nodes run it")
            self.assertRegex(out, r"picks +2 +n1")
            # A child too, on whatever partition it is, of a parent that the new node leads.
            of_n2 = next(p for p, leader in leaders.items() if leader == "n2")
            of_n1 = next(p for p, leader in leaders.items() if leader == "n1")
            parent, _ = self.start(c, of_n2, kind="asks")
            self.assertEqual(c.completes(parent)["result"], "1 asks 1 x")
            # ... and a start that a foreign client writes.
            for p in (of_n1, of_n2):
                foreign = c.id_on(p, f"foreign-{p}")
                self.produce(c.name_space + ".commands", foreign, json.dumps({"command": "start", "type": "picks", "input": "k"}), p)
                self.assertEqual(c.completes(foreign)["result"], "1 k")

            # A mark: from the answer on every partition has it.
            answer = self.use(c, 2, "u-1", n1)
            self.assertEqual((answer["outcome"], answer["waiting_partitions"], [n["name"] for n in answer["lacking"]]), ("applied", [], ["n1"]))
            self.assertEqual(self.everywhere(c), {2})
            self.assertEqual({self.current(n) for n in (n1, n2)}, {(2, "marked")})
            done, _ = self.start(c, of_n2)
            self.assertEqual(c.completes(done)["result"], "2 x")
            waits, version = self.start(c, of_n1)
            self.assertEqual((version, c.kinds(waits)), (2, ["run_started", "waiting_for_code"]))
            # So does a child of a parent that is led there.
            parent, version = self.start(c, of_n1, kind="asks")
            self.assertEqual(version, 1)
            eventually(lambda: "child_asked" in c.kinds(parent), "the child is asked for")
            asked = next(e for e in c.events(parent) if e["kind"] == "child_asked")
            self.assertEqual(asked["child"]["version"], 2, asked)
            status, refused = n1.ask("POST", "/v1/types/picks/use", {"version": 3})
            self.assertEqual((status, refused["code"]), (404, "no_such_version"))
            self.assertIn("n1 runs 1", refused["detail"])
            self.assertIn("n2 runs 1, 2", refused["detail"])

            # Another, the first one again, and none.
            self.assertEqual(self.use(c, 1, "u-2")["revision"], 2)
            self.assertEqual(self.everywhere(c), {1})
            again = self.use(c, 2, "u-1", n2)
            self.assertEqual((again["outcome"], again["revision"]), ("duplicate", 1))
            self.assertEqual(self.everywhere(c), {1})
            self.assertEqual(self.use(c, 0, "u-3")["revision"], 3)
            self.assertEqual(self.everywhere(c), {1}, "n1 lacks the other")

            # The old node is replaced. While it drains, and is gone, only the new one counts; then both run 2.
            self.assertEqual(n1.drain(), 0, n1.tail())
            self.runs(n1, "1,2")
            c.start("n1")
            c.settled()
            eventually(lambda: {self.current(n) for n in (n1, n2)} == {(2, "common")}, "the new version is common")
            self.assertEqual(self.everywhere(c), {2})
            self.assertEqual(c.completes(waits)["result"], "2 x", "what has waited for its code has found it")
            self.assertEqual(c.completes(parent)["result"], "1 asks 2 x")
            parent, _ = self.start(c, of_n1, kind="asks")
            self.assertEqual(c.completes(parent)["result"], "2 asks 2 x")
            c.ends_well()

    def test_lost(self):
        """Every view and every disk is lost; then the journal is trimmed above the mark, and all is lost again."""
        shared = os.path.join(self.folder.name, "shared")
        os.makedirs(shared)
        settings = {"kafka.snapshot_dir": shared, "kafka.snapshot_records": 20, "kafka.snapshot_interval": "1s"}
        with self.cluster("1,2", "1,2", **settings) as c:
            c.follow()
            c.start()
            c.settled()
            self.assertEqual(self.use(c, 2, "u-0")["revision"], 1)
            self.assertEqual(self.use(c, 1, "u-1")["waiting_partitions"], [])
            self.assertEqual(self.everywhere(c), {1})
            self.lose_all(c)
            self.assertEqual(self.everywhere(c), {1}, "from the journal alone")

            def kept():
                for p in range(PARTITIONS):
                    for _ in range(5):
                        c.completes(self.start(c, p)[0])
                snapshots = [len(glob.glob(os.path.join(shared, "*", f"p{p}", "*.snapshot"))) >= 2 for p in range(PARTITIONS)]
                return all(snapshots) and self.trimmed(c) == set(range(PARTITIONS))
            eventually(kept, "the journal of every partition is trimmed", within=240)
            self.lose_all(c)
            eventually(lambda: "the view starts from the snapshot" in "".join(n.log_text() for n in c.nodes.values()), "a snapshot is taken up")
            self.assertEqual({self.current(n) for n in c.nodes.values()}, {(1, "marked")})
            self.assertEqual(self.everywhere(c), {1}, "from a snapshot")
            again = self.use(c, 1, "u-1")
            self.assertEqual((again["outcome"], again["revision"]), ("duplicate", 2))
            self.assertEqual(self.use(c, 2, "u-2")["revision"], 3)
            self.assertEqual(self.everywhere(c), {2})
            c.ends_well()

    def lose_all(self, c):
        for n in c.nodes.values():
            n.kill()
        for n in c.nodes.values():
            shutil.rmtree(n.data)
        c.start()
        c.settled()

    def trimmed(self, c):
        """The partitions whose journal does not begin with its first record any more."""
        out = set()
        for p in range(PARTITIONS):
            code, text, err = c.any().cli("-o", "json", "journal", "dump", "--partition", p, "--limit", 1)
            self.assertEqual(code, 0, err)
            if text.strip() and json.loads(text.strip().splitlines()[0])["offset"] > 0:
                out.add(p)
        return out

    def test_killed(self):
        """Marks one after the other while nodes are killed: what is acknowledged is what all partitions come to."""
        with self.cluster("1,2", "1,2", "1,2") as c:
            c.start()
            c.settled()
            last = None
            for round_ in range(6):
                victim = ("n1", "n2", "n3")[round_ % 3]
                c.nodes[victim].kill()
                version = 1 + round_ % 2
                answer = self.use(c, version, f"u-{round_}")
                self.assertEqual(answer["version"], version)
                self.assertTrue(last is None or answer["revision"] > last, "in the order of the answers")
                last = answer["revision"]
                c.start(victim)
                c.settled()
                # One that nobody led when it was answered hears of it as soon as somebody does.
                eventually(lambda: self.everywhere(c) == {version}, "every partition has it", DEADLINE)
            self.assertEqual({self.current(n) for n in c.nodes.values()}, {(2, "marked")})
            c.ends_well()


if __name__ == "__main__":
    unittest.main(verbosity=2)
