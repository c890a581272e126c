"""A way to a broker that a test can spoil: a TCP proxy of its own, between one node and Kafka."""
import contextlib
import select
import socket
import threading

CHUNK = 1 << 16


class Door:
    """Listens on `port` and passes on to `to`. `swallow`: what the broker says is dropped, and what is said to it arrives."""

    def __init__(self, port, to):
        self.to, self.swallow = to, False
        self.passed = self.swallowed = 0  # bytes from the broker
        self.listener = socket.create_server(("127.0.0.1", port))
        self.pairs, self.mutex, self.ended = [], threading.Lock(), False
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
            pair = (client, broker)
            with self.mutex:
                self.pairs.append(pair)
            threading.Thread(target=self.carry, args=pair, daemon=True).start()

    def carry(self, client, broker):
        try:
            while True:
                for ready in select.select([client, broker], [], [])[0]:
                    data = ready.recv(CHUNK)
                    if not data:
                        return
                    if ready is client:
                        broker.sendall(data)
                    elif self.swallow:
                        self.swallowed += len(data)
                    else:
                        self.passed += len(data)
                        client.sendall(data)
        except (OSError, ValueError):
            pass  # closed, by one of them or by heal()
        finally:
            for s in (client, broker):
                with contextlib.suppress(OSError):
                    s.close()

    def heal(self):
        """Answers come again, over new connections: the old ones have lost some."""
        self.swallow = False
        with self.mutex:
            pairs, self.pairs = self.pairs, []
        for pair in pairs:
            for s in pair:
                with contextlib.suppress(OSError):
                    s.shutdown(socket.SHUT_RDWR)

    def close(self):
        self.ended = True
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.heal()
