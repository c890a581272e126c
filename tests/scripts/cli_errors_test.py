#!/usr/bin/env python3
# needs: odd_jobs
# timeout: 240
"""Every mistake is a clear error with its exit code: the configuration, the input, ids, the data directory, the output."""
import json
import os
import re
import socket
import subprocess
import tempfile
import unittest

from pawl_node import Node, binary, eventually

NOBODY = 65534


class Errors(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="pawl-cli-")
        self.addCleanup(folder.cleanup)
        os.chmod(folder.name, 0o755)
        self.folder = folder.name
        self.data = os.path.join(folder.name, "data")

    def path(self, name, content=None):
        path = os.path.join(self.folder, name)
        if content is not None:
            with open(path, "wb") as f:
                f.write(content if isinstance(content, bytes) else content.encode())
        return path

    def fails(self, code, *words, arguments, data=None, environment=None, **more):
        """The command ends with that code and says these words on stderr; stderr."""
        done = subprocess.run([binary("odd_jobs"), "--data", self.data if data is None else data, *arguments], capture_output=True, text=True, timeout=60, check=False,
                              errors="replace", cwd=self.folder, env={**os.environ, **(environment or {})}, **more)
        self.assertEqual(done.returncode, code, f"{str(arguments)[:300]}\n{done.stdout[:2000]}\n{done.stderr[:2000]}")
        for word in words:
            self.assertIn(word, done.stderr)
        self.assertNotIn("Sanitizer", done.stderr)
        self.assertLess(len(done.stderr), 4000)
        return done.stderr


