#!/usr/bin/env python3
# label: full
# needs: bad_steps
# timeout: 500
"""What nodes have on their disks is deleted, cut and flipped while they are down: views, snapshots; and the journal is trimmed above
a view that was away. Under load, on one cluster, with the faults of `./dev chaos`, each of them once."""
import glob
import os
import tempfile
import unittest

import chaos_faults
from chaos import World, torment
from pawl_node import eventually


def snapshots_are_there(world):
    def kept():
        return [p for p in range(world.partitions) if len(glob.glob(os.path.join(world.snapshots, "*", f"p{p}", "*.snapshot"))) >= 2]
    eventually(lambda: len(kept()) == world.partitions, "two snapshots of each partition", 120)
    return "two of each partition"


def snapshot(how):
    def snapshot_damaged(world):
        return chaos_faults.snapshot_damaged(world, how)
    return snapshot_damaged


class Damage(unittest.TestCase):
    def test_views_and_snapshots(self):
        plan = [snapshots_are_there, chaos_faults.views_deleted, chaos_faults.view_truncated, chaos_faults.view_overwritten,
                chaos_faults.view_spoilt_inside, *map(snapshot, ("half", "flipped", "gone")), chaos_faults.views_below_the_trim]
        with tempfile.TemporaryDirectory(prefix="pawl-damage-") as folder, World(folder, "damage", brokers=1, name_space="damage") as world:
            fired, _ = torment(world, plan)
        self.assertEqual(sum(fired.values()), len(plan), fired)


if __name__ == "__main__":
    unittest.main(verbosity=2)
