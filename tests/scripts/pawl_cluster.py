"""A cluster of nodes of a pawl binary on a Kafka of the test's own, and what every test of it asks for."""
import os
import random
import signal
import time

from pawl_node import DEADLINE, Node, eventually

SESSION = 3.0  # seconds: kafka.session


class Cluster:
    """Nodes n1, n2, … in folders of their own; a context manager that kills what is left of them."""

    def __init__(self, kafka, folder, name_space, nodes=3, binary="bad_steps", **settings):
        os.makedirs(folder, exist_ok=True)
        self.kafka, self.folder, self.name_space = kafka, folder, name_space
        self.binary = binary
        self.settings = {"kafka.brokers": kafka.bootstrap, "kafka.namespace": name_space, "kafka.durability": "single-broker",
                         "kafka.partitions": 4, "kafka.session": f"{SESSION:.0f}s", "http.listen": "127.0.0.1:0", **settings}
        self.nodes = {f"n{k}": self.node(f"n{k}") for k in range(1, nodes + 1)}
        self.paused = set()

    def node(self, name, data=None, **settings):
        flags = [word for key, value in {**self.settings, "node.name": name, **settings}.items() for word in ("--set", f"{key}={value}")]
        return Node(self.binary, os.path.join(self.folder, data or name), flags=flags, log=os.path.join(self.folder, name + ".log"))

    def start(self, *names):
        """All of them at once, or the named ones."""
        for name in names or self.nodes:
            self.nodes[name].start(wait=False)
        for name in names or self.nodes:
            eventually(self.nodes[name].answers, f"{name} answers")
        return self

    def alive(self):
        return {name: n for name, n in self.nodes.items() if n.process and n.process.poll() is None and name not in self.paused}

    def any(self):
        return random.choice(list(self.alive().values()))

    def pause(self, name):
        self.nodes[name].process.send_signal(signal.SIGSTOP)
        self.paused.add(name)

    def resume(self, name):
        self.nodes[name].process.send_signal(signal.SIGCONT)
        self.paused.discard(name)

    # ---- what it says about itself

    def partitions(self, node=None):
        status, body = (node or self.any()).ask("GET", "/v1/partitions")
        assert status == 200, body
        return body["partitions"]

    def leaders(self, node=None):
        """{partition: the name of the node that leads it, or None}"""
        return {p["partition"]: p.get("leader_name") or None for p in self.partitions(node)}

    def settled(self, within=DEADLINE):
        """Waits until every partition is led by a living node, as every living node says."""
        def all_led():
            alive = self.alive()
            views = [self.leaders(n) for n in alive.values()]
            return views and all(v == views[0] and all(leader in alive for leader in v.values()) for v in views) and views[0]
        try:
            return eventually(all_led, "every partition has a living leader that all nodes agree on", within)
        except AssertionError as e:
            raise AssertionError(f"{e}: {[(n, self.leaders(x)) for n, x in self.alive().items()]}\n{self.tail()}") from e

    def partitions_of(self, name):
        return [p for p, leader in self.leaders(self.nodes[name]).items() if leader == name]

    # ---- work

    def begin(self, workflow, ms=1, kind="sleeps", node=None, within=DEADLINE):
        """Starts a workflow, whoever has to be asked how often; what is acknowledged is in."""
        def accepted():
            try:
                status, answer = (node or self.any()).begin(kind, workflow, {"ms": ms}, command="c-" + workflow)
            except OSError:
                return False  # the node was killed on the way
            assert status in (200, 201, 429, 500, 503), (status, answer)
            return status in (200, 201)
        eventually(accepted, f"{workflow} is accepted", within)
        return workflow

    def completes(self, workflow, within=DEADLINE):
        def done():
            try:
                status, answer = self.any().result(workflow, wait_ms=2000)
            except OSError:
                return None
            return answer if status == 200 else None
        answer = eventually(done, f"{workflow} ends", within)
        assert answer["state"] == "completed", answer
        return answer

    def kinds(self, workflow):
        def read():
            status, body = self.any().history(workflow)
            assert status in (200, 503), body  # the leader is changing
            return [e["kind"] for e in body["events"]] if status == 200 else None
        return eventually(read, f"the history of {workflow} is read")

    def drain(self):
        for n in self.alive().values():
            n.process.send_signal(signal.SIGTERM)
        for name, n in self.nodes.items():
            if n.process:
                assert n.process.wait(DEADLINE) == 0, f"{name}: {n.tail()}"

    def verified(self):
        """Every node's views, at rest."""
        for name, n in self.nodes.items():
            if os.path.isdir(n.data):
                code, out, err = n.cli("verify")
                assert code == 0, f"{name}: {out}{err}"

    def tail(self):
        return "\n".join(f"--- {name}\n{n.tail()}" for name, n in self.nodes.items())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for name, n in self.nodes.items():
            if name in self.paused:
                self.resume(name)
            n.__exit__()


def since(moment):
    return time.monotonic() - moment
