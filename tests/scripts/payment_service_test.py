#!/usr/bin/env python3
# needs: payment_service
# timeout: 180
"""The payment service of the order example, from outside: its interface, its faults, and that its counts survive its
own kill. The last class starts it with a planted bug and asserts that these checks see it."""
import contextlib
import http.client
import os
import random
import socket
import tempfile
import threading
import time
import unittest

from payment_service import DEADLINE, Service, run_to_end

SEED = int(os.environ.get("PAWL_SEED", random.SystemRandom().randrange(2**32)))


class Folder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="pawl-payment-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.state = os.path.join(self.folder, "state")

    def assert_problem(self, answer, status, word):
        self.assertEqual(answer[0], status, answer[1])
        self.assertEqual(answer[2]["Content-Type"], "application/problem+json")
        self.assertEqual(answer[1]["status"], status)
        self.assertIn(word, answer[1]["detail"])


class Effects(Folder):
    def test_charge_once_a_key(self):
        with Service() as s:
            status, first, _ = s.charge("k-1")
            self.assertEqual((status, first["order_id"], first["amount"]), (201, "o-1", 99.5))
            status, again, headers = s.charge("k-1")
            self.assertEqual((status, again, headers["Idempotent-Replayed"]), (200, first, "true"))
            other = s.charge("k-2")[1]
            self.assertNotEqual(other["charge_id"], first["charge_id"])
            self.assert_problem(s.charge("k-1", amount=1), 422, "another request")
            self.assert_problem(s.post("/emails", "k-1", {"order_id": "o-1"}), 422, "another request")
            stats = s.stats()
            self.assertEqual(stats["effects"]["charge"], 2)
            self.assertEqual(stats["effects"]["email"], 0)
            self.assertEqual(stats["max_effects_per_key"], 1)
            self.assertEqual(stats["requests_per_key"], {"k-1": 4, "k-2": 1})
            self.assertNotIn("requests_per_key", s.ask("GET", "/stats?keys=false")[1])
            self.assertEqual([e["id"] for e in s.effects(key="k-1")], [first["charge_id"]])
            self.assertEqual(len(s.effects(order_id="o-1")), 2)
            self.assertEqual(s.effects(key="never"), [])

    def test_keys_are_percent_decoded_in_queries(self):
        with Service() as s:
            s.charge("a/b c+d&e=f%")
            self.assertEqual(len(s.effects(key="a%2Fb%20c%2Bd%26e%3Df%25")), 1)

    def test_refunds(self):
        with Service() as s:
            charge = s.charge("k-1")[1]["charge_id"]
            s.charge("k-2", amount=10)
            s.charge("k-3", order="o-2")
            status, refund, _ = s.post("/refunds", "r-1", {"charge_id": charge})
            self.assertEqual((status, refund["takes_back"], refund["amount"]), (201, [charge], 99.5))
            self.assertEqual(s.post("/refunds", "r-1", {"charge_id": charge})[:2], (200, refund))
            self.assert_problem(s.post("/refunds", "r-2", {"charge_id": charge}), 409, "taken back before")
            self.assert_problem(s.post("/refunds", "r-3", {"charge_id": "ch_99"}), 404, "ch_99")
            self.assert_problem(s.post("/refunds", "r-3", {"charge_id": "ch_3", "order_id": "o-1"}), 409, "o-2")
            self.assertEqual(s.post("/refunds", "r-4", {"order_id": "o-1"})[1]["amount"], 10)
            # Undoing what may not have happened must succeed.
            status, nothing, _ = s.post("/refunds", "r-5", {"order_id": "o-never"})
            self.assertEqual((status, nothing["takes_back"], nothing["amount"]), (201, [], 0))
            self.assertEqual(s.stats()["standing"]["charge"], 1)

    def test_a_declined_card_has_no_effect(self):
        with Service() as s:
            body = {"order_id": "o-1", "amount": 5, "card": "tok_declined"}
            self.assert_problem(s.post("/charges", "k-1", body), 402, "declined")
            self.assertEqual(s.effects(key="k-1"), [])

    def test_every_kind_is_the_same_mechanism(self):
        kinds = {"/reservations": "reservation", "/emails": "email", "/shipments": "shipment"}
        with Service() as s:
            for path, kind in kinds.items():
                body = {"order_id": "o-1", "more": ["is", "allowed"]}
                status, first, _ = s.post(path, "key " + kind, body)
                self.assertEqual((status, first["order_id"]), (201, "o-1"))
                self.assertEqual(s.post(path, "key " + kind, body)[:2], (200, first))
                self.assertTrue(first[kind + "_id"])
            status, release, _ = s.post("/reservations/release", "x-1", {"order_id": "o-1"})
            self.assertEqual((status, release["takes_back"]), (201, ["rs_1"]))
            self.assert_problem(s.post("/reservations/release", "x-2", {"reservation_id": "rs_1"}), 409, "before")
            stats = s.stats()
            self.assertEqual(stats["effects"],
                             {"charge": 0, "refund": 0, "reservation": 1, "release": 1, "email": 1, "shipment": 1})
            self.assertEqual(stats["standing"], {"charge": 0, "reservation": 0})


