#!/usr/bin/env python3
"""`./dev setup` on a machine that lacks packages: it asks apt for exactly those, and for nothing the second time.

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
        for name, body in FAKES.items():
            fake = self.bin / name
            fake.write_text("#!/bin/sh\n" + body + "\n")
            fake.chmod(fake.stat().st_mode | stat.S_IXUSR)

    def setup_once(self):
        """What apt-get was called with."""
        log = self.root / "machine.log"
        log.unlink(missing_ok=True)
        environment = {**os.environ, "PATH": f"{self.bin}:{os.environ['PATH']}", "MACHINE": str(self.machine)}
        done = subprocess.run([str(self.tree / "dev"), "setup"], env=environment, capture_output=True, text=True, timeout=60, check=False,
                              stdin=subprocess.DEVNULL)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return log.read_text().splitlines() if log.exists() else []

    def installed(self, calls):
        return [word for call in calls for word in call.split() if " install " in f" {call} " and word[0] != "-" and not word.startswith("DPkg") and word != "install"]

    def test_a_fresh_machine_gets_everything_once(self):
        first = self.setup_once()
        wanted = self.installed(first)
        self.assertGreater(len(wanted), 20, first)
        self.assertIn("clang-19", wanted)
        self.assertTrue(any("update" in call for call in first), first)
        self.assertTrue((self.tree / ".deps/msgpack/usr/include/msgpack.hpp").exists())
        self.assertEqual(self.setup_once(), [])

    def test_only_what_is_missing(self):
        self.setup_once()
        (self.machine / "mold").unlink()
        (self.machine / "jq").write_text("deinstall")  # known, and not there
        self.assertEqual(sorted(self.installed(self.setup_once())), ["jq", "mold"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
