#!/usr/bin/env python3
# label: full
# needs: bad_steps
# timeout: 300
"""Partitions change hands while steps run: nothing is started twice, and every result is recorded by who leads then."""
import os
import signal
import tempfile
import time
import unittest

from kafka_broker import Kafka
from pawl_cluster import Cluster, since
from pawl_node import eventually


class HandOver(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="pawl-hand-over-")
        cls.addClassCleanup(cls.folder.cleanup)
        cls.kafka = Kafka(os.path.join(cls.folder.name, "kafka"), 1)
        cls.addClassCleanup(cls.kafka.close)

    def cluster(self, **settings):
        name = self.id().rsplit(".", 1)[1].replace("test_", "")
        return Cluster(self.kafka, os.path.join(self.folder.name, name), name, **settings)

    def one_attempt(self, c, workflow):
        kinds = c.kinds(workflow)
        self.assertEqual([kinds.count("attempt_started"), kinds.count("attempt_completed")], [1, 1], (workflow, kinds))

    def incarnations(self, c, workflow):
        """Of the processes that ran its attempts."""
        return [e["incarnation"] for e in c.events(workflow) if e["kind"] == "attempt_started"]

    def test_join(self):
        with self.cluster(nodes=2) as c:
            c.start("n1")
            c.settled()
            long = [c.begin(f"long-{k}", ms=12000) for k in range(12)]
            c.start("n2")
            # Half of the partitions move while all of that runs.
            eventually(lambda: len(c.partitions_of("n2")) == 2, "the second node has its share")
            moved = c.partitions_of("n2")
            self.assertFalse([w for w in long if "attempt_completed" in c.kinds(w)], "they still ran then")
            for w in long:
                c.completes(w)
                self.one_attempt(c, w)
            # Of each partition there are some: 12 ids on 4 partitions.
            one = {i for w in long for i in self.incarnations(c, w)}
            self.assertEqual(len(one), 1, "all ran in the first process")
            self.assertTrue(moved)
            c.ends_well()

    def test_leave(self):
        with self.cluster(nodes=2, **{"node.drain_grace": "20s"}) as c:
            c.start()
            c.settled()
            eventually(lambda: len(c.partitions_of("n2")) == 2, "the second node has its share")
            long = [c.begin(f"long-{k}", ms=6000) for k in range(12)]
            leaving = c.nodes["n1"]
            self.assertTrue(eventually(lambda: leaving.ask("GET", "/v1/status")[1]["node"], "n1 answers"))
            leaving.process.send_signal(signal.SIGTERM)
            asked = time.monotonic()
            c.paused.add("n1")  # it answers nobody any more
            eventually(lambda: len(c.partitions_of("n2")) == 4, "the other leads everything at once")
            self.assertLess(since(asked), 3, "and does not wait for the attempts")
            self.assertIsNone(leaving.process.poll(), "which still run in the process that leaves")
            self.assertEqual(leaving.process.wait(60), 0, leaving.tail())
            c.paused.discard("n1")
            for w in long:
                c.completes(w)
                self.one_attempt(c, w)
            self.assertEqual(len({i for w in long for i in self.incarnations(c, w)}), 2)
            c.ends_well()

    def test_stopped(self):
        with self.cluster(nodes=2, **{"node.drain_grace": "300ms"}) as c:
            c.start()
            c.settled()
            eventually(lambda: len(c.partitions_of("n2")) == 2, "the second node has its share")
            long = [c.begin(f"long-{k}", ms=4000) for k in range(12)]
            self.assertEqual(c.nodes["n1"].drain(), 0, c.nodes["n1"].tail())
            for w in long:
                c.completes(w)
            # The function ends when it is told to stop, and its node tells the next leader how.
            told = [w for w in long if "attempt_failed" in c.kinds(w)]
            self.assertTrue(told, [c.kinds(w) for w in long])
            for w in told:
                kinds = c.kinds(w)
                self.assertEqual([kinds.count("attempt_started"), kinds.count("attempt_completed"), kinds.count("attempt_failed"), kinds.count("attempt_lost")], [2, 1, 1, 0], kinds)
            for w in set(long) - set(told):
                self.one_attempt(c, w)
            c.ends_well()


if __name__ == "__main__":
    unittest.main(verbosity=2)
