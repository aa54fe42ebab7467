"""Checks the layers of core/src and the folders: layers.py [ROOT]. Prints each violation as "path:line: text".

An #include goes to the same room or to a lower one, a library's header stays in the room that wraps the
library, a public header needs nothing but public headers and libc, files and functions are short, the map in
README.md (its lines between <!-- layers --> and <!-- /layers -->) names the folders that are there, each below
those that it may include, python/ and lua/ have nothing that queues, waits by a clock or draws lots, which is the
core's, and the top level has nothing but what belongs there, or what .gitignore names.
Exit status: 1 if there is any violation.
"""

import ast
import re
import sys
from fnmatch import fnmatch
from pathlib import Path

# The rooms that each room may include, besides itself. A room that is missing here must not exist.
BASE = {"base"}
SIDES = {"metrics", "config", "breaker", "leak"}  # over base, blind to each other
DRIVER = BASE | SIDES | {"driver"}
POOL = DRIVER | {"reactor", "pool"}
OUTER = {"router", "cache", "tenant", "monitor", "fleet"}  # over the pool, blind to each other
MAKES = {"driver/postgres", "driver/sqlite", "driver/fake"}  # known by name to api only
ROOMS = {
    "base": set(),
    **{room: BASE for room in SIDES},
    "driver": BASE | SIDES,
    **{room: DRIVER for room in MAKES},
    "reactor": DRIVER,
    "pool": DRIVER | {"reactor"},
    **{room: POOL for room in OUTER},
    "api": POOL | OUTER | MAKES,
}
# A library's headers by file name, and the only room that may include them.
GUARDED = {
    "libpq-fe.h": "driver/postgres",
    "libpq-events.h": "driver/postgres",
    "pg_config.h": "driver/postgres",
    "postgres_ext.h": "driver/postgres",
    "sqlite3.h": "driver/sqlite",
    "sqlite3ext.h": "driver/sqlite",
    "sys/epoll.h": "reactor",
    "sys/timerfd.h": "reactor",
    "sys/eventfd.h": "reactor",
}
# What makes queues, timers, pauses, pools of threads and jitter: modules of Python's, names that are called, and what
# Lua has of it.
FRONT_MODULES = {"queue", "heapq", "sched", "random", "concurrent", "time"}
FRONT_CALLS = {"deque", "Timer", "call_later", "call_at", "Semaphore", "Condition", "sleep", "wait_for", "monotonic"}
FRONT_LUA = re.compile(r"\bos\.(?:clock|time)\b|\bmath\.random|\bngx\.(?:timer|sleep|now)\b")
FRONT_MAY = {
    "python/weirpool/_drain.py": ("import time", "sleep()"),  # between two signals to a main thread that does not hear
}
# What a public header may have from libc: the headers of C11.
LIBC = set(
    "assert complex ctype errno fenv float inttypes iso646 limits locale math setjmp signal stdalign stdarg"
    " stdatomic stdbool stddef stdint stdio stdlib stdnoreturn string tgmath threads time uchar wchar"
    " wctype".split()
)
FILE_LINES, FUNCTION_LINES = 800, 80
TOP = set(
    "CMakeLists.txt CMakePresets.json pyproject.toml core bindings python lua tests examples docs .ci README.md"
    " CHANGELOG.md CONTRIBUTING.md SECURITY.md LICENSE .clang-format .clang-tidy .luacheckrc"
    " .pre-commit-config.yaml .git .gitignore".split()
)
TOP_TOO = "weirpool-*.rockspec"  # its version is in its name
MAPPED = ("core/include/*", "bindings", "python/*", "lua/*")  # on the map, besides the rooms

INCLUDE = re.compile(r"\s*#\s*(?:include|include_next|import)\b\s*(.*)")
TARGET = re.compile(r'(["<])([^">]+)[">]\s*')
COMMENT = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)
MAP_START, MAP_END = "<!-- layers -->", "<!-- /layers -->"
MAP_LINE = re.compile(r"\W*(\w[\w./-]*)/(?=\s|$)")


