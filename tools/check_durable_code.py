#!/usr/bin/env python3
"""What a pawl::task must not do, as far as the text of the code shows it.

    check_durable_code.py FILE...          each a C++ source or header
    check_durable_code.py --rules          what is looked for, and what to write instead

Code of a workflow runs again in every process that takes the run over, so it does the same every time: no clock, no random
numbers, no environment, no outside; and it blocks nobody. This reads the bodies of functions that return a task, and of
plain functions of the same files that they call, and names what breaks that. Step functions, and lambdas that take a
step_context, may do all of it. A line that is right all the same says so:

    const auto zone = std::getenv("TZ");   // durable: ok, the same on every node

Exit code 0: nothing found. 1: something, one line each. 2: a file cannot be read, or the command line is wrong.
"""
import re
import sys

# (what it is, how it looks, what to write instead)
RULES = [
    ("a clock", r"\b(?:system|steady|high_resolution|utc|file)_clock\s*::\s*now\b|\b(?:clock_gettime|gettimeofday|localtime(?:_r)?|gmtime(?:_r)?)\s*\("
                r"|(?<![\w.>:])(?:std\s*::\s*)?(?:time|clock)\s*\(\s*(?:nullptr|NULL|0|&\s*\w+)?\s*\)",
     "wf.now()"),
    ("random numbers", r"\brandom_device\b|\bmt19937(?:_64)?\b|\bdefault_random_engine\b|\bminstd_rand0?\b|\b\w+_distribution\b"
                       r"|(?<![\w.>])(?:std\s*::\s*)?(?:rand|srand|drand48|arc4random)\s*\(|\bgetrandom\s*\(|\buuid_generate\w*\s*\(",
     "wf.random(), wf.new_id()"),
    ("the environment", r"\b(?:secure_)?getenv\s*\(|\bsetenv\s*\(|\bgethostname\s*\(|\bgetpid\s*\(|\bthis_thread\s*::\s*get_id\b|\blocale\s*\(\s*\"",
     "hand it over in the input, or read it in a step"),
    ("threads", r"\bstd\s*::\s*(?:thread|jthread|async|promise|future|packaged_task)\b|\bpthread_\w+\s*\(|\bfork\s*\(",
     "pawl::all, pawl::each; what computes belongs into a step"),
    ("something that blocks", r"\bthis_thread\s*::\s*(?:sleep_for|sleep_until|yield)\b|(?<![\w.>:])(?:::\s*)?(?:sleep|usleep|nanosleep|poll|select|epoll_wait)\s*\("
                              r"|\b(?:mutex|shared_mutex|recursive_mutex|lock_guard|unique_lock|scoped_lock|condition_variable|counting_semaphore|binary_semaphore|latch|barrier)\b",
     "wf.sleep(), wf.signal(), pawl::any; what blocks belongs into a step"),
    ("files and processes", r"\b(?:basic_)?[io]?fstream\b|\bstd\s*::\s*filesystem\s*::\s*(?!path\b)\w+|(?<![\w.>])(?:std\s*::\s*)?(?:fopen|popen|system|remove|rename)\s*\(\s*[^)]"
                            r"|(?<![\w.>:])::\s*(?:open|read|write|unlink)\s*\(",
     "a step"),
    ("the network", r"\bcurl_\w+\s*\(|\b(?:asio|beast)\s*::|(?<![\w.>:])::\s*(?:socket|connect|send|recv|sendto|recvfrom)\s*\(|\bhttplib\s*::",
     "a step"),
    ("output", r"\bstd\s*::\s*(?:cout|cerr|clog|cin|print|println)\b|(?<![\w.>])(?:std\s*::\s*)?(?:f?printf|puts|fputs)\s*\(|\bspdlog\s*::",
     "wf.log(), which is silent in replay"),
    ("state that outlives the run", r"(?<!\w)(?:static|thread_local)\s+(?!const\b|constexpr\b|_?assert)(?!inline\s+const)",
     "a local variable, wf.attribute(), or a step"),
    ("an order that is not the same everywhere", r"\bunordered_(?:multi)?(?:map|set)\b|\b(?:map|set)\s*<\s*(?:const\s+)?[\w:]+\s*\*",
     "std::map or std::vector, with keys that are no addresses"),
    ("a thrown value that awaits", r"\bthrow\b[^;]*\bco_await\b",
     "await first, then throw: the exception's memory is lost when the run is forgotten in between"),
]
PATTERNS = [(what, re.compile(pattern), instead) for what, pattern, instead in RULES]
ALLOWED = re.compile(r"//\s*durable:\s*ok\b")
NO_FUNCTIONS = set("if for while switch catch return sizeof alignof decltype noexcept static_assert requires co_await co_return "
                   "co_yield throw new delete assert defined".split())
CLOSING = {"(": ")", "{": "}", "[": "]", "<": ">"}


