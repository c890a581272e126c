#!/usr/bin/env python3
# needs: saga
# timeout: 300
"""The saga of examples/saga as its services see it: booked whole, or taken back, over a kill and over services that are away."""
import json
import os
import subprocess
import sys
import unittest
import urllib.request

from code_node import CodeNode
from pawl_node import eventually

SERVICES = os.path.join(os.environ["PAWL_SOURCE"], "examples", "saga", "services.py")
NAMES = ("flights", "hotels", "cars")


class Saga(CodeNode):
    program = "saga"

    def services(self, *flags):
        process = subprocess.Popen([sys.executable, SERVICES, "--port", "0", *flags], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.wait)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stdin.close)
        self.addresses = json.loads(process.stdout.readline())

    def begin(self, workflow):
        self.start_one("book-trip", workflow, {"who": "ada", "to": "Oslo", **self.addresses})

    def seen(self, name):
        with urllib.request.urlopen(self.addresses[name] + "/bookings", timeout=30) as answer:
            return json.load(answer)

    def test_all_is_booked(self):
        self.services("--busy", "hotels=2")
        self.begin("t-1")
        end = self.ended("t-1")
        self.assertEqual(end.get("result"), {"flight": "flights-1", "hotel": "hotels-1", "car": "cars-1"}, end)
        for name in NAMES:
            self.assertEqual(self.seen(name), {"bookings": {"t-1": f"{name}-1"}, "calls": [["/book", "t-1"]]})
        self.verified()

    def test_a_refusal_of_the_third_takes_the_first_two_back(self):
        self.services("--none-left", "cars")
        self.begin("t-1")
        end = self.ended("t-1")
        self.assertEqual((end["state"], end["error"]["code"], end["error"]["message"]), ("failed", "refused", "no cars left to Oslo"))
        for name in ("flights", "hotels"):
            self.assertEqual(self.seen(name), {"bookings": {}, "calls": [["/book", "t-1"], ["/cancel", "t-1"]]})
        self.assertEqual(self.seen("cars")["calls"], [["/book", "t-1"]])
        undone = [e["step"] for e in self.node.history("t-1")[1]["events"] if e["kind"] == "attempt_started" and e.get("undo")]
        self.assertEqual(undone, ["hotel", "flight"])
        self.verified()

    def test_killed_on_the_way(self):
        self.services("--none-left", "cars", "--busy", "hotels=3")
        for n in range(5):
            self.begin(f"t-{n}")
        eventually(lambda: len(self.seen("flights")["bookings"]) > 0, "a flight is booked")
        self.node.kill()
        self.node.start()
        for n in range(5):
            self.assertEqual(self.ended(f"t-{n}")["state"], "failed")
        for name in NAMES:
            self.assertEqual(self.seen(name)["bookings"], {}, name)
        self.verified()

    def test_a_cancel_takes_back_what_there_is(self):
        self.services("--busy", "cars=1000")
        self.begin("t-1")
        eventually(lambda: self.seen("hotels")["bookings"], "the hotel is booked")
        self.assertEqual(self.node.cli("cancel", "t-1")[0], 0)
        self.assertEqual(self.ended("t-1")["state"], "cancelled")
        for name in ("flights", "hotels"):
            self.assertEqual(self.seen(name)["bookings"], {}, name)


if __name__ == "__main__":
    unittest.main()
