#!/usr/bin/env python3
# label: full
# needs: code_jobs
# timeout: 300
"""Workflows that start, tell and stop each other across partitions, while the nodes that lead these are killed."""
import os
import tempfile
import unittest

from kafka_broker import Kafka
from pawl_cluster import Cluster
from pawl_node import eventually


class Family(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="pawl-family-")
        cls.addClassCleanup(cls.folder.cleanup)
        cls.kafka = Kafka(os.path.join(cls.folder.name, "kafka"), 1)
        cls.addClassCleanup(cls.kafka.close)

    def cluster(self, **settings):
        name = self.id().rsplit(".", 1)[1].replace("test_", "")
        return Cluster(self.kafka, os.path.join(self.folder.name, name), name, binary="code_jobs", **settings)

    def start(self, c, kind, workflow, value):
        body = {"id": workflow, "type": kind, "input": value}
        c.tell("POST", "/v1/workflows", body, workflow, "c-" + workflow, (200, 201))
        return workflow

    def state(self, c, workflow):
        status, shown = c.shown(workflow)
        return shown["state"] if status == 200 else None

    def test_children(self):
        n = 320  # forty at a time, each for 300 ms: behind the 70th there is time for a kill
        with self.cluster() as c:
            c.start()
            c.settled()
            parent = self.start(c, "dozes", c.id_on(1, "parent"), n)
            killed = []
            for part in (5, 70):
                eventually(lambda: c.kinds(parent).count("child_ended") > part, "some children have ended")
                self.assertNotIn("run_completed", c.kinds(parent), "it is on its way")
                # First who leads the parent, then who leads most of the children.
                leaders = c.leaders()
                led = list(leaders.values())
                victim = leaders[1] if not killed else max(set(led), key=led.count)
                c.nodes[victim].kill()
                killed.append(victim)
                c.settled()
                c.nodes[victim].start()
                c.settled()
            answer = c.completes(parent)
            self.assertEqual(answer["result"], n * (n - 1) // 2)
            kinds = c.kinds(parent)
            self.assertEqual([kinds.count("child_asked"), kinds.count("child_ended")], [n, n])
            def whole():  # a partition that changes hands is missing for a moment
                status, listed = c.any().ask("GET", "/v1/workflows?type=naps&limit=1000")
                return listed if status == 200 and not listed["missing_partitions"] else None
            listed = eventually(whole, "all partitions tell what they have")
            self.assertEqual(len({w["id"] for w in listed["workflows"]}), n, "one child a call")
            self.assertEqual({w["run"] for w in listed["workflows"]}, {1})
            c.ends_well()

    def test_others(self):
        with self.cluster(nodes=2) as c:
            c.start()
            c.settled()
            # A signal from partition 0 to partition 3, and one to nobody.
            hears = self.start(c, "waits", c.id_on(3, "hears"), None)
            teller = self.start(c, "tells", c.id_on(0, "teller"), hears)
            self.assertEqual(c.completes(teller)["result"], "told")
            self.assertEqual(c.completes(hears)["result"], "from another")
            lost = self.start(c, "tells", c.id_on(0, "lost"), c.id_on(2, "nobody"))
            self.assertEqual(c.completes(lost)["result"], "not_found")
            # A child elsewhere goes with its parent, and an id that is taken is left alone.
            child = c.id_on(2, "child")
            parent = self.start(c, "guards", c.id_on(1, "guard"), {"child": child})
            eventually(lambda: self.state(c, child) == "running", "the child runs")
            other = self.start(c, "guards", c.id_on(0, "other"), {"child": child})
            self.assertEqual(c.completes(other)["result"], f"child {child}: conflict")
            self.assertEqual(self.state(c, child), "running")
            c.ask_for("cancel", parent, "cancel-parent")
            self.assertEqual(c.ends(child)["state"], "cancelled")
            self.assertEqual(c.ends(parent)["state"], "cancelled")
            # As new, again and again, and the leader is killed on the way.
            renews = self.start(c, "renews", c.id_on(1, "renews"), {"left": 60})
            eventually(lambda: (c.shown(renews)[1].get("run") or 0) > 5, "it goes on as new")
            victim = c.leaders()[1]
            c.nodes[victim].kill()
            answer = c.completes(renews)
            self.assertEqual([answer["run"], answer["result"]], [61, 60 * 61])
            c.nodes[victim].start()
            c.settled()
            c.ends_well()


if __name__ == "__main__":
    unittest.main()
