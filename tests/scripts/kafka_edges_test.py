#!/usr/bin/env python3
# label: full
# needs: bad_steps
# timeout: 580
"""What a person sees and does at the edges of a cluster: answers that may be stale, the whole of it in partitions and
status, a history that is followed over a change of leaders, a pair of partitions that has diverged, a disk that is full,
nodes that run and read different things, and one workflow that is in trouble while its neighbours are not."""
import base64
import contextlib
import http.client
import json
import os
import subprocess
import tempfile
import threading
import time
import unittest

from kafka_broker import Kafka
from pawl_cluster import SESSION, Cluster, murmur2
from pawl_node import DEADLINE, binary, eventually

FOREIGN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "foreign_client.py")
DISK_MB = 48


def ids_of(partition, count, partitions=4, prefix="w"):
    """Workflow ids that belong to that partition."""
    found, n = [], 0
    while len(found) < count:
        name = f"{prefix}-{n}"
        n += 1
        if (murmur2(name.encode()) & 0x7FFFFFFF) % partitions == partition:
            found.append(name)
    return found


def raw(value):
    return base64.b64encode(value if isinstance(value, bytes) else value.encode()).decode()


def read(path):
    with open(path) as f:
        return f.read()


def pack(value):
    """As much of msgpack as a heartbeat needs."""
    if isinstance(value, str):
        data = value.encode()
        return bytes([0xD9, len(data)]) + data
    if isinstance(value, list):
        return bytes([0x90 | len(value)]) + b"".join(map(pack, value))
    return b"\xff" if value == -1 else b"\xcf" + value.to_bytes(8, "big")


