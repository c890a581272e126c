#!/usr/bin/env python3
# label: full
# needs: bad_steps
# timeout: 900
"""A node that cannot be trusted for a while: its disk fails (EIO) under what it leads, or its journal diverges again and again. It says
so, gives up what it leads, others lead, and it takes part again when all is well."""
import os
import subprocess
import tempfile
import unittest

from kafka_broker import Kafka
from kafka_log import cut
from pawl_cluster import Cluster
from pawl_node import eventually

PATIENCE = 120  # seconds: other work goes on on the machine
REST = 60  # seconds that a node leaves a partition to others

# While the file TEST_EIO_WHEN is there, nothing below the folder TEST_EIO_IN can be written or synced.
EIO = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>
static int fails(int fd) {
  const char* when = getenv("TEST_EIO_WHEN");
  const char* in = getenv("TEST_EIO_IN");
  char link[64], path[4096];
  if (!when || !in || access(when, F_OK) != 0) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  const ssize_t n = readlink(link, path, sizeof path - 1);
  if (n <= 0) return 0;
  path[n] = 0;
  if (strncmp(path, in, strlen(in)) != 0) return 0;
  errno = EIO;
  return 1;
}
#define LAYER(result, name, given, passed)                              \
  result name given {                                                   \
    static result (*real) given;                                        \
    if (fails(fd)) return -1;                                           \
    if (!real) real = (result (*) given)dlsym(RTLD_NEXT, #name);        \
    return real passed;                                                 \
  }
LAYER(ssize_t, write, (int fd, const void* b, size_t n), (fd, b, n))
LAYER(ssize_t, pwrite, (int fd, const void* b, size_t n, off_t at), (fd, b, n, at))
LAYER(ssize_t, pwrite64, (int fd, const void* b, size_t n, off64_t at), (fd, b, n, at))
LAYER(int, fsync, (int fd), (fd))
LAYER(int, fdatasync, (int fd), (fd))
LAYER(int, ftruncate, (int fd, off_t n), (fd, n))
LAYER(int, ftruncate64, (int fd, off64_t n), (fd, n))
"""


class Sick(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="pawl-sick-")
        cls.addClassCleanup(cls.folder.cleanup)
        cls.kafka = Kafka(os.path.join(cls.folder.name, "kafka"), 1)
        cls.addClassCleanup(cls.kafka.close)

    def cluster(self, name, **settings):
        return Cluster(self.kafka, os.path.join(self.folder.name, name), name, nodes=2, **settings)

    def health(self, c, asked, about):
        status, body = c.nodes[asked].ask("GET", "/v1/nodes")
        return next((n["health"] for n in body["nodes"] if n["name"] == about), None) if status == 200 else None

    def test_the_disk_of_a_leader_fails(self):
        library = os.path.join(self.folder.name, "eio.so")
        subprocess.run(["c++", "-x", "c", "-shared", "-fPIC", "-O1", "-o", library, "-", "-ldl"], input=EIO, text=True, check=True)
        broken = os.path.join(self.folder.name, "the-disk-fails")
        with self.cluster("eio") as c:
            sick = c.nodes["n1"]
            sick.environment.update(LD_PRELOAD=library, TEST_EIO_WHEN=broken, TEST_EIO_IN=os.path.realpath(self.folder.name) + "/eio/n1/p")
            c.start()
            eventually(lambda: set(c.settled().values()) == {"n1", "n2"}, "both lead", PATIENCE)
            led = sorted(c.partitions_of("n1"))
            names = [c.begin(c.id_on(p, f"before-{p}-{k}"), ms=20, within=PATIENCE) for k in range(5) for p in range(4)]
            long = [c.begin(c.id_on(p, f"long-{p}"), ms=4000, within=PATIENCE) for p in led]
            with open(broken, "w"):
                pass
            names += [c.begin(c.id_on(p, f"while-{p}-{k}"), node=c.nodes["n2"], within=PATIENCE) for k in range(5) for p in range(4)]
            eventually(lambda: self.health(c, "n2", "n1") == "sick", "n1 says that it is sick", PATIENCE)
            eventually(lambda: set(c.leaders(c.nodes["n2"]).values()) == {"n2"}, "n2 leads all", PATIENCE)
            self.assertIsNone(sick.process.poll(), sick.tail())
            for w in [*names, *long]:
                c.completes(w, PATIENCE)
            # What it acknowledged before is what is on record; asked now, it answers for who leads.
            c.begin("at-the-sick-one", node=sick, within=PATIENCE)
            os.remove(broken)
            eventually(lambda: self.health(c, "n2", "n1") == "ok", "n1 is well again", PATIENCE)
            eventually(lambda: sorted(p for p, n in c.settled(PATIENCE).items() if n == "n1") == led, f"n1 leads {led} again", PATIENCE)
            for k in range(8):
                c.completes(c.begin(f"after-{k}", within=PATIENCE))
            c.completes("at-the-sick-one")
            c.ends_well()

    def test_a_journal_diverges_again_and_again(self):
        with self.cluster("again", **{"kafka.partitions": 1}) as c:
            c.start()
            first = c.settled(PATIENCE)[0]
            other = next(name for name in c.nodes if name != first)
            leader = c.nodes[first]
            for k in range(5):
                c.completes(c.begin(f"kept-{k}"))
            c.pause(other)  # what is lost it has never read
            folder = os.path.join(self.kafka.folder, "data1", "again.journal-0")
            for time in range(1, 4):
                for k in range(5):
                    status, answer = eventually(lambda: (lambda a: a if a[0] in (200, 201) else None)(
                        leader.begin("sleeps", f"lost-{time}-{k}", {"ms": 600_000}, command=f"c-{time}-{k}")), "a start is taken", PATIENCE)
                    self.assertIn(status, (200, 201), answer)
                self.kafka.kill(1)
                ends, ended = cut(folder, 3)
                self.assertLess(ends, ended)
                self.kafka.start(1)
                eventually(lambda: leader.log_text().count("is read anew") >= time, f"the journal has diverged {time} times", PATIENCE)
                if time < 3:
                    eventually(lambda: c.leaders(leader)[0] == first, f"{first} leads on", PATIENCE)
            eventually(lambda: "diverges again and again" in leader.log_text(), "it leaves the partition to others", PATIENCE)
            c.resume(other)
            eventually(lambda: c.leaders(c.nodes[other])[0] == other, f"{other} leads", PATIENCE)
            rows = c.partitions(c.nodes[other])[0]["followers"]
            self.assertEqual([f["state"] for f in rows if f["name"] == first], ["diverged"], rows)
            c.completes(c.begin("while", node=c.nodes[other], within=PATIENCE))
            # A minute later it is trusted again.
            eventually(lambda: c.settled(PATIENCE)[0] == first, f"{first} leads again", REST + PATIENCE)
            c.completes(c.begin("after", within=PATIENCE))
            c.fed()
            c.drain()
            c.verified()
            found = c.checked(lost_tail=True, open=True)
            self.assertGreaterEqual(found["partitions"]["0"]["epoch"], 5)


if __name__ == "__main__":
    unittest.main(verbosity=2)
