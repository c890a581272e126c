#!/usr/bin/env python3
# label: full
# needs: bad_steps
# timeout: 400
"""The fence between processes: what a leader writes after it was stopped past its session, and what of two nodes that announce
themselves at once the slower one does, is in the journal, and counts for nobody. Read there by a reader that has nothing of pawl's."""
import os
import re
import tempfile
import threading
import time
import unittest

from kafka_broker import Kafka
from pawl_cluster import Cluster
from pawl_node import eventually
from tcp_door import produces

ANNOUNCEMENT, BATCH = 1, 2  # kinds of records, as docs/journal.md numbers them
PATIENCE = 120  # seconds: other work goes on on the machine


class Fence(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="pawl-fence-")
        cls.addClassCleanup(cls.folder.cleanup)
        cls.kafka = Kafka(os.path.join(cls.folder.name, "kafka"), 1, door=True)
        cls.addClassCleanup(cls.kafka.close)
        cls.door = cls.kafka.door

    def cluster(self, name, **settings):
        return Cluster(self.kafka, os.path.join(self.folder.name, name), name, **settings)

    def behind_the_door(self, c, name):
        """That node's way to the broker can be spoilt."""
        c.nodes[name] = c.node(name, **{"kafka.brokers": self.kafka.door_bootstrap, "kafka.append_timeout": "60s"})

    def ask_in_vain(self, node, workflow, marks, answers):
        """A caller that does not come back."""
        def ask():
            try:
                answers.append(node.begin("marks", workflow, {"file": marks}, command="c-" + workflow)[0])
            except OSError as e:
                answers.append(e)
        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        return asking

    def test_a_leader_that_was_stopped_writes_what_nobody_counts(self):
        with self.cluster("zombie", nodes=2) as c:
            self.behind_the_door(c, "n1")
            c.start()
            eventually(lambda: len(partitions_of("n1", c)) == 2, "n1 leads two partitions", PATIENCE)
            held, late = partitions_of("n1", c)
            epochs = {p["partition"]: p["epoch"] for p in c.partitions()}
            marks = os.path.join(self.folder.name, "marks")
            # The one has an append under way when it is stopped; the other has none, and begins one when it wakes.
            load = Load(c, c.nodes["n2"], [p for p in range(4) if p != late])
            with load:
                eventually(lambda: load.done >= 10, "the load is under way", PATIENCE)
                # An append is on its way when it is stopped, and arrives when others lead.
                self.door.holds = produces("zombie.journal")
                answers, asking = [], []
                unheard = {p: c.id_on(p, f"unheard-{p}") for p in (held, late)}
                asking.append(self.ask_in_vain(c.nodes["n1"], unheard[held], marks, answers))
                eventually(lambda: self.door.held > 0, "an append of n1 is held back", PATIENCE)
                # What happens from here on it does not hear, or it would know at once when it wakes that others lead.
                self.door.hushed = True
                c.pause("n1")
                # It is asked while it is stopped, and finds that when it wakes.
                asking.append(self.ask_in_vain(c.nodes["n1"], unheard[late], marks, answers))
                c.settled(PATIENCE)
                self.assertEqual(set(c.leaders(c.nodes["n2"]).values()), {"n2"})
                mark, before = os.path.getsize(c.nodes["n1"].log), self.door.held
                woken = 1000 * time.time()
                c.resume("n1")
                eventually(lambda: self.door.held > before, "n1 writes after it has woken", PATIENCE)
                self.door.holds, self.door.hushed = None, False
                given_up = eventually(lambda: set(given_up_in(c.nodes["n1"], mark)) >= {held, late}, "n1 steps down", PATIENCE)
                self.assertTrue(given_up)
                for a in asking:
                    a.join(PATIENCE)
                self.assertTrue(all(s not in (200, 201) for s in answers) and len(answers) == 2, answers)
                was = load.done
                eventually(lambda: load.done > was + 10, "the load goes on", PATIENCE)
            # It takes part again, and leads what it should.
            eventually(lambda: set(partitions_of("n1", c)) == {held, late} and c.settled(), "n1 leads again", PATIENCE)
            for w in unheard.values():
                told = c.tell("POST", "/v1/workflows", {"id": w, "type": "marks", "input": {"file": marks}}, w, "c-" + w, (200, 201))
                self.assertEqual(told["outcome"], "applied", "what n1 wrote of it is not on record")
                c.completes(w)
            with open(marks) as f:
                self.assertEqual(len(f.read().split()), 2, "each ran once")
            for w in load.names:
                c.completes(w)
            found = c.ends_well()
        for p in (held, late):
            row = found["partitions"][str(p)]
            over = [r for r in row["passed_over"] if r[1] == BATCH and r[2] == epochs[p]]
            taken = next(offset for offset, epoch, _ in row["announced"] if epoch > epochs[p])
            print(f"partition {p}: epoch {epochs[p]} ends at the announcement at offset {taken}; passed over: {over}", flush=True)
            self.assertTrue([r for r in over if r[0] > taken], f"n1 wrote a batch behind the announcement of n2: {row}")
            if p == late:
                self.assertTrue([r for r in over if r[4] >= woken - 50], f"a record that was made after {woken:.0f}: {over}")

    def test_two_nodes_announce_themselves_at_once(self):
        with self.cluster("two", **{"kafka.partitions": 1, "kafka.standbys": 2}) as c:
            c.start()
            first = eventually(lambda: c.settled()[0], "somebody leads")
            # Who comes next is known once it has happened.
            c.nodes[first].kill()
            second = c.settled(PATIENCE)[0]
            third = next(name for name in c.nodes if name not in (first, second))
            c.start(first)
            eventually(lambda: c.settled()[0] == first, f"{first} leads again", PATIENCE)
            self.assertEqual(c.nodes[second].drain(), 0, c.nodes[second].tail())
            self.behind_the_door(c, second)
            c.start(second)
            c.settled()
            for w in [c.begin(f"before-{k}") for k in range(5)]:
                c.completes(w)
            eventually(lambda: stand_by(c, first) == sorted([second, third]), "both stand by", PATIENCE)
            epoch = c.partitions()[0]["epoch"]
            # Its announcement goes out, and nothing more of it arrives; so the third does not hear of it, and announces itself too.
            held = self.door.held
            self.door.holds = produces("two.journal")
            c.nodes[first].kill()
            eventually(lambda: self.door.held > held, f"{second} announces itself", PATIENCE)
            self.assertEqual(role_of(c.nodes[second]), "announcing")
            self.door.holds = lambda _: True
            eventually(lambda: role_of(c.nodes[third]) == "leading", f"{third} has announced itself, and leads", PATIENCE)
            during = [c.begin(f"during-{k}", node=c.nodes[third]) for k in range(5)]
            self.door.holds = None
            eventually(lambda: role_of(c.nodes[second]) != "announcing", f"{second} reads that it was not the first", PATIENCE)
            c.start(first)
            c.settled(PATIENCE)
            for w in [*during, *(c.begin(f"after-{k}") for k in range(5))]:
                c.completes(w)
            found = c.ends_well()
        row = found["partitions"]["0"]
        won = [r for r in row["announced"] if r[1] == epoch + 1]
        lost = [r for r in row["passed_over"] if r[1] == ANNOUNCEMENT and r[2] == epoch + 1]
        print(f"epoch {epoch + 1}: {won} counts, {lost} does not", flush=True)
        self.assertEqual((len(won), len(lost)), (1, 1), row)
        self.assertNotEqual(won[0][2], lost[0][3], "two reigns")
        self.assertLess(won[0][0], lost[0][0])


