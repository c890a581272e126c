#!/usr/bin/python3
"""Reads the journal of a namespace as docs/journal.md says, with nothing of pawl's (kafka-python and msgpack, as Debian's
python3-kafka and python3-msgpack have them), folds it, and checks what must hold whatever went wrong.

    journal_reader.py BOOTSTRAP NAMESPACE [--feed]

Prints one JSON object: {"partitions": {"0": {"records", "counted", "skipped", "garbage", "epoch", "leaders", "position", "first",
"announced": [[offset, epoch, reign] of those that count], "passed_over": [what the fence left out: [offset, kind, epoch, reign, time]]}},
"runs": {workflow id: [state of run 1, ...]}, "where": {workflow id: partition}, "outcomes": how many, "findings": [what is wrong]}.
With --feed the topic of events is read too and held against it (feed_reader.py). cluster_checker.py asks for more."""
import argparse
import json
import zlib

import msgpack
from kafka import KafkaConsumer, TopicPartition

from run_laws import KINDS, History

ANNOUNCEMENT, BATCH, RELEASE, BARRIER = 1, 2, 3, 4
STEP, COMMAND, DUE, START, ORDER, ANSWERS = 0, 2, 6, 7, 9, 14
ORIGIN = 12  # in the start
ORIGINS = {1: "continued", 2: "reset", 3: "forked"}
MOST_TOLD = 1000


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
        self.workflow, self.number, high, low, serial = created[:5]
        self.uid = f"{high:016x}{low:016x}-{serial}"
        self.type = created[5]
        self.history = History(f"{self.workflow} run {self.number}")
        self.events = []  # (seq, kind), for who holds another telling against it
        self.origin = None  # (how, uid of the run that it came from)


class Partition:
    """The fold of one partition."""

    def __init__(self, number):
        self.number = number
        self.first, self.next, self.known = None, None, False
        self.epoch, self.reign, self.seq, self.released = 0, None, 0, False
        self.records = self.counted = self.skipped = self.garbage = 0
        self.leaders, self.position = [], -1
        self.announced, self.passed_over = [], []  # [offset, epoch, reign]; and of what does not count, as summary() says
        self.at = self.floor = 0  # times: of the newest event; and when the present leader announced itself
        self.runs, self.newest = {}, {}  # by run key; the newest of a workflow id
        self.outcomes, self.given, self.received = {}, {}, {}
        self.findings = []

    @property
    def whole(self):
        """It begins where the journal began; false: it was trimmed, and what is below is not known."""
        return self.first in (None, 0)

    def wrong(self, offset, text):
        self.findings.append(f"partition {self.number} offset {offset}: {text}")

    def read(self, m):
        self.records += 1
        if self.next is None:
            self.first, self.known = m.offset, m.offset == 0
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
            if len(self.passed_over) < MOST_TOLD:
                self.passed_over.append([m.offset, kind, epoch, f"{high:016x}{low:016x}", m.timestamp])
            return
        self.counted += 1
        if kind == ANNOUNCEMENT:
            self.leaders.append(msgpack.unpackb(body)[0])
            self.announced.append([m.offset, epoch, f"{high:016x}{low:016x}"])
        elif kind == BATCH:
            self.batch(m.offset, msgpack.unpackb(body, strict_map_key=False))

    def accepts(self, kind, epoch, reign, seq):
        if kind == ANNOUNCEMENT:
            if epoch <= self.epoch:
                return False
            self.epoch, self.reign, self.seq, self.released, self.known = epoch, reign, 0, False, True
            self.floor = self.at
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
        for workflow, command, result, seq, *_ in outcomes:
            if (workflow, command) in self.outcomes:
                self.wrong(offset, f"command {command} of {workflow} has a second outcome")
            self.outcomes[workflow, command] = (result, seq)
        for to, number, _ in outbox:
            if number != self.given.get(to, 0 if self.whole else number - 1) + 1:
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
            run = self.runs[key] = Run(created)
            other = self.newest.get(run.workflow)
            if other and (other.history.state == "open" or other.number >= run.number):
                self.wrong(offset, f"run {run.number} of {run.workflow} begins beside run {other.number}")
            self.newest[run.workflow] = run
        run = self.runs.get(key)
        if run is None:
            if self.whole:
                self.wrong(offset, f"run {key} was never created")
            return
        for event in events:
            self.event(offset, run, created is not None, *event[:7])
        if run.history.seq != last:
            self.wrong(offset, f"{run.workflow} ends at {run.history.seq}, not at {last}")

    def event(self, offset, run, begins, seq, at, kind, step, attempt, undo, body):
        facts = msgpack.unpackb(body, strict_map_key=False) if body else {}
        if seq == 1 and len(facts.get(START) or []) > ORIGIN:
            how, (high, low, serial) = facts[START][ORIGIN][:2]
            run.origin = (ORIGINS[how], f"{high:016x}{low:016x}-{serial}")
        # What a reset or forked run has from another one has the times that it had there.
        if at < self.floor and not (begins and run.origin and run.origin[0] != "continued"):
            self.wrong(offset, f"event {seq} of {run.workflow} is {self.floor - at} us older than what its leader found on record")
        self.at = max(self.at, at)
        word = KINDS.get(kind, f"kind {kind}")
        for text in run.history.add(seq, at, word, step, attempt, undo, facts.get(COMMAND), facts.get(ORDER, []), facts.get(ANSWERS, 0),
                                    facts.get(STEP), DUE in facts):
            self.wrong(offset, text)
        run.events.append((seq, word))

    def summary(self):
        return {"records": self.records, "counted": self.counted, "skipped": self.skipped, "garbage": self.garbage, "first": self.first,
                "epoch": self.epoch, "leaders": self.leaders, "position": self.position, "announced": self.announced,
                "passed_over": self.passed_over}


