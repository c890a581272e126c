#!/usr/bin/env python3
"""The checker of what a cluster has left (cluster_checker.py) finds each breach: histories that are right, tampered with in one
place each. No Kafka: the records are made here, byte for byte as docs/journal.md and docs/events.md say."""
import copy
import json
import os
import sys
import types
import unittest
import zlib

PYTHON = "/usr/bin/python3"  # Debian's, which has Debian's python3-kafka and python3-msgpack
try:
    import kafka  # noqa: F401  (the readers need it)
    import msgpack
except ImportError:
    if os.path.realpath(sys.executable) == os.path.realpath(PYTHON):
        raise
    os.execve(PYTHON, [PYTHON, *sys.argv], {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")})

from cluster_checker import check
from feed_reader import Feed
from journal_reader import Journal
from run_laws import KINDS

NUMBERS = {word: number for number, word in KINDS.items()}
STEPS = ["reserve", "charge", "email"]
T = 1_700_000_000_000_000


def event(kind, step=None, attempt=0, undo=False, **more):
    return {"kind": kind, "step": step or "", "attempt": attempt, "undo": undo, **more}


def did(step, undo=False, **more):
    return [event("attempt_started", step, 1, undo, **more), event("attempt_completed", step, 1, undo, **more)]


def completed(command):
    return [event("run_started", command=command), *did("reserve"), *did("charge"), event("run_completed")]


def compensated(command):
    """email is done before charge, and charge failed after one attempt of which nobody knows."""
    return [event("run_started", command=command), *did("reserve"), *did("email"), event("attempt_started", "charge", 1),
            event("attempt_lost", "charge", 1), event("attempt_started", "charge", 2), event("attempt_failed", "charge", 2),
            event("step_exhausted", "charge"), event("compensation_started", order=["charge", "email", "reserve"]),
            *did("charge", True), *did("email", True), *did("reserve", True), event("run_failed")]


def number_of(e):
    return e.get("number", STEPS.index(e["step"])) if e["step"] else None


def of_code():
    """Durable code that reserves three times under one name: once after a loss, once in vain; then it fails and is undone."""
    return [event("run_started", command="c-3"), *did("reserve", number=0), event("attempt_started", "reserve", 1, number=1),
            event("attempt_started", "charge", 1, number=2), event("attempt_lost", "reserve", 1, number=1),
            event("attempt_started", "reserve", 2, number=1), event("attempt_completed", "reserve", 2, number=1),
            event("attempt_failed", "charge", 1, number=2, next="later"), event("attempt_started", "reserve", 1, number=3),
            event("step_abandoned", "reserve", 1, number=3), event("attempt_timed_out", "reserve", 1, number=3),
            event("step_abandoned", "charge", number=2), event("code_failed"),
            event("compensation_started", order=["#3", "#1", "#0"]), *did("reserve", True, number=3), *did("reserve", True, number=1),
            *did("reserve", True, number=0), event("run_failed")]


class Story:
    """Two runs and a refusal on one partition under two leaders, a zombie's record and garbage between; what was acknowledged; and
    what the feed tells. To be tampered with before `found`."""

    def __init__(self):
        self.runs = {1: ("w-1", completed("c-1")), 2: ("w-2", compensated("c-2"))}
        self.runs[1][1][1]["command"] = "x-1"  # whatever it may have been
        self.outcomes = [("w-1", "c-3", 2, 0), ("w-1", "x-1", 0, 2)]  # the second says once more what the event says
        self.acknowledged = [["w-1", "c-1", "applied", 1, 1], ["w-2", "c-2", "duplicate", 1, 1], ["w-1", "c-3", "conflict", None, None],
                             ["w-1", "x-1", "applied", 1, 2]]
        self.partition = {1: 0, 2: 0}  # of each run
        self.run_number = {1: 1, 2: 1}
        self.told = lambda messages: messages
        self.recorded = lambda records: records
        self.commands = [5, 7]  # positions, as the batches have them
        self.asked = {"undone": {"order": STEPS}}

    def uid(self, key):
        return f"{5:016x}{6:016x}-{key}"

    def seqs(self, key):
        return [e.get("seq", n + 1) for n, e in enumerate(self.runs[key][1])]

    def changes(self, key):
        """The run in two records, so that one run goes over a change of leaders."""
        workflow, events = self.runs[key]
        seqs = self.seqs(key)
        rows = []
        for seq, e in zip(seqs, events):
            body = {k: v for k, v in ((0, number_of(e)), (1, e["undo"] or None), (2, e.get("command")),
                                      (6, T if "next" in e else None),
                                      (9, [int(s[1:]) if s[0] == "#" else STEPS.index(s) for s in e["order"]] if "order" in e else None),
                                      (14, e.get("answers"))) if v is not None}
            rows.append([seq, T + e.get("at", 1 if 2 * len(rows) < len(events) else 2), NUMBERS[e["kind"]], e["step"], e["attempt"], e["undo"],
                         msgpack.packb(body) if body else b""])
        half = (len(rows) + 1) // 2
        created = [workflow, self.run_number[key], 5, 6, key, "order", 1, T, events[0].get("command", "")]
        return ([key, rows[half - 1][0], created, None, rows[:half]], [key, rows[-1][0], None, None, rows[half:]])

    def records(self):
        """{partition: [(kind, epoch, reign, seq, body)]}"""
        def batch(position, runs, outcomes=()):
            return [position, [-1, 0, 0, 0, 0, False], runs, [], [[w, c, r, seq, "", T] for w, c, r, seq in outcomes], [], [], []]

        out = {}
        for p in sorted(set(self.partition.values())):
            first, second = [], []
            for key in self.runs:
                if self.partition[key] == p:
                    a, b = self.changes(key)
                    first.append(a)
                    second.append(b)
            here = self.outcomes if p == 0 else []
            out[p] = [(1, 1, (5, 6), 0, ["n1", 1, 1]), (2, 1, (5, 6), 1, batch(self.commands[0], first)), "garbage",
                      (1, 2, (7, 8), 0, ["n2", 2, 1]), (2, 1, (5, 6), 2, batch(6, [])), (4, 2, (7, 8), 1, None),
                      (2, 2, (7, 8), 2, batch(self.commands[1], second, here)), (3, 2, (7, 8), 3, None)]
        return out

    def journal(self):
        for p, records in self.recorded(self.records()).items():
            for offset, r in enumerate(records):
                if r is None:
                    continue
                value = b"what is this"
                if r != "garbage":
                    kind, epoch, reign, seq, body = r[:5]
                    packed = b"" if body is None else msgpack.packb(body)
                    value = msgpack.packb([1, kind, epoch, *reign, seq, zlib.crc32(packed) + (len(r) > 5), packed])
                yield p, types.SimpleNamespace(offset=offset, value=value, timestamp=0)

    def feed(self):
        messages = []
        for key, (workflow, events) in self.runs.items():
            for seq, e in zip(self.seqs(key), events):
                value = {"workflow_id": workflow, "run": self.run_number[key], "run_uid": self.uid(key), "type": "order", "version": 1,
                         "seq": seq, "at": f"2026-01-01T00:00:00.{e.get('at', 500000 + seq):06}Z", "kind": e["kind"]}
                value |= {k: v for k, v in (("step", e["step"]), ("attempt", e["attempt"]), ("undo", e["undo"]), ("order", e.get("order")),
                                            ("command_id", e.get("command")), ("answers", e.get("answers")), ("next_attempt_at", e.get("next"))) if v}
                value |= {} if number_of(e) is None else {"step_number": number_of(e)}
                messages.append([self.partition[key], value])
        messages = [copy.deepcopy(m) for m in messages[:5] + messages[2:]]  # a stretch is repeated
        for offset, (p, value) in enumerate(self.told(messages)):
            headers = {"ce_id": f"{value['run_uid']}/{value['seq']}", "ce_type": "pawl." + value["kind"], **value.pop("headers", {})}
            yield p, types.SimpleNamespace(offset=offset, key=value["workflow_id"].encode(), value=json.dumps(value).encode(),
                                           headers=[(k, v.encode()) for k, v in headers.items()])

    def found(self):
        return check(Journal(self.journal()), Feed(self.feed()), {"acknowledged": self.acknowledged, **self.asked})


class Checker(unittest.TestCase):
    def setUp(self):
        self.story = Story()

    def finds(self, *patterns):
        found = self.story.found()["findings"]
        self.assertTrue(found, "nothing is found")
        for pattern in patterns:
            self.assertRegex("\n".join(found), pattern)

    def events(self, key=1):
        return self.story.runs[key][1]

    def test_what_is_right_is_found_right(self):
        found = self.story.found()
        self.assertEqual(found["findings"], [])
        self.assertEqual((found["runs"], found["events"], found["acknowledged"]), (2, 24, 4))
        self.assertEqual((found["skipped"], found["garbage"]), (1, 1))
        self.assertEqual(found["feed"], {"messages": 27, "repeats": 3, "runs": 2})
        self.assertEqual(found["partitions"]["0"]["leaders"], ["n1", "n2"])
        self.assertEqual(found["partitions"]["0"]["position"], 7)

    # ---- ends

    def test_two_ends(self):
        self.events().append(event("run_failed"))
        self.finds(r"event 7 of w-1 run 1 follows the end", r"w-1 run 1 has 2 ends")

    def test_no_end(self):
        self.events().pop()
        self.finds(r"w-1 run 1 has 0 ends after 5 events")
        self.story.asked["open"] = True
        self.assertEqual(self.story.found()["findings"], [])

    def test_an_event_after_the_end(self):
        self.events().append(event("history_warning"))
        self.finds(r"event 7 of w-1 run 1 follows the end")

    # ---- order

    def test_updates_that_are_not_answered_once(self):
        asked, answered = event("update_received"), event("update_answered", answers=7)
        for more, finding in (([asked, answered], None), ([asked], r"without an answer to the updates of events \[7\]"),
                              ([asked, answered, answered], r"answers event 7, which is no update"),
                              ([answered], r"answers event 7, which is no update")):
            self.story = Story()
            *rest, end = completed("c-1")
            rest[1]["command"] = "x-1"
            self.story.runs[1] = ("w-1", [*rest, event("history_warning"), *copy.deepcopy(more), end])
            self.finds(finding) if finding else self.assertEqual(self.story.found()["findings"], [])

    def test_a_gap(self):
        self.events()[3]["seq"] = 5
        self.finds(r"offset \d+: event 5 of w-1 run 1 follows event 3", r"feed.*event 5 of w-1 run 1 follows event 3")

    def test_an_event_twice(self):
        self.events()[4]["seq"] = 4
        self.finds(r"event 4 of w-1 run 1 follows event 4")

    def test_time_that_runs_backwards(self):
        self.events()[4]["at"] = 0
        self.finds(r"offset \d+: event 5 of w-1 run 1 is older than the one before it")

    def test_a_leader_whose_clock_is_behind(self):
        for e in self.events():
            e["at"] = 0
        self.finds(r"event 4 of w-1 is 1 us older than what its leader found on record")

    def test_two_beginnings(self):
        self.events()[2] = event("run_started")
        self.finds(r"event 3 of w-1 run 1 is a run_started")

    # ---- steps

    def test_a_step_that_completes_twice(self):
        self.events()[3:3] = [event("attempt_started", "reserve", 2), event("attempt_completed", "reserve", 2)]
        self.finds(r"event 5 of w-1 run 1 completes reserve again, after event 3")

    def test_a_completion_and_a_skip(self):
        self.events().insert(3, event("step_skipped", "reserve"))
        self.finds(r"event 4 of w-1 run 1 completes reserve again")

    # ---- steps of code, whose names occur many times

    def add_code(self, *, without=None, at=None, more=()):
        events = of_code()
        if at is not None:
            events[at:at] = more
        self.story.runs[3] = ("w-3", [e for n, e in enumerate(events) if n != without])
        self.story.partition[3], self.story.run_number[3] = 0, 1
        self.story.asked["undone"] = {}

    def test_code_that_calls_a_step_many_times_is_right(self):
        self.add_code()
        self.assertEqual(self.story.found()["findings"], [])

    def test_a_step_of_code_that_completes_twice(self):
        self.add_code(at=8, more=did("reserve", number=0))
        self.finds(r"offset \d+: event 9 of w-3 run 1 starts attempt 1 of reserve #0 after attempt 1",
                   r"offset \d+: event 10 of w-3 run 1 completes reserve #0 again, after event 3",
                   r"feed.*event 10 of w-3 run 1 completes reserve #0 again, after event 3")

    def test_an_undo_of_code_that_completes_twice(self):
        again = [event("attempt_started", "reserve", 2, True, number=1), event("attempt_completed", "reserve", 2, True, number=1)]
        self.add_code(at=-1, more=again)
        self.finds(r"completes the undo of reserve #1 again")

    def test_a_step_of_code_that_is_not_undone(self):
        self.add_code()
        del self.events(3)[-3:-1]
        self.finds(r"ends the run before \['reserve #0'\] are undone")

    def test_an_order_of_code_that_is_not_the_reverse(self):
        self.add_code()
        at = next(n for n, e in enumerate(self.events(3)) if e["kind"] == "compensation_started")
        self.events(3)[at]["order"] = ["#1", "#3", "#0"]
        self.finds(r"undoes \['reserve #1', 'reserve #3', 'reserve #0'\], which is not the reverse")

    def test_a_number_that_is_another_step(self):
        self.add_code()
        self.events(3)[1]["step"] = self.events(3)[2]["step"] = "charge"
        self.finds(r"calls step 0 reserve, which was charge before")

    def test_attempts_that_overlap(self):
        self.events().insert(2, event("attempt_started", "reserve", 2))
        self.finds(r"starts attempt 2 of reserve while attempt 1 runs")

    def test_an_end_of_an_attempt_that_does_not_run(self):
        self.events()[2]["attempt"] = 2
        self.finds(r"event 3 of w-1 run 1 ends attempt 2 of reserve, which does not run")

    def test_an_end_while_an_attempt_runs(self):
        del self.events()[4]
        self.finds(r"event 5 of w-1 run 1 ends the run while attempts of \['charge'\] run")

    # ---- compensation

    def undone(self, order, undos):
        at = next(n for n, e in enumerate(self.events(2)) if e["kind"] == "compensation_started")
        self.events(2)[at:-1] = [event("compensation_started", order=order), *(e for step in undos for e in did(step, True))]

    def test_an_order_that_is_not_the_reverse(self):
        self.undone(["email", "charge", "reserve"], ["email", "charge", "reserve"])
        self.finds(r"undoes \['email', 'charge', 'reserve'\], which is not the reverse")

    def test_undos_in_another_order(self):
        self.undone(["charge", "email", "reserve"], ["charge", "reserve", "email"])
        self.finds(r"undoes \['charge', 'reserve'\], which is not how")

    def test_a_step_that_is_not_undone(self):
        self.undone(["charge", "email", "reserve"], ["charge", "email"])
        self.finds(r"ends the run before \['reserve'\] are undone")

    def test_a_step_that_is_left_out(self):
        self.undone(["charge", "reserve"], ["charge", "reserve"])
        self.finds(r"w-2 run 1 undoes \['charge', 'reserve'\], and \['charge', 'email', 'reserve'\] are to be undone")

    def test_an_undo_beside_another(self):
        self.undone(["charge", "email", "reserve"], ["charge", "email", "reserve"])
        events = self.events(2)
        at = [n for n, e in enumerate(events) if e["undo"]]
        events[at[1]], events[at[2]] = events[at[2]], events[at[1]]
        self.finds(r"undoes email before charge is undone")

    def test_a_completion_of_what_was_undone(self):
        self.events(2)[-1]["kind"] = "run_completed"
        self.finds(r"completes a run that was undone")

    # ---- commands

    def test_an_acknowledged_command_that_is_nowhere(self):
        self.story.acknowledged.append(["w-9", "c-9", "applied", 1, 1])
        self.finds(r"command c-9 of w-9, acknowledged as applied, has 0 recorded outcomes")

    def test_a_command_that_is_applied_twice(self):
        self.events()[1]["command"] = "c-1"
        self.finds(r"event 2 of w-1 run 1 applies command c-1 again, after event 1")

    def test_a_command_that_is_applied_and_refused(self):
        self.story.outcomes.append(("w-1", "c-1", 2, 0))
        self.finds(r"command c-1 of w-1, acknowledged as applied, has 2 recorded outcomes")

    def test_a_command_that_is_applied_and_said_to_be_so_elsewhere(self):
        self.story.outcomes[1] = ("w-1", "x-1", 0, 5)
        self.finds(r"command x-1 of w-1, acknowledged as applied, has 2 recorded outcomes: \[\(1, 2\), 0\]")

    def test_a_second_outcome(self):
        self.story.outcomes.append(("w-1", "c-3", 2, 0))
        self.finds(r"command c-3 of w-1 has a second outcome")

    def test_another_outcome_than_was_told(self):
        self.story.acknowledged[2][2] = "invalid"
        self.story.acknowledged[0][4] = 2
        self.finds(r"command c-3 of w-1, acknowledged as invalid, is on record as 2",
                   r"command c-1 of w-1, acknowledged as applied, as event 2 of run 1, is on record as \(1, 1\)")

    def test_one_start_that_is_two_runs(self):
        self.story.runs[3] = ("w-1", completed("c-1"))
        self.story.partition[3], self.story.run_number[3] = 0, 2
        self.finds(r"w-1 was started 2 times, as runs \[1, 2\]", r"command c-1 of w-1, acknowledged as applied, has 2 recorded outcomes")

    def test_one_id_on_two_partitions(self):
        self.story.runs[3] = ("w-1", completed("c-4"))
        self.story.partition[3], self.story.run_number[3] = 1, 1
        self.finds(r"w-1 is in partitions 0 and 1", r"the runs of w-1 are \[1, 1\]")

    # ---- the log

    def tamper(self, change):
        def recorded(records):
            records = copy.deepcopy(records)
            change(records[0])
            return records
        self.story.recorded = recorded

    def test_a_record_that_is_gone(self):
        self.tamper(lambda r: r.__setitem__(5, None))
        self.finds(r"offset 6: offsets from 5 on are missing")

    def test_a_record_that_is_damaged(self):
        self.tamper(lambda r: r.__setitem__(1, (*r[1], "damaged")))
        self.finds(r"run 1 was never created")
        self.assertEqual(self.story.found()["garbage"], 2)

    def test_what_a_zombie_wrote_and_somebody_counted(self):
        # The feed tells what was in a record that the fence leaves out.
        self.tamper(lambda r: r.__setitem__(6, (2, 1, (5, 6), 2, r[6][4])))
        self.finds(r"feed: w-1 run 1 goes on with .* after 3 events, in the journal with \[\]")

    def test_a_position_that_goes_back(self):
        self.story.commands = [5, 4]
        self.finds(r"the position goes back to 4")

    # ---- the feed

    def test_an_event_that_the_feed_lacks(self):
        self.story.told = lambda messages: [m for m in messages if (m[1]["workflow_id"], m[1]["seq"]) != ("w-2", 9)]
        self.finds(r"feed.*event 10 of w-2 run 1 follows event 8")

    def test_a_run_that_the_feed_lacks(self):
        self.story.told = lambda messages: [m for m in messages if m[1]["workflow_id"] != "w-2"]
        self.finds(r"feed: w-2 run 1 is not there")

    def test_the_end_that_the_feed_lacks(self):
        self.story.told = lambda messages: messages[:-1]
        self.finds(r"feed: w-2 run 1 goes on with \[\] after 17 events")

    def test_a_run_that_is_only_in_the_feed(self):
        def told(messages):
            return messages + [[p, {**m, "run_uid": "f" * 32 + "-1", "workflow_id": "w-9"}] for p, m in messages if m["workflow_id"] == "w-1"]
        self.story.told = told
        self.finds(r"feed: w-9 run 1 \(f+-1\) is not in the journal")

    def test_where_the_brokers_have_lost_a_tail_the_feed_may_tell_more(self):
        self.test_a_run_that_is_only_in_the_feed()
        self.story.asked["lost_tail"] = True
        self.assertEqual(self.story.found()["findings"], [])
        self.events().pop()
        self.finds(r"w-1 run 1 has 0 ends")

    def test_an_event_that_the_feed_tells_otherwise(self):
        def told(messages):
            changed = copy.deepcopy(messages)
            changed[-1][1]["kind"] = "run_cancelled"
            return changed
        self.story.told = told
        self.finds(r"feed: w-2 run 1 goes on with .*run_cancelled.*, in the journal with .*run_failed")

    def test_a_repeat_that_says_something_else(self):
        def told(messages):
            changed = copy.deepcopy(messages)
            changed[5][1]["step"] = "email"  # of the repeat
            return changed
        self.story.told = told
        self.finds(r"event 3 of w-1 run 1 is told a second time, and says something else")

    def test_events_that_are_told_in_another_order(self):
        self.story.told = lambda messages: [messages[1], messages[0], *messages[2:]]
        self.finds(r"feed.*event 2 of w-1 run 1 follows event 0")

    def test_a_message_under_another_name(self):
        def told(messages):
            changed = copy.deepcopy(messages)
            changed[0][1]["headers"] = {"ce_type": "pawl.run_completed"}
            return changed
        self.story.told = told
        self.finds(r"headers and key say .*pawl.run_completed")

    # ---- a journal that was trimmed

    def test_below_a_trim_the_feed_tells(self):
        self.tamper(lambda r: [r.__setitem__(n, None) for n in range(3)])
        self.assertEqual(self.story.found()["findings"], [])
        self.events(2)[-1:] = []
        self.finds(r"w-2 run 1 has 0 ends")


if __name__ == "__main__":
    unittest.main(verbosity=2)
