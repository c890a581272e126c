"""The feed of events as a consumer sees it that follows docs/events.md, with nothing of pawl's: it drops what it has seen of
a run, and then sees each event once, in order. Holds it against the journal as well."""
import json

from run_laws import History


class Told:
    """One run, as the feed tells it."""

    def __init__(self, event):
        self.workflow, self.number, self.uid, self.type = event["workflow_id"], event["run"], event["run_uid"], event["type"]
        self.history = History(f"{self.workflow} run {self.number}")
        self.events, self.said = [], {}
        self.origin = None  # (how, uid of the run that it came from)


class Feed:
    def __init__(self, found=()):
        self.runs, self.where, self.findings = {}, {}, []
        self.messages = self.repeats = 0
        for partition, m in found:
            self.read(partition, m)

    def wrong(self, partition, m, text):
        self.findings.append(f"feed, partition {partition} offset {m.offset}: {text}")

    def read(self, partition, m):
        self.messages += 1
        try:
            event = json.loads(m.value)
            headers = {name: value.decode() for name, value in m.headers}
            named = (f"{event['run_uid']}/{event['seq']}", "pawl." + event["kind"], event["workflow_id"].encode())
        except (ValueError, KeyError, TypeError) as e:
            return self.wrong(partition, m, f"no event: {e!r}")
        if named != (headers.get("ce_id"), headers.get("ce_type"), m.key):
            self.wrong(partition, m, f"headers and key say {headers.get('ce_id')}, {headers.get('ce_type')}, {m.key}, the value {named}")
        if self.where.setdefault(event["workflow_id"], partition) != partition:
            self.wrong(partition, m, f"{event['workflow_id']} was in partition {self.where[event['workflow_id']]} before")
        run = self.runs.get(event["run_uid"]) or self.runs.setdefault(event["run_uid"], Told(event))
        seq = event["seq"]
        if event.get("start", {}).get("origin"):
            run.origin = (event["start"]["origin"]["kind"], event["start"]["origin"]["run_uid"])
        said = hash(m.value)
        if seq <= run.history.seq:
            self.repeats += 1
            if run.said.get(seq, said) != said:
                self.wrong(partition, m, f"event {seq} of {run.history.name} is told a second time, and says something else")
            return None
        for text in run.history.add(seq, event["at"], event["kind"], event.get("step", ""), event.get("attempt", 0),
                                    event.get("undo", False), event.get("command_id"), event.get("order", []), event.get("answers", 0),
                                    event.get("step_number"), "next_attempt_at" in event):
            self.wrong(partition, m, text)
        run.events.append((seq, event["kind"]))
        run.said[seq] = said
        return None


def held_against(feed, journal):
    """What the one tells and the other does not. Of what was trimmed from the journal nothing is known."""
    findings = []
    left = set(feed.runs)
    for run in journal.runs():
        told = feed.runs.get(run.uid)
        left.discard(run.uid)
        if told is None:
            findings.append(f"feed: {run.history.name} is not there")
        elif told.events != run.events:
            n = next((k for k, (a, b) in enumerate(zip(told.events, run.events)) if a != b), min(len(told.events), len(run.events)))
            findings.append(f"feed: {run.history.name} goes on with {told.events[n:n + 1]} after {n} events, in the journal with {run.events[n:n + 1]}")
    if all(p.whole for p in journal.partitions.values()):
        findings += [f"feed: {feed.runs[uid].history.name} ({uid}) is not in the journal" for uid in sorted(left)]
    return findings