class Journal:
    """All partitions of it."""

    def __init__(self, found=()):
        self.partitions = {}
        for number, m in found:
            self.read(number, m)

    def read(self, number, m):
        self.partitions.setdefault(number, Partition(number)).read(m)

    def runs(self):
        for p in self.partitions.values():
            yield from p.runs.values()

    def findings(self):
        out = [f for p in self.partitions.values() for f in p.findings]
        where, numbers = {}, {}
        for p in self.partitions.values():
            for run in p.runs.values():
                numbers.setdefault(run.workflow, []).append(run.number)
                if where.setdefault(run.workflow, p.number) != p.number:
                    out.append(f"{run.workflow} is in partitions {where[run.workflow]} and {p.number}")
        whole = all(p.whole for p in self.partitions.values())
        for workflow, found in numbers.items():
            found.sort()
            if found != list(range(1 if whole else found[0], found[0] + len(found))):
                out.append(f"the runs of {workflow} are {found}")
        return out

    def summary(self):
        runs = {}
        for run in self.runs():
            runs.setdefault(run.workflow, {})[run.number] = run.history.state
        return {"partitions": {str(n): p.summary() for n, p in self.partitions.items()},
                "runs": {workflow: [states[n] for n in sorted(states)] for workflow, states in runs.items()},
                "where": {run.workflow: p.number for p in self.partitions.values() for run in p.runs.values()},
                "outcomes": sum(len(p.outcomes) for p in self.partitions.values())}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bootstrap")
    parser.add_argument("namespace")
    parser.add_argument("--feed", action="store_true")
    given = parser.parse_args()
    journal = Journal(messages(given.bootstrap, given.namespace + ".journal"))
    findings = journal.findings()
    if given.feed:
        from feed_reader import Feed, held_against  # it needs this file

        feed = Feed(messages(given.bootstrap, given.namespace + ".events"))
        findings += feed.findings + held_against(feed, journal)
    print(json.dumps({**journal.summary(), "findings": findings}))


if __name__ == "__main__":
    main()
