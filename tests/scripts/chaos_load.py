"""Work that goes on all the time while a cluster is tormented: starts of every kind and some cancels, each told again under its
command id until it is acknowledged."""
import random
import threading

THREADS = 3
PAUSE = 0.1  # seconds between two starts of a thread, about: for machines of two cores
CANCELLED = 0.1  # of those that could be


class Load:
    """A context manager: the load goes on inside of it, and has all its answers at the end."""

    def __init__(self, cluster, seed):
        self.cluster, self.seed = cluster, seed
        self.stopping = threading.Event()
        self.started, self.failed = [0] * THREADS, []
        self.threads = [threading.Thread(target=self.run, args=[n], name=f"load-{n}", daemon=True) for n in range(THREADS)]

    def run(self, n):
        rng = random.Random(f"{self.seed}/load/{n}")
        try:
            while not self.stopping.wait(rng.uniform(0, 2 * PAUSE)):
                self.one(rng, f"l{n}-{self.started[n]}")
                self.started[n] += 1
        except BaseException as e:  # told by check()
            self.failed.append(e)

    def one(self, rng, name):
        dice = rng.random()
        within = 300  # an outage is part of it
        if dice < 0.5:
            self.cluster.begin(name, kind="trip", ms=rng.choice([0, 5, 50]), flaky=rng.choice([0, 0, 0, 1]), within=within)
        elif dice < 0.7:
            self.cluster.begin(name, kind="trip", ms=rng.choice([0, 5]), flaky=rng.choice([0, 0, 1]), fails_at=rng.randint(1, 3), within=within)
        elif dice < 0.9:
            self.cluster.begin(name, ms=rng.choice([1, 100, 1000]), within=within)
        else:
            self.cluster.begin(name, ms=rng.choice([3000, 8000]), within=within)
        if rng.random() < CANCELLED:
            self.cluster.ask_for("cancel", name, "x-" + name, within=within)

    def check(self):
        if self.failed:
            raise AssertionError(f"the load has failed: {self.failed[0]!r}") from self.failed[0]

    def total(self):
        return sum(self.started)

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, kind, *_):
        self.stopping.set()
        for t in self.threads:
            t.join(10 if kind else None)
        if not kind:
            self.check()
