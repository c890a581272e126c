"""Starts a node of a pawl binary and talks to it over its Unix socket; for the tests of this folder."""
import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import time
import urllib.parse

DEADLINE = 60


def binary(name):
    return os.path.join(os.environ.get("PAWL_BUILD", "build/dev"), "bin", name)


def eventually(condition, what, within=DEADLINE):
    """Waits until `condition` returns something true, and returns that."""
    end = time.monotonic() + within
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {within} s: {what}")
        time.sleep(0.01)


def pause_process(process):
    """SIGSTOP to a child of ours; returns when none of its threads runs any more, which is a while after the signal was sent."""
    process.send_signal(signal.SIGSTOP)
    if process.poll() is not None or os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT).si_code != os.CLD_STOPPED:
        raise AssertionError(f"process {process.pid} ended before it could be paused")


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Node:
    """`BINARY node` on a data directory; a context manager that drains it."""

    def __init__(self, name, data, environment=None, flags=(), log=None):
        self.name, self.data, self.flags, self.log = name, data, list(flags), log
        self.environment = {**os.environ, **(environment or {})}
        self.socket = os.path.join(data, "pawl.sock")
        self.process = None

    def start(self, wait=True):
        out = open(self.log, "ab") if self.log else subprocess.DEVNULL
        self.process = subprocess.Popen([binary(self.name), "--data", self.data, *self.flags, "node"], env=self.environment,
                                        stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        if self.log:
            out.close()
        if wait:
            eventually(self.answers, f"{self.name} answers on {self.socket}")
        return self

    def answers(self):
        if self.process.poll() is not None:
            raise AssertionError(f"the node ended with exit code {self.process.returncode}: {self.tail()}")
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.ask("GET", "/v1/status?scope=node", timeout=5)[0] == 200
        return False

    def log_text(self):
        if not self.log or not os.path.exists(self.log):
            return ""
        with open(self.log, errors="replace") as f:
            return f.read()

    def tail(self):
        return self.log_text()[-3000:]

    def ask(self, method, path, body=None, headers=None, timeout=DEADLINE):
        """(status, the body as an object)"""
        with contextlib.closing(UnixConnection(self.socket, timeout)) as connection:
            text = None if body is None else json.dumps(body)
            connection.request(method, path, text, {"Content-Type": "application/json", **(headers or {})})
            answer = connection.getresponse()
            raw = answer.read()
            return answer.status, json.loads(raw) if raw else None

    def begin(self, kind, workflow, value, command=None, **more):
        headers = {"Idempotency-Key": command} if command else {}
        return self.ask("POST", "/v1/workflows", {"id": workflow, "type": kind, "input": value, **more}, headers)

    def show(self, workflow):
        return self.ask("GET", "/v1/workflows/" + urllib.parse.quote(workflow, safe=""))

    def history(self, workflow):
        return self.ask("GET", "/v1/workflows/" + urllib.parse.quote(workflow, safe="") + "/history")

    def result(self, workflow, wait_ms=0):
        return self.ask("GET", f"/v1/workflows/{urllib.parse.quote(workflow, safe='')}/result?wait_ms={wait_ms}", timeout=DEADLINE + wait_ms / 1000)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(DEADLINE)

    def drain(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(DEADLINE)

    def cli(self, *arguments, stdin=None):
        """(exit code, stdout, stderr) of a command with this node's data directory."""
        done = subprocess.run([binary(self.name), "--data", self.data, *self.flags, *map(str, arguments)], env=self.environment, input=stdin,
                              capture_output=True, text=True, timeout=DEADLINE * 2, check=False)
        return done.returncode, done.stdout, done.stderr

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait(DEADLINE)