def without_comments(text, strings=True):
    """The text with blanks for comments (and strings), the lines kept."""

    def blank(match):
        token = match.group()
        if token[0] == "/":
            return " " + "\n" * token.count("\n")
        return token if strings else '""'

    return COMMENT.sub(blank, text)


def room_of(path, source):
    """The room of a file or of an include: its folder, relative to core/src."""
    return path.parent.relative_to(source).as_posix()


def includes(text):
    for number, line in enumerate(without_comments(text).split("\n"), 1):
        match = INCLUDE.match(line)
        if match:
            yield number, match.group(1).strip()


def guarded_room(name):
    for header, room in GUARDED.items():
        if name == header or name.endswith("/" + header):
            return room
    return None


def check_include(room, written):
    """What is wrong with an include in a room; None if nothing is."""
    target = TARGET.fullmatch(written)
    if not target:
        return f"#include {written}: cannot be read by this check"
    mark, name = target.groups()
    only = guarded_room(name)
    if only:
        return None if room == only else f"{name} is for {only} only"
    if mark == "<":
        return f"<{name}>: use quotes for an internal header" if name.rpartition("/")[0] in ROOMS else None
    if name.startswith("weirpool/"):
        return f'"{name}": use <…> for a public header'
    other = name.rpartition("/")[0]
    if other not in ROOMS:
        return f'"{name}": name it from core/src, as "room/file.h"'
    if other != room and other not in ROOMS.get(room, set()):
        return f'"{name}": {room} may not include {other}'
    return None


def check_public_include(written):
    target = TARGET.fullmatch(written)
    if target:
        mark, name = target.groups()
        if mark == "<" and (re.fullmatch(r"weirpool/[\w.]+", name) or name.removesuffix(".h") in LIBC):
            return None
    return f"#include {written}: a public header includes <weirpool/…> and libc only"


def functions(text):
    """The functions as (line, number of lines), by their braces."""
    depth = 0
    head, start = "", 0  # what stands before the brace, and where that begins
    is_directive = False
    for number, line in enumerate(without_comments(text, strings=False).split("\n"), 1):
        continued, is_directive = is_directive, False
        if continued or line.lstrip().startswith("#"):
            is_directive = line.endswith("\\")
            continue
        if depth == 0 and line.strip():
            if not head:
                start = number
            head += line + "\n"
        depth += line.count("{") - line.count("}")
        if line.startswith("}"):
            depth = 0  # whatever branches of #if have done to the count
        if depth <= 0:
            depth = 0
            if line.startswith("}"):
                before = head.partition("{")[0]
                if "(" in before and "=" not in before:
                    yield start, number - start + 1
            if line.startswith("}") or line.rstrip().endswith((";", "}")):
                head = ""


def check_sizes(text):
    lines = text.count("\n")
    if lines > FILE_LINES:
        yield FILE_LINES + 1, f"{lines} lines, more than {FILE_LINES}"
    for start, length in functions(text):
        if length > FUNCTION_LINES:
            yield start, f"a function of {length} lines, more than {FUNCTION_LINES}"


def rooms_in(source):
    """The folders below core/src that hold a file, or a folder that does."""
    rooms = set()
    for path in source.rglob("*"):
        folders = path.relative_to(source).parts[:-1]
        if path.is_file() and "__pycache__" not in folders:
            rooms.update("/".join(folders[: i + 1]) for i in range(len(folders)))
    return rooms


def check_rooms(source):
    for room in sorted(rooms_in(source) - set(ROOMS)):
        yield f"core/src/{room}:1: not a layer that is known"
    for path in sorted(source.glob("*.[ch]")):
        yield f"core/src/{path.name}:1: lies in no room"


def is_ignored(root, name):
    """Whether .gitignore names it, at whatever level."""
    file = root / ".gitignore"
    patterns = file.read_text(encoding="utf-8").split() if file.is_file() else []
    return any(fnmatch(name, pattern.strip("/")) for pattern in patterns)


