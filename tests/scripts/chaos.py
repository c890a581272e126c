#!/usr/bin/env python3
"""Torments a cluster at random: a real Kafka and three nodes on this machine, work that goes on all the time, and faults from a
seed. Each fault sees that it has fired. At the end everything has to finish, and what the brokers hold has to be right, for
`verify` and for a reader that has nothing of pawl's.

    chaos.py MINUTES [SEED] [--brokers 1|3] [--only FAULT[,FAULT...]] [--faults N]"""
import argparse
import contextlib
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time

import chaos_faults
from chaos_load import Load
from kafka_broker import Kafka
from pawl_cluster import Cluster, since
from pawl_node import eventually

PARTITIONS = 4
PROBES = 8  # workflows that have to get through after each fault
FINISH = 300  # seconds: everything that can finish does


class World:
    """What a fault acts on."""

    def __init__(self, folder, seed, brokers=3, name_space="chaos", **settings):
        self.rng, self.seed, self.count = random.Random(f"{seed}/faults"), seed, 0
        self.garbage = self.dead_letters = 0
        self.partitions = PARTITIONS
        self.snapshots = os.path.join(folder, "snapshots")
        self.spoilt = set()  # snapshots that a fault has damaged or deleted
        self.kafka = Kafka(os.path.join(folder, "kafka"), brokers)
        self.cluster = Cluster(self.kafka, os.path.join(folder, "nodes"), name_space, **{
            "kafka.partitions": PARTITIONS, "kafka.durability": "replicated" if brokers > 1 else "single-broker",
            "kafka.standbys": 2, "kafka.snapshot_dir": self.snapshots, "kafka.snapshot_records": 100, "kafka.snapshot_bytes": "64KiB",
            "kafka.snapshot_interval": "2s", "kafka.snapshot_standby_limit": 500, **settings})

    def rest(self, seconds):
        """The time that a fault lasts."""
        if seconds > 0:
            time.sleep(seconds)

    def log_size(self, name):
        return os.path.getsize(self.cluster.nodes[name].log)

    def finds(self, name, mark, pattern):
        """What the node has told in its log since then."""
        def said():
            with open(self.cluster.nodes[name].log, errors="replace") as f:
                f.seek(mark)
                return re.search(pattern, f.read())
        return eventually(said, f"{name} tells {pattern}")

    def ask_show(self, workflow):
        with contextlib.suppress(OSError):
            return self.cluster.any().show(workflow)[0]
        return None

    def probe(self):
        """Work gets through, on all partitions."""
        names = [self.cluster.begin(f"probe-{self.count}-{k}", within=120) for k in range(PROBES)]
        for name in names:
            self.cluster.completes(name, within=120)

    def all_closed(self):
        def open_runs():
            status, body = self.cluster.any().ask("GET", "/v1/workflows?state=open&limit=5")
            if status != 200 or body["missing_partitions"] or body["workflows"]:
                self.last_open = body
                return False
            return True
        try:
            eventually(open_runs, "everything finishes", FINISH)
        except AssertionError as e:
            raise AssertionError(f"{e}: {self.last_open}\n{self.cluster.tail()}") from e

    def __enter__(self):
        return self

    def __exit__(self, *of):
        if of[0] and issubclass(of[0], Exception):
            print(self.cluster.tail(), file=sys.stderr)
        self.cluster.__exit__(*of)
        self.kafka.__exit__(*of)


def at_random(world, weights, until):
    """Faults, as the world's seed has them."""
    while not until(world.count):
        yield world.rng.choices(list(weights), list(weights.values()))[0]


def torment(world, faults, say=print):
    """Each of the faults under load, and then everything in order. How often each has fired, and what was found."""
    fired = {}
    began = time.monotonic()
    world.cluster.follow()
    world.cluster.start()
    world.cluster.settled()
    with Load(world.cluster, world.seed) as load:
        for fault in faults:
            world.count += 1
            what = fault(world)
            if what is None:
                continue  # there was nothing to do it to
            world.cluster.settled()
            world.probe()
            load.check()
            fired[fault.__name__] = fired.get(fault.__name__, 0) + 1
            say(f"{since(began):6.0f} s  {world.count:3}  {load.total():5} begun  {fault.__name__}: {what}", flush=True)
    world.all_closed()
    found = world.cluster.ends_well(undone={"trip": ["first", "second", "third"]})
    assert found["garbage"] <= world.garbage, (found["garbage"], world.garbage)
    assert load.total() > 0 and found["runs"] > 0
    say(f"{since(began):6.0f} s  all is well: {found['runs']} runs, {found['skipped']} records skipped by the fence; fired: {fired}", flush=True)
    return fired, found


def keep(folder):
    """What is needed to find out what happened."""
    kept = tempfile.mkdtemp(prefix="pawl-chaos-kept-")
    with contextlib.suppress(shutil.Error):  # of what goes while it is copied
        shutil.copytree(folder, os.path.join(kept, "run"), ignore=lambda path, names: [n for n in names if n.endswith(".sock")])
    print(f"the logs, views and topics are kept in {kept}", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("minutes", type=float)
    parser.add_argument("seed", nargs="?", default=str(random.SystemRandom().randrange(1 << 32)))
    parser.add_argument("--brokers", type=int, choices=[1, 3], default=3)
    parser.add_argument("--only", default="", help="these faults only, with commas between them")
    parser.add_argument("--faults", type=int, default=1 << 30, help="so many at most")
    given = parser.parse_args()
    known = {f.__name__: weight for f, weight in chaos_faults.FAULTS.items()}
    only = [name for name in given.only.split(",") if name]
    if strange := set(only) - set(known):
        parser.error(f"there is no fault {', '.join(sorted(strange))}; there are {', '.join(known)}")
    faults = {f: weight for f, weight in chaos_faults.FAULTS.items() if not only or f.__name__ in only}
    again = " ".join(["./dev chaos", f"{given.minutes:g}", given.seed, f"--brokers {given.brokers}", *([f"--only {given.only}"] if only else [])])
    print(f"seed {given.seed}; the same faults again: {again}", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    end = time.monotonic() + 60 * given.minutes
    with tempfile.TemporaryDirectory(prefix="pawl-chaos-", ignore_cleanup_errors=True) as folder:
        with World(folder, given.seed, given.brokers) as world:
            try:
                torment(world, at_random(world, faults, lambda count: count >= given.faults or time.monotonic() > end))
            except BaseException:
                keep(folder)
                print(f"failed at fault {world.count}; again: {again}", file=sys.stderr, flush=True)
                raise


if __name__ == "__main__":
    main()
