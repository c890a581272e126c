#!/usr/bin/env python3
"""Starts a real Kafka (KRaft, on loopback, in a folder of the caller's) and ends it; for tests.

From Python:

    with kafka_broker.Kafka(folder) as kafka:
        kafka.create_topic("orders", partitions=4)
        ... kafka.bootstrap ... kafka.kill(1) ... kafka.start(1) ...

From any other language, through pipes: `kafka_broker.py serve [--brokers N]` prints `ready HOST:PORT[,HOST:PORT...]`
when the brokers answer, and ends them when its stdin is closed (so also when its owner dies) or on SIGTERM. Until then
a line `kill N`, `stop N`, `pause N`, `resume N` or `start N` on stdin does that to broker N, and is answered by `done`
or by `failed WHY`.

Brokers are numbered from 1, as in Kafka's own logs."""
import argparse
import base64
import concurrent.futures
import contextlib
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path

from pawl_node import eventually, pause_process
from tcp_door import Door

SOURCE = Path(os.environ.get("PAWL_SOURCE", Path(__file__).resolve().parents[2]))
LIBS = SOURCE / ".deps/kafka/libs"
DEADLINE = 90

# Files are written below the folder only: no performance data, no unpacked native libraries elsewhere.
JAVA = ["java", "-Xmx512m", "-XX:-UsePerfData", "-Djava.io.tmpdir=tmp", "-Dlog4j.configuration=file:log4j.properties", "-cp",
        f"{LIBS}/*"]
JAVA_BRIEFLY = [JAVA[0], "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", *JAVA[1:]]

LOG4J = """log4j.rootLogger=INFO, out
log4j.appender.out=org.apache.log4j.ConsoleAppender
log4j.appender.out.layout=org.apache.log4j.PatternLayout
log4j.appender.out.layout.ConversionPattern=%d{ISO8601} %p %m (%c)%n
"""

# Fewer threads and buffers than in production, and internal topics of few partitions: for small machines and fast
# starts. A dead broker is fenced after 3 s rather than 9, and a killed one cannot register again before that.
PROPERTIES = """process.roles=broker,controller
node.id={node}
controller.quorum.voters={voters}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
controller.listener.names=CONTROLLER
log.dirs=data{node}
auto.create.topics.enable=false
default.replication.factor={replicas}
min.insync.replicas={in_sync}
offsets.topic.replication.factor={replicas}
offsets.topic.num.partitions=4
transaction.state.log.replication.factor={replicas}
transaction.state.log.min.isr={in_sync}
transaction.state.log.num.partitions=4
group.initial.rebalance.delay.ms=0
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
num.network.threads=2
num.io.threads=4
background.threads=2
log.cleaner.dedupe.buffer.size=4194304
"""

# Processes ask the kernel to be killed with the thread that started them, so that nothing outlives us even if we are
# killed. This thread lives as long as we do; a caller's might not. It is made before there can be a signal handler
# that raises, which might leave it half made, and never ended.
STARTER = concurrent.futures.ThreadPoolExecutor(max_workers=1)
STARTER.submit(int).result()


def free_ports(count):
    """Not from the range that outgoing connections take theirs from: there a client that waits for a dead broker to
    come back might get the broker's own port, and be connected to itself."""
    low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    found = []
    for port in random.sample(range(10000, max(low, 12000)), 2000):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            return found
    raise AssertionError("no free ports on loopback")


class Answer:
    """What a broker answered, read from front to back."""

    def __init__(self, raw):
        self.raw, self.at = raw, 0

    def number(self, kind):
        (value,) = struct.unpack_from(">" + kind, self.raw, self.at)
        self.at += struct.calcsize(">" + kind)
        return value

    def text(self):
        length = self.number("h")
        if length < 0:
            return None
        self.at += length
        return self.raw[self.at - length : self.at].decode()

    def many(self, read):
        return [read() for _ in range(self.number("i"))]


def text(value):
    raw = value.encode()
    return struct.pack(">h", len(raw)) + raw


def ask(port, api, version, body, timeout):
    """One request of Kafka's protocol."""
    with socket.create_connection(("127.0.0.1", port), timeout) as connection, connection.makefile("rb") as stream:
        request = struct.pack(">hhi", api, version, 1) + text("kafka_broker.py") + body
        connection.sendall(struct.pack(">i", len(request)) + request)
        head = stream.read(4)
        raw = stream.read(struct.unpack(">i", head)[0]) if len(head) == 4 else b""
    if len(raw) < 4:
        raise ConnectionError("the broker closed the connection")
    return Answer(raw[4:])


# A listener beside the others that asks for TLS, under a certificate of its own making, and for a password.
SECURE = """listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port},SASL_SSL://127.0.0.1:{secure_port}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL
advertised.listeners=PLAINTEXT://127.0.0.1:{port},SASL_SSL://localhost:{secure_port}
sasl.enabled.mechanisms=PLAIN
listener.name.sasl_ssl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_{user}="{password}";
listener.name.sasl_ssl.ssl.keystore.location=keys.p12
listener.name.sasl_ssl.ssl.keystore.type=PKCS12
listener.name.sasl_ssl.ssl.keystore.password=changeit
listener.name.sasl_ssl.ssl.key.password=changeit
"""
USER, PASSWORD = "pawl", "kept-to-itself-4711"


