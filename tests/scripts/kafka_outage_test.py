#!/usr/bin/env python3
# label: full
# needs: bad_steps
# timeout: 600
"""Three nodes on one broker that is killed under load, is away for half a minute, comes back without the end of a journal, or
whose answers are lost on the way; and a node that tells the wrong time."""
import os
import subprocess
import tempfile
import threading
import time
import unittest

from kafka_broker import Kafka
from kafka_log import cut
from pawl_cluster import Cluster, since
from pawl_node import eventually

AWAY = 30  # seconds

# The time of day, five minutes off, for one process.
CLOCK = r"""
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static const long off = 300;
int clock_gettime(clockid_t id, struct timespec* t) {
  const int r = (int)syscall(SYS_clock_gettime, id, t);
  if (r == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) t->tv_sec += off;
  return r;
}
int gettimeofday(struct timeval* t, void* zone) {
  struct timespec now;
  (void)zone;
  clock_gettime(CLOCK_REALTIME, &now);
  t->tv_sec = now.tv_sec;
  t->tv_usec = now.tv_nsec / 1000;
  return 0;
}
time_t time(time_t* out) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  if (out) *out = t.tv_sec;
  return t.tv_sec;
}
"""


class OneBroker(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="pawl-outage-")
        cls.addClassCleanup(cls.folder.cleanup)
        cls.kafka = Kafka(os.path.join(cls.folder.name, "kafka"), 1, door=True)
        cls.addClassCleanup(cls.kafka.close)

    def cluster(self, name, **settings):
        return Cluster(self.kafka, os.path.join(self.folder.name, name), name, **settings)

    def test_the_broker_is_killed_under_load_and_then_away_for_half_a_minute(self):
        with self.cluster("away", **{"kafka.append_timeout": "3s"}) as c:
            c.start()
            leaders = c.settled()
            epochs = [p["epoch"] for p in c.partitions()]
            names, load = [], []
            ended = threading.Event()

            def work(n):
                k = 0
                while not ended.is_set():
                    names.append(c.begin(f"load-{n}-{k}", kind="trip", ms=5, fails_at=k % 4, within=120))
                    k += 1

            for n in range(4):
                load.append(threading.Thread(target=work, args=[n]))
                load[-1].start()
            try:
                eventually(lambda: len(names) > 40, "the load is under way")
                self.kafka.kill(1)
                self.kafka.start(1)
                was = len(names)
                eventually(lambda: len(names) > was + 40, "the load goes on")
            finally:
                ended.set()
                for t in load:
                    t.join()
            # Away for longer than any session: it kills no node, and nobody takes over from anybody.
            over = [c.begin(f"over-it-{k}", ms=1000 * AWAY + 5000) for k in range(4)]
            c.settled()
            self.kafka.kill(1)
            began = time.monotonic()
            for n in c.nodes.values():
                status, answer = n.begin("sleeps", "away", {"ms": 1}, command="c-away")
                self.assertEqual(status, 503, answer)
                self.assertGreater(answer["retry_after_ms"], 0)
                self.assertEqual(n.show(over[0])[0], 503, "what cannot be known to be current is not told")
            time.sleep(max(0, AWAY - since(began)))  # what it is about
            self.kafka.start(1)
            self.assertGreaterEqual(since(began), AWAY)
            for w in [*names, *over, c.begin("after")]:
                c.ends(w)
            self.assertEqual(c.settled(), leaders, "everybody leads what it led")
            for w in over:
                self.assertEqual(c.kinds(w).count("attempt_started"), 1, f"{w}: its attempt went on, and nobody started it again")
            found = c.ends_well(undone={"trip": ["first", "second", "third"]})
            self.assertGreater(sum(p["epoch"] for p in found["partitions"].values()), sum(epochs), "appends were lost, and it was announced anew")

    def test_a_journal_loses_its_end(self):
        """Kafka has acknowledged what a power cut takes back: that is detected and told, and nobody acts on what is gone."""
        with self.cluster("tail") as c:
            c.start()
            leader = c.settled()[0]
            kept = [c.begin(c.id_on(0, f"kept-{k}")) for k in range(5)]
            for w in kept:
                c.completes(w)
            running = c.begin(c.id_on(0, "running"), ms=60_000)
            end = next(p["journal_end"] for p in c.partitions(c.nodes[leader]) if p["partition"] == 0)
            lost = [c.begin(c.id_on(0, f"lost-{k}"), ms=600_000) for k in range(5)]
            self.kafka.kill(1)
            folder = os.path.join(self.kafka.folder, "data1", "tail.journal-0")
            away = 5
            ends, ended = cut(folder, away)
            self.assertLess(ends, ended)
            self.kafka.start(1)
            eventually(lambda: any("journal_diverged" in n.log_text() for n in c.nodes.values()), "it is told")
            c.settled()
            # What was acknowledged last is gone, and everybody says so.
            gone = []
            for w in lost:
                status = c.shown(w)[0]
                gone += [w] if status == 404 else []
            self.assertTrue(gone, (end, ends, ended))
            c.acknowledged = [a for a in c.acknowledged if a[0] not in gone]
            # The id is free again, under a run that never was.
            again = c.begin(gone[0])
            c.completes(again)
            for w in kept:
                c.completes(w)
            c.ask_for("kill", running, "x-running")
            for w in [w for w in lost if w not in gone]:
                c.ask_for("kill", w, "x-" + w)
            c.drain()
            c.verified()
            c.checked(lost_tail=True)

    def test_answers_of_the_broker_are_lost(self):
        """A leader has recorded starts and their attempts, and never hears of it: it acts on none, and who takes over has them."""
        with self.cluster("answers", nodes=2) as c:
            c.nodes["n1"] = c.node("n1", **{"kafka.brokers": self.kafka.door_bootstrap})
            c.start("n1")
            self.assertEqual(set(c.settled().values()), {"n1"})
            marks = os.path.join(self.folder.name, "marks")
            c.start("n2")
            eventually(lambda: set(c.settled().values()) == {"n1", "n2"}, "both lead")
            partition = next(p for p, leader in c.leaders().items() if leader == "n1")
            workflow = c.id_on(partition, "unheard")
            self.kafka.door.swallow = True
            asked = []

            def ask():
                try:
                    asked.append(c.nodes["n1"].begin("marks", workflow, {"file": marks}, command="c-" + workflow))
                except OSError as e:
                    asked.append((0, e))

            asking = threading.Thread(target=ask)
            asking.start()
            eventually(lambda: c.leaders(c.nodes["n2"])[partition] == "n2", "n2 leads it")
            self.assertGreater(self.kafka.door.swallowed, 0)
            # It is on record, by n1, which has not acted on it.
            answer = c.tell("POST", "/v1/workflows", {"id": workflow, "type": "marks", "input": {"file": marks}}, workflow, "c-" + workflow,
                            (200, 201), node=c.nodes["n2"])
            self.assertEqual(answer["outcome"], "duplicate")
            # Answers that came late would tell it that the start is on record, and it might say so: it has to have given up by then.
            asking.join()
            self.assertNotIn(asked[0][0], (200, 201), asked)
            self.kafka.door.heal()
            self.assertEqual(c.ends(workflow)["state"], "completed")
            with open(marks) as f:
                pids = f.read().split()
            self.assertEqual(len(pids), 1, "it ran once")
            self.assertFalse({"attempt_not_begun", "attempt_lost"}.isdisjoint(c.kinds(workflow)), c.kinds(workflow))
            c.settled()
            c.ends_well()

    def test_a_node_that_tells_the_wrong_time_does_not_lead(self):
        library = os.path.join(self.folder.name, "five_minutes_off.so")
        subprocess.run(["c++", "-x", "c", "-shared", "-fPIC", "-O1", "-o", library, "-"], input=CLOCK, text=True, check=True)
        with self.cluster("clock", nodes=2) as c:
            c.nodes["n2"].environment["LD_PRELOAD"] = library
            c.start("n2")

            def told():
                status, body = c.nodes["n2"].ask("GET", "/v1/nodes")
                return [n for n in body["nodes"] if n["name"] == "n2" and n["clock"] == "forbids"] if status == 200 else None
            row = eventually(told, "it says that its clock is wrong")[0]
            self.assertGreater(row["clock_offset_ms"], 290_000)
            eventually(lambda: "this node's clock is " in c.nodes["n2"].log_text(), "its log warns")
            self.assertEqual(set(c.leaders(c.nodes["n2"]).values()), {None}, "alone, it leads nothing")
            status, answer = c.nodes["n2"].begin("sleeps", "w", {"ms": 1}, command="c-w")
            self.assertEqual(status, 503, answer)
            c.start("n1")
            self.assertEqual(set(c.settled().values()), {"n1"})
            # It answers for who leads.
            for k in range(8):
                c.completes(c.begin(f"w-{k}", node=c.nodes["n2"]))
            c.nodes["n1"].kill()
            eventually(lambda: set(c.leaders(c.nodes["n2"]).values()) == {None}, "with n1 gone nobody leads")
            c.start("n1")
            c.settled()
            c.ends_well()


if __name__ == "__main__":
    unittest.main(verbosity=2)