class Configuration(Errors):
    def test_garbage(self):
        self.fails(2, "bad.toml:1", arguments=["--config", self.path("bad.toml", "\x00\x01\x02 = = ["), "list"])
        self.fails(2, "bad.toml", arguments=["--config", self.path("bad.toml", os.urandom(4096)), "list"])
        self.fails(2, "bad.toml", "64KiB", arguments=["--config", self.path("bad.toml", "#" * 100_000), "list"])
        self.fails(2, "missing.toml", arguments=["--config", self.path("missing.toml"), "list"])
        self.fails(2, self.folder, arguments=["--config", self.folder, "list"])

    def test_every_mistake_is_told_at_once(self):
        config = self.path("pawl.toml", '[pool]\nthraeds = 5\n[step]\ntimeout = 30\n')
        err = self.fails(2, "pawl.toml:2", "Did you mean pool.threads?", "pawl.toml:4", "step.timeout", arguments=["list"])
        self.assertEqual(len(err.splitlines()), 2)
        self.assertTrue(all(line.startswith("odd_jobs: ") for line in err.splitlines()))
        os.remove(config)

    def test_flags_and_variables(self):
        self.fails(2, "pool.threads", arguments=["list", "--set", "pool.thread=5"])
        self.fails(2, "pool.threads", "'x'", arguments=["list", "--set", "pool.threads=x"])
        self.fails(2, "flag", arguments=["list", "--set", "pool.threads"])
        self.fails(2, "PAWL_POOL_THREADS", arguments=["list"], environment={"PAWL_POL_THREADS": "5"})
        self.fails(2, "limits.payload", "limits.decision", arguments=["list", "--set", "limits.payload=3MiB"])
        self.fails(2, "data.dir", arguments=["list"], data="")

    def test_the_scripts_of_the_project_may_have_variables_of_their_own(self):
        for name in ("PAWL_BUILD", "PAWL_SOURCE", "PAWL_PRESET", "PAWL_SEED", "PAWL_SIM_SEEDS"):
            self.fails(5, "no data directory", arguments=["list"], environment={name: "x"})

    def test_addresses_and_tokens(self):
        secret = "hunter2-hunter2-hunter2"
        self.fails(1, "http.listen", "no token", "http.token_file", arguments=["node", "--set", "http.listen=0.0.0.0:0"])
        self.fails(1, "http.listen", "no port", arguments=["node", "--set", "http.listen=127.0.0.1"])
        self.fails(2, "http.advertise", "HOST:PORT", arguments=["node", "--set", "http.advertise=here"])
        self.fails(2, "http.token", "16", arguments=["node", "--set", "http.token=short"])
        self.fails(2, "http.token_file", "missing", arguments=["node", "--set", "http.token_file=missing"])
        self.fails(2, "http.token_file", "is empty", arguments=["node", "--set", "http.token_file=" + self.path("empty", "")])
        file = self.path("token", secret + "\n")
        for words in (["node", "--set", "http.token=" + secret, "--set", "http.token_file=" + file], ["node", "--set", "http.token=" + secret + " "],
                      ["start", "sleeps", "--set", "http.token=" + secret]):
            told = self.fails(5 if words[0] == "start" else 2, arguments=words)
            self.assertNotIn("hunter2", told)
        self.assertNotIn("hunter2", self.fails(2, "PAWL_TOKEN", arguments=["list", "--node", "127.0.0.1:1"], environment={"PAWL_TOKEN": secret + "ü"}))
        self.fails(2, "--node", "HOST:PORT", arguments=["list", "--node", "there"])
        self.fails(2, "PAWL_NODE", "HOST:PORT", arguments=["list"], environment={"PAWL_NODE": "there"})
        self.fails(2, "--node", arguments=["verify", "--node", "127.0.0.1:1"])
        self.fails(2, "--token-file", arguments=["list", "--token-file", file])
        self.fails(5, "no node listens on 127.0.0.1:1", arguments=["list", "--node", "127.0.0.1:1"])

    def test_a_node_that_is_asked_over_tcp(self):
        secret = "hunter2-hunter2-hunter2"
        file = self.path("token", secret + "\n")
        log = self.path("node.log")
        with Node("odd_jobs", self.data, flags=["--set", "http.listen=127.0.0.1:0", "--set", "http.token_file=" + file], log=log) as node:
            node.start()
            address = re.search(r"address=(127\.0\.0\.1:\d+)", node.tail()).group(1)
            elsewhere = self.path("elsewhere")
            asked = ["--node", address, "--token-file", file]
            for words, environment in ((asked, {}), ([], {"PAWL_NODE": address, "PAWL_TOKEN": secret}), (["--node", address], {"PAWL_HTTP_TOKEN": secret})):
                done = subprocess.run([binary("odd_jobs"), "--data", elsewhere, *words, "status", "-o", "json"], capture_output=True, text=True, timeout=60, check=False,
                                      env={**os.environ, **environment})
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertEqual(json.loads(done.stdout)["node"]["pid"], node.process.pid)
            shown = subprocess.run([binary("odd_jobs"), *asked, "config", "show", "--running", "-o", "json"], capture_output=True, text=True, timeout=60, check=True).stdout
            self.assertEqual({r["name"]: r["value"] for r in json.loads(shown)}["http.token"], "")
            self.assertNotIn("hunter2", shown)
            self.fails(2, "have to show the node's token", arguments=["list", "--node", address])
            wrong = self.fails(2, "is not the node's", arguments=["list", "--node", address], environment={"PAWL_TOKEN": secret + "3"})
            self.assertNotIn("hunter2", wrong)
            self.assertFalse(os.path.exists(elsewhere))
            node.drain()
            self.assertNotIn("hunter2", node.tail())

    def test_a_wrong_configuration_is_in_nobodys_way_who_asks_for_help(self):
        self.path("pawl.toml", "garbage")
        for words in (["--help"], ["version"], ["completion", "zsh"], ["config", "sample"], ["start", "--help"]):
            done = subprocess.run([binary("odd_jobs"), *words], capture_output=True, timeout=60, check=False, cwd=self.folder)
            self.assertEqual((done.returncode, done.stderr), (0, b""), words)

    def test_the_sample_is_a_configuration(self):
        sample = subprocess.run([binary("odd_jobs"), "config", "sample"], capture_output=True, timeout=60, check=True).stdout
        shown = subprocess.run([binary("odd_jobs"), "--config", self.path("s.toml", sample), "config", "show", "-o", "json"], capture_output=True, timeout=60, check=True)
        self.assertEqual({r["source"] for r in json.loads(shown.stdout)}, {"default"})


