#!/usr/bin/env python3
# label: full
# serial: yes
# needs: bad_steps
# timeout: 240
"""A node whose journal is in a real Kafka: its data directory may be lost, its process killed, the broker too."""
import os
import shutil
import tempfile
import time
import unittest

from kafka_broker import Kafka
from pawl_node import Node, eventually


class OnKafka(unittest.TestCase):
    BROKERS, DURABILITY = 1, "single-broker"

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="pawl-kafka-node-")
        cls.addClassCleanup(cls.folder.cleanup)
        cls.kafka = Kafka(os.path.join(cls.folder.name, "kafka"), cls.BROKERS)
        cls.addClassCleanup(cls.kafka.close)

    def node(self, data, **settings):
        given = {"brokers": self.kafka.bootstrap, "durability": self.DURABILITY, "namespace": self.id().rsplit(".", 1)[1], "partitions": 1, **settings}
        flags = [word for key, value in given.items() for word in ("--set", f"kafka.{key}={value}")]
        folder = os.path.join(self.folder.name, self.id().rsplit(".", 1)[1])
        os.makedirs(folder, exist_ok=True)
        return Node("bad_steps", os.path.join(folder, data), flags=flags, log=os.path.join(folder, data + ".log"))

    def begin(self, node, workflow, ms):
        status, answer = node.begin("sleeps", workflow, {"ms": ms}, command="c-" + workflow)
        self.assertEqual(status, 201, answer)

    def completes(self, node, workflow):
        answer = eventually(lambda: (lambda r: r if r[0] == 200 else None)(node.result(workflow, wait_ms=2000)), f"{workflow} ends")
        self.assertEqual(answer[1]["state"], "completed", answer)

    def verified(self, node):
        code, out, err = node.cli("verify")
        self.assertEqual(code, 0, out + err)
        return out


class OneBroker(OnKafka):
    def test_topics_are_made_and_checked(self):
        node = self.node("data")
        code, out, _ = node.cli("topics", "check")
        self.assertEqual(code, 1, out)
        self.assertEqual(out.count("is not there"), 5, out)
        code, out, _ = node.cli("topics", "create")
        self.assertEqual((code, out.count("made ")), (0, 5), out)
        code, out, _ = node.cli("topics", "create")
        self.assertEqual(code, 0)
        self.assertIn("are there already", out)
        self.assertEqual(node.cli("topics", "check")[0], 0)
        stricter = self.node("data", durability="replicated")
        code, out, _ = stricter.cli("topics", "check")
        self.assertEqual(code, 1)
        self.assertIn("min.insync.replicas is 1, and has to be 2", out)
        with self.assertRaisesRegex(AssertionError, "exit code 1.*copies"):
            stricter.start()

    def test_a_node_is_killed_and_its_data_directory_lost(self):
        first = self.node("first")
        with first.start():
            for n in range(30):
                self.begin(first, f"w-{n}", 1)
            self.begin(first, "long", 3000)
            self.completes(first, "w-0")
            first.kill()
        second = self.node("second")
        with second.start():
            for n in range(30):
                self.completes(second, f"w-{n}")
            self.completes(second, "long")
            kinds = [e["kind"] for e in second.history("long")[1]["events"]]
            self.assertIn("attempt_lost", kinds)
            # The start again, under its command id, is the start that was.
            status, answer = second.begin("sleeps", "w-1", {"ms": 1}, command="c-w-1")
            self.assertEqual((status, answer["outcome"]), (200, "duplicate"), answer)
            history = second.history("long")
            self.assertEqual(second.drain(), 0, second.tail())
        self.assertIn("checked 31 runs (0 open)", self.verified(second))
        # The first directory's view is old; it catches up and says the same.
        with first.start():
            # Until it has a record of its own it cannot tell what is current.
            told = eventually(lambda: (lambda h: h if h[0] != 503 else None)(first.history("long")), "it leads")
            self.assertEqual(told, history)
            self.assertEqual(first.drain(), 0, first.tail())
        self.assertIn("checked 31 runs (0 open)", self.verified(first))

    def test_a_copied_node_id_ends_the_older_process(self):
        first, second = self.node("first"), self.node("second")
        with first.start(), second:
            self.begin(first, "before", 1)
            self.completes(first, "before")
            os.makedirs(second.data)
            shutil.copy(os.path.join(first.data, "node_id"), second.data)
            second.start()
            self.assertEqual(first.process.wait(60), 1, first.tail())
            self.assertRegex(first.tail(), r"another process lives under this node's id [0-9a-f]{16}: incarnation \d+.*was copied")
            self.begin(second, "after", 1)
            for workflow in ("before", "after"):
                self.completes(second, workflow)
            self.assertEqual(second.drain(), 0, second.tail())
        self.verified(second)

    def test_the_broker_is_killed_under_load(self):
        node = self.node("data", append_timeout="3s")
        with node.start():
            acknowledged = []
            for n in range(20):
                self.begin(node, f"w-{n}", 1)
                acknowledged.append(f"w-{n}")
            self.begin(node, "over-the-outage", 5000)
            self.kafka.kill(1)
            refused = 0
            for n in range(3):
                status, answer = node.begin("sleeps", f"x-{n}", {"ms": 1}, command=f"c-x-{n}")
                refused += status in (429, 503)
                self.assertIn(status, (429, 503), answer)
            self.assertEqual(refused, 3)
            self.kafka.start(1)
            eventually(lambda: node.begin("sleeps", "after", {"ms": 1}, command="c-after")[0] in (200, 201), "the node takes work again")
            for workflow in [*acknowledged, "over-the-outage", "after"]:
                self.completes(node, workflow)
            # The attempt went on while the broker was away: nobody started it again.
            kinds = [e["kind"] for e in node.history("over-the-outage")[1]["events"]]
            self.assertEqual(kinds.count("attempt_started"), 1, kinds)
            self.assertEqual(node.drain(), 0, node.tail())
        self.verified(node)

    def test_mistakes_have_their_exit_codes(self):
        nobody = self.node("data", brokers="127.0.0.1:1")
        code, _, err = nobody.cli("topics", "check")
        self.assertEqual(code, 5, err)
        self.assertIn("kafka.brokers", err)
        own = Node("bad_steps", os.path.join(self.folder.name, "own"), log=os.path.join(self.folder.name, "own.log"))
        with own.start():
            self.begin(own, "w", 1)
            self.completes(own, "w")
            own.drain()
        mixed = self.node("data")
        mixed.data = own.data
        code, _, err = mixed.cli("node")
        self.assertEqual(code, 1, err)
        self.assertIn("a store of its own", err)
        code, _, err = own.cli("topics", "check")
        self.assertEqual(code, 2, err)


