"""Starts the payment service of the order example and talks to it; for the tests of this folder."""
import contextlib
import http.client
import json
import os
import re
import selectors
import signal
import subprocess

BINARY = os.path.join(os.environ.get("PAWL_BUILD", "build/dev"), "examples/order/payment_service")
DEADLINE = 30


class Service:
    """A running payment_service; a context manager that ends it."""

    def __init__(self, *flags):
        self.process = subprocess.Popen([BINARY, *map(str, flags)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            ready = selector.select(DEADLINE)
        line = self.process.stdout.readline().decode() if ready else ""
        match = re.fullmatch(r"listening 127\.0\.0\.1:(\d+)\n", line)
        if not match:
            self.process.kill()
            raise AssertionError(f"first line {line!r}; stderr: {self.process.communicate()[1].decode()}")
        self.port = int(match.group(1))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.returncode is None:
            self.process.terminate()
        stderr = self.process.communicate(timeout=DEADLINE)[1].decode()
        if self.process.returncode not in (0, -signal.SIGKILL):
            raise AssertionError(f"exit code {self.process.returncode}; stderr: {stderr}")

    def kill(self):
        self.process.kill()
        self.process.wait(DEADLINE)

    def ask(self, method, path, body=None, headers=None, timeout=DEADLINE):
        """(status, body as an object, headers); raises where the connection closes without an answer."""
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)) as connection:
            text = body if isinstance(body, (str, bytes, type(None))) else json.dumps(body)
            connection.request(method, path, text, headers or {})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read()), answer.headers

    def post(self, path, key, body, **more):
        return self.ask("POST", path, body, {"Idempotency-Key": key}, **more)

    def charge(self, key, order="o-1", amount=99.5, **more):
        return self.post("/charges", key, {"order_id": order, "amount": amount, "card": "tok_1"}, **more)

    def stats(self):
        return self.ask("GET", "/stats")[1]

    def effects(self, **query):
        (name, value), = query.items()
        return self.ask("GET", f"/effects?{name}={value}")[1]["effects"]


def run_to_end(*flags):
    done = subprocess.run([BINARY, *map(str, flags)], capture_output=True, timeout=DEADLINE, check=False)
    return done.returncode, done.stderr.decode()
