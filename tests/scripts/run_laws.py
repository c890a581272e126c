"""What must hold in the history of one run, whoever tells it: the journal, or the feed. Pure; nothing of pawl's.

docs/history.md says what each kind means. A history is given event by event, in the order in which it is told."""

KINDS = {1: "run_started", 2: "step_scheduled", 3: "attempt_started", 4: "attempt_completed", 5: "attempt_failed",
         6: "attempt_timed_out", 7: "attempt_lost", 8: "attempt_interrupted", 9: "attempt_not_begun", 10: "step_exhausted",
         11: "step_skipped", 12: "cancel_requested", 13: "deadline_passed", 14: "compensation_started", 15: "run_paused",
         16: "run_resumed", 17: "waiting_for_code", 18: "code_found", 19: "history_warning", 20: "run_completed",
         21: "run_failed", 22: "run_cancelled", 23: "run_killed", 24: "step_failed", 25: "step_abandoned", 26: "code_failed",
         27: "timer_started", 28: "timer_fired", 29: "timer_cancelled", 30: "signal_received", 31: "status_published",
         32: "child_asked", 33: "child_ended", 34: "child_dropped", 35: "signal_sent", 36: "signal_answered", 37: "update_received",
         38: "update_answered", 39: "run_continued", 40: "change_noted", 41: "run_reset"}
ENDS = {"run_completed": "completed", "run_failed": "failed", "run_cancelled": "cancelled", "run_killed": "killed",
        "run_continued": "continued", "run_reset": "continued"}
DONE = {"attempt_completed", "step_skipped"}
ENDS_ATTEMPT = {"attempt_completed", "attempt_failed", "attempt_timed_out", "attempt_lost", "attempt_interrupted", "attempt_not_begun"}
UNKNOWN = {"attempt_timed_out", "attempt_lost", "attempt_interrupted"}
CLOSES_STEP = ENDS_ATTEMPT - {"attempt_not_begun"} | {"step_exhausted", "step_skipped"}


class History:
    """The events of one run so far; `add` says what is wrong with the next one."""

    __slots__ = ("name", "seq", "at", "state", "commands", "done", "closed_at", "order", "undoing", "attempts", "open", "start", "unknown",
                 "updates")

    def __init__(self, name):
        self.name, self.seq, self.at, self.state = name, 0, None, "open"
        self.start = None  # the command that started it
        self.commands = {}  # id -> seq of the event that it caused
        self.done = {}  # (step, undo) -> seq
        self.closed_at = {}  # step -> seq of the event that closed it
        self.order, self.undoing = None, []
        self.attempts, self.open = {}, {}  # (step, undo) -> number of the newest; those that run
        self.updates = set()  # seqs of those that are not answered
        self.unknown = set()  # steps of which nobody knows what an attempt did

    def add(self, seq, at, kind, step="", attempt=0, undo=False, command=None, order=None, answers=0):
        """A list of findings, mostly empty. `at` is whatever compares; `order`: names of steps, of compensation_started only;
        `answers`: of update_answered only."""
        found = []

        def wrong(text):
            found.append(f"event {seq} of {self.name} {text}")

        if seq != self.seq + 1:
            wrong(f"follows event {self.seq}")
        if (kind == "run_started") != (seq == 1):
            wrong(f"is a {kind}")
        if self.state != "open":
            wrong(f"follows the end ({kind} after it is {self.state})")
        if self.at is not None and at < self.at:
            wrong("is older than the one before it")
        self.seq, self.at = seq, at
        if seq == 1:
            self.start = command
        if command is not None:
            if command in self.commands:
                wrong(f"applies command {command} again, after event {self.commands[command]}")
            self.commands.setdefault(command, seq)
        self.attempt(wrong, kind, (step, undo), attempt)
        self.closing(wrong, kind, (step, undo), seq)
        if kind == "update_received":
            self.updates.add(seq)
        if kind == "update_answered":
            if answers not in self.updates:
                wrong(f"answers event {answers}, which is no update without an answer")
            self.updates.discard(answers)
        if kind == "compensation_started":
            self.compensation(wrong, list(order))
        if kind in ENDS:
            self.end(wrong, kind)
        return found

    def attempt(self, wrong, kind, of, number):
        if kind == "attempt_started":
            if of in self.open:
                wrong(f"starts attempt {number} of {of[0]} while attempt {self.open[of]} runs")
            if number != self.attempts.get(of, 0) + 1:
                wrong(f"starts attempt {number} of {of[0]} after attempt {self.attempts.get(of, 0)}")
            self.attempts[of], self.open[of] = number, number
            if of[1]:
                self.undo(wrong, of[0])
        elif kind in ENDS_ATTEMPT:
            if kind in UNKNOWN and not of[1]:
                self.unknown.add(of[0])
            if self.open.pop(of, None) != number:
                wrong(f"ends attempt {number} of {of[0]}, which does not run")

    def closing(self, wrong, kind, of, seq):
        if kind in DONE:
            if of in self.done:
                wrong(f"completes {'the undo of ' if of[1] else ''}{of[0]} again, after event {self.done[of]}")
            self.done.setdefault(of, seq)
        if kind in CLOSES_STEP and not of[1]:
            self.closed_at[of[0]] = seq

    def compensation(self, wrong, order):
        if self.order is not None:
            wrong("begins to compensate again")
        self.order = order
        closed = [self.closed_at.get(step, 0) for step in order]
        if 0 in closed:
            wrong(f"undoes {order[closed.index(0)]}, which was not closed")
        if closed != sorted(closed, reverse=True) or len(set(order)) != len(order):
            wrong(f"undoes {order}, which is not the reverse of how they were closed")

    def undo(self, wrong, step):
        """Its undo begins, or is tried again."""
        if not self.undoing or self.undoing[-1] != step:
            if self.undoing and (self.undoing[-1], True) not in self.done:
                wrong(f"undoes {step} before {self.undoing[-1]} is undone")
            self.undoing.append(step)
        left = [s for s in self.order or [] if s not in self.undoing]
        skipped = [s for s in self.order or [] if s in self.undoing or (s, True) not in self.done]
        if self.order is None or self.undoing != skipped[: len(self.undoing)]:
            wrong(f"undoes {self.undoing}, which is not how {self.order} begins; left are {left}")

    def end(self, wrong, kind):
        self.state = ENDS[kind]
        if kind in ("run_killed", "run_reset"):
            return
        if self.updates:
            wrong(f"ends the run without an answer to the updates of events {sorted(self.updates)}")
        if self.open:
            wrong(f"ends the run while attempts of {sorted(step for step, _ in self.open)} run")
        undone = [s for s in self.order or [] if (s, True) not in self.done]
        if kind == "run_completed" and self.order is not None:
            wrong("completes a run that was undone")
        elif undone:
            wrong(f"ends the run before {undone} are undone")