class ThreeBrokers(OnKafka):
    BROKERS, DURABILITY = 3, "replicated"

    def accepted(self, node, workflow, command, what):
        answers, asked = [], time.monotonic()

        def begin():
            answers.append(node.begin("sleeps", workflow, {"ms": 1}, command=command))
            return answers[-1][0] in (200, 201)

        try:
            eventually(begin, what)
        except AssertionError as e:
            raise AssertionError(f"{e}; the last answer: {answers[-1:]}; the end of the node's log:\n{node.tail()}\n"
                                 + "\n".join(f"broker {b}: {self.kafka.tail(b)}" for b in (1, 2, 3))) from e
        print(f"{workflow} was accepted after {time.monotonic() - asked:.1f} s and {len(answers)} tries", flush=True)

    def test_one_broker_of_three_is_killed_and_then_a_second(self):
        node = self.node("data", append_timeout="5s")
        with node.start():
            self.assertEqual(node.cli("topics", "check")[0], 0)
            self.begin(node, "over-it-all", 12000)
            for n in range(10):
                self.begin(node, f"before-{n}", 1)
            self.kafka.kill(3)
            # Two copies are enough; whichever broker led, it goes on. A start whose outcome was unknown is sent again.
            for n in range(10):
                self.accepted(node, f"one-down-{n}", f"c-{n}", "two of three are enough")
            self.kafka.kill(2)
            status, answer = node.begin("sleeps", "two-down", {"ms": 1}, command="c-two-down")
            self.assertEqual(status, 503, answer)
            # On a machine that has other things to do as well, a broker takes its time: that is not the node's.
            self.kafka.start(2, wait=False)
            self.kafka.start(3, wait=False)
            for broker in (2, 3):
                self.kafka.wait(broker, {1, 2, 3})
            self.accepted(node, "two-down", "c-two-down", "the node takes work again")
            for workflow in ["over-it-all", "two-down", *(f"before-{n}" for n in range(10)), *(f"one-down-{n}" for n in range(10))]:
                self.completes(node, workflow)
            kinds = [e["kind"] for e in node.history("over-it-all")[1]["events"]]
            self.assertEqual(kinds.count("attempt_started"), 1, kinds)
            self.assertEqual(node.drain(), 0, node.tail())
        self.verified(node)


if __name__ == "__main__":
    unittest.main(verbosity=2)