class BadInput(Folder):
    def test_requests(self):
        good = {"order_id": "o", "amount": 1, "card": "c"}
        without = lambda name: {k: v for k, v in good.items() if k != name}
        with Service() as s:
            bodies = [("", "not JSON"), ("{", "not JSON"), ("[]", "object"), (b'{"order_id":"\xff"}', "not JSON"),
                      ('{"a":' + "[" * 2000 + "]" * 2000 + "}", "nested"), (without("order_id"), "order_id"),
                      (without("amount"), "amount"), (without("card"), "card"), ({**good, "amount": 0}, "amount"),
                      ({**good, "amount": "1"}, "amount"), ({**good, "order_id": ""}, "order_id"),
                      ('{"order_id":"o","card":"c","amount":1e999}', "not JSON")]
            for body, word in bodies:
                self.assert_problem(s.post("/charges", "k", body), 400, word)
            self.assert_problem(s.post("/refunds", "k", {}), 400, "charge_id or order_id")
            self.assert_problem(s.post("/refunds", "k", {"charge_id": 7}), 400, "charge_id")
            self.assert_problem(s.ask("POST", "/charges", good), 400, "Idempotency-Key is required")
            self.assert_problem(s.post("/charges", "", good), 400, "1 to 1024")
            self.assert_problem(s.post("/charges", "k" * 1025, good), 400, "1 to 1024")
            self.assert_problem(s.post("/charges", "k\xe9", good), 400, "visible ASCII")
            self.assert_problem(s.ask("GET", "/nowhere"), 404, "/nowhere")
            self.assert_problem(s.ask("GET", "/effects"), 400, "?key=")
            answer = s.ask("GET", "/charges")
            self.assert_problem(answer, 405, "POST")
            self.assertEqual(answer[2]["Allow"], "POST")
            self.assert_problem(s.post("/charges", "k", {**good, "note": "x" * 100_000}), 413, "64 KiB")
            self.assert_problem(s.ask("GET", "/stats", headers={"X": "x" * 20_000}), 431, "header")
            self.assertEqual(s.stats()["requests_per_key"], {})
            with socket.create_connection(("127.0.0.1", s.port), DEADLINE) as raw:
                raw.sendall(b"\x16\x03\x01 this is not HTTP\r\n\r\n")
                self.assertTrue(raw.recv(4096).startswith(b"HTTP/1.1 400"))

    def test_faults(self):
        with Service() as s:
            before = s.ask("GET", "/faults")[1]
            for change, word in [({"fial": 1}, "fial"), ({"fail": 1.5}, "0 to 1"), ({"fail": "1"}, "number"),
                                 ({"fail": 0.6, "hang": 0.6}, "add up"), ({"retry_after": -1}, "retry_after"),
                                 ({"retry_after": 1.5}, "retry_after"), ({"hang_seconds": -1}, "hang_seconds"),
                                 ([], "object")]:
                self.assert_problem(s.ask("POST", "/faults", change), 400, word)
            self.assertEqual(s.ask("GET", "/faults")[1], before)

    def test_flags(self):
        self.assertEqual(run_to_end("--fail-rate", "2")[0], 2)
        self.assertEqual(run_to_end("--nonsense")[0], 2)
        code, text = run_to_end("--fail-rate", "0.7", "--hang-rate", "0.7")
        self.assertEqual((code, "add up" in text), (2, True), text)
        code, text = run_to_end("--state", os.path.join(self.folder, "no/such/folder"))
        self.assertEqual((code, "cannot open" in text), (1, True), text)
        with Service() as s:
            self.assertEqual(run_to_end("--port", s.port)[0], 1)


