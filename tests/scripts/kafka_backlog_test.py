#!/usr/bin/env python3
# label: full
# serial: yes
# needs: bad_steps
# timeout: 800
"""A hundred thousand starts are in Kafka before any node runs, from a client that has nothing of pawl's."""
import os
import subprocess
import tempfile
import time
import unittest

from kafka_broker import Kafka
from pawl_cluster import Cluster, since
from pawl_node import eventually

STARTS = 100_000
EVENTS = (4, 5)  # of each: started, its attempt, completed, closed; and scheduled, where no slot was free
PARTITIONS = 4
LIVE = 1_000  # limits.live_workflows, of a partition
WITHIN = 420  # seconds, of a build with sanitizers on two cores that do something else as well
MOST_MEMORY = 1536  # MiB, of the whole process with sanitizers
MOST_GROWTH = 256  # MiB, from when a fifth is done until all are: what SQLite may keep of the views' pages, 64 MiB of each


def memory(node):
    """What the process holds, in MiB."""
    with open(f"/proc/{node.process.pid}/status") as f:
        fields = dict(line.split(":", 1) for line in f)
    return int(fields["VmRSS"].split()[0]) / 1024


class Backlog(unittest.TestCase):
    def test_many_starts_are_there_first(self):
        with tempfile.TemporaryDirectory(prefix="pawl-backlog-") as folder, Kafka(os.path.join(folder, "kafka")) as kafka:
            c = Cluster(kafka, os.path.join(folder, "nodes"), "backlog", nodes=1,
                        **{"log.level": "warn", "kafka.partitions": PARTITIONS, "limits.live_workflows": LIVE})
            code, out, err = c.nodes["n1"].cli("topics", "create")
            self.assertEqual(code, 0, out + err)
            self.produce(kafka)
            with c:
                began = time.monotonic()
                c.start()
                looks = []  # (workflows that are closed, in memory, how often one was turned away, MiB)

                def closed():
                    status, body = c.nodes["n1"].ask("GET", "/v1/status")
                    if status == 200:
                        looks.append((body["runs"]["closed"], body["partition"]["live"], body["partition"]["refused_busy"], memory(c.nodes["n1"])))
                    return looks and looks[-1][0] >= STARTS

                try:
                    eventually(closed, f"{STARTS} workflows are closed", WITHIN)
                finally:
                    print("closed, live, turned away, MiB:", *looks[::max(1, len(looks) // 20)], sep="\n  ", flush=True)
                print(f"{STARTS} workflows in {since(began):.0f} s", flush=True)
                found = c.ends_well()
        self.assertEqual((found["runs"], found["feed"]["runs"]), (STARTS, STARTS))
        self.assertTrue(EVENTS[0] * STARTS <= found["events"] <= EVENTS[1] * STARTS, found["events"])
        self.assertGreater(looks[-1][2], 0, "the intake was never paused")
        self.assertLessEqual(max(look[1] for look in looks), PARTITIONS * LIVE)
        fifth = next(k for k, look in enumerate(looks) if look[0] >= STARTS / 5)
        growth = max(look[3] for look in looks[fifth:]) - looks[fifth][3]
        most = max(look[3] for look in looks)
        print(f"memory: at most {most:.0f} MiB, {growth:.0f} more than when a fifth was done", flush=True)
        self.assertLess(growth, MOST_GROWTH)
        self.assertLess(most, MOST_MEMORY)

    def produce(self, kafka):
        began = time.monotonic()
        lines = "".join(f'w-{k}|{{"command": "start", "type": "sleeps", "input": {{"ms": 0}}}}\n' for k in range(STARTS))
        done = subprocess.run(["kcat", "-P", "-b", kafka.bootstrap, "-t", "backlog.commands", "-K", "|", "-X", "topic.partitioner=murmur2_random"],
                              input=lines, capture_output=True, text=True, timeout=120, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        print(f"produced in {since(began):.1f} s", flush=True)


if __name__ == "__main__":
    unittest.main(verbosity=2)
