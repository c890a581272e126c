#!/usr/bin/python3
"""Reads the journal of a namespace as docs/journal.md says, with nothing of pawl's (kafka-python and msgpack, as Debian's
python3-kafka and python3-msgpack have them), folds it, and checks what must hold whatever went wrong.

    journal_reader.py BOOTSTRAP NAMESPACE [--feed]

Prints one JSON object: {"partitions": {"0": {"records", "counted", "skipped", "garbage", "epoch", "leaders", "position"}},
"runs": {workflow id: [state of run 1, ...]}, "where": {workflow id: partition}, "outcomes": how many, "findings": [what is wrong]}. With --feed the topic of
events is read too and held against it: every event is there, and each run's are in order for who drops repeats."""
import argparse
import json
import zlib

import msgpack
from kafka import KafkaConsumer, TopicPartition

ANNOUNCEMENT, BATCH, RELEASE, BARRIER = 1, 2, 3, 4
STARTED, COMPLETED_ATTEMPT, SKIPPED, COMPENSATION = 1, 4, 11, 14
ENDS = {20: "completed", 21: "failed", 22: "cancelled", 23: "killed"}
CLOSES_STEP = {COMPLETED_ATTEMPT, 5, 6, 7, 8, 10, SKIPPED}
STEP, UNDO, COMMAND, ORDER = 0, 1, 2, 9


def messages(bootstrap, topic, partition=None):
    """(partition, message) of all that the topic holds now."""
    consumer = KafkaConsumer(bootstrap_servers=bootstrap.split(","), enable_auto_commit=False, auto_offset_reset="earliest",
                             max_partition_fetch_bytes=9 << 20, fetch_max_bytes=64 << 20)
    numbers = consumer.partitions_for_topic(topic)
    if numbers is None:
        raise SystemExit(f"there is no topic {topic}")
    places = [TopicPartition(topic, n) for n in sorted(numbers) if partition in (None, n)]
    consumer.assign(places)
    ends = consumer.end_offsets(places)
    consumer.seek_to_beginning()
    while any(consumer.position(p) < ends[p] for p in places):
        for found in consumer.poll(timeout_ms=200).values():
            for m in found:
                if m.offset < ends[TopicPartition(topic, m.partition)]:
                    yield m.partition, m
    consumer.close()


class Run:
    def __init__(self, created):
        self.workflow, self.number, high, low, serial = created[0], created[1], created[2], created[3], created[4]
        self.uid = f"{high:016x}{low:016x}-{serial}"
        self.started_by = created[8]
        self.events, self.state, self.commands = 0, "open", []
        self.done, self.closed_at, self.undone, self.order = {}, {}, [], None