class Faults(Folder):
    def test_fail(self):
        with Service("--fail-rate", 1) as s:
            self.assert_problem(s.charge("k"), 500, "injected")
            self.assert_clean(s, "fail", 1)
            s.ask("POST", "/faults", {"fail": 0})
            self.assertEqual(s.charge("k")[0], 201)

    def test_unavailable_and_throttle(self):
        with Service("--unavailable-rate", 1) as s:
            answer = s.charge("k")
            self.assert_problem(answer, 503, "down")
            self.assertEqual(answer[2]["Retry-After"], "1")
            self.assert_clean(s, "unavailable", 1)
            self.assertEqual(s.ask("POST", "/faults", {"unavailable": 0, "throttle": 1, "retry_after": 7})[0], 200)
            answer = s.charge("k")
            self.assert_problem(answer, 429, "many")
            self.assertEqual(answer[2]["Retry-After"], "7")
            self.assert_clean(s, "throttle", 1)

    def test_hang_until_the_client_gives_up(self):
        with Service("--hang-rate", 1) as s:
            with self.assertRaises(TimeoutError):
                s.charge("k", timeout=0.3)
            self.assert_clean(s, "hang", 1)  # others are served meanwhile

    def test_hang_ends_without_an_answer(self):
        with Service("--hang-rate", 1, "--hang-seconds", 0.4) as s:
            began = time.monotonic()
            with self.assertRaises(http.client.RemoteDisconnected):
                s.charge("k")
            self.assertGreaterEqual(time.monotonic() - began, 0.4)
            self.assert_clean(s, "hang", 1)

    def test_sigterm_while_requests_hang(self):
        with Service("--hang-rate", 1) as s, \
                contextlib.closing(http.client.HTTPConnection("127.0.0.1", s.port, timeout=DEADLINE)) as c:
            c.request("POST", "/emails", '{"order_id":"o"}', {"Idempotency-Key": "k"})
            deadline = time.monotonic() + DEADLINE
            while s.stats()["faults"]["hang"] == 0:
                self.assertLess(time.monotonic(), deadline)
            s.process.terminate()
            self.assertEqual(s.process.wait(DEADLINE), 0)

    def test_drop_after_does_it_and_says_nothing(self):
        with Service("--drop-after-rate", 1) as s:
            for _ in range(3):
                with self.assertRaises(http.client.RemoteDisconnected):
                    s.charge("k")
            self.assertEqual(s.stats()["faults"]["drop_after"], 3)
            done, = s.effects(key="k")
            s.ask("POST", "/faults", {"drop_after": 0})
            self.assertEqual(s.charge("k")[:2], (200, done["answer"]))

    def test_the_seed_decides(self):
        def outcomes(seed):
            rates = ["--fail-rate", 0.2, "--unavailable-rate", 0.2, "--throttle-rate", 0.2]
            with Service(*rates, "--seed", seed) as s:
                seen = [s.post("/emails", f"k-{i % 100}", {"order_id": "o"})[0] for i in range(300)]
                injected = s.stats()["faults"]
            self.assertEqual([injected["fail"], injected["unavailable"], injected["throttle"]],
                             [seen.count(status) for status in (500, 503, 429)])
            for count in (seen.count(500), seen.count(503), seen.count(429)):
                self.assertTrue(30 <= count <= 90, f"{count} of 300 at a rate of 0.2")
            return seen

        first = outcomes(7)
        self.assertEqual(first, outcomes(7))
        self.assertNotEqual(first, outcomes(8))

    def assert_clean(self, service, name, count):
        stats = service.stats()
        self.assertEqual(stats["faults"][name], count)
        self.assertEqual(sum(stats["effects"].values()), 0)


