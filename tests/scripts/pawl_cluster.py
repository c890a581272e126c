"""A cluster of nodes of a pawl binary on a Kafka of the test's own, and what every test of it asks for."""
import glob
import http.client
import json
import os
import random
import signal
import subprocess
import time
import urllib.parse

from pawl_node import DEADLINE, Node, eventually, pause_process

HERE = os.path.dirname(os.path.abspath(__file__))
CHECKER = os.path.join(HERE, "cluster_checker.py")
PYTHON = "/usr/bin/python3"  # Debian's, which has Debian's python3-kafka and python3-msgpack
SESSION = 3.0  # seconds: kafka.session
PATIENCE = 15  # of a caller: then it asks another node


def run_python(*words, text=None, timeout=240):
    """What a script of this folder, or of the caller's, that needs Debian's modules prints, as an object."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "LD_PRELOAD"))}
    done = subprocess.run([PYTHON, *words], input=text, env=environment, capture_output=True, text=True, timeout=timeout, check=False)
    if done.returncode:
        raise AssertionError(done.stderr)
    return json.loads(done.stdout) if done.stdout.strip() else None


def murmur2(data):
    """As Java's clients of Kafka have it."""
    m, h = 0x5BD1E995, 0x9747B28C ^ len(data)
    whole = len(data) & ~3
    for at in range(0, whole, 4):
        k = int.from_bytes(data[at : at + 4], "little") * m & 0xFFFFFFFF
        h = (h * m & 0xFFFFFFFF) ^ ((k ^ k >> 24) * m & 0xFFFFFFFF)
    if whole < len(data):
        h = (h ^ int.from_bytes(data[whole:], "little")) * m & 0xFFFFFFFF
    h = (h ^ h >> 13) * m & 0xFFFFFFFF
    return h ^ h >> 15


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
        self.reader = None  # of all that is written, from the beginning on; see follow()
        self.acknowledged = []  # [workflow, command, outcome, run, seq]: what callers were told, and is to be on record

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
        pause_process(self.nodes[name].process)
        self.paused.add(name)

    def resume(self, name):
        self.nodes[name].process.send_signal(signal.SIGCONT)
        self.paused.discard(name)

    # ---- what it says about itself

    def partitions(self, node=None, scope="cluster"):
        """As their leaders say, or as that node knows by itself."""
        status, body = (node or self.any()).ask("GET", "/v1/partitions?scope=" + scope)
        assert status == 200, body
        return body["partitions"]

    def leaders(self, node=None):
        """{partition: the name of the node that leads it, or None}"""
        return {p["partition"]: p.get("leader_name") or None for p in self.partitions(node, "node")}

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

    def id_on(self, partition, prefix):
        """A workflow id that belongs to that partition."""
        ids = (f"{prefix}-{k}" for k in range(1 << 16))
        return next(w for w in ids if (murmur2(w.encode()) & 0x7FFFFFFF) % int(self.settings["kafka.partitions"]) == partition)

    def begin(self, workflow, ms=1, kind="sleeps", node=None, within=DEADLINE, **more):
        """Starts a workflow, whoever has to be asked how often; what is acknowledged is in."""
        body = {"id": workflow, "type": kind, "input": {"ms": ms, **more}}
        self.tell("POST", "/v1/workflows", body, workflow, "c-" + workflow, (200, 201), node, within)
        return workflow

    def tell(self, method, path, body, workflow, command, statuses, node=None, within=DEADLINE):
        """A command, until its answer is one of `statuses`, which is kept for checked()."""
        def answered():
            try:
                status, answer = (node or self.any()).ask(method, path, body, {"Idempotency-Key": command}, timeout=PATIENCE)
            except (OSError, http.client.HTTPException, IndexError):
                return None  # the node was killed or stopped on the way, or there is none
            assert status in (*statuses, 202, 429, 500, 503), (status, answer)  # 202: an update that is not answered yet
            return answer if status in statuses else None
        answer = eventually(answered, f"{command} is answered", within)
        self.acknowledged.append([workflow, command, answer.get("outcome") or answer.get("code"), answer.get("run"), answer.get("seq")])
        return answer

    def ask_for(self, what, workflow, command, within=DEADLINE, **body):
        """cancel, kill, pause or resume. A refusal is an answer too."""
        path = f"/v1/workflows/{urllib.parse.quote(workflow, safe='')}/{what}"
        return self.tell("POST", path, body, workflow, command, (200, 202, 409), within=within)

    def completes(self, workflow, within=DEADLINE):
        answer = self.ends(workflow, within)
        assert answer["state"] == "completed", answer
        return answer

    def ends(self, workflow, within=DEADLINE):
        def done():
            try:
                status, answer = self.any().result(workflow, wait_ms=2000)
            except (OSError, http.client.HTTPException):
                return None
            return answer if status == 200 else None
        return eventually(done, f"{workflow} ends", within)

    # ---- what it knows of its workflows, asked for again while a leader changes (503)

    def told(self, ask, what):
        """(status, body) of ask(node), which may not be unavailable for long."""
        def answered():
            try:
                status, body = ask(self.any())
            except (OSError, http.client.HTTPException):
                return None  # the node was killed or stopped on the way
            return (status, body) if status != 503 else None
        return eventually(answered, f"{what} is told")

    def shown(self, workflow):
        return self.told(lambda n: n.show(workflow), f"what is known of {workflow}")

    def events(self, workflow):
        status, body = self.told(lambda n: n.history(workflow), f"the history of {workflow}")
        assert status == 200, body
        return body["events"]

    def kinds(self, workflow):
        return [e["kind"] for e in self.events(workflow)]

    def drain(self):
        for n in self.alive().values():
            n.process.send_signal(signal.SIGTERM)
        for name, n in self.nodes.items():
            if n.process:
                try:
                    assert n.process.wait(DEADLINE) == 0, f"{name}: {n.tail()}"
                except subprocess.TimeoutExpired as e:
                    raise AssertionError(f"{name} does not end: {self.tail()}") from e

    # ---- what it has left

    def fed(self):
        """Waits until the feed has told all that is in the journal."""
        def all_told():
            lags = {}
            for n in self.alive().values():
                lags.update({p["partition"]: p["feed_lag"] for p in self.partitions(n) if p["here"]})
            return len(lags) == int(self.settings["kafka.partitions"]) and not any(lags.values())
        eventually(all_told, "the feed is told to the end")

    def follow(self):
        """The checker reads along, so that it has seen what is trimmed from the journal before the end."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "LD_PRELOAD"))}
        with open(os.path.join(self.folder, "checker.log"), "w") as log:
            self.reader = subprocess.Popen([PYTHON, CHECKER, self.kafka.bootstrap, self.name_space, "--follow"], env=environment, text=True,
                                           stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)

    def checked(self, **asked):
        """What the brokers hold, by a reader that has nothing of pawl's (cluster_checker.py): what it found, if that is in order."""
        told = json.dumps({"acknowledged": self.acknowledged, **asked})
        if self.reader:
            out, _ = self.reader.communicate(told + "\n", timeout=240)
            assert self.reader.returncode == 0, f"the checker ended with {self.reader.returncode}: {self.folder}/checker.log"
            found = json.loads(out)
        else:
            found = run_python(CHECKER, self.kafka.bootstrap, self.name_space, text=told)
        assert not found["findings"], "\n".join(found["findings"][:40])
        assert found["runs"] > 0 and found["feed"]["runs"] > 0, found
        print(f"{self.name_space}: {found['runs']} runs, {found['events']} events, {found['acknowledged']} acknowledged, {found['skipped']} "
              f"skipped, feed {found['feed']}, epochs {[p['epoch'] for p in found['partitions'].values()]}", flush=True)
        return found

    def ends_well(self, **asked):
        """At the end of a scenario: all is told, the nodes end in order, and what they leave is right, for us and for others."""
        self.fed()
        self.drain()
        self.verified()
        return self.checked(**asked)

    def verified(self):
        """Every node's views, at rest."""
        for name, n in self.nodes.items():
            if glob.glob(os.path.join(n.data, "p*", "pawl.db")):
                code, out, err = n.cli("verify")
                assert code == 0, f"{name}: {out}{err}"

    def tail(self):
        return "\n".join(f"--- {name}\n{n.tail()}" for name, n in self.nodes.items())

    def __enter__(self):
        return self

    def __exit__(self, failed, *_):
        if failed:
            ended = {name: n.process.poll() for name, n in self.nodes.items() if n.process}
            print(f"{self.name_space}: exit codes so far {ended}\n{self.tail()}", flush=True)
        if self.reader and self.reader.poll() is None:
            self.reader.kill()
            self.reader.communicate()
        for name, n in self.nodes.items():
            if name in self.paused:
                self.resume(name)
            n.__exit__()


def since(moment):
    return time.monotonic() - moment
