#!/usr/bin/env python3
# label: full
# needs: shop
# timeout: 600
"""SIGKILL of a node under load, again and again at random moments: no acknowledged start is lost, every run has exactly
one terminal event, `verify` is clean, and the payment service did everything once per idempotency key.

PAWL_SEED=N replays the moments of the kills (not the scheduling of the machine)."""
import contextlib
import http.client
import json
import os
import random
import tempfile
import threading
import time
import unittest

from pawl_node import Node, eventually
from payment_service import Service

SEED = int(os.environ.get("PAWL_SEED", random.SystemRandom().randrange(2**32)))
KILLS = int(os.environ.get("PAWL_KILLS", "50"))
TERMINAL = {"run_completed", "run_failed", "run_cancelled", "run_killed"}


class Callers:
    """Start orders for as long as they are told to, and remember what was acknowledged."""

    def __init__(self, node, count):
        self.node, self.stop = node, threading.Event()
        self.acknowledged, self.sent, self.lock = [], 0, threading.Lock()
        self.threads = [threading.Thread(target=self.run, args=(k,)) for k in range(count)]
        for t in self.threads:
            t.start()

    def run(self, caller):
        n = 0
        while not self.stop.is_set():
            n += 1
            order = f"o-{caller}-{n}"
            body = {"id": order, "total": 10 + n, "card": "tok_declined" if n % 17 == 0 else "tok_1"}
            # Until it is answered: the same command id, so that an unknown outcome is asked for again.
            while not self.stop.is_set():
                with contextlib.suppress(OSError, http.client.HTTPException, json.JSONDecodeError):
                    self.sent += 1
                    status, answer = self.node.begin("fulfil-order", order, body, command=f"start-{order}")
                    if status in (200, 201):
                        with self.lock:
                            self.acknowledged.append(order)
                        break
                    if status not in (429, 503, 500, 504):
                        raise AssertionError(f"start of {order}: {status} {answer}")
                time.sleep(0.02)

    def end(self):
        self.stop.set()
        for t in self.threads:
            t.join()


class KillStorm(unittest.TestCase):
    def test_every_acknowledged_order_ends_once(self):
        print(f"seed {SEED}, {KILLS} kills: PAWL_SEED={SEED} PAWL_KILLS={KILLS} {__file__}", flush=True)
        rng = random.Random(SEED)
        with tempfile.TemporaryDirectory(prefix="pawl-storm-") as folder, \
                Service("--seed", SEED, "--fail-rate", 0.05, "--unavailable-rate", 0.05, "--throttle-rate", 0.02,
                        "--drop-after-rate", 0.05, "--state", os.path.join(folder, "effects")) as service:
            node = Node("shop", os.path.join(folder, "data"), {"ORDER_SERVICE_URL": f"http://127.0.0.1:{service.port}"},
                        flags=["--set", "node.drain_grace=2s"], log=os.path.join(folder, "node.log"))
            with node.start():
                callers = Callers(node, 8)
                try:
                    for _ in range(KILLS):
                        time.sleep(rng.uniform(0.02, 0.6))  # the moment is the fault, not a wait for something
                        node.kill()
                        node.start(wait=rng.random() < 0.8)
                    eventually(node.answers, "the node answers after the last kill")
                finally:
                    callers.end()
                orders = sorted(set(callers.acknowledged))
                self.assertGreater(len(orders), KILLS, "the load was real")
                self.check_orders(node, orders)
                self.assertEqual(node.drain(), 0, node.tail())
            code, out, err = node.cli("verify")
            self.assertEqual(code, 0, out + err)
            self.check_effects(service, node, orders)

    def check_orders(self, node, orders):
        self.completed = set()
        retried = lost = 0
        for order in orders:
            status, answer = eventually(lambda o=order: (lambda r: r if r[0] == 200 else None)(node.result(o, wait_ms=5000)),
                                        f"{order} ends: {node.show(order)}", within=120)
            if answer["state"] == "completed":
                self.completed.add(order)
            kinds = [e["kind"] for e in node.history(order)[1]["events"]]
            self.assertEqual(sum(k in TERMINAL for k in kinds), 1, f"{order}: {kinds}")
            retried += kinds.count("attempt_failed")
            lost += kinds.count("attempt_lost")
        self.assertGreater(retried, 0, "the service's faults fired")
        self.assertGreater(lost, 0, "a kill hit a running attempt")
        print(f"{len(orders)} orders, {len(self.completed)} completed, {retried} attempts failed, {lost} lost", flush=True)

    def check_effects(self, service, node, orders):
        stats = service.stats()
        self.assertEqual(stats["max_effects_per_key"], 1)
        self.assertGreater(sum(stats["faults"].values()), 0)
        for order in orders:
            standing = [e for e in service.effects(order_id=order) if e["kind"] == "charge" and not e["taken_back"]]
            self.assertEqual(len(standing), 1 if order in self.completed else 0, f"{order}: {standing}")


if __name__ == "__main__":
    unittest.main(verbosity=2)