class Persistence(Folder):
    def test_everything_is_back_after_sigkill(self):
        with Service("--state", self.state) as s:
            first = s.charge("k-1")[1]
            s.post("/refunds", "r-1", {"order_id": "o-1"})
            s.ask("POST", "/faults", {"drop_after": 1})
            with self.assertRaises(http.client.RemoteDisconnected):
                s.charge("k-2")
            s.ask("POST", "/faults", {"drop_after": 0, "fail": 1})
            s.charge("k-3")
            before = s.stats(), s.effects(key="k-1"), s.effects(order_id="o-1")
            s.kill()
        with Service("--state", self.state) as s:
            self.assertEqual((s.stats(), s.effects(key="k-1"), s.effects(order_id="o-1")), before)
            self.assertEqual(s.charge("k-1")[:2], (200, first))
            self.assertEqual(s.charge("k-2")[0], 200)
            self.assertEqual(s.charge("k-4")[1]["charge_id"], "ch_3")

    def test_a_torn_last_line_is_cut_off(self):
        with Service("--state", self.state) as s:
            s.charge("k-1")
            before = s.stats()
        whole = os.path.getsize(self.state)
        with open(self.state, "ab") as f:
            f.write(b'{"kind":"charge","key":"k-2","fa')
        with Service("--state", self.state) as s:
            self.assertEqual(s.stats(), before)
            self.assertEqual(os.path.getsize(self.state), whole)
            self.assertEqual(s.charge("k-2")[0], 201)
            s.kill()
        with Service("--state", self.state) as s:
            self.assertEqual(s.stats()["effects"]["charge"], 2)

    def test_damage_is_refused(self):
        with Service("--state", self.state) as s:
            s.charge("k-1")
        for garbage in (b"garbage\n", b"{}\n", b'{"kind":"charge","key":"k","fault":"flood"}\n'):
            with self.subTest(garbage=garbage):
                damaged = os.path.join(self.folder, "damaged")
                with open(self.state, "rb") as source, open(damaged, "wb") as f:
                    f.write(source.read() + garbage)
                code, text = run_to_end("--state", damaged)
                self.assertEqual(code, 1)
                self.assertIn("line 2 is damaged", text)

    def test_a_second_process_is_refused(self):
        with Service("--state", self.state):
            code, text = run_to_end("--state", self.state)
            self.assertEqual(code, 1)
            self.assertIn("in use", text)

    def test_port_file_and_fixed_port(self):
        port_file = os.path.join(self.folder, "port")
        with Service("--port-file", port_file) as s:
            deadline = time.monotonic() + DEADLINE
            while not os.path.exists(port_file):
                self.assertLess(time.monotonic(), deadline)
            with open(port_file, encoding="ascii") as f:
                self.assertEqual(int(f.read()), s.port)
            port = s.port
            s.charge("k")
            s.kill()
        with Service("--port", port) as s:
            self.assertEqual(s.port, port)


KEYS, KILLS = 120, 8


