#!/usr/bin/env python3
# label: full
# serial: yes
# needs: bad_steps
# timeout: 600
"""Three nodes on three brokers, two of which must have a record before it counts: one broker is killed, and one is cut off
together with the node that leads."""
import os
import tempfile
import time
import unittest

from kafka_broker import Kafka
from pawl_cluster import Cluster, since
from pawl_node import eventually

ASKED_FOR = 15  # seconds: that one that is cut off is asked for


class ThreeBrokers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="pawl-three-")
        cls.addClassCleanup(cls.folder.cleanup)
        cls.kafka = Kafka(os.path.join(cls.folder.name, "kafka"), 3)
        cls.addClassCleanup(cls.kafka.close)

    def setUp(self):
        # Whatever fails, the next one gets brokers that answer.
        self.addCleanup(lambda: [self.kafka.resume(n) for n in list(self.kafka.paused)])

    def cluster(self):
        name = self.id().rsplit(".", 1)[1].replace("test_", "")
        return Cluster(self.kafka, os.path.join(self.folder.name, name), name, **{"kafka.durability": "replicated", "kafka.append_timeout": "5s"})

    def kafka_leaders(self, topic, by=1):
        return self.kafka.metadata(by)[1][topic]

    def test_one_broker_is_killed_under_load(self):
        with self.cluster() as c:
            c.start()
            c.settled()
            before = [c.begin(f"before-{k}", kind="trip", ms=20, fails_at=k % 4) for k in range(20)]
            long = [c.begin(f"long-{k}", ms=4000) for k in range(4)]
            leaders = self.kafka_leaders("one_broker_is_killed_under_load.journal")
            victim = max(self.kafka.nodes, key=leaders.count)
            self.assertGreater(leaders.count(victim), 0)
            self.kafka.kill(victim)
            # Two copies are enough: it goes on while the third is away.
            during = [c.begin(f"during-{k}", kind="trip", ms=20, fails_at=k % 4) for k in range(20)]
            for w in [*before, *long, *during]:
                c.ends(w)
            other = next(n for n in self.kafka.nodes if n != victim)
            self.assertNotIn(victim, self.kafka_leaders("one_broker_is_killed_under_load.journal", other))
            self.kafka.start(victim)
            self.kafka.wait(victim, set(self.kafka.nodes))
            c.ends_well(undone={"trip": ["first", "second", "third"]})

    def test_a_leader_is_cut_off_with_one_broker(self):
        """What the two can tell each other is not news any more: whoever asks there is not answered from it.

        They are cut off by stopping, in turn, all that are on the other side: first the two, until the others lead; then the
        others, while the two go on."""
        topic = "a_leader_is_cut_off_with_one_broker.journal"
        with self.cluster() as c:
            c.start()
            led = c.settled()
            leaders = self.kafka_leaders(topic)
            partition, broker = 0, leaders[0]
            victim = led[partition]
            others = [name for name in c.nodes if name != victim]
            rest = [n for n in self.kafka.nodes if n != broker]
            running = c.begin(c.id_on(partition, "long"), ms=60_000)
            self.kafka.pause(broker)
            c.pause(victim)
            eventually(lambda: broker not in self.kafka_leaders(topic, rest[0]), "other brokers lead")
            eventually(lambda: c.leaders(c.nodes[others[0]])[partition] in others, "another node leads")
            c.ask_for("kill", running, "x-" + running, reason="over there")
            eventually(lambda: c.nodes[others[0]].show(running)[1].get("state") == "killed", "it is over")
            # Now the other way round.
            for name in others:
                c.pause(name)
            for n in rest:
                self.kafka.pause(n)
            self.kafka.resume(broker)
            c.resume(victim)
            asked = answers = 0
            began = time.monotonic()
            while since(began) < ASKED_FOR:
                asked += 1
                try:
                    status, body = c.nodes[victim].ask("GET", f"/v1/workflows/{running}", timeout=ASKED_FOR)
                except TimeoutError:
                    continue
                answers += 1
                self.assertEqual(status, 503, f"it says of a workflow that was killed elsewhere: {body}")
            self.assertGreater(answers, 0, "it says that it does not know")
            # It is healed, and says what is.
            for n in rest:
                self.kafka.resume(n)
            for name in others:
                c.resume(name)
            c.settled()
            status, body = eventually(lambda: (lambda a: a if a[0] == 200 else None)(c.nodes[victim].show(running)), "it answers again")
            self.assertEqual(body["state"], "killed")
            for k in range(8):
                c.completes(c.begin(f"after-{k}"))
            c.ends_well()


if __name__ == "__main__":
    unittest.main(verbosity=2)
