#!/usr/bin/env python3
"""`./dev setup` on a machine that lacks packages: it asks apt for exactly those, Maven for Kafka, and both for nothing the
second time.

The machine is made of fakes on the PATH; a real fresh Debian would cost minutes and a mirror."""
import os
import shutil
import stat
import subprocess
import tempfile
import unittest
from pathlib import Path

SOURCE = Path(os.environ.get("PAWL_SOURCE", Path(__file__).resolve().parents[2]))

FAKES = {
    # As the real one: an error, and not a word on stdout, for a package that was never heard of.
    "dpkg-query": """for last; do :; done
[ -e "$MACHINE/$last" ] || { echo "dpkg-query: no packages found matching $last" >&2; exit 1; }
printf %s "$(cat "$MACHINE/$last")" """,
    "apt-get": """echo "$*" >>"$MACHINE.log"
case " $* " in
*" download "*) : >libmsgpack-cxx-dev_1_all.deb ;;
*" install "*) for word; do case $word in -* | install | DPkg*) ;; *) printf installed >"$MACHINE/$word" ;; esac; done ;;
esac""",
    "dpkg-deb": """mkdir -p "$3/usr/include"; echo '// msgpack' >"$3/usr/include/msgpack.hpp" """,
    # Breaks off halfway when the machine says so.
    "mvn": """echo "mvn $*" >>"$MACHINE.log"
while [ "$1" != -f ]; do shift; done
libs="$(dirname "$2")/libs"
mkdir "$libs" && : >"$libs/first.jar" && [ ! -e "$MACHINE/broken-network" ] && : >"$libs/last.jar" """,
    "sudo": """exec "$@" """,
}


class Setup(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="pawl-setup-")
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)
        self.tree = self.root / "tree"
        self.machine = self.root / "machine"
        self.bin = self.root / "bin"
        for made in (self.tree, self.machine, self.bin):
            made.mkdir()
        shutil.copy(SOURCE / "dev", self.tree / "dev")
        self.pom = self.tree / "tests/kafka/pom.xml"
        self.pom.parent.mkdir(parents=True)
        shutil.copy(SOURCE / "tests/kafka/pom.xml", self.pom)
        for name, body in FAKES.items():
            fake = self.bin / name
            fake.write_text("#!/bin/sh\n" + body + "\n")
            fake.chmod(fake.stat().st_mode | stat.S_IXUSR)

    def setup_once(self, succeeds=True):
        """What apt-get was called with, and mvn."""
        log = self.root / "machine.log"
        log.unlink(missing_ok=True)
        environment = {**os.environ, "PATH": f"{self.bin}:{os.environ['PATH']}", "MACHINE": str(self.machine)}
        done = subprocess.run([str(self.tree / "dev"), "setup"], env=environment, capture_output=True, text=True, timeout=60, check=False,
                              stdin=subprocess.DEVNULL)
        self.assertEqual(done.returncode == 0, succeeds, done.stdout + done.stderr)
        return log.read_text().splitlines() if log.exists() else []

    def installed(self, calls):
        return [word for call in calls for word in call.split() if " install " in f" {call} " and word[0] != "-" and not word.startswith("DPkg") and word != "install"]

    def fetches(self, calls):
        return [call for call in calls if call.startswith("mvn ")]

    def jars(self):
        return sorted(path.name for path in (self.tree / ".deps/kafka/libs").glob("*"))

    def test_a_fresh_machine_gets_everything_once(self):
        first = self.setup_once()
        wanted = self.installed(first)
        self.assertGreater(len(wanted), 20, first)
        self.assertIn("clang-19", wanted)
        self.assertTrue(any("update" in call for call in first), first)
        self.assertTrue((self.tree / ".deps/msgpack/usr/include/msgpack.hpp").exists())
        self.assertEqual(len(self.fetches(first)), 1, first)
        self.assertEqual(self.jars(), ["first.jar", "last.jar"])
        self.assertEqual(self.setup_once(), [])

    def test_only_what_is_missing(self):
        self.setup_once()
        (self.machine / "mold").unlink()
        (self.machine / "jq").write_text("deinstall")  # known, and not there
        self.assertEqual(sorted(self.installed(self.setup_once())), ["jq", "mold"])

    def test_a_fetch_that_broke_off_is_done_again(self):
        (self.machine / "broken-network").touch()
        self.setup_once(succeeds=False)
        self.assertEqual(self.jars(), [])
        (self.machine / "broken-network").unlink()
        self.assertEqual(len(self.setup_once()), 1)
        self.assertEqual(self.jars(), ["first.jar", "last.jar"])

    def test_other_versions_replace_the_ones_that_are_there(self):
        self.setup_once()
        (self.tree / ".deps/kafka/libs/old.jar").touch()
        self.pom.write_text(self.pom.read_text().replace("1.7.36", "1.7.37"))
        self.assertEqual(len(self.fetches(self.setup_once())), 1)
        self.assertEqual(self.jars(), ["first.jar", "last.jar"])
        self.assertEqual(self.setup_once(), [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