class Partition:
    """The fold of one partition."""

    def __init__(self, number):
        self.number = number
        self.next, self.known = None, False
        self.epoch, self.reign, self.seq, self.released = 0, None, 0, False
        self.records = self.counted = self.skipped = self.garbage = 0
        self.leaders, self.position, self.at = [], -1, 0
        self.runs, self.outcomes, self.given, self.received = {}, {}, {}, {}
        self.findings = []

    def wrong(self, offset, text):
        self.findings.append(f"partition {self.number} offset {offset}: {text}")

    def read(self, m):
        self.records += 1
        if self.next is None:
            self.known = m.offset == 0
        elif m.offset != self.next:
            self.wrong(m.offset, f"offsets from {self.next} on are missing")
        self.next = m.offset + 1
        try:
            form, kind, epoch, high, low, seq, crc, body = msgpack.unpackb(m.value, strict_map_key=False)[:8]
            if form != 1 or zlib.crc32(body) != crc:
                raise ValueError("another format, or damaged")
        except Exception:  # whatever bytes
            self.garbage += 1
            return
        if not self.accepts(kind, epoch, (high, low), seq):
            self.skipped += 1
            return
        self.counted += 1
        if kind == ANNOUNCEMENT:
            self.leaders.append(msgpack.unpackb(body)[0])
        elif kind == BATCH:
            self.batch(m.offset, msgpack.unpackb(body, strict_map_key=False))

    def accepts(self, kind, epoch, reign, seq):
        if kind == ANNOUNCEMENT:
            if epoch <= self.epoch:
                return False
            self.epoch, self.reign, self.seq, self.released, self.known = epoch, reign, 0, False, True
            return True
        if not self.known or (epoch, reign, seq) != (self.epoch, self.reign, self.seq + 1) or self.released:
            return False
        self.seq, self.released = seq, kind == RELEASE
        return True

    def batch(self, offset, body):
        position, _, runs, _, outcomes, outbox, _, received = body[:8]
        if 0 <= position < self.position:
            self.wrong(offset, f"the position goes back to {position}")
        self.position = max(self.position, position)
        for change in runs:
            self.change(offset, *change[:5])
        for workflow, command, *_ in outcomes:
            if (workflow, command) in self.outcomes:
                self.wrong(offset, f"command {command} of {workflow} has a second outcome")
            self.outcomes[workflow, command] = offset
        for to, number, _ in outbox:
            if number != self.given.get(to, 0) + 1:
                self.wrong(offset, f"message {number} to {to} follows {self.given.get(to, 0)}")
            self.given[to] = number
        for from_, number, *_, state in received:
            if state == 0 and number <= self.received.get(from_, 0):
                self.wrong(offset, f"message {number} of {from_} is applied again")
            self.received[from_] = number

    def change(self, offset, key, last, created, _, events):
        if created is not None:
            if key in self.runs:
                self.wrong(offset, f"run {key} is created twice")
            self.runs[key] = Run(created)
            for other in self.runs.values():
                if other is not self.runs[key] and other.workflow == created[0] and (other.state == "open" or other.number >= created[1]):
                    self.wrong(offset, f"run {created[1]} of {created[0]} begins beside run {other.number}")
        run = self.runs.get(key)
        if run is None:
            self.wrong(offset, f"run {key} was never created")
            return
        for event in events:
            self.event(offset, run, *event[:7])
        if run.events != last:
            self.wrong(offset, f"{run.workflow} ends at {run.events}, not at {last}")

    def event(self, offset, run, seq, at, kind, step, attempt, undo, body):
        name = f"event {seq} of {run.workflow} run {run.number}"
        facts = msgpack.unpackb(body, strict_map_key=False) if body else {}
        if seq != run.events + 1:
            self.wrong(offset, f"{name} follows event {run.events}")
        if (kind == STARTED) != (seq == 1):
            self.wrong(offset, f"{name} is of kind {kind}")
        if run.state != "open":
            self.wrong(offset, f"{name} follows the end")
        if at < self.at:
            self.wrong(offset, f"{name} is older than one before it")
        self.at, run.events = max(self.at, at), seq
        if COMMAND in facts:
            if facts[COMMAND] in run.commands:
                self.wrong(offset, f"{name}: command {facts[COMMAND]} is applied twice")
            run.commands.append(facts[COMMAND])
        if kind in ENDS:
            run.state = ENDS[kind]
        of = (facts.get(STEP), undo)
        if kind in (COMPLETED_ATTEMPT, SKIPPED) and of in run.done:
            self.wrong(offset, f"{name}: {'the undo of ' if undo else ''}{step} is completed twice")
        if kind in (COMPLETED_ATTEMPT, SKIPPED):
            run.done[of] = seq
        if kind in CLOSES_STEP and not undo:
            run.closed_at[facts.get(STEP)] = seq
        if kind == COMPENSATION:
            run.order = list(facts[ORDER])
            closed = [run.closed_at.get(s, 0) for s in run.order]
            if closed != sorted(closed, reverse=True):
                self.wrong(offset, f"{name}: the order {run.order} is not the reverse of the closing")
        if kind == 3 and undo and (not run.undone or run.undone[-1] != facts[STEP]):
            run.undone.append(facts[STEP])
            if run.order is None or run.undone != run.order[: len(run.undone)]:
                self.wrong(offset, f"{name}: undone so far {run.undone}, to be {run.order}")

    def summary(self):
        return {"records": self.records, "counted": self.counted, "skipped": self.skipped, "garbage": self.garbage,
                "epoch": self.epoch, "leaders": self.leaders, "position": self.position}


def check_feed(bootstrap, name_space, partitions):
    """What is wrong with the feed, held against the journal."""
    last, findings = {}, []
    for _, m in messages(bootstrap, name_space + ".events"):
        headers = {name: value.decode() for name, value in m.headers}
        uid, seq = headers["ce_id"].rsplit("/", 1)
        seq = int(seq)
        if seq > last.get(uid, 0) + 1:
            findings.append(f"feed: event {seq} of {uid} follows event {last.get(uid, 0)}")
        last[uid] = max(seq, last.get(uid, 0))
    for p in partitions:
        for run in p.runs.values():
            if last.pop(run.uid, 0) != run.events:
                findings.append(f"feed: {run.workflow} run {run.number} is not there up to event {run.events}")
    return findings + [f"feed: run {uid} is not in the journal" for uid in last]


def read(bootstrap, name_space, feed=False):
    partitions = {}
    for number, m in messages(bootstrap, name_space + ".journal"):
        partitions.setdefault(number, Partition(number)).read(m)
    findings = [f for p in partitions.values() for f in p.findings]
    runs, where = {}, {}
    for p in partitions.values():
        for run in p.runs.values():
            runs.setdefault(run.workflow, {})[run.number] = run.state
            if where.setdefault(run.workflow, p.number) != p.number:
                findings.append(f"{run.workflow} is in partitions {where[run.workflow]} and {p.number}")
    for workflow, numbers in runs.items():
        if sorted(numbers) != list(range(1, len(numbers) + 1)):
            findings.append(f"the runs of {workflow} are {sorted(numbers)}")
    if feed:
        findings += check_feed(bootstrap, name_space, partitions.values())
    return {"partitions": {str(n): p.summary() for n, p in partitions.items()},
            "runs": {workflow: [numbers[n] for n in sorted(numbers)] for workflow, numbers in runs.items()},
            "where": where, "outcomes": sum(len(p.outcomes) for p in partitions.values()), "findings": findings}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("bootstrap")
    parser.add_argument("namespace")
    parser.add_argument("--feed", action="store_true")
    given = parser.parse_args()
    print(json.dumps(read(given.bootstrap, given.namespace, given.feed)))
