#!/usr/bin/env python3
# needs: subscription
# timeout: 300
"""Updates and queries on a real node: by command line and HTTP, over kill -9, with limits to waiting."""
import json
import threading
import unittest

from code_node import CodeNode
from pawl_node import eventually

YEAR = 365 * 86_400_000


class Subscription(CodeNode):
    program = "subscription"

    def begin(self, workflow, **more):
        self.start_one("subscription", workflow, {"customer": workflow, "plan": "basic", **more})

    def update(self, workflow, name, value=None, command=None, wait_ms=30_000):
        return self.node.ask("POST", f"/v1/workflows/{workflow}/update?wait_ms={wait_ms}", {"name": name, "input": value},
                             {"Idempotency-Key": command} if command else None)

    def query(self, workflow, name, value=None):
        return self.node.ask("POST", f"/v1/workflows/{workflow}/query", {"name": name, "input": value})

    def test_by_command_line(self):
        self.begin("ada", month=YEAR)
        code, out, err = self.node.cli("update", "ada", "change-plan", "--input", '{"plan":"gold"}', "--command-id", "u-1")
        self.assertEqual((code, json.loads(out)), (0, {"plan": "gold", "price": 25.0, "from_month": 1}), err)
        code, _, err = self.node.cli("update", "ada", "change-plan", "--input", '{"plan":"copper"}')
        self.assertEqual(code, 1)
        self.assertIn("was refused: no_such_plan: there is no plan 'copper'", err)
        code, out, err = self.node.cli("query", "ada", "forecast", "--input", "12")
        self.assertEqual((code, json.loads(out)), (0, 300.0), err)
        code, out, err = self.node.cli("-o", "json", "query", "ada", "status")
        self.assertEqual(json.loads(out)["answer"]["plan"], "gold", err)
        code, _, err = self.node.cli("query", "ada", "forcast")
        self.assertEqual(code, 2)
        self.assertIn("forecast, status", err)
        code, _, err = self.node.cli("query", "nobody", "status")
        self.assertEqual(code, 3, err)
        code, _, err = self.node.cli("update", "nobody", "cancel")
        self.assertEqual(code, 3, err)
        self.kill_and_start()
        code, out, err = self.node.cli("-o", "json", "update", "ada", "change-plan", "--input", '{"plan":"gold"}', "--command-id", "u-1")
        again = json.loads(out)
        self.assertEqual((code, again["state"], again["outcome"], again["answer"]["plan"]), (0, "answered", "duplicate", "gold"), err)
        self.assertEqual(self.kinds("ada").count("update_received"), 2)
        code, out, err = self.node.cli("history", "ada")
        self.assertIn("update_answered", out)
        self.assertIn("change-plan", out)
        code, out, err = self.node.cli("update", "ada", "cancel")
        self.assertEqual((code, json.loads(out)["cancelled"]), (0, True), err)
        self.assertEqual(self.node.result("ada", wait_ms=30_000)[1]["result"]["cancelled"], True)
        code, _, err = self.node.cli("update", "ada", "cancel")
        self.assertEqual(code, 4, err)
        code, _, err = self.node.cli("query", "ada", "status")
        self.assertEqual(code, 4)
        self.assertIn("its code has ended", err)
        self.verified()

    def test_it_bills_every_month_and_changes_in_between(self):
        self.begin("ada", months=6, month=1500, months_a_run=2)

        def billed():
            status, answer = self.query("ada", "status")
            return status == 200 and answer["answer"]["months_billed"]
        eventually(lambda: billed() in (1, 3), "a month of a run is billed, and another is to come")
        status, answer = self.update("ada", "change-plan", {"plan": "gold"}, "u-1")
        self.assertEqual((status, answer["state"]), (200, "answered"), answer)
        self.kill_and_start()
        status, end = self.node.result("ada", wait_ms=60_000)
        self.assertEqual((status, end["state"]), (200, "completed"), end)
        first = answer["answer"]["from_month"] - 1
        self.assertEqual(end["result"]["billed"], 10 * first + 25 * (6 - first), (answer, end))
        self.assertEqual((end["run"], end["result"]["months_billed"]), (3, 6), end)
        status, again = self.update("ada", "change-plan", {"plan": "gold"}, "u-1")
        self.assertEqual((status, again["outcome"], again["answer"]), (200, "duplicate", answer["answer"]), again)
        self.verified()

    def test_refusals_at_the_door(self):
        self.begin("ada", month=YEAR)
        status, answer = self.update("ada", "change-plan", {"plann": "gold"})
        self.assertEqual((status, answer["code"]), (422, "invalid"), answer)
        self.assertIn("change-plan", answer["detail"])
        status, answer = self.node.ask("POST", "/v1/workflows/ada/update", {"name": ""})
        self.assertEqual((status, answer["code"]), (422, "invalid"), answer)
        status, answer = self.query("ada", "forecast", "many")
        self.assertEqual((status, answer["code"]), (422, "invalid"), answer)
        self.assertEqual(self.query("nobody", "status")[0], 404)
        self.assertEqual(self.update("nobody", "cancel")[0], 404)
        self.assertEqual(self.kinds("ada").count("update_received"), 0)

    def test_one_that_is_not_answered_yet(self):
        self.begin("ada", month=YEAR)
        status, answer = self.update("ada", "unheard", 5, "u-1", wait_ms=0)
        self.assertEqual((status, answer["state"]), (202, "pending"), answer)
        code, _, err = self.node.cli("update", "ada", "unheard", "--input", "5", "--within", "200ms", "--command-id", "u-1")
        self.assertEqual(code, 5)
        self.assertIn("not answered yet", err)
        self.assertIn("--command-id u-1", err)
        told = {}
        waiter = threading.Thread(target=lambda: told.update(zip(("status", "body"), self.update("ada", "unheard", 5, "u-1"))))
        waiter.start()
        eventually(lambda: self.node.ask("GET", "/v1/status")[1]["node"]["waiting_requests"] == 1, "it waits")
        self.assertEqual(self.node.cli("kill", "ada")[0], 0)
        waiter.join(60)
        self.assertEqual((told["status"], told["body"]["state"], told["body"]["run_state"]), (200, "ended", "killed"), told)
        self.verified()

    def test_killed_over_and_over(self):
        for n in range(6):
            self.begin(f"s-{n}", month=YEAR)
        plans = ["gold", "platinum", "basic"]
        for turn in range(3):
            for n in range(6):
                if n == turn + 1:
                    self.kill_and_start()
                status, answer = self.update(f"s-{n}", "change-plan", {"plan": plans[turn]}, f"u-{turn}")
                self.assertEqual((status, answer["state"]), (200, "answered"), answer)
        for n in range(6):
            self.assertEqual(self.query(f"s-{n}", "status")[1]["answer"]["plan"], "basic")
            for turn in range(3):
                again = self.update(f"s-{n}", "change-plan", {"plan": plans[turn]}, f"u-{turn}")[1]
                self.assertEqual((again["outcome"], again["answer"]["plan"]), ("duplicate", plans[turn]))
            self.assertEqual(self.kinds(f"s-{n}").count("update_answered"), 3)
        self.verified()

    def test_a_paused_one_is_asked_too(self):
        self.begin("ada", month=YEAR)
        self.assertEqual(self.node.cli("pause", "ada")[0], 0)
        code, out, err = self.node.cli("query", "ada", "status")
        self.assertEqual((code, json.loads(out)["plan"]), (0, "basic"), err)
        self.assertIn("is paused (requested)", err)


if __name__ == "__main__":
    unittest.main()