class Inputs(Errors):
    def setUp(self):
        super().setUp()
        self.node = Node("odd_jobs", self.data, log=self.path("node.log"))
        self.addCleanup(lambda: self.node.__exit__())
        self.node.start()

    def start(self, text, *words, code=2, **more):
        return self.fails(code, *words, arguments=["start", "gated", "--id", "w-1", "--input", text], **more)

    def tearDown(self):
        # Whatever was asked, nothing came of it.
        self.assertEqual(self.node.ask("GET", "/v1/workflows")[1]["workflows"], [])
        self.assertIsNone(self.node.process.poll())

    def test_garbage(self):
        self.start('{"text": }', "--input is not JSON", "column")
        self.start("", "--input is not JSON")
        self.start("hello", "quoted as well")
        self.start("@" + self.path("bad.json", '{\n"text": nope}'), "bad.json", "line 2")
        self.start("@" + self.path("random.json", os.urandom(10_000)), "random.json")
        self.start("@" + self.path("missing"), "missing", "No such file")
        self.start("-", "standard input", input="")
        self.start("[" * 5_000, "--input")

    def test_fields(self):
        self.start('{"txet":"x"}', "'txet'", "Did you mean 'text'?", "'w-1'")
        self.start('{"failures":"many"}', "input.failures", "expected an integer")
        self.start('{"failures":99999999999}', "input.failures")
        self.start('[1]', "input")
        self.start('{"text":"a","text":"b"}', "--input")

    def test_ten_megabytes(self):
        text = json.dumps({"text": "x" * 10_000_000})
        self.start("@" + self.path("large.json", text), "large.json", "limits.payload")
        self.start("-", "standard input", "limits.payload", input=text)
        # What the command line lets pass, the node refuses, and the pipe that it comes from may be as long as it likes.
        self.start("@" + self.path("two.json", json.dumps({"text": "x" * 2_000_000})), "limits.payload", "'w-1'")
        self.start("@/dev/zero", "longer than")

    def test_ids(self):
        long = "x" * 10_000
        self.fails(2, "10000 bytes", "limits.id_length", arguments=["start", "gated", "--id", long, "--input", "{}"])
        self.fails(2, "10000 bytes", "limits.id_length", arguments=["start", "gated", "--id", "w", "--input", "{}", "--command-id", long])
        for words in (["show", long], ["result", long], ["history", long], ["cancel", long]):
            self.fails(2, "limits.id_length", arguments=words)
        self.fails(2, "control characters", arguments=["start", "gated", "--id", "a\nb", "--input", "{}"])
        self.fails(2, "--id is empty", arguments=["start", "gated", "--id", "", "--input", "{}"])
        for words in (["show", "nobody"], ["result", "nobody"], ["history", "nobody"], ["history", "nobody", "--follow"], ["cancel", "nobody"],
                      ["resume", "nobody"], ["result", "nobody", "--wait"], ["show", "../../v1/status"], ["show", "a/b?c=d#e%00"]):
            self.fails(3, arguments=words)

    def test_types(self):
        self.fails(3, "'gatde'", "Did you mean 'gated'?", arguments=["start", "gatde", "--input", "{}"])
        self.fails(3, "version 7", arguments=["start", "gated", "--version", "7", "--input", "{}"])

    def test_errors_for_programs(self):
        err = self.fails(2, arguments=["start", "gated", "--id", "w-1", "--input", '{"txet":1}', "-o", "json"])
        problem = json.loads(err)
        self.assertEqual((problem["exit_code"], problem["workflow_id"], problem["mend"]), (2, "w-1", "Did you mean 'text'?"))
        self.assertEqual(json.loads(self.fails(2, arguments=["-o", "json", "lst"]))["code"], "usage")
        self.assertEqual(json.loads(self.fails(3, arguments=["show", "nobody", "-o", "json"]))["code"], "not_found")