def check_map(root):
    readme = root / "README.md"
    lines = readme.read_text(encoding="utf-8").split("\n") if readme.is_file() else []
    marks = [line.strip() for line in lines]
    if MAP_START not in marks or MAP_END not in marks:
        yield f"README.md:1: no map of the layers between {MAP_START} and {MAP_END}"
        return
    first = marks.index(MAP_START)
    named = {}
    for number, line in enumerate(lines[first : marks.index(MAP_END)], first + 1):
        match = MAP_LINE.match(line)
        if match:
            named.setdefault(match.group(1), number)
    there = {f"core/src/{room}" for room in rooms_in(root / "core/src")}
    there.update(
        path.relative_to(root).as_posix()
        for pattern in MAPPED
        for path in root.glob(pattern)
        if path.is_dir() and not is_ignored(root, path.name)
    )
    for room, below in ROOMS.items():
        at = named.get(f"core/src/{room}", len(lines))
        for other in ("core/include/weirpool", *(f"core/src/{other}" for other in sorted(below))):
            if named.get(other, 0) > at:
                yield f"README.md:{at}: core/src/{room} stands above {other}, which it may include"
    for folder in sorted(set(named) - there):
        yield f"README.md:{named[folder]}: {folder} is on the map but not in the tree"
    for folder in sorted(there - set(named)):
        yield f"README.md:{first + 1}: {folder} is in the tree but not on the map"


def check_top(root):
    for path in sorted(root.iterdir()):
        if path.name not in TOP and not fnmatch(path.name, TOP_TOO) and not is_ignored(root, path.name):
            yield f"{path.name}:1: has no place at the top level"


def check_files(root):
    source, public = root / "core/src", root / "core/include"
    for path in sorted([*source.rglob("*"), *public.rglob("*"), *(root / "bindings").rglob("*")]):
        if path.suffix not in (".c", ".h", ".def", ".inc") or not path.is_file():
            continue
        name = path.relative_to(root).as_posix()
        text = path.read_text(encoding="utf-8")
        for number, written in includes(text):
            wrong = None
            if source in path.parents:
                wrong = check_include(room_of(path, source), written)
            elif public in path.parents:
                wrong = check_public_include(written)
            if wrong:
                yield f"{name}:{number}: {wrong}"
        for number, wrong in check_sizes(text):
            yield f"{name}:{number}: {wrong}"


def python_machinery(text):
    for node in ast.walk(ast.parse(text)):
        names = []
        if isinstance(node, ast.Import):
            names = [name.name for name in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module, *(name.name for name in node.names)]
        elif isinstance(node, ast.Call):
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            yields = called == "sleep" and [getattr(one, "value", None) for one in node.args] == [0]
            if (called in FRONT_CALLS and not yields) or called.endswith("Queue"):
                yield node.lineno, f"{called}()"
        for name in names:
            if name.partition(".")[0] in FRONT_MODULES or name in FRONT_CALLS:
                yield node.lineno, f"import {name}"


def lua_machinery(text):
    for number, line in enumerate(text.split("\n"), 1):
        if found := FRONT_LUA.search(line.partition("--")[0]):
            yield number, found.group()


def check_fronts(root):
    for path in sorted([*(root / "python").rglob("*.py"), *(root / "lua").rglob("*.lua")]):
        name = path.relative_to(root).as_posix()
        find = python_machinery if path.suffix == ".py" else lua_machinery
        for number, found in find(path.read_text(encoding="utf-8")):
            if found not in FRONT_MAY.get(name, ()):
                yield f"{name}:{number}: {found}: queues, clocks and chance are the core's"


def main():
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[2]
    if not (root / "core/src").is_dir():
        sys.exit(f"{root}: no core/src there")
    violations = [*check_rooms(root / "core/src"), *check_files(root), *check_map(root), *check_fronts(root)]
    violations += check_top(root)
    for violation in violations:
        print(violation)
    sys.exit(1 if violations else 0)


if __name__ == "__main__":
    main()
