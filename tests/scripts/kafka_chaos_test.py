#!/usr/bin/env python3
# label: full
# serial: yes
# needs: bad_steps
# timeout: 300
"""The short form of `./dev chaos`: under load, the leader of some partition is killed five times, at a session of three seconds."""
import os
import random
import tempfile
import unittest

from chaos import World, torment
from chaos_faults import leader_killed

KILLS = 5


class Chaos(unittest.TestCase):
    def test_leaders_are_killed(self):
        seed = os.environ.get("PAWL_SEED") or str(random.SystemRandom().randrange(1 << 32))
        print(f"again: PAWL_SEED={seed} tests/scripts/kafka_chaos_test.py", flush=True)
        with tempfile.TemporaryDirectory(prefix="pawl-kills-") as folder, World(folder, seed, brokers=1) as world:
            fired, found = torment(world, [leader_killed] * KILLS)
        self.assertEqual(fired, {"leader_killed": KILLS})
        self.assertGreater(sum(p["epoch"] for p in found["partitions"].values()), KILLS + len(found["partitions"]))


if __name__ == "__main__":
    unittest.main(verbosity=2)