# A listener beside the others whose address is a proxy of the test's own (tcp_door.py): who connects there is told that address.
DOOR = """listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port},DOOR://127.0.0.1:{behind}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,DOOR:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
advertised.listeners=PLAINTEXT://127.0.0.1:{port},DOOR://127.0.0.1:{door}
"""


class Kafka:
    """A running cluster; a context manager that ends it, and shows the ends of the logs when the block failed. With
    `secure` (one broker), there is `secure_bootstrap` too, for USER and PASSWORD over TLS that `certificate` (a path) signs. With
    `door` (one broker), there is `door`, a tcp_door.Door to the broker, and `door_bootstrap` for who goes through it."""

    def __init__(self, folder, brokers=1, secure=False, door=False):
        if not LIBS.is_dir():
            raise AssertionError(f"{LIBS} is not there: run ./dev setup")
        self.folder = Path(folder)
        self.nodes = range(1, brokers + 1)
        self.processes, self.paused = {}, set()
        ports = free_ports(2 * brokers)
        self.ports = dict(zip(self.nodes, ports))
        self.bootstrap = ",".join(f"127.0.0.1:{port}" for port in self.ports.values())
        replicas = min(brokers, 3)
        voters = dict(zip(self.nodes, ports[brokers:]))
        (self.folder / "tmp").mkdir(parents=True, exist_ok=True)
        (self.folder / "log4j.properties").write_text(LOG4J)
        for node in self.nodes:
            (self.folder / f"{node}.properties").write_text(PROPERTIES.format(
                node=node, port=self.ports[node], controller_port=voters[node], replicas=replicas,
                in_sync=max(1, replicas - 1), voters=",".join(f"{n}@127.0.0.1:{p}" for n, p in voters.items())))
        if secure:
            self.secure(free_ports(1)[0])
        self.door = None
        if door:
            in_front, behind = free_ports(2)
            self.listen_anew(DOOR, behind=behind, door=in_front)
            self.door, self.door_bootstrap = Door(in_front, behind), f"127.0.0.1:{in_front}"
        try:
            self.format()
            for node in self.nodes:
                self.start(node, wait=False)
            for node in self.nodes:
                self.wait(node, set(self.nodes))
        except BaseException:
            self.close()
            raise

    def secure(self, port):
        """Before broker 1 starts."""
        keys = ["keytool", "-keystore", str(self.folder / "keys.p12"), "-storetype", "PKCS12", "-storepass", "changeit", "-alias", "broker"]
        subprocess.run([*keys, "-genkeypair", "-keyalg", "EC", "-dname", "CN=localhost", "-ext", "san=dns:localhost", "-validity", "30"],
                       check=True, capture_output=True)
        self.certificate = self.folder / "certificate.pem"
        subprocess.run([*keys, "-exportcert", "-rfc", "-file", str(self.certificate)], check=True, capture_output=True)
        self.secure_bootstrap = f"localhost:{port}"
        self.listen_anew(SECURE, secure_port=port, user=USER, password=PASSWORD)

    def listen_anew(self, listeners, **more):
        """Before broker 1 starts: these listeners instead of the usual ones."""
        properties = self.folder / "1.properties"
        kept = [line for line in properties.read_text().splitlines() if not line.startswith("listeners=")]
        controller = next(line for line in kept if line.startswith("controller.quorum.voters=")).rsplit(":", 1)[1]
        properties.write_text("\n".join(kept) + "\n" + listeners.format(port=self.ports[1], controller_port=controller, **more))

    def launch(self, node, command):
        def run():
            with open(self.log(node), "ab") as log:
                self.processes[node] = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *command], cwd=self.folder,
                                                        stdin=subprocess.DEVNULL, stdout=log, stderr=log)

        STARTER.submit(run).result()

    def format(self):
        # An id of Kafka's may not begin with a dash, which would be taken for an option.
        cluster = "A" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]
        for node in self.nodes:
            self.launch(node, [*JAVA_BRIEFLY, "kafka.tools.StorageTool", "format", "-t", cluster, "-c", f"{node}.properties"])
        for node in self.nodes:
            if self.processes[node].wait(DEADLINE):
                raise AssertionError(f"the storage of broker {node} could not be formatted: {self.tail(node)}")

    def log(self, node=1):
        return self.folder / f"{node}.log"

    def tail(self, node=1):
        return self.log(node).read_text(errors="replace")[-4000:] if self.log(node).exists() else ""

    # --- what can be done to a broker -------------------------------------------------------------------------------

    def start(self, node=1, wait=True):
        """On the same port and data as before; returns when it answers and the cluster counts it as there."""
        if node in self.running():
            raise AssertionError(f"broker {node} is running")
        self.launch(node, [*JAVA, "kafka.Kafka", f"{node}.properties"])
        if wait:
            self.wait(node, {node})

    def kill(self, node=1):
        self.processes[node].kill()
        self.processes[node].wait(DEADLINE)
        self.paused.discard(node)

    def stop(self, node=1):
        """In order: it hands over what it leads first. It needs the controllers' majority for that."""
        self.resume(node)
        self.processes[node].terminate()
        self.processes[node].wait(DEADLINE)

    def pause(self, node=1):
        """It keeps its connections, and answers nothing."""
        pause_process(self.processes[node])
        self.paused.add(node)

    def resume(self, node=1):
        self.processes[node].send_signal(signal.SIGCONT)
        self.paused.discard(node)

    # --- what can be asked ------------------------------------------------------------------------------------------

    def running(self):
        """The brokers whose processes live, paused ones too."""
        return [node for node, process in self.processes.items() if process.poll() is None]

    def metadata(self, node=1, timeout=5):
        """(the brokers that this one knows to be there, {topic: [the leader of each partition, or -1]})"""
        answer = ask(self.ports[node], 3, 1, struct.pack(">i", -1), timeout)
        brokers = {found[0] for found in answer.many(lambda: (answer.number("i"), answer.text(), answer.number("i"), answer.text()))}
        answer.number("i")  # a controller

        def partition():
            _, number, leader = (answer.number(kind) for kind in "hii")
            for _ in ("replicas", "in sync"):
                answer.many(lambda: answer.number("i"))
            return number, leader

        def topic():
            _, name, _ = answer.number("h"), answer.text(), answer.number("b")
            return name, [leader for _, leader in sorted(answer.many(partition))]

        return brokers, dict(answer.many(topic))

    def wait(self, node, others, within=DEADLINE):
        """Until `node` answers, and knows all of `others`."""

        def knows():
            if self.processes[node].poll() is not None:
                raise AssertionError(f"broker {node} ended with exit code {self.processes[node].returncode}")
            with contextlib.suppress(OSError):
                return others <= self.metadata(node)[0]
            return False

        try:
            eventually(knows, f"broker {node} answers on port {self.ports[node]}", within)
        except AssertionError as error:
            raise AssertionError(f"{error}; the end of its log:\n{self.tail(node)}") from None

    def create_topic(self, name, partitions=1, replicas=None, settings=None):
        """Returns when every broker that is up knows a leader of each partition."""
        up = [node for node in self.running() if node not in self.paused]
        settings = settings or {}
        body = b"".join((struct.pack(">i", 1), text(name), struct.pack(">ihi", partitions, replicas or min(len(self.nodes), 3), 0),
                         struct.pack(">i", len(settings)), *(text(k) + text(str(v)) for k, v in settings.items()),
                         struct.pack(">ib", 10000, 0)))

        def created():
            with contextlib.suppress(OSError):
                answer = ask(self.ports[up[0]], 19, 2, body, 15)
                answer.number("i")  # how long it was throttled
                ((_, code, why),) = answer.many(lambda: (answer.text(), answer.number("h"), answer.text()))
                if code not in (0, 7, 36, 41):  # timed out, there already (our own try before), not the controller
                    raise AssertionError(f"topic {name} was not created: error {code}, {why}")
                return code in (0, 36)
            return False

        def known(node):
            with contextlib.suppress(OSError):
                leaders = self.metadata(node)[1].get(name, [])
                return len(leaders) == partitions and min(leaders) >= 0
            return False

        eventually(created, f"topic {name} is created")
        for node in up:
            eventually(lambda node=node: known(node), f"broker {node} knows topic {name}")

    # --- the end ----------------------------------------------------------------------------------------------------

    def close(self):
        STARTER.submit(int).result()  # what was being started when a signal came is in `processes` after this
        for node in self.running():
            self.processes[node].kill()
        for process in self.processes.values():
            process.wait(DEADLINE)
        if self.door:
            self.door.close()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.close()
        if kind and issubclass(kind, Exception):
            for node in self.nodes:
                print(f"--- the end of broker {node}'s log\n{self.tail(node)}", file=sys.stderr)


def serve(brokers):
    # While we clean up, a second SIGTERM changes nothing.
    def end(*_):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        sys.exit(0)

    signal.signal(signal.SIGTERM, end)
    with tempfile.TemporaryDirectory(prefix="pawl-kafka-", ignore_cleanup_errors=True) as folder, Kafka(folder, brokers) as kafka:
        verbs = {"kill": kafka.kill, "stop": kafka.stop, "pause": kafka.pause, "resume": kafka.resume, "start": kafka.start}
        print(f"ready {kafka.bootstrap}", flush=True)
        for line in sys.stdin:
            try:
                verb, node = line.split()
                verbs[verb](int(node))
                print("done", flush=True)
            except (AssertionError, KeyError, ValueError, subprocess.TimeoutExpired) as error:
                print("failed", " ".join(repr(error).split()), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["serve"])
    parser.add_argument("--brokers", type=int, default=1)
    serve(parser.parse_args().brokers)
