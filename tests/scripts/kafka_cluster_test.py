#!/usr/bin/env python3
# label: full
# needs: bad_steps
# timeout: 400
"""Three nodes on a real Kafka: killed, stopped and continued, restarted one by one; every workflow goes on."""
import base64
import json
import os
import tempfile
import time
import unittest

from kafka_broker import Kafka
from pawl_cluster import HERE, SESSION, Cluster, run_python, since
from pawl_node import eventually


class ThreeNodes(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="pawl-cluster-")
        cls.addClassCleanup(cls.folder.cleanup)
        cls.kafka = Kafka(os.path.join(cls.folder.name, "kafka"), 1)
        cls.addClassCleanup(cls.kafka.close)

    def cluster(self, **settings):
        name = self.id().rsplit(".", 1)[1].replace("test_", "")
        return Cluster(self.kafka, os.path.join(self.folder.name, name), name, **settings)

    def test_partitions_are_shared_and_any_node_answers_for_all(self):
        with self.cluster() as c:
            c.start()
            # A node that comes takes its share, once its views are warm.
            def shares():
                leaders = list(c.settled().values())
                return sorted(leaders.count(n) for n in c.nodes)
            eventually(lambda: shares() == [1, 1, 2], "4 partitions on 3 nodes are 1, 1, 2")
            for k in range(12):
                c.begin(f"w-{k}", node=c.nodes[f"n{k % 3 + 1}"])
            for k in range(12):
                for n in c.nodes.values():
                    self.assertEqual(n.result(f"w-{k}", wait_ms=20000)[1].get("state"), "completed")
            c.ends_well()

    def produce(self, c, partition, *workflows):
        """Starts, by a client that has nothing of pawl's."""
        def raw(text):
            return base64.b64encode(text.encode()).decode()
        messages = [{"key": raw(w), "value": raw(json.dumps({"command": "start", "type": "sleeps", "input": {"ms": 1}})),
                     "partition": partition} for w in workflows]
        run_python(os.path.join(HERE, "foreign_client.py"),
                   text=json.dumps({"bootstrap": self.kafka.bootstrap, "topic": c.name_space + ".commands", "messages": messages}))

    def test_commands_of_any_client_reach_the_partition_that_they_belong_to(self):
        with self.cluster() as c:
            c.start()
            c.settled()
            right = [f"right-{k}" for k in range(12)]
            wrong = [f"wrong-{k}" for k in range(12)]
            self.produce(c, None, *right)
            self.produce(c, 3, *wrong)  # most of them belong elsewhere
            for w in [*right, *wrong]:
                eventually(lambda w=w: c.shown(w)[0] == 200, f"{w} is there")
                c.completes(w)
                self.assertEqual(c.kinds(w).count("run_started"), 1)
            code, out, err = c.any().cli("-o", "json", "dlq", "list")
            self.assertEqual((code, json.loads(out)["dead_letters"]), (0, []), out + err)
            c.ends_well()

    def test_a_leader_is_killed_under_load_and_its_partitions_are_taken_over(self):
        with self.cluster() as c:
            c.start()
            leaders = c.settled()
            victim = leaders[0]
            long = [c.begin(f"long-{k}", ms=6000) for k in range(8)]
            short = [c.begin(f"short-{k}") for k in range(20)]
            c.nodes[victim].kill()
            killed = time.monotonic()
            after = [c.begin(f"after-{k}") for k in range(20)]
            took = since(killed)
            self.assertLess(took, SESSION + 6, "starts on all partitions went on")
            for w in [*long, *short, *after]:
                c.completes(w)
            self.assertNotIn(victim, c.settled().values())
            # What ran in the killed process was lost and tried again, once each.
            lost = [w for w in long if "attempt_lost" in c.kinds(w)]
            for w in lost:
                self.assertEqual(c.kinds(w).count("attempt_started"), 2, c.kinds(w))
            # It comes back and takes part.
            c.start(victim)
            eventually(lambda: victim in c.settled().values(), f"{victim} leads again")
            c.ends_well()

    def test_a_leader_is_stopped_past_its_session_and_continued(self):
        with self.cluster() as c:
            c.start()
            victim = c.settled()[0]
            before = [c.begin(f"before-{k}") for k in range(8)]
            for w in before:
                c.completes(w)
            c.pause(victim)
            eventually(lambda: victim not in c.settled().values(), "others lead")
            during = [c.begin(f"during-{k}") for k in range(8)]
            c.resume(victim)
            # Asked directly, it writes nothing that counts, and soon answers by asking the leaders.
            for k in range(8):
                c.begin(f"zombie-{k}", node=c.nodes[victim])
            for w in [*during, *(f"zombie-{k}" for k in range(8))]:
                c.completes(w)
                self.assertEqual(c.kinds(w).count("run_completed"), 1)
            c.ends_well()

    def test_all_nodes_are_restarted_one_by_one_under_load(self):
        with self.cluster() as c:
            c.start()
            c.settled()
            started = []
            for name in c.nodes:
                for k in range(10):
                    started.append(c.begin(f"{name}-before-{k}", ms=20))
                started.append(c.begin(f"{name}-long", ms=3000))
                self.assertEqual(c.nodes[name].drain(), 0, c.nodes[name].tail())
                for k in range(10):
                    started.append(c.begin(f"{name}-while-{k}"))
                c.start(name)
                c.settled()
            for w in started:
                c.completes(w)
            c.ends_well()


    def test_nodes_end_although_the_brokers_are_away(self):
        with self.cluster() as c:
            c.start()
            c.settled()
            for w in [c.begin(f"w-{k}") for k in range(8)]:
                c.completes(w)
            self.kafka.kill(1)
            try:
                asked = time.monotonic()
                for n in c.nodes.values():
                    n.process.terminate()
                for n in c.nodes.values():
                    n.process.wait(60)
                self.assertLess(since(asked), 45, c.tail())
            finally:
                self.kafka.start(1)
            # Nothing is lost: it goes on where it was.
            c.start()
            c.settled()
            for k in range(8):
                c.completes(f"w-{k}")
            c.ends_well()


if __name__ == "__main__":
    unittest.main(verbosity=2)