class Edges(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="pawl-edges-")
        cls.addClassCleanup(cls.folder.cleanup)
        cls.kafka = Kafka(os.path.join(cls.folder.name, "kafka"), 1)
        cls.addClassCleanup(cls.kafka.close)

    def cluster(self, **settings):
        name = self.id().rsplit(".", 1)[1].replace("test_", "")
        return Cluster(self.kafka, os.path.join(self.folder.name, name), name, **settings)

    def asked(self, topic, messages, **more):
        return json.dumps({"bootstrap": self.kafka.bootstrap, "topic": topic, "messages": messages, **more}) + "\n"

    @staticmethod
    def foreign(**more):
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "LD_PRELOAD"))}
        return {"args": ["/usr/bin/python3", FOREIGN], "env": environment, "text": True, **more}

    def produce(self, topic, *messages):
        done = subprocess.run(**self.foreign(input=self.asked(topic, messages), capture_output=True, timeout=120, check=False))
        self.assertEqual(done.returncode, 0, done.stderr)

    def balanced(self, c):
        eventually(lambda: len(set(c.settled().values())) == len(c.alive()), "every node leads something")
        return c.settled()

    # ---- answers

    def test_stale(self):
        """Nobody leads: --stale-ok says what a standby knows, and how old that is; without it there is no answer."""
        with self.cluster() as c:
            c.start()
            leaders = self.balanced(c)
            workflow = ids_of(0, 1)[0]
            c.begin(workflow)
            c.completes(workflow)
            leader = leaders[0]
            rows = c.partitions(c.nodes[leader])
            standby = next(f["name"] for f in rows[0]["followers"] if f["state"] == "standby")
            eventually(lambda: next(f["lag"] for f in c.partitions(c.nodes[leader])[0]["followers"] if f["name"] == standby) == 0,
                       "the standby is warm")
            node = c.nodes[standby]
            third = next(n for n in c.nodes if n not in (leader, standby))
            # The two others stop, so that the standby can't lead either: nothing that it says is current.
            self.kafka.kill(1)
            try:
                for args in (("show", workflow), ("history", workflow), ("result", workflow), ("list",)):
                    code, out, err = node.cli(*args, "--stale-ok")
                    self.assertEqual(code, 0, (args, out, err))
                    self.assertIn("(--stale-ok)", err)
                    self.assertIn(workflow if args[0] != "result" and args[0] != "history" else "", out)
                code, out, err = node.cli("-o", "json", "show", workflow, "--stale-ok")
                self.assertEqual((code, json.loads(out)["state"]), (0, "completed"), err)
                first = json.loads(out)["stale_ms"]
                eventually(lambda: json.loads(node.cli("-o", "json", "show", workflow, "--stale-ok")[1])["stale_ms"] > first, "it gets older")
                status, answer = node.ask("GET", f"/v1/workflows/{workflow}")
                self.assertEqual((status, answer["code"]), (503, "unavailable"), answer)
                # New commands are refused, and use up no command id.
                new = ids_of(0, 1, prefix="new")[0]
                status, answer = c.nodes[third].begin("sleeps", new, {"ms": 1}, command="c-" + new)
                self.assertIn((status, answer["code"]), ((503, "unavailable"), (503, "unknown")), answer)
                # Once the leader knows that it can't write, it is refused at once.
                eventually(lambda: c.nodes[third].begin("sleeps", new, {"ms": 1}, command="c-" + new)[1]["code"] == "unavailable", "it is refused")
            finally:
                self.kafka.start(1)
            c.settled()
            c.begin(new)
            c.completes(new)

    def test_counts(self):
        """partitions and status are of the whole cluster, whichever node is asked."""
        with self.cluster() as c:
            c.start()
            leaders = self.balanced(c)
            done = [c.begin(w) for p in range(4) for w in ids_of(p, 3)]
            for w in done:
                c.completes(w)
            long = {p: c.begin(ids_of(p, 1, prefix="long")[0], ms=30_000) for p in range(4)}
            for name, n in c.nodes.items():
                status, body = n.ask("GET", "/v1/status")
                self.assertEqual((status, body["runs"]), (200, {"open": 4, "paused": 0, "closed": 12}), name)
                own = [p for p, leader in leaders.items() if leader == name]
                self.assertEqual(body["cluster"], {"partitions": 4, "led": len(own), "missing_partitions": []})
                self.assertEqual(body["node_runs"]["open"], len(own))
                rows = c.partitions(n)
                for row in rows:
                    self.assertTrue(row["answered"])
                    self.assertEqual(row["runs"], {"open": 1, "paused": 0, "closed": 3})
                    self.assertEqual(row["oldest_step"]["workflow_id"], long[row["partition"]])
                    self.assertEqual((row["oldest_step"]["step"], row["oldest_step"]["status"]), ("work", "running"))
                    self.assertEqual((row["command_lag"], row["outbox_waiting"], row["diverged_from"]), (0, 0, []))
                code, out, err = n.cli("partitions")
                self.assertEqual(code, 0, err)
                for w in long.values():
                    self.assertIn(f"{w} work running", out)
                code, out, err = n.cli("status")
                self.assertIn("4 open, 0 of them paused; 12 closed in the cluster", out)
                code, out, err = n.cli("nodes")
                self.assertEqual(out.count(" ms"), 3, out)
            # One that hangs is named.
            c.pause("n1")
            try:
                body = c.nodes["n2"].ask("GET", "/v1/status")[1]
                self.assertEqual(body["cluster"]["missing_partitions"], [p for p, leader in leaders.items() if leader == "n1"])
            finally:
                c.resume("n1")
            for w in long.values():
                c.any().ask("POST", f"/v1/workflows/{w}/kill")

    def test_follow(self):
        """history --follow goes on with the next leader: every event once, in order."""
        with self.cluster() as c:
            c.start()
            leaders = self.balanced(c)
            workflow = ids_of(2, 1)[0]
            c.begin(workflow, ms=4000)
            other = next(n for name, n in c.nodes.items() if name != leaders[2])
            told, complaints = os.path.join(c.folder, "told"), os.path.join(c.folder, "complaints")
            with open(told, "w") as out, open(complaints, "w") as err:
                following = subprocess.Popen([binary("bad_steps"), "--data", other.data, *other.flags, "-o", "json", "history", workflow, "--follow"],
                                             stdout=out, stderr=err)
            try:
                eventually(lambda: "\n" in read(told), "it has told an event")
                c.nodes[leaders[2]].kill()
                following.wait(DEADLINE)
            finally:
                following.kill()
                following.wait()
            out, err = read(told), read(complaints)
            events = [json.loads(line) for line in out.splitlines()]
            self.assertEqual([e["seq"] for e in events], list(range(1, len(events) + 1)), out)
            self.assertEqual(events[0]["kind"], "run_started")
            self.assertEqual((events[-1]["kind"], following.returncode), ("run_completed", 0), err)
            self.assertIn("following on with the next leader", err)

    # ---- what has to be mended

    def test_diverged(self):
        """A number that comes under two reigns ends the pair, loudly, until somebody lets it go on."""
        with self.cluster() as c:
            c.start()
            c.settled()
            first, second, third, fourth = ids_of(1, 4)

            def message(workflow, number, reign):
                value = json.dumps({"command": "start", "type": "sleeps", "input": {"ms": 1}})
                return {"key": raw(workflow), "value": raw(value), "partition": 1, "headers": [["pawl-outbox", f"0/{number}/{reign * 32}"]]}

            def diverged(n):
                return {p["partition"]: p["diverged_from"] for p in c.partitions(n)}

            topic = c.name_space + ".commands"
            self.produce(topic, message(first, 1, "a"))
            c.completes(first)
            self.assertEqual(diverged(c.any()), {0: [], 1: [], 2: [], 3: []})
            self.produce(topic, message(second, 1, "b"), message(third, 2, "b"))
            for n in c.nodes.values():
                eventually(lambda n=n: diverged(n) == {0: [], 1: [0], 2: [], 3: []}, "the pair is shown")
            code, out, err = c.any().cli("partitions")
            self.assertIn("partitions resync 0 1", out, err)
            logs = "".join(n.log_text() for n in c.nodes.values())
            self.assertIn("outbox_diverged", logs)
            # Nothing else is held up.
            c.begin(fourth)
            c.completes(fourth)
            self.assertEqual(c.shown(second)[0], 404)
            code, out, err = c.any().cli("-o", "json", "partitions", "resync", "0", "1")
            self.assertEqual((code, json.loads(out)["to"]), (0, 1), err)
            for n in c.nodes.values():
                eventually(lambda n=n: diverged(n)[1] == [], "the pair goes on")
            self.produce(topic, message("x" + third, 3, "b"))  # of another partition, perhaps; its number counts all the same
            code, out, err = c.any().cli("-o", "json", "dlq", "list")
            letters = [x for x in json.loads(out)["dead_letters"] if x["cause"] == "outbox_diverged"]
            self.assertEqual(sorted(x["key"] for x in letters), sorted([second, third]))
            code, out, err = c.any().cli("dlq", "replay", *[x["offset"] for x in letters])
            self.assertEqual(code, 0, err)
            c.completes(second)
            c.completes(third)
            self.assertEqual(c.any().cli("partitions", "resync", "0", "9")[0], 3)
            self.assertEqual(c.any().cli("partitions", "resync", "1", "1")[0], 2)
            c.drain()
            c.verified()

    def test_full_disk(self):
        """A node whose disk is full gives up what it leads, others go on, and it comes back when there is room."""
        disk = os.path.join(self.folder.name, "disk")
        os.mkdir(disk)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", disk], check=True)
        self.addCleanup(lambda: subprocess.run(["umount", "-l", disk], check=True))
        with self.cluster(**{"journal.wal_limit": "4MiB"}) as c:
            c.nodes["n1"] = c.node("n1", data=os.path.join(disk, "n1"))
            c.start()
            self.balanced(c)
            acknowledged, stop = [], threading.Event()

            def load():
                n = 0
                while not stop.is_set():
                    n += 1
                    with contextlib.suppress(OSError, http.client.HTTPException):
                        status, _ = c.nodes["n2"].begin("sleeps", f"l-{n}", {"ms": 1}, command=f"c-{n}")
                        if status in (200, 201):
                            acknowledged.append(f"l-{n}")

            loader = threading.Thread(target=load)
            loader.start()
            try:
                def health():
                    return {n["name"]: n["health"] for n in c.nodes["n2"].ask("GET", "/v1/nodes")[1]["nodes"]}.get("n1")

                def led():
                    return set(c.leaders(c.nodes["n2"]).values())

                self.assertEqual(health(), "ok")
                with open(os.path.join(disk, "filler"), "wb", buffering=0) as f, contextlib.suppress(OSError):
                    while True:
                        f.write(b"x" * 4096)
                eventually(lambda: health() == "sick", "the node says that it is sick")
                self.assertIsNone(c.nodes["n1"].process.poll(), "it lives: " + c.nodes["n1"].tail())
                eventually(lambda: led() == {"n2", "n3"}, "others lead everything")
                before = len(acknowledged)
                eventually(lambda: len(acknowledged) > before + 20, "starts go on")
                self.assertIn("no space", c.nodes["n1"].ask("GET", "/v1/status?scope=node")[1]["node"]["trouble"].lower())
                os.unlink(os.path.join(disk, "filler"))
                eventually(lambda: health() == "ok" and "n1" in led(), "it is well and leads again")
            finally:
                stop.set()
                loader.join()
            for w in acknowledged:
                c.completes(w)
            print(f"{len(acknowledged)} acknowledged", flush=True)
            c.drain()
            c.verified()

    # ---- nodes that differ

    def test_code(self):
        """n3 lacks the type: what it leads takes checked starts, waits visibly for its code, and goes on with who has it."""
        with self.cluster() as c:
            n3 = c.nodes["n3"]
            n3.name = "odd_jobs"
            c.start()
            leaders = self.balanced(c)
            mine = [p for p, leader in leaders.items() if leader == "n3"]
            self.assertTrue(mine, leaders)
            workflow, by_itself, by_kafka = ids_of(mine[0], 3)
            # A fourth node, of an older version, that does not read checked starts: it lives as long as its heartbeats come.
            heartbeat = pack([1, "0" * 15 + "1", 7, 1, -1, int(time.time() * 1000), "old", "", 2, 1, ["sleeps/1"], []])
            old = subprocess.Popen(**self.foreign(stdin=subprocess.PIPE, stdout=subprocess.DEVNULL))
            old.stdin.write(self.asked(c.name_space + ".nodes", [{"key": raw("0" * 15 + "1"), "value": raw(heartbeat)}], every=0.3))
            old.stdin.flush()
            try:
                eventually(lambda: len(c.nodes["n1"].ask("GET", "/v1/nodes")[1]["nodes"]) == 4, "the old node is there")
                status, answer = c.nodes["n1"].begin("sleeps", workflow, {"ms": 1}, command="c-1")
                self.assertEqual((status, answer["code"]), (503, "unavailable"), answer)
                self.assertIn("too old", answer["detail"])
            finally:
                old.stdin.close()
                old.wait(DEADLINE)
            # It is gone after a session. The same command then; and the leader itself, which lacks the type, finds who checks.
            eventually(lambda: c.nodes["n1"].begin("sleeps", workflow, {"ms": 1}, command="c-1")[0] in (200, 201), "the checked start is taken",
                       within=SESSION + DEADLINE)
            eventually(lambda: n3.begin("sleeps", by_itself, {"ms": 1}, command="c-2")[0] in (200, 201), "the leader asks one that has the type")
            status, answer = n3.begin("sleeps", by_itself + "x", {"ms": "one"})
            self.assertEqual(status, 422, answer)
            self.assertEqual(n3.begin("nothing", by_itself + "y", {})[0], 404)
            for w in (workflow, by_itself):
                self.assertEqual(c.kinds(w), ["run_started", "waiting_for_code"])
                self.assertEqual(c.shown(w)[1]["code"], "missing")
            oldest = c.partitions(c.nodes["n1"])[mine[0]]["oldest_step"]
            self.assertEqual((oldest["workflow_id"], oldest["status"]), (workflow, "waiting_for_code"))
            # From Kafka nobody has checked it: it waits for a leader that has the type, and is no dead letter.
            value = json.dumps({"command": "start", "type": "sleeps", "input": {"ms": 1}})
            self.produce(c.name_space + ".commands", {"key": raw(by_kafka), "value": raw(value), "partition": mine[0]})
            eventually(lambda: c.partitions(c.nodes["n1"])[mine[0]]["command_lag"] == 1, "it waits, and that is shown")
            self.assertEqual(n3.drain(), 0, n3.tail())
            for w in (workflow, by_itself, by_kafka):
                c.completes(w)
            self.assertIn("code_found", c.kinds(workflow))
            code, out, err = c.any().cli("-o", "json", "dlq", "list")
            self.assertEqual(json.loads(out)["dead_letters"], [], err)
            n3.name = "bad_steps"
            c.start("n3")
            c.settled()
            c.drain()
            c.verified()

    # ---- neighbours

    def test_neighbours(self):
        """One partition, whose leader is full, and in it one workflow whose commands never end: the others go on."""
        with self.cluster(nodes=1, **{"kafka.partitions": 1, "limits.live_workflows": 20}) as c:
            c.start()
            node = c.nodes["n1"]
            topic = c.name_space + ".commands"

            def command(workflow, what, **more):
                return {"key": raw(workflow), "value": raw(json.dumps({"command": what, **more}))}

            slow = [f"slow-{k}" for k in range(30)]
            self.produce(topic, *[command(w, "start", type="sleeps", input={"ms": 3000}) for w in slow])
            # Poison: its step kills the process of its attempts, and hundreds of commands are for it alone.
            self.produce(topic, command("poison", "start", type="hangs", input={"ms": 1}),
                         *[command("poison", "pause" if k % 2 else "resume") for k in range(300)],
                         *[command(f"quick-{k}", "start", type="sleeps", input={"ms": 1}) for k in range(20)])
            eventually(lambda: c.partitions()[0]["command_lag"] > 0, "the intake pauses while its leader is full")
            for w in [*slow, *(f"quick-{k}" for k in range(20))]:
                eventually(lambda w=w: node.show(w)[0] == 200, f"{w} is taken")
                c.completes(w)
            eventually(lambda: c.partitions()[0]["command_lag"] == 0, "all are dealt with")
            self.assertGreater(node.ask("GET", "/v1/status")[1]["partition"]["refused_busy"], 0)
            code, out, err = node.cli("-o", "json", "dlq", "list")
            self.assertEqual(json.loads(out)["dead_letters"], [], err)
            node.ask("POST", "/v1/workflows/poison/kill")
            c.drain()
            c.verified()


if __name__ == "__main__":
    unittest.main(verbosity=2)