class DataDirectory(Errors):
    def as_nobody(self):
        if os.getuid() != 0:
            return {}
        return {"user": NOBODY, "group": NOBODY, "extra_groups": []}

    def test_not_writable(self):
        os.mkdir(self.data, 0o555)
        os.chmod(self.data, 0o555)
        for words in (["node"], ["run", "gated", "--input", "{}"]):
            self.fails(1, "not writable", self.data, arguments=words, **self.as_nobody())

    def test_cannot_be_made(self):
        os.mkdir(self.path("closed"), 0o555)
        os.chmod(self.path("closed"), 0o555)
        self.fails(1, "cannot make the data directory", arguments=["node"], data=self.path("closed/data"), **self.as_nobody())
        self.fails(1, "cannot make", arguments=["node"], data="/proc/pawl/data")

    def test_of_somebody_else(self):
        node = Node("odd_jobs", self.data)
        with node.start():
            node.drain()
        self.fails(1, self.data, arguments=["list"], **self.as_nobody())

    def test_not_a_directory(self):
        self.path("data", "a file")
        for words in (["node"], ["run", "gated", "--input", "{}"], ["list"], ["cancel", "x"], ["verify"]):
            self.fails(1, "not a directory", arguments=words)

    def test_a_database_that_is_none(self):
        os.mkdir(self.data)
        self.path("data/pawl.db", os.urandom(100_000))
        for words in (["list"], ["show", "x"], ["verify"], ["node"], ["run", "gated", "--input", "{}"]):
            self.fails(1, "pawl.db", arguments=words)

    def test_a_damaged_database_is_found_by_verify(self):
        node = Node("odd_jobs", self.data)
        with node.start():
            for k in range(200):
                node.begin("gated", f"w-{k}", {"text": "x" * 500})
            node.drain()
        path = os.path.join(self.data, "pawl.db")
        size = os.path.getsize(path)
        with open(path, "r+b") as f:
            f.seek(size // 2)
            f.write(os.urandom(4096))
        self.fails(1, "damaged", arguments=["verify"])

    def test_a_long_path(self):
        data = os.path.join(self.folder, *["a-rather-long-name-of-a-directory" for _ in range(6)])
        self.assertGreater(len(data), 150)
        node = Node("odd_jobs", data)
        node.start(wait=False)
        self.addCleanup(lambda: node.__exit__())
        eventually(lambda: node.cli("status")[0] == 0, "the node answers on its long path")
        self.assertEqual(node.cli("start", "gated", "--input", '{"text":"far"}', "--wait")[1], '"far"\n')
        self.assertEqual(node.drain(), 0)

    def test_a_socket_that_nobody_listens_on(self):
        os.mkdir(self.data)
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(os.path.join(self.data, "pawl.sock"))
        self.fails(5, "holds no data", arguments=["list"])
        with Node("odd_jobs", self.data) as node:
            node.start()
            self.assertEqual(node.drain(), 0)

    def test_the_log_cannot_be_written(self):
        self.fails(1, "log.file", "node.log", arguments=["node", "--set", "log.file=" + self.path("file", "x") + "/node.log"])


class Output(Errors):
    def test_a_full_disk_behind_standard_output(self):
        with open("/dev/full", "wb") as full:
            done = subprocess.run([binary("odd_jobs"), "types"], stdout=full, stderr=subprocess.PIPE, timeout=60, check=False, cwd=self.folder)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"standard output", done.stderr)

    def test_a_reader_that_has_gone(self):
        read, write = os.pipe()
        os.close(read)
        done = subprocess.run([binary("odd_jobs"), "config", "sample"], stdout=write, stderr=subprocess.PIPE, timeout=60, check=False, cwd=self.folder)
        os.close(write)
        self.assertEqual((done.returncode, done.stderr), (-13, b""))

    def test_colours_are_for_terminals(self):
        for words in (["types"], ["config", "show"]):
            out = subprocess.run([binary("odd_jobs"), *words], capture_output=True, timeout=60, check=True, cwd=self.folder).stdout
            self.assertNotIn(b"\x1b", out)
        for flags, coloured in ((["types"], True), (["types", "--no-color"], False)):
            self.assertEqual("\x1b[" in self.on_terminal(flags), coloured)
        self.assertNotIn("\x1b[", self.on_terminal(["types"], {"NO_COLOR": "1"}))

    def on_terminal(self, words, environment=None):
        leader, follower = os.openpty()
        process = subprocess.Popen([binary("odd_jobs"), *words], stdout=follower, stderr=follower, stdin=follower, cwd=self.folder,
                                   env={**{k: v for k, v in os.environ.items() if k != "NO_COLOR"}, "TERM": "xterm", **(environment or {})})
        os.close(follower)
        text = b""
        while True:
            try:
                piece = os.read(leader, 65536)
            except OSError:
                break
            if not piece:
                break
            text += piece
        os.close(leader)
        self.assertEqual(process.wait(60), 0)
        return text.decode()


if __name__ == "__main__":
    unittest.main(verbosity=2)
