#!/usr/bin/env python3
# label: full
# needs: code_jobs
# timeout: 300
"""reset and fork in a cluster: from one partition to another, from a Kafka client, and while leaders are killed."""
import base64
import json
import os
import tempfile
import unittest

from kafka_broker import Kafka
from pawl_cluster import Cluster, run_python
from pawl_node import eventually


class Branch(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="pawl-branch-")
        cls.addClassCleanup(cls.folder.cleanup)
        cls.kafka = Kafka(os.path.join(cls.folder.name, "kafka"), 1)
        cls.addClassCleanup(cls.kafka.close)

    def start(self, c, workflow, words):
        body = {"id": workflow, "type": "notes", "version": 2, "input": {"file": self.file, "words": words, "asks": True}}
        c.tell("POST", "/v1/workflows", body, workflow, "c-" + workflow, (200, 201))
        eventually(lambda: c.kinds(workflow).count("attempt_completed") == len(words), "its steps are done")
        return workflow

    def seqs(self, c, workflow, kind):
        return [e["seq"] for e in c.events(workflow) if e["kind"] == kind]

    def more(self, c, workflow, word):
        c.tell("POST", f"/v1/workflows/{workflow}/signal", {"name": "more", "input": word}, workflow, f"s-{workflow}-{word}", (200,))
        return c.completes(workflow)

    def fork(self, c, node, workflow, command, body):
        """The answer, and how often it was asked for: a leader that is about to change is unavailable."""
        times = 0
        def answered():
            nonlocal times
            times += 1
            status, answer = node.ask("POST", f"/v1/workflows/{workflow}/fork", body, headers={"Idempotency-Key": command})
            self.assertIn(status, (200, 201, 503), answer)
            return answer if status != 503 else None
        return eventually(answered, f"{command} is answered"), times

    def produce(self, c, key, value):
        told = {"bootstrap": self.kafka.bootstrap, "topic": c.name_space + ".commands",
                "messages": [{"key": base64.b64encode(key.encode()).decode(), "value": base64.b64encode(json.dumps(value).encode()).decode(),
                              "partition": None}]}
        run_python(os.path.join(os.path.dirname(os.path.abspath(__file__)), "foreign_client.py"), text=json.dumps(told))

    def test_all(self):
        self.file = os.path.join(self.folder.name, "notes")
        with Cluster(self.kafka, os.path.join(self.folder.name, "c"), "branch", binary="code_jobs", nodes=2) as c:
            c.start()
            c.settled()
            leaders = c.leaders()
            of = {node: [p for p, n in leaders.items() if n == node] for node in set(leaders.values())}
            self.assertEqual(len(of), 2, leaders)
            here, there = (of[node][0] for node in sorted(of))
            # A fork of a workflow that one node leads to one that the other leads, asked of each.
            first = self.start(c, c.id_on(here, "first"), ["a", "b"])
            cut = self.seqs(c, first, "attempt_completed")[0]
            forks = []
            for n, node in enumerate(sorted(c.nodes)):
                forks.append(c.id_on(there, f"fork-{n}"))
                for outcome in ("applied", "duplicate"):
                    answer, times = self.fork(c, c.nodes[node], first, f"f-{n}", {"id": forks[-1], "to": cut})
                    self.assertEqual(answer["id"], forks[-1])
                    self.assertIn(answer["outcome"], [outcome] if times == 1 else ["applied", "duplicate"], times)
            for fork in forks:
                self.assertTrue(self.more(c, fork, "forked")["result"].endswith(f"a b forked by {fork} in run 1"))
            # A reset from a Kafka client, of an open run; then its leader is killed.
            self.produce(c, first, {"command": "reset", "command_id": "r-1", "to": cut, "reason": "once more"})
            eventually(lambda: c.shown(first)[1].get("run") == 2, "the second run is there")
            victim = c.leaders()[here]
            c.nodes[victim].kill()
            c.settled()
            self.assertTrue(self.more(c, first, "again")["result"].endswith(f"a b again by {first} in run 2"))
            c.nodes[victim].start()
            c.settled()
            # Of a closed one, sent twice.
            for _ in range(2):
                c.tell("POST", f"/v1/workflows/{first}/reset", {"to": 1, "signals": False}, first, "r-2", (200,))
            self.assertEqual(c.shown(first)[1]["run"], 3)
            self.assertTrue(self.more(c, first, "thrice")["result"].endswith(f"a b thrice by {first} in run 3"))
            c.ends_well()


if __name__ == "__main__":
    unittest.main()
