#!/usr/bin/python3
"""Checks what a cluster has left in Kafka, whatever was done to it: the invariants of every run, in the journal and in the feed,
and that every command that was acknowledged has exactly one recorded outcome, the one that was told. With nothing of pawl's.

    cluster_checker.py BOOTSTRAP NAMESPACE [--follow] < ASKED

With --follow it reads along until it is asked, and so knows what is trimmed from the journal before that.

ASKED is one JSON object: {"acknowledged": [[workflow, command, outcome, run, seq]...], "open": whether runs may be open,
"undone": {type: [the steps that have an undo]}, "lost_tail": whether the brokers have lost what they had acknowledged, so that the feed
tells of runs that the journal does not have}. Prints one JSON object: {"findings": [what is wrong], and counts}; `skipped` are
the records that the fence left out."""
import argparse
import json
import select
import sys

from kafka import KafkaConsumer, TopicPartition

from feed_reader import Feed, held_against
from journal_reader import Journal, messages
from run_laws import ENDS

# As docs/journal.md numbers them; a duplicate is not recorded, it is the first of its id that is.
RESULTS = {"conflict": 2, "not_found": 3, "invalid": 4, "too_large": 5, "late": 6, "ignored": 7}
APPLIED = 0


def places(journal, feed):
    """{(workflow, command): [where it is on record]}: (run, seq) of the event, or the number of the result."""
    out = {}
    runs = {run.uid: run for run in feed.runs.values()}
    runs.update({run.uid: run for run in journal.runs()})  # the truth where both tell it
    for run in runs.values():
        # What a reset or forked run has from another one was applied there.
        how, uid = run.origin or (None, None)
        kept = runs[uid].history.commands if how in ("reset", "forked") and uid in runs else {}
        for command, seq in run.history.commands.items():
            if seq > 1 and command in kept:
                continue
            out.setdefault((run.workflow, command), []).append((run.number, seq))
    for p in journal.partitions.values():
        for key, (result, seq) in p.outcomes.items():
            found = out.setdefault(key, [])
            # What was applied is said by its event, and once more for when that run is over.
            if result != APPLIED or [s for _, s in found] != [seq]:
                found.append(result)
    return out


def check_acknowledged(acknowledged, recorded):
    findings = []
    for workflow, command, outcome, run, seq in acknowledged:
        found = recorded.get((workflow, command), [])
        name = f"command {command} of {workflow}, acknowledged as {outcome},"
        if len(found) != 1:
            findings.append(f"{name} has {len(found)} recorded outcomes: {found}")
        elif outcome in RESULTS and found[0] != RESULTS[outcome]:
            findings.append(f"{name} is on record as {found[0]}")
        elif outcome not in RESULTS and (not isinstance(found[0], tuple) or (seq is not None and found[0] != (run, seq))):
            findings.append(f"{name} as event {seq} of run {run}, is on record as {found[0]}")
    return findings


def check_runs(runs, may_be_open, undone):
    """`runs`: as the journal tells them, or the feed."""
    findings, numbers = [], {}
    for run in runs:
        numbers.setdefault(run.workflow, []).append(run)
        ends = [seq for seq, kind in run.events if kind in ENDS]
        if len(ends) > 1 or (not ends and not may_be_open):
            findings.append(f"{run.history.name} has {len(ends)} ends after {run.history.seq} events, the last of them {run.events[-1:]}")
        if run.history.state in ("failed", "cancelled") and run.type in undone:
            findings += check_undone(run, undone[run.type])
    for workflow, several in numbers.items():
        several.sort(key=lambda r: r.number)
        goes_on = all(r.history.state == "continued" or (after.origin or [None])[0] == "reset" for r, after in zip(several, several[1:])) and [r.number for r in several] == list(range(1, len(several) + 1))
        if len(several) > 1 and not goes_on:
            findings.append(f"{workflow} was started {len(several)} times, as runs {sorted(r.number for r in several)}")
    return findings


def check_undone(run, steps):
    """Whoever has an undo and completed, or may have run, was undone."""
    due = run.history.happened() & set(steps)
    was = set(run.history.all_called(run.history.order or []))
    return [] if due == was else [f"{run.history.name} undoes {sorted(was)}, and {sorted(due)} are to be undone"]


def check(journal, feed, asked):
    findings = journal.findings()
    if not asked.get("lost_tail"):
        findings += feed.findings + held_against(feed, journal)
    may_be_open, undone = asked.get("open", False), asked.get("undone", {})
    findings += check_runs(journal.runs(), may_be_open, undone)
    if not all(p.whole for p in journal.partitions.values()):
        findings += check_runs(feed.runs.values(), may_be_open, undone)
    acknowledged = asked.get("acknowledged", [])
    findings += check_acknowledged(acknowledged, places(journal, Feed() if asked.get("lost_tail") else feed))
    events = sum(run.history.seq for run in journal.runs())
    return {"findings": findings, "runs": sum(1 for _ in journal.runs()), "events": events, "acknowledged": len(acknowledged),
            "feed": {"messages": feed.messages, "repeats": feed.repeats, "runs": len(feed.runs)},
            "partitions": journal.summary()["partitions"],
            "skipped": sum(p.skipped for p in journal.partitions.values()),
            "garbage": sum(p.garbage for p in journal.partitions.values())}


class Follower:
    """Reads journal and feed as they are written."""

    def __init__(self, bootstrap, name_space):
        self.journal, self.feed = Journal(), Feed()
        self.topics = {name_space + ".journal": self.journal.read, name_space + ".events": self.feed.read}
        self.consumer = KafkaConsumer(bootstrap_servers=bootstrap.split(","), enable_auto_commit=False, auto_offset_reset="earliest",
                                      max_partition_fetch_bytes=9 << 20, fetch_max_bytes=64 << 20)

    def find_topics(self):
        """False: they are not made yet."""
        numbers = {topic: self.consumer.partitions_for_topic(topic) for topic in self.topics}
        if not all(numbers.values()):
            self.consumer.topics()  # asks again
            return False
        self.consumer.assign([TopicPartition(topic, n) for topic, found in numbers.items() for n in sorted(found)])
        self.consumer.seek_to_beginning()
        return True

    def poll(self):
        for place, found in self.consumer.poll(timeout_ms=200).items():
            for m in found:
                self.topics[place.topic](place.partition, m)

    def until(self, line):
        """The next line of `line`, a stream."""
        while not select.select([line], [], [], 0 if self.consumer.assignment() else 0.1)[0]:
            if self.consumer.assignment() or self.find_topics():
                self.poll()
        asked = line.readline()
        if not self.consumer.assignment() and not self.find_topics():
            raise SystemExit("there are no such topics")
        places = list(self.consumer.assignment())
        ends = self.consumer.end_offsets(places)
        while any(self.consumer.position(p) < ends[p] for p in places):
            self.poll()
        return asked


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bootstrap")
    parser.add_argument("namespace")
    parser.add_argument("--follow", action="store_true")
    given = parser.parse_args()
    if given.follow:
        follower = Follower(given.bootstrap, given.namespace)
        asked = follower.until(sys.stdin)
        journal, feed = follower.journal, follower.feed
    else:
        asked = sys.stdin.readline()
        journal = Journal(messages(given.bootstrap, given.namespace + ".journal"))
        feed = Feed(messages(given.bootstrap, given.namespace + ".events"))
    print(json.dumps(check(journal, feed, json.loads(asked))))


if __name__ == "__main__":
    main()
