#!/usr/bin/env python3
"""Dependencies point one way: config, workflow <- store <- broker and actors <- node; testing stands beside store.

Each room's README.md says, after "May include:", what the room may include. This checks every #include of every room
against that sentence, and the sentences against the laws of the house (RANK, ONLY, PURE), so that neither the code nor
the sentence drifts. It first proves on small wrong trees that it would notice.
"""
import os
import re
import sys
import tempfile
from pathlib import Path

ROOMS = ["include/pawl", "config", "workflow", "testing", "testing/checked", "store", "broker", "actors", "node", "examples", "tests", "bench", "docs"]

# A room may include rooms of a lower rank, and itself. actors/ and broker/ do not see each other.
RANK = {"config": 0, "workflow": 0, "testing": 1, "store": 1, "broker": 2, "actors": 2, "node": 3}
PARTS_OF_THE_ENGINE = set(RANK)

# Third parties that stay in their rooms.
ONLY = {
    "caf": {"actors"},
    "sqlite3.h": {"store"},
    "librdkafka": {"broker"},
    "zlib.h": {"broker", "store"},
    "toml++": {"config"},
    "boost": {"node", "examples", "testing/checked"},
    "curl": {"node", "examples"},
    "CLI": {"node", "examples"},
}

# workflow/ is pure: no clock, no randomness, no I/O, no thread.
PURE = {"workflow"}
IMPURE_HEADERS = {
    "barrier", "condition_variable", "filesystem", "fstream", "future", "iostream", "latch", "mutex", "random",
    "semaphore", "shared_mutex", "syncstream", "thread",
}

STANDARD = set("""
    algorithm any array atomic barrier bit bitset charconv chrono codecvt compare complex concepts condition_variable
    coroutine deque exception execution filesystem format forward_list fstream functional future initializer_list
    iomanip ios iosfwd iostream istream iterator latch limits list locale map memory memory_resource mutex new numbers
    numeric optional ostream queue random ranges ratio regex scoped_allocator semaphore set shared_mutex
    source_location span sstream stack stdexcept stop_token streambuf string string_view syncstream system_error thread
    tuple type_traits typeindex typeinfo unordered_map unordered_set utility valarray variant vector version
    cassert cctype cerrno cfenv cfloat cinttypes climits clocale cmath csetjmp csignal cstdarg cstddef cstdint cstdio
    cstdlib cstring ctime cuchar cwchar cwctype
    """.split())

POSIX = set("""
    dirent.h dlfcn.h errno.h fcntl.h fnmatch.h glob.h grp.h ifaddrs.h netdb.h poll.h pthread.h pwd.h sched.h semaphore.h
    signal.h spawn.h stdio.h stdlib.h string.h syslog.h termios.h time.h ucontext.h unistd.h wordexp.h
    """.split())
POSIX_FOLDERS = {"sys", "arpa", "netinet", "net", "linux"}

INCLUDE = re.compile(r"^[ \t]*#[ \t]*include[ \t]*(?:<([^>]+)>|\"([^\"]+)\"|(\S+))", re.MULTILINE)
COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)


def allowed_by(readme):
    """The tokens of the sentence "May include: a, b, c." as a set, or None without one."""
    sentence = re.search(r"^May include:(.*?)\.\s*$", readme, re.MULTILINE | re.DOTALL)
    if not sentence:
        return None
    return {" ".join(token.split()) for token in sentence[1].split(",")}


def law_problems(room, allowed):
    """What the sentence of a room allows, and the laws do not."""
    for token in allowed:
        folder = token.rstrip("/")
        if room in RANK and folder in RANK and folder != room and RANK[folder] >= RANK[room]:
            yield f"{room}/README.md allows {token}, which is not below {room}/"
        if room in ("include/pawl", "examples") and folder in PARTS_OF_THE_ENGINE:
            yield f"{room}/README.md allows {token}; users see the public headers only"
        third_party = token.strip("<>").rstrip("/")
        if third_party in ONLY and room not in ONLY[third_party]:
            yield f"{room}/README.md allows {token}, which stays in {', '.join(sorted(ONLY[third_party]))}"


