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


class History:
    """The events of one run so far; `add` says what is wrong with the next one. A step is known by its number, since a name may occur
    many times in code, and by its name where the number is not told."""

    __slots__ = ("name", "seq", "at", "state", "commands", "names", "done", "closed", "ended", "abandoned", "order", "undoing", "attempts",
                 "open", "start", "unknown", "updates")

    def __init__(self, name):
        self.name, self.seq, self.at, self.state = name, 0, None, "open"
        self.start = None  # the command that started it
        self.commands = {}  # id -> seq of the event that it caused
        self.names = {}  # of steps, by number
        self.done = {}  # (step, undo) -> seq
        self.closed, self.ended = {}, {}  # step -> seq of the event that closed it; of the one that ended its newest attempt
        self.abandoned = set()  # steps that code does not wait for any more
        self.order, self.undoing = None, []
        self.attempts, self.open = {}, {}  # (step, undo) -> number of the newest; those that run
        self.updates = set()  # seqs of those that are not answered
        self.unknown = set()  # steps of which nobody knows what an attempt did

    def add(self, seq, at, kind, step="", attempt=0, undo=False, command=None, order=None, answers=0, number=None, again=False):
        """A list of findings, mostly empty. `at` is whatever compares; `order`: the steps, of compensation_started only: numbers, "#n"
        or names; `answers`: of update_answered only; `number`: of the step; `again`: another attempt follows."""
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
        of = (self.identify(wrong, step, number), undo)
        self.attempt(wrong, kind, of, attempt)
        self.closing(wrong, kind, of, seq, again)
        if kind == "update_received":
            self.updates.add(seq)
        if kind == "update_answered":
            if answers not in self.updates:
                wrong(f"answers event {answers}, which is no update without an answer")
            self.updates.discard(answers)
        if kind == "compensation_started":
            self.compensation(wrong, [self.resolve(o) for o in order])
        if kind in ENDS:
            self.end(wrong, kind)
        return found

    def identify(self, wrong, step, number):
        if number is None:
            return step
        known = self.names.setdefault(number, step)
        if step and known and step != known:
            wrong(f"calls step {number} {step}, which was {known} before")
        return number

    def resolve(self, step):
        """What stands in an order, as `identify` has it."""
        if isinstance(step, str) and step[:1] == "#" and step[1:].isdigit():
            return int(step[1:])
        if isinstance(step, str):
            return next((n for n, name in self.names.items() if name == step), step)
        return step

    def called(self, step):
        name = self.names.get(step, step)
        shared = list(self.names.values()).count(name) > 1
        return f"{name} #{step}" if shared else name

    def happened(self):
        """The names of the steps that have completed, or may have run."""
        return {self.names.get(step, step) for step, undo in self.done if not undo} | {self.names.get(s, s) for s in self.unknown}

    def attempt(self, wrong, kind, of, number):
        name = self.called(of[0])
        if kind == "attempt_started":
            if of in self.open:
                wrong(f"starts attempt {number} of {name} while attempt {self.open[of]} runs")
            if number != self.attempts.get(of, 0) + 1:
                wrong(f"starts attempt {number} of {name} after attempt {self.attempts.get(of, 0)}")
            self.attempts[of], self.open[of] = number, number
            if of[1]:
                self.undo(wrong, of[0])
        elif kind in ENDS_ATTEMPT:
            if kind in UNKNOWN and not of[1]:
                self.unknown.add(of[0])
            if self.open.pop(of, None) != number:
                wrong(f"ends attempt {number} of {name}, which does not run")

    def closing(self, wrong, kind, of, seq, again):
        """A step is closed by what completes it, by the end of its last attempt, and otherwise when it is given up."""
        step, undo = of
        if kind in DONE:
            if of in self.done:
                wrong(f"completes {'the undo of ' if undo else ''}{self.called(step)} again, after event {self.done[of]}")
            self.done.setdefault(of, seq)
        if undo:
            return
        if kind == "attempt_started":
            self.closed.pop(step, None)  # a person has it tried again
        if kind in ENDS_ATTEMPT and (kind != "attempt_not_begun" or step in self.ended):
            self.ended[step] = seq
        last = kind in ("attempt_failed", "attempt_timed_out") and not again
        if kind in DONE or last or (kind in ENDS_ATTEMPT and step in self.abandoned):
            self.closed[step] = seq
        if kind in ("step_exhausted", "step_failed") or (kind == "step_abandoned" and of not in self.open):
            self.closed.setdefault(step, seq)
        if kind == "step_abandoned":
            self.abandoned.add(step)

    def compensation(self, wrong, order):
        if self.order is not None:
            wrong("begins to compensate again")
        self.order = order
        closed = [self.closed.get(step) or self.ended.get(step, 0) for step in order]
        if 0 in closed:
            wrong(f"undoes {self.called(order[closed.index(0)])}, which was not closed")
        if closed != sorted(closed, reverse=True) or len(set(order)) != len(order):
            wrong(f"undoes {self.all_called(order)}, which is not the reverse of how they were closed")

    def all_called(self, steps):
        return [self.called(s) for s in steps]

    def undo(self, wrong, step):
        """Its undo begins, or is tried again."""
        if not self.undoing or self.undoing[-1] != step:
            if self.undoing and (self.undoing[-1], True) not in self.done:
                wrong(f"undoes {self.called(step)} before {self.called(self.undoing[-1])} is undone")
            self.undoing.append(step)
        left = [s for s in self.order or [] if s not in self.undoing]
        skipped = [s for s in self.order or [] if s in self.undoing or (s, True) not in self.done]
        if self.order is None or self.undoing != skipped[: len(self.undoing)]:
            begins = self.all_called(self.order or [])
            wrong(f"undoes {self.all_called(self.undoing)}, which is not how {begins} begins; left are {self.all_called(left)}")

    def end(self, wrong, kind):
        self.state = ENDS[kind]
        if kind in ("run_killed", "run_reset"):
            return
        if self.updates:
            wrong(f"ends the run without an answer to the updates of events {sorted(self.updates)}")
        if self.open:
            wrong(f"ends the run while attempts of {sorted(self.called(step) for step, _ in self.open)} run")
        undone = [s for s in self.order or [] if (s, True) not in self.done]
        if kind == "run_completed" and self.order is not None:
            wrong("completes a run that was undone")
        elif undone:
            wrong(f"ends the run before {self.all_called(undone)} are undone")