def storm(state, *flags):
    """Callers charge KEYS keys, each until it is answered, while the service is killed KILLS times. Returns what they
    were answered, the service's last stats and its effects by key."""
    rates = ["--drop-after-rate", 0.3, "--fail-rate", 0.1, "--unavailable-rate", 0.1, "--seed", SEED]
    start = lambda: Service("--state", state, *rates, *flags)
    rng = random.Random(SEED)
    answered, errors, tries = {}, [], [0]
    changed = threading.Condition()
    current = [start()]

    def caller(keys):
        try:
            for key in keys:
                deadline = time.monotonic() + 60
                while key not in answered:
                    if time.monotonic() > deadline:
                        raise AssertionError(f"{key} was never answered")
                    service, status = current[0], None
                    try:
                        status, body, _ = service.charge(key, order=key)
                    except ConnectionRefusedError:  # killed: the next one is on its way
                        with changed:
                            changed.wait_for(lambda: current[0] is not service or errors, DEADLINE)
                            if errors:
                                return
                        continue
                    except (OSError, http.client.HTTPException):
                        pass
                    with changed:
                        if status in (200, 201):
                            answered[key] = body["charge_id"]
                        tries[0] += 1
                        changed.notify_all()
        except BaseException as e:
            with changed:
                errors.append(e)
                changed.notify_all()

    keys = [f"k-{i}" for i in range(KEYS)]
    threads = [threading.Thread(target=caller, args=(keys[i::4],)) for i in range(4)]
    for thread in threads:
        thread.start()
    kills = 0
    for _ in range(KILLS):
        goal = tries[0] + rng.randrange(2, 20)
        with changed:
            changed.wait_for(lambda: tries[0] >= goal or len(answered) == KEYS or errors, DEADLINE)
        with current[0] as old:
            if len(answered) < KEYS:
                kills += 1
            old.kill()
        try:
            successor = start()
        except AssertionError as e:
            with changed:
                errors.append(e)
            break
        with changed:
            current[0] = successor
            changed.notify_all()
    for thread in threads:
        thread.join()
    with current[0] as s:
        if errors:
            raise errors[0]
        stats, effects = s.stats(), {key: s.effects(key=key) for key in keys}
    print(f"storm: seed {SEED}, {kills} kills under load, {tries[0]} tries, faults {stats['faults']}", flush=True)
    assert kills >= 3 and stats["faults"]["drop_after"] > 0, "the storm was too calm to show anything"
    return answered, stats, effects


class Storm(Folder):
    def test_one_effect_a_key_through_kills(self):
        answered, stats, effects = storm(self.state)
        self.assertEqual(stats["effects"]["charge"], KEYS)
        self.assertEqual(stats["max_effects_per_key"], 1)
        self.assertEqual(answered, {key: done[0]["id"] for key, done in effects.items()})


class PlantedBug(Folder):
    def test_a_repeated_key_is_seen(self):
        with Service("--bug-no-idempotency", "--state", self.state) as s:
            first, again = s.charge("k"), s.charge("k")
            self.assertEqual((first[0], again[0]), (201, 201))
            self.assertNotEqual(first[1]["charge_id"], again[1]["charge_id"])
            self.assertEqual(s.stats()["max_effects_per_key"], 2)
            s.kill()
        with Service("--state", self.state) as s:
            self.assertEqual(s.stats()["max_effects_per_key"], 2)
            self.assertEqual(len(s.effects(key="k")), 2)

    def test_the_storm_sees_it(self):
        _, stats, _ = storm(self.state, "--bug-no-idempotency")
        self.assertGreater(stats["max_effects_per_key"], 1)
        self.assertGreater(stats["effects"]["charge"], KEYS)


if __name__ == "__main__":
    print(f"seed {SEED}; again: PAWL_SEED={SEED} PAWL_BUILD={os.environ.get('PAWL_BUILD', 'build/dev')} {__file__}",
          flush=True)
    unittest.main(verbosity=2)