class Load:
    """Workflows one after the other, on those partitions in turn, at one node; a context manager."""

    def __init__(self, cluster, node, partitions):
        self.cluster, self.node, self.partitions = cluster, node, partitions
        self.names, self.failed = [], []
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.run)

    @property
    def done(self):
        return len(self.names)

    def run(self):
        try:
            while not self.ended.is_set():
                workflow = self.cluster.id_on(self.partitions[self.done % len(self.partitions)], f"load-{self.done}")
                self.names.append(self.cluster.begin(workflow, ms=5, node=self.node, within=PATIENCE))
        except BaseException as e:  # told at the end
            self.failed.append(e)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()
        if self.failed:
            raise AssertionError(f"the load has failed: {self.failed[0]!r}") from self.failed[0]


def partitions_of(name, c):
    return [p for p, leader in c.leaders(c.nodes["n2"]).items() if leader == name]


def stand_by(c, asked):
    """Who follows partition 0 closely, as that node has heard."""
    return sorted(f["name"] for f in c.partitions(c.nodes[asked])[0]["followers"] if f["state"] == "standby")


def role_of(node):
    """What the node does about partition 0, as its log says last."""
    roles = re.findall(r"partition=\S+/0 role=(\w+)", node.log_text())
    return roles[-1] if roles else None


def given_up_in(node, mark):
    """The partitions that the node has said it gives up, in its log since then."""
    with open(node.log, errors="replace") as f:
        f.seek(mark)
        return [int(n) for n in re.findall(r"partition given up.*?partition=\S+/(\d+)", f.read())]


if __name__ == "__main__":
    unittest.main(verbosity=2)
