#!/usr/bin/env python3
# label: full
# needs: bad_steps
# timeout: 300
"""A small disk fills up under load: nothing that was acknowledged is lost, and the node goes on when space returns.

The disk is a tmpfs of its own, which needs the right to mount (root)."""
import contextlib
import http.client
import os
import subprocess
import tempfile
import time
import unittest

from pawl_node import Node, eventually

SIZE_MB = 24


class FullDisk(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="pawl-full-disk-")
        self.addCleanup(folder.cleanup)
        self.disk = os.path.join(folder.name, "disk")
        os.mkdir(self.disk)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m", "tmpfs", self.disk], check=True)
        self.addCleanup(lambda: subprocess.run(["umount", "-l", self.disk], check=True))
        self.log = os.path.join(folder.name, "node.log")

    def fill(self, path):
        """Takes all the space that is left."""
        with open(path, "wb", buffering=0) as f, contextlib.suppress(OSError):
            while True:
                f.write(b"x" * 4096)

    def test_goes_on_when_space_returns(self):
        node = Node("bad_steps", os.path.join(self.disk, "data"), flags=["--set", "journal.wal_limit=4MiB"], log=self.log)
        filler = os.path.join(self.disk, "filler")
        acknowledged, refused = [], 0
        with node.start():
            def begin(n):
                nonlocal refused
                with contextlib.suppress(OSError, http.client.HTTPException):
                    status, answer = node.begin("sleeps", f"w-{n}", {"ms": 1}, command=f"c-{n}")
                    if status in (200, 201):
                        acknowledged.append(f"w-{n}")
                        return True
                    self.assertIn(status, (429, 500, 503, 504), answer)
                    refused += 1
                return False

            for n in range(100):
                self.assertTrue(begin(n))
            self.fill(filler)
            n, end = 100, time.monotonic() + 60
            while refused < 20 and time.monotonic() < end:
                n += 1
                begin(n)
            self.assertGreaterEqual(refused, 20, "the disk was full")
            self.assertIsNone(node.process.poll(), "the node lives on a full disk: " + node.tail())
            os.unlink(filler)
            eventually(lambda: begin(n), "the node takes work again")
            for k in range(n + 1, n + 50):
                self.assertTrue(begin(k))
            for workflow in acknowledged:
                answer = eventually(lambda w=workflow: (lambda r: r if r[0] == 200 else None)(node.result(w, wait_ms=2000)), f"{workflow} ends")
                self.assertEqual(answer[1]["state"], "completed")
            self.assertEqual(node.drain(), 0, node.tail())
        print(f"{len(acknowledged)} acknowledged, {refused} refused", flush=True)
        code, out, err = node.cli("verify")
        self.assertEqual(code, 0, out + err)


if __name__ == "__main__":
    unittest.main(verbosity=2)