def token_of(name, quoted):
    """What a README must say for this include to be allowed."""
    folder = name.split("/")[0]
    if quoted:
        return f"{folder}/"
    if name in STANDARD:
        return "the standard library"
    if name in POSIX or ("/" in name and folder in POSIX_FOLDERS):
        return "POSIX"
    return f"<{folder}/>" if "/" in name else f"<{name}>"


def include_problem(root, room, allowed, name, quoted):
    """Why a room may not have this include, or None."""
    if quoted and name.startswith("pawl/"):
        return "public headers are included as <pawl/...>"
    if quoted and not (root / name).is_file():
        return "is not a path from the root of the project"
    if not quoted and name.startswith("pawl/") and not (root / "include" / name).is_file():
        return "is not in include/pawl"
    if "everything" in allowed:
        return None
    if room in PURE and not quoted and name in IMPURE_HEADERS:
        return f"{room}/ is pure: no clock, no randomness, no I/O, no thread"
    token = token_of(name, quoted)
    return None if token in allowed else f"{room}/README.md does not allow {token}"


def code_of(root, room):
    """Without the rooms in it that have a sentence of their own."""
    inner = [root / other for other in ROOMS if other.startswith(room + "/")]
    return sorted(path for path in (root / room).rglob("*") if path.suffix in (".hpp", ".cpp", ".h", ".ipp")
                  and not any(path.is_relative_to(other) for other in inner))


def problems_in(root):
    """Every offender of a tree, one line each."""
    for room in ROOMS:
        readme = root / room / "README.md"
        if not readme.is_file():
            yield f"{room}/README.md is missing"
            continue
        allowed = allowed_by(readme.read_text(encoding="utf-8"))
        code = code_of(root, room)
        if allowed is None:
            if code:
                yield f"{room}/README.md has no sentence `May include: ...`"
            continue
        yield from law_problems(room, allowed)
        for path in code:
            text = COMMENT.sub(lambda comment: "\n" * comment[0].count("\n"), path.read_text(encoding="utf-8"))
            for match in INCLUDE.finditer(text):
                where = f"{path.relative_to(root)}:{text.count(chr(10), 0, match.start()) + 1}: "
                if match[3]:
                    yield where + f"#include {match[3]} hides what is included"
                    continue
                problem = include_problem(root, room, allowed, match[1] or match[2], bool(match[2]))
                if problem:
                    yield where + f"{match[0].strip()}: {problem}"


def small_tree(root):
    """A tree in which all is well."""
    sentences = {
        "include/pawl": "the standard library, <pawl/>",
        "config": "the standard library, <toml++/>",
        "workflow": "the standard library, <pawl/>,\nworkflow/, <msgpack.hpp>",
        "testing": "the standard library, <pawl/>, workflow/, testing/",
        "store": "the standard library, POSIX, <pawl/>, workflow/, store/, <sqlite3.h>",
        "broker": "the standard library, store/, broker/, <librdkafka/>",
        "actors": "the standard library, store/, actors/, <caf/>",
        "node": "the standard library, actors/, node/, <boost/>",
        "examples": "the standard library, <pawl/>, examples/",
        "tests": "everything",
        "bench": "everything",
    }
    for room in ROOMS:
        (root / room).mkdir(parents=True)
        sentence = f"May include: {sentences[room]}." if room in sentences else "Holds no code."
        (root / room / "README.md").write_text(f"# {room}\n\n{sentence}\n", encoding="utf-8")
    write(root, "include/pawl/a.hpp", "#include <vector>\n")
    write(root, "workflow/a.hpp", "#include <pawl/a.hpp>\n#include <msgpack.hpp>\n")
    write(root, "store/a.cpp", '/* #include <caf/all.hpp> */\n// #include "node/x.hpp"\n#include "workflow/a.hpp"\n'
                               "#include <sqlite3.h>\n#include <sys/stat.h>\n")
    write(root, "tests/store/a_test.cpp", '#include <gtest/gtest.h>\n#include "store/a.hpp"\n')
    write(root, "store/a.hpp", "#include <string>\n")
    write(root, "broker/a.hpp", "")
    write(root, "node/a.hpp", "")
    write(root, "testing/a.hpp", '#include "workflow/a.hpp"\n')


