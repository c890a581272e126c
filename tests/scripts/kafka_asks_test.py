#!/usr/bin/env python3
# label: full
# needs: subscription
# timeout: 300
"""Updates and queries where another node is asked than the one that leads, over a kill of the leader, and updates from Kafka itself."""
import http.client
import json
import os
import subprocess
import tempfile
import threading
import unittest

from kafka_broker import Kafka
from pawl_cluster import Cluster
from pawl_node import eventually

YEAR = 365 * 86_400_000


class KafkaAsks(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="pawl-asks-")
        cls.addClassCleanup(cls.folder.cleanup)
        cls.kafka = Kafka(os.path.join(cls.folder.name, "kafka"), 1)
        cls.addClassCleanup(cls.kafka.close)

    def begin(self, c, workflow):
        body = {"id": workflow, "type": "subscription", "input": {"customer": workflow, "plan": "basic", "month": YEAR}}
        c.tell("POST", "/v1/workflows", body, workflow, "c-" + workflow, (200, 201))

    def update(self, c, workflow, name, value, command, node=None):
        """Until it is answered, whoever has to be asked how often."""
        path = f"/v1/workflows/{workflow}/update?wait_ms=5000"
        return c.tell("POST", path, {"name": name, "input": value}, workflow, command, (200,), node)

    def query(self, c, workflow, name, node=None):
        def answered():
            try:
                status, answer = (node or c.any()).ask("POST", f"/v1/workflows/{workflow}/query", {"name": name}, timeout=15)
            except (OSError, http.client.HTTPException, IndexError):
                return None
            self.assertIn(status, (200, 503), answer)
            return answer["answer"] if status == 200 else None
        return eventually(answered, f"{name} of {workflow} is answered")

    def test_any_node(self):
        with Cluster(self.kafka, os.path.join(self.folder.name, "any"), "any", nodes=2, binary="subscription") as c:
            c.start()
            c.settled()
            ids = [c.id_on(p, "s") for p in range(4)]
            for w in ids:
                self.begin(c, w)
                for name, outcome in (("n1", "applied"), ("n2", "duplicate")):
                    answer = self.update(c, w, "change-plan", {"plan": "gold"}, "u-" + w, c.nodes[name])
                    self.assertEqual((answer["outcome"], answer["state"], answer["answer"]["plan"]), (outcome, "answered", "gold"), answer)
                    self.assertEqual(self.query(c, w, "status", c.nodes[name])["plan"], "gold")
            refused = self.update(c, ids[0], "change-plan", {"plan": "copper"}, "u-no")
            self.assertEqual((refused["state"], refused["error"]["code"]), ("refused", "no_such_plan"))
            status, wrong = c.nodes["n1"].ask("POST", f"/v1/workflows/{ids[1]}/query", {"name": "statos"})
            self.assertEqual((status, wrong["code"]), (422, "invalid"), wrong)
            for w in ids:
                self.assertTrue(self.update(c, w, "cancel", None, "u-end-" + w)["answer"]["cancelled"])
                c.completes(w)
            c.ends_well()

    def test_the_leader_is_killed(self):
        with Cluster(self.kafka, os.path.join(self.folder.name, "kill"), "kill", nodes=2, binary="subscription") as c:
            c.start()
            leaders = c.settled()
            partition = next(p for p, leader in leaders.items() if leader == "n1")
            w = c.id_on(int(partition), "s")
            self.begin(c, w)
            first = self.update(c, w, "change-plan", {"plan": "gold"}, "u-1", c.nodes["n2"])
            # One that nobody takes waits at the leader, through the other node, while that dies.
            told = {}
            waits = threading.Thread(target=lambda: told.update(self.update(c, w, "unheard", 1, "u-2", c.nodes["n2"])))
            waits.start()
            eventually(lambda: c.kinds(w).count("update_received") == 2, "it is on record")
            c.nodes["n1"].kill()
            again = self.update(c, w, "change-plan", {"plan": "gold"}, "u-1", c.nodes["n2"])
            self.assertEqual((again["outcome"], again["answer"], again["seq"]), ("duplicate", first["answer"], first["seq"]))
            self.assertEqual(self.query(c, w, "status", c.nodes["n2"])["plan"], "gold")
            self.assertTrue(self.update(c, w, "cancel", None, "u-3", c.nodes["n2"])["answer"]["cancelled"])
            waits.join(60)
            self.assertEqual((told["state"], told["error"]["code"]), ("refused", "code_ended"), told)
            c.completes(w)
            c.start("n1")
            c.settled()
            c.ends_well()

    def test_from_kafka(self):
        with Cluster(self.kafka, os.path.join(self.folder.name, "mail"), "mail", nodes=1, binary="subscription") as c:
            c.start()
            c.settled()
            self.begin(c, "s-1")
            for command, plan in (("k-1", "gold"), ("k-1", "gold"), ("k-2", "copper")):
                body = json.dumps({"command": "update", "command_id": command, "name": "change-plan", "input": {"plan": plan}})
                subprocess.run(["kcat", "-P", "-b", self.kafka.bootstrap, "-t", "mail.commands", "-k", "s-1", "-X", "partitioner=murmur2"],
                               input=body, text=True, check=True, timeout=60)
            eventually(lambda: c.kinds("s-1").count("update_answered") == 2, "both are answered")
            answers = [e for e in c.events("s-1") if e["kind"] == "update_answered"]
            self.assertEqual(answers[0]["answer"]["plan"], "gold")
            self.assertEqual(answers[1]["error"]["code"], "no_such_plan")
            self.assertEqual(self.query(c, "s-1", "status")["plan"], "gold")
            self.update(c, "s-1", "cancel", None, "u-end")
            c.completes("s-1")
            c.ends_well()


if __name__ == "__main__":
    unittest.main()
