#!/usr/bin/env python3
"""Compile one file of tests/must_not_compile both ways and judge what the compiler said.

    check.py FILE COMPILER [FLAGS...]

Plain, FILE must be refused with an error that matches the regex of its first line (`// expect: <regex>`); with
-DPAWL_OK it must compile.
"""
import re
import subprocess
import sys


def errors_of(text):
    """The messages of a compiler's `error:` lines, one a line: notes and echoed source must not satisfy a regex."""
    return "\n".join(line.split("error:", 1)[1].strip() for line in text.splitlines() if "error:" in line)


def judge(source, compile_command):
    """None when the file is as it should be, else what is wrong with it."""
    with open(source, encoding="utf-8") as file:
        text = file.read()
    expect = re.match(r"// expect: (.+)", text)
    if not expect:
        return "the first line is not `// expect: <regex>`"
    if not re.search(r"^\s*#\s*if(def|ndef)?\b.*\bPAWL_OK\b", text, re.MULTILINE):
        return "there is no `#ifdef PAWL_OK` variant that compiles"

    right = subprocess.run([*compile_command, "-DPAWL_OK", source], capture_output=True, text=True)
    if right.returncode != 0:
        return f"the PAWL_OK variant must compile, and does not:\n{right.stderr}"
    wrong = subprocess.run([*compile_command, source], capture_output=True, text=True)
    if wrong.returncode == 0:
        return "it compiles, and must not"
    if not re.search(expect[1].strip(), errors_of(wrong.stderr)):
        return f"it is refused, but no error matches /{expect[1].strip()}/:\n{wrong.stderr}"
    return None


def main():
    source, compile_command = sys.argv[1], sys.argv[2:]
    problem = judge(source, compile_command)
    if problem:
        print(f"{source}: {problem}", file=sys.stderr)
        return 1
    print(f"{source}: refused as expected")
    return 0


if __name__ == "__main__":
    sys.exit(main())