def blanked(text):
    """The text without comments and the insides of literals, as long as before, line by line."""
    out = list(text)

    def blank(start, end):
        for at in range(start, min(end, len(out))):
            if out[at] != "\n":
                out[at] = " "

    at = 0
    while at < len(text):
        raw = re.compile(r'R"([^()\\\s]{0,16})\(').match(text, at)
        if text.startswith("//", at):
            end = text.find("\n", at)
            end = len(text) if end < 0 else end
            blank(at, end)
            at = end
        elif text.startswith("/*", at):
            end = text.find("*/", at + 2)
            end = len(text) if end < 0 else end + 2
            blank(at, end)
            at = end
        elif raw and (at == 0 or not (text[at - 1].isalnum() or text[at - 1] == "_")):
            end = text.find(")" + raw[1] + '"', raw.end())
            end = len(text) if end < 0 else end
            blank(raw.end(), end)
            at = end + len(raw[1]) + 2
        elif text[at] == '"' or (text[at] == "'" and not (at > 0 and text[at - 1].isalnum())):
            end = at + 1
            while end < len(text) and text[end] not in (text[at], "\n"):
                end += 2 if text[end] == "\\" else 1
            blank(at + 1, end)
            at = end + 1
        else:
            at += 1
    return "".join(out)


def closing(text, at):
    """Behind the bracket that closes the one at `at`; None where there is none."""
    opens, closes, depth = text[at], CLOSING[text[at]], 0
    for end in range(at, len(text)):
        if text[end] == opens:
            depth += 1
        elif text[end] == closes:
            depth -= 1
            if depth == 0:
                return end + 1
        elif opens == "<" and text[end] in ";{":
            return None
    return None


class Function:
    """A function with a body: where that is, and whether it is a task or a step."""

    def __init__(self, name, start, end, is_task, is_step):
        self.name, self.start, self.end, self.is_task, self.is_step = name, start, end, is_task, is_step


def functions_of(text):
    found = []
    for match in re.finditer(r"\b([A-Za-z_]\w*)\s*\(", text):
        name, opens = match[1], match.end() - 1
        if name in NO_FUNCTIONS:
            continue
        behind = closing(text, opens)
        if behind is None:
            continue
        head = re.compile(r"\s*(?:const|noexcept|override|final|&|->\s*[\w:<>,\s*&]+|\s)*\{").match(text, behind)
        if not head:
            continue
        before = text[:match.start()].rstrip()
        if before.endswith((".", "->", "=", "return", "(", ",")) or re.search(r"\bnew$", before):
            continue
        end = closing(text, head.end() - 1)
        if end is None:
            continue
        returns = text[max(text.rfind(c, 0, match.start()) for c in ";}{") + 1:match.start()] + text[behind:head.end()]
        found.append(Function(name, head.end(), end, bool(re.search(r"\btask\s*<", returns)),
                              "step_context" in text[opens:behind]))
    return found


def without_steps(text, start, end):
    """The body with the lambdas blanked that are steps."""
    body = text[start:end]
    for match in list(re.finditer(r"\]\s*\(", body)):
        behind = closing(body, match.end() - 1)
        if behind is None or "step_context" not in body[match.end():behind]:
            continue
        opens = body.find("{", behind)
        done = closing(body, opens) if opens >= 0 else None
        if done:
            body = body[:opens] + re.sub(r"[^\n]", " ", body[opens:done]) + body[done:]
    return body


class Source:
    def __init__(self, path):
        with open(path, encoding="utf-8", errors="replace") as file:
            self.text = file.read()
        self.path, self.code = path, blanked(self.text)
        self.lines = self.text.split("\n")
        self.functions = functions_of(self.code)

    def line_of(self, at):
        return self.code.count("\n", 0, at) + 1


def check(sources):
    """One line a finding, in the order of files and lines."""
    plain = {}
    for source in sources:
        for f in source.functions:
            if not f.is_task and not f.is_step:
                plain.setdefault(f.name, (source, f))
    found, looked_at = set(), set()

    def look(source, function, task, through):
        if (id(function), task) in looked_at:
            return
        looked_at.add((id(function), task))
        body = without_steps(source.code, function.start, function.end)
        for what, pattern, instead in PATTERNS:
            for match in pattern.finditer(body):
                line = source.line_of(function.start + match.start())
                if ALLOWED.search(source.lines[line - 1]):
                    continue
                shown = " ".join(match[0].split()).rstrip("( ")
                where = f"task '{task}'" + (f", through {through}()" if through else "")
                found.add((source.path, line, f"{where}: {what} ({shown}); use {instead}"))
        for match in re.finditer(r"(?<![\w.>])([A-Za-z_]\w*)\s*\(", body):
            if match[1] in plain and plain[match[1]][1] is not function:
                look(*plain[match[1]], task, match[1])

    for source in sources:
        for f in source.functions:
            if f.is_task:
                look(source, f, f.name, "")
    return [f"{path}:{line}: {text}" for path, line, text in sorted(found)]


def main(arguments):
    if arguments == ["--rules"]:
        for what, _, instead in RULES:
            print(f"{what}: use {instead}")
        return 0
    if not arguments or any(a.startswith("-") for a in arguments):
        print(__doc__, file=sys.stderr)
        return 2
    try:
        sources = [Source(path) for path in arguments]
    except OSError as error:
        print(f"check_durable_code: {error.filename} cannot be read: {error.strerror}", file=sys.stderr)
        return 2
    findings = check(sources)
    for line in findings:
        print(line)
    tasks = sum(f.is_task for s in sources for f in s.functions)
    print(f"{tasks} tasks in {len(sources)} files: " + (f"{len(findings)} findings" if findings else "nothing found"), file=sys.stderr)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
