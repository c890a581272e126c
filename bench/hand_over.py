"""How long a partition stands still when its leader goes: killed, and leaving as planned. Nodes of bench_node on a Kafka,
under a steady load of three-step workflows and beside many open ones that wait.

Everything is read from the topics afterwards, by the reader of tests/scripts that has nothing of pawl's: heartbeats with the
broker's own times, records of the journal with the times at which they were handed to Kafka (one machine, one clock)."""
import json
import threading
import time

import msgpack
from kafka import KafkaProducer

from journal_reader import ANNOUNCEMENT, BATCH, RELEASE, Partition, messages
from pawl_cluster import Cluster
from pawl_node import eventually

PARTITIONS = 4


def command(kind):
    return json.dumps({"command": "start", "type": kind, "input": ""}).encode()


class Load:
    """Starts of `chain`, so many a second, from any client's point of view: commands on the topic."""

    def __init__(self, kafka, name_space, rate):
        self.topic, self.rate = name_space + ".commands", rate
        self.producer = KafkaProducer(bootstrap_servers=kafka.bootstrap, acks="all", linger_ms=2)
        self.sent, self.ended = 0, threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        value, began = command("chain"), time.monotonic()
        while not self.ended.wait(0.005):
            while self.sent < (time.monotonic() - began) * self.rate:
                self.producer.send(self.topic, key=b"load-%d" % self.sent, value=value)
                self.sent += 1

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()
        self.producer.flush(60)
        self.producer.close()


def park(kafka, cluster, count):
    """So many runs that are open and wait."""
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap, acks="all", linger_ms=5)
    for k in range(count):
        producer.send(cluster.name_space + ".commands", key=b"parked-%d" % k, value=command("parked"))
    producer.flush(60)
    producer.close()

    def waiting():
        counts = [n.ask("GET", "/v1/status")[1] for n in cluster.nodes.values()]
        return sum(c["runs"]["open"] for c in counts) >= count and all(c["attempts"]["running"] == 0 for c in counts)
    eventually(waiting, f"{count} runs are open and wait", 120)


def heartbeats(kafka, name_space, node):
    """The times, in ms, of all of a node's heartbeats that are kept."""
    found = []
    for _, m in messages(kafka.bootstrap, name_space + ".nodes"):
        beat = msgpack.unpackb(m.value, strict_map_key=False)
        if beat[6] == node:
            found.append(m.timestamp)
    return found


class Commits(Partition):
    """The fold of a partition's journal that notes when events were committed, and who led from when to when."""

    def __init__(self, number):
        super().__init__(number)
        self.commits = []  # (ms, epoch)
        self.announced_at, self.released_at = {}, {}  # epoch: ms

    def read(self, m):
        before = self.counted
        super().read(m)
        if self.counted == before:
            return
        kind, epoch, body = (msgpack.unpackb(m.value, strict_map_key=False)[k] for k in (1, 2, 7))
        if kind == BATCH and msgpack.unpackb(body, strict_map_key=False)[2]:
            self.commits.append((m.timestamp, epoch))
        if kind in (ANNOUNCEMENT, RELEASE):
            (self.announced_at if kind == ANNOUNCEMENT else self.released_at)[epoch] = m.timestamp

    def way(self, gone, under):
        """What happened when, in ms since the leader of that epoch was to go."""
        after = [e for e in self.announced_at if e > under]
        then = min(after) if after else None
        times = {"last": max(t for t, e in self.commits if e == under), "released": self.released_at.get(under), "announced": self.announced_at.get(then),
                 "first": next((t for t, e in self.commits if e > under), None)}
        return {name: t and round(t - gone) for name, t in times.items()}


def commits(kafka, name_space):
    found = [Commits(n) for n in range(PARTITIONS)]
    for number, m in messages(kafka.bootstrap, name_space + ".journal"):
        found[number].read(m)
    wrong = [text for p in found for text in p.findings]
    if wrong:
        raise AssertionError(f"the journal does not hold together: {wrong[:5]}")
    return found


def run(kafka, folder, name_space, how, parked, rate):
    """One going of a leader under load; `how`: kill or leave. Milliseconds, for each partition that it led."""
    with Cluster(kafka, folder, name_space, nodes=3, binary="bench_node", **{"kafka.partitions": PARTITIONS, "log.level": "warn"}) as c:
        c.start()
        eventually(lambda: sorted(list(c.leaders().values()).count(n) for n in c.nodes) == [1, 1, 2], "4 partitions on 3 nodes are 1, 1, 2")
        park(kafka, c, parked)
        with Load(kafka, name_space, rate):
            time.sleep(3)  # so that every partition is busy
            leaders = c.settled()
            victim = next(n for n in c.nodes if list(leaders.values()).count(n) == 2)
            gone = time.time() * 1000
            if how == "kill":
                c.nodes[victim].kill()
            else:
                c.nodes[victim].process.terminate()
            eventually(lambda: victim not in c.leaders(next(n for k, n in c.nodes.items() if k != victim)).values(), "others lead")
            time.sleep(3)
            until = time.time() * 1000
        for name, n in c.nodes.items():
            if name != victim or how == "leave":
                assert n.drain() == 0, n.tail()
        found = commits(kafka, name_space)
        beats = heartbeats(kafka, name_space, victim)
    last = max(t for t in beats if how == "leave" or t <= gone)
    out = []
    for p in found:
        if leaders[p.number] != victim:
            continue
        under = max(e for t, e in p.commits if t <= gone)
        first = next((t for t, e in p.commits if e > under), None)
        assert first is not None, f"nothing was committed on partition {p.number} after the leader went"
        times = [t for t, _ in p.commits if gone - 1000 <= t <= until]
        gap = max(b - a for a, b in zip(times, times[1:]))
        out.append({"partition": p.number, "from_heartbeat_ms": first - last, "gap_ms": gap, "way": p.way(gone, under)})
    return out
