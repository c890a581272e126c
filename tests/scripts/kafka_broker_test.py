#!/usr/bin/env python3
# label: full
# timeout: 180
"""The Kafka of the tests: what a foreign client writes is found again after kill -9, and nothing outlives its owner."""
import os
import socket
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from kafka_broker import Kafka
from pawl_node import DEADLINE, eventually, pause_process

PROGRAM = Path(__file__).with_name("kafka_broker.py")


def kcat(kafka, *arguments, stdin=""):
    done = subprocess.run(["kcat", "-b", kafka.bootstrap, *arguments], input=stdin, capture_output=True, text=True, timeout=DEADLINE, check=False)
    if done.returncode:
        raise AssertionError(f"kcat {' '.join(arguments)}: exit code {done.returncode}: {done.stderr}")
    return done.stdout


class Broker(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="pawl-kafka-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def test_a_message_survives_kill_9(self):
        with Kafka(self.folder) as kafka:
            kafka.create_topic("orders", partitions=2)
            kcat(kafka, "-P", "-t", "orders", "-p", "1", "-K", ":", "-X", "acks=all", stdin="o-1:placed\n")
            read = ("-C", "-q", "-e", "-t", "orders", "-p", "1", "-o", "beginning", "-K", ":")
            self.assertEqual(kcat(kafka, *read), "o-1:placed\n")
            kafka.kill()
            self.assertEqual(kafka.running(), [])
            kafka.start()
            self.assertEqual(kcat(kafka, *read), "o-1:placed\n")

    def test_a_paused_broker_does_nothing_more_on_a_busy_machine(self):
        with Kafka(self.folder) as kafka:
            for _ in range(3 * os.cpu_count()):
                busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
                self.addCleanup(busy.wait)
                self.addCleanup(busy.kill)
            for _ in range(50):
                kafka.pause()
                threads = [task.read_text() for task in Path(f"/proc/{kafka.processes[1].pid}/task").glob("*/stat")]
                self.assertGreater(len(threads), 10)
                self.assertEqual({stat.rpartition(") ")[2][0] for stat in threads}, {"T"})
                kafka.resume()
                kafka.metadata()
            kafka.kill()
            with self.assertRaisesRegex(AssertionError, "ended before it could be paused"):
                pause_process(kafka.processes[1])


class Served(unittest.TestCase):
    """What owns the program through pipes, as a test in C++ does."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="pawl-kafka-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def serve(self):
        environment = {**os.environ, "TMPDIR": str(self.folder)}
        program = subprocess.Popen([sys.executable, PROGRAM, "serve"], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.addCleanup(program.__exit__, None, None, None)
        self.addCleanup(program.kill)
        return program

    def port(self, program):
        word, address = program.stdout.readline().split()
        self.assertEqual(word, "ready")
        return int(address.rpartition(":")[2])

    def listens(self, port):
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", port)) == 0

    def left_behind(self):
        return list(self.folder.iterdir())

    def test_does_as_it_is_told_and_ends_when_its_owner_lets_go(self):
        program = self.serve()
        port = self.port(program)
        program.stdin.write("pause 1\nresume 1\nstart 1\nbite 1\n")
        program.stdin.flush()
        self.assertEqual([program.stdout.readline().split()[0] for _ in range(4)], ["done", "done", "failed", "failed"])
        self.assertTrue(self.listens(port))
        program.stdin.close()
        self.assertEqual(program.wait(DEADLINE), 0)
        self.assertFalse(self.listens(port))
        self.assertEqual(self.left_behind(), [])

    def test_sigterm_ends_it_while_it_starts(self):
        program = self.serve()
        eventually(lambda: any(self.folder.glob("*/1.log")), "Java runs")
        program.terminate()
        self.assertEqual(program.wait(DEADLINE), 0)
        self.assertEqual(program.stdout.read(), "")
        self.assertEqual(self.left_behind(), [])

    def test_the_broker_does_not_outlive_a_killed_program(self):
        program = self.serve()
        port = self.port(program)
        program.kill()
        program.wait(DEADLINE)
        eventually(lambda: not self.listens(port), "the broker is gone")


if __name__ == "__main__":
    unittest.main(verbosity=2)