def write(root, name, text):
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text, encoding="utf-8")


# One wrong thing each, and what the report must say of it.
VIOLATIONS = [
    ("workflow/b.cpp", "#include <sqlite3.h>\n", r"workflow/b.cpp:1: .*does not allow <sqlite3.h>"),
    ("workflow/b.cpp", '#include "store/a.hpp"\n', r"does not allow store/"),
    ("workflow/b.cpp", '#include "testing/a.hpp"\n', r"does not allow testing/"),
    ("testing/b.cpp", '#include "store/a.hpp"\n', r"does not allow store/"),
    ("workflow/b.cpp", "#include <unistd.h>\n", r"does not allow POSIX"),
    ("workflow/b.cpp", "\n\n #  include  <thread>\n", r"workflow/b.cpp:3: .*is pure"),
    ("store/b.hpp", "#include <caf/actor.hpp>\n", r"does not allow <caf/>"),
    ("store/b.hpp", '#include "node/a.hpp"\n', r"does not allow node/"),
    ("store/deep/er/b.hpp", '#include "node/a.hpp"\n', r"store/deep/er/b.hpp:1"),
    ("actors/b.cpp", '#include "broker/a.hpp"\n', r"does not allow broker/"),
    ("node/b.cpp", "#include <caf/all.hpp>\n", r"does not allow <caf/>"),
    ("include/pawl/b.hpp", "#include <msgpack.hpp>\n", r"does not allow <msgpack.hpp>"),
    ("include/pawl/b.hpp", '#include "workflow/a.hpp"\n', r"does not allow workflow/"),
    ("examples/b/b.cpp", '#include "store/a.hpp"\n', r"does not allow store/"),
    ("store/b.cpp", '#include "a.hpp"\n', r"not a path from the root"),
    ("store/b.cpp", '#include "pawl/a.hpp"\n', r"included as <pawl/...>"),
    ("store/b.cpp", "#include <pawl/gone.hpp>\n", r"not in include/pawl"),
    ("store/b.cpp", "#include STORE_HEADER\n", r"hides what is included"),
    ("docs/b.cpp", "int x;\n", r"docs/README.md has no sentence"),
    ("store/README.md", "# store\n\nMay include: the standard library, node/.\n", r"allows node/, which is not below"),
    ("actors/README.md", "# a\n\nMay include: broker/.\n", r"allows broker/, which is not below"),
    ("config/README.md", "# c\n\nMay include: <caf/>.\n", r"allows <caf/>, which stays in actors"),
    ("examples/README.md", "# e\n\nMay include: store/.\n", r"users see the public headers only"),
    ("bench/README.md", None, r"bench/README.md is missing"),
]


def self_test():
    """What the check itself gets wrong."""
    with tempfile.TemporaryDirectory() as scratch:
        right = Path(scratch) / "right"
        small_tree(right)
        for problem in problems_in(right):
            yield f"reports what is right: {problem}"
        for number, (name, text, expect) in enumerate(VIOLATIONS):
            tree = Path(scratch) / str(number)
            small_tree(tree)
            if text is None:
                (tree / name).unlink()
            else:
                write(tree, name, text)
            found = list(problems_in(tree))
            if not any(re.search(expect, problem) for problem in found):
                yield f"misses {name}: {text!r}: expected /{expect}/, found {found}"


def main():
    blind = list(self_test())
    if blind:
        print("the check does not see what it should:", *blind, sep="\n  ")
        return 1
    print(f"the check sees each of {len(VIOLATIONS)} violations")

    root = Path(os.environ.get("PAWL_SOURCE") or Path(__file__).resolve().parents[2])
    offenders = list(problems_in(root))
    if offenders:
        print(f"{len(offenders)} offenders:", *offenders, sep="\n  ")
        return 1
    print("every #include points the right way")
    return 0


if __name__ == "__main__":
    sys.exit(main())
