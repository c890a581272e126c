# pawl beside its peers: engine, worker and client in one process, as a library that is embedded. Sourced by a harness that
# sets DATA (an empty directory), S, C, T, WARMUP and defines `die` and `bench`. Needs a release build (`./dev build release`).
PAWL_ROOT=$(cd "$HOME_DIR/../../.." && pwd)
PAWL_BENCH=$PAWL_ROOT/build/release/bin/bench_workflows

version() { sed -n 's/^project(pawl VERSION \([0-9.]*\).*/\1/p' "$PAWL_ROOT/CMakeLists.txt"; }

start() {
  [ -x "$PAWL_BENCH" ] || die "no release build: run ./dev build release"
  # It has no setting for how it syncs; what it uses is what it must use.
  grep -q 'synchronous=FULL' "$PAWL_ROOT"/store/*.cpp || die "the journal is not synchronous=FULL"
}

load() { bench "$PAWL_BENCH" --peer --dir "$DATA/pawl" --steps "$S" --callers "$C" --seconds "$T" --warmup "$WARMUP"; }
