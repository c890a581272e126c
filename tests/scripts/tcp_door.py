"""A way to a broker that a test can spoil: a TCP proxy of its own, between one node and Kafka."""
import contextlib
import select
import socket
import struct
import threading

CHUNK = 1 << 16
LOOK = 0.02  # seconds between two looks at whether what is held back may go on
PRODUCE = 0


def produces(topic):
    """For Door.holds: the requests that write to the topic."""
    named = struct.pack(">h", len(topic)) + topic.encode()
    return lambda request: struct.unpack_from(">h", request, 4)[0] == PRODUCE and named in request[:400]


class Way:
    """One connection, and what of it has not been passed on."""

    def __init__(self, client, broker):
        self.client, self.broker = client, broker
        self.raw = bytearray()  # from the client: the beginning of a request
        self.held = []  # requests

    def requests(self, data):
        """The whole ones, with the four bytes of their lengths."""
        self.raw += data
        while len(self.raw) >= 4 and len(self.raw) >= (whole := 4 + struct.unpack_from(">i", self.raw)[0]):
            yield bytes(self.raw[:whole])
            del self.raw[:whole]


class Door:
    """Listens on `port` and passes on to `to`. `swallow`: what the broker says is dropped, and what is said to it arrives. `hushed`: what
    the broker says waits until it is false again. `holds`: a request for which it is true is kept back, and those behind it on its
    connection; once it is None they arrive."""

    def __init__(self, port, to):
        self.to, self.swallow, self.hushed, self.holds = to, False, False, None
        self.passed = self.swallowed = 0  # bytes from the broker
        self.held = 0  # requests that `holds` has named, until now
        self.listener = socket.create_server(("127.0.0.1", port))
        self.ways, self.mutex, self.ended = [], threading.Lock(), False
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        while not self.ended:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            try:
                broker = socket.create_connection(("127.0.0.1", self.to), 10)
            except OSError:
                client.close()
                continue
            way = Way(client, broker)
            with self.mutex:
                self.ways.append(way)
            threading.Thread(target=self.carry, args=[way], daemon=True).start()

    def carry(self, way):
        try:
            while True:
                hushed = self.hushed
                heard = [way.client] if hushed else [way.client, way.broker]
                for ready in select.select(heard, [], [], LOOK if hushed or way.held else None)[0]:
                    if ready is way.broker and self.hushed:
                        continue  # since it was looked at
                    data = ready.recv(CHUNK)
                    if not data:
                        return
                    if ready is way.client:
                        self.to_broker(way, data)
                    elif self.swallow:
                        self.swallowed += len(data)
                    else:
                        self.passed += len(data)
                        way.client.sendall(data)
                if way.held and self.holds is None:
                    way.broker.sendall(b"".join(way.held))
                    way.held.clear()
        except (OSError, ValueError):
            pass  # closed, by one of them or by heal()
        finally:
            for s in (way.client, way.broker):
                with contextlib.suppress(OSError):
                    s.close()

    def to_broker(self, way, data):
        for request in way.requests(data):
            holds = self.holds
            named = bool(holds and holds(request))
            if named or way.held:
                way.held.append(request)
                self.held += named
            else:
                way.broker.sendall(request)

    def heal(self):
        """Answers come again, over new connections: the old ones have lost some."""
        self.swallow = False
        with self.mutex:
            ways, self.ways = self.ways, []
        for way in ways:
            for s in (way.client, way.broker):
                with contextlib.suppress(OSError):
                    s.shutdown(socket.SHUT_RDWR)

    def close(self):
        self.ended = True
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.heal()
