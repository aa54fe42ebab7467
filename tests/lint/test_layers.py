"""layers.py: passes on the tree as it is, and refuses each kind of violation on a copy of it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).with_name("layers.py")


def run(root):
    done = subprocess.run([sys.executable, SCRIPT, root], capture_output=True, text=True)
    assert done.stderr == ""
    return done.returncode, done.stdout.splitlines()


def refused(root):
    """The one violation that is there."""
    status, lines = run(root)
    assert status == 1
    assert len(lines) == 1, lines
    return lines[0]


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def append(path, text):
    with path.open("a", encoding="utf-8") as file:
        file.write(text)


@pytest.fixture
def tree(tmp_path):
    """A copy of the sources, of README.md and of .gitignore."""
    for name in ("core", "bindings", "python", "lua"):
        shutil.copytree(ROOT / name, tmp_path / name)
    for name in ("README.md", ".gitignore"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def test_the_tree_is_in_order():
    assert run(ROOT) == (0, [])


def test_a_copy_is_in_order(tree):
    assert run(tree) == (0, [])


UPWARD = [
    ("base/planted.c", '#include "pool/pool.h"', "base may not include pool"),
    ("base/planted.h", '# include "driver/driver.h"', "base may not include driver"),
    ("metrics/planted.c", '#include "config/config.h"', "metrics may not include config"),
    ("config/planted.c", '#include "metrics/histogram.h"', "config may not include metrics"),
    ("driver/planted.c", '#include "driver/postgres/postgres.h"', "driver may not include driver/postgres"),
    ("driver/planted.c", '#include "reactor/reactor.h"', "driver may not include reactor"),
    ("driver/sqlite/planted.c", '#include "driver/fake/fake.h"', "driver/sqlite may not include driver/fake"),
    ("reactor/planted.c", '#include "pool/pool.h"', "reactor may not include pool"),
    ("reactor/planted.c", '#include "driver/sqlite/sqlite.h"', "reactor may not include driver/sqlite"),
    ("pool/planted.c", '#include "driver/postgres/postgres.h"', "pool may not include driver/postgres"),
    ("pool/planted.c", '#include "api/api.h"', "pool may not include api"),
    ("pool/planted.c", '#include "../api/api.h"', 'name it from core/src, as "room/file.h"'),
    ("pool/planted.c", '#include "planted.h"', 'name it from core/src, as "room/file.h"'),
    ("pool/planted.c", "#include <api/api.h>", "<api/api.h>: use quotes"),
    ("pool/planted.c", '#include "weirpool/error.h"', "for a public header"),
    ("pool/planted.c", "#include PLANTED", "cannot be read"),
]


@pytest.mark.parametrize(("path", "include", "text"), UPWARD)
def test_an_upward_include_is_refused(tree, path, include, text):
    write(tree / "core/src" / path, f"/* planted */\n{include}\n")
    violation = refused(tree)
    assert violation.startswith(f"core/src/{path}:2: ")
    assert text in violation


LIBRARIES = [
    ("pool/planted.c", "sqlite3.h", "driver/sqlite"),
    ("base/planted.c", "libpq-fe.h", "driver/postgres"),
    ("driver/sqlite/planted.c", "postgresql/libpq-fe.h", "driver/postgres"),
    ("driver/planted.c", "sys/epoll.h", "reactor"),
    ("pool/planted.c", "sys/timerfd.h", "reactor"),
    ("api/planted.c", "sys/eventfd.h", "reactor"),
]


@pytest.mark.parametrize(("path", "header", "room"), LIBRARIES)
@pytest.mark.parametrize("marks", ["<>", '""'])
def test_a_library_stays_in_its_room(tree, path, header, room, marks):
    write(tree / "core/src" / path, f"#include {marks[0]}{header}{marks[1]}\n")
    assert refused(tree) == f"core/src/{path}:1: {header} is for {room} only"


FRONTS = [
    ("python/weirpool/planted.py", "import os, random", "import random"),
    ("python/weirpool/planted.py", "from queue import Full", "import queue"),
    ("python/weirpool/planted.py", "from threading import Condition as Bell", "import Condition"),
    ("python/weirpool/planted.py", "sign = '#'; import heapq", "import heapq"),
    ("python/weirpool/planted.py", "waiting = collections.deque()", "deque()"),
    ("python/weirpool/planted.py", "waiting = asyncio.PriorityQueue()", "PriorityQueue()"),
    ("python/weirpool/planted.py", "loop.call_later(1, wake)", "call_later()"),
    ("python/weirpool/planted.py", "asyncio.sleep(pause)", "sleep()"),
    ("python/weirpool/planted.py", "asyncio.wait_for(answer, 3)", "wait_for()"),
    ("lua/weirpool/planted.lua", "local began = os.clock()", "os.clock"),
    ("lua/weirpool/planted.lua", "local pause = math.random()", "math.random"),
    ("lua/weirpool/planted.lua", "ngx.sleep(1)", "ngx.sleep"),
]


@pytest.mark.parametrize(("path", "line", "found"), FRONTS)
def test_a_front_end_has_no_machinery(tree, path, line, found):
    comment = "#" if path.endswith("py") else "--"
    write(tree / path, f"{comment} {line}\n{line}\n")
    assert refused(tree) == f"{path}:2: {found}: queues, clocks and chance are the core's"


def test_downward_includes_pass(tree):
    write(tree / "core/src/pool/planted.c", '#include "base/list.h"\n#include "driver/driver.h"\n')
    write(tree / "core/src/api/planted.c", '#include "pool/pool.h"\n#include "driver/postgres/postgres.h"\n')
    write(tree / "core/src/driver/sqlite/planted.c", '#include <sqlite3.h> /* here */\n#include "driver/x.h"\n')
    write(tree / "core/src/base/planted.c", '/*\n#include "pool/pool.h"\n*/\n// #include "pool/pool.h"\n')
    assert run(tree) == (0, [])


def test_a_stray_folder_is_refused(tree):
    write(tree / "core/src/stray/planted.txt", "anything\n")
    status, lines = run(tree)
    assert status == 1
    assert lines[0] == "core/src/stray:1: not a layer that is known"
    assert len(lines) == 2  # and it is not on the map
    assert lines[1].endswith(": core/src/stray is in the tree but not on the map")


def test_a_stray_file_is_refused(tree):
    write(tree / "core/src/planted.c", "int planted;\n")
    assert refused(tree) == "core/src/planted.c:1: lies in no room"


def test_folders_that_are_not_on_the_map_are_refused(tree):
    folders = ["bindings", "core/include/weirpool", "core/src/base", "lua/weirpool", "python/weirpool"]
    readme = tree / "README.md"
    text = readme.read_text(encoding="utf-8")
    for folder in folders:
        text = text.replace(f"\n{folder}/ ", "\nthat is ")
    write(readme, text)
    status, lines = run(tree)
    assert status == 1
    assert [line.partition(": ")[2] for line in lines] == [
        f"{folder} is in the tree but not on the map" for folder in folders
    ]


def test_lines_of_the_map_without_folder_are_refused(tree):
    readme = tree / "README.md"
    text = readme.read_text(encoding="utf-8")
    number = text[: text.index("core/src/base/")].count("\n") + 1
    gone = ["cellar", "core/src/cellar", "lua/cellar"]
    write(readme, text.replace("core/src/base/", "/   gone\n".join([*gone, "core/src/base/"]), 1))
    assert run(tree) == (1, [
        f"README.md:{number + i}: {folder} is on the map but not in the tree" for i, folder in enumerate(gone)
    ])  # fmt: skip


@pytest.mark.parametrize(
    ("room", "below"),
    [("core/src/base", "core/include/weirpool"), ("core/src/api", "core/src/monitor")],
)
def test_a_room_above_what_it_may_include_is_refused(tree, room, below):
    readme = tree / "README.md"
    lines = readme.read_text(encoding="utf-8").split("\n")
    place = next(i for i, line in enumerate(lines) if line.startswith(f"{below}/ "))
    moved = lines.pop(next(i for i, line in enumerate(lines) if line.startswith(f"{room}/ ")))
    write(readme, "\n".join([*lines[:place], moved, *lines[place:]]))
    assert f"README.md:{place + 1}: {room} stands above {below}, which it may include" in run(tree)[1]


def test_the_top_level_is_closed(tree):
    for path in ("build/x", "dist/x", "weirpool.egg-info/x", "docs/x", "SECURITY.md", "weirpool-1.0-1.rockspec"):
        write(tree / path, "anything\n")
    assert run(tree) == (0, [])
    for path in (".planted", "planted.txt", "stray/planted.txt"):
        write(tree / path, "anything\n")
    names = (".planted", "planted.txt", "stray")
    assert run(tree) == (1, [f"{name}:1: has no place at the top level" for name in names])


def test_a_readme_without_map_is_refused(tree):
    write(tree / "README.md", "# no map\n")
    assert refused(tree).startswith("README.md:1: no map of the layers")
    (tree / "README.md").unlink()
    assert refused(tree).startswith("README.md:1: no map of the layers")


NOT_PUBLIC = ['"base/alloc.h"', "<sqlite3.h>", "<sys/epoll.h>", '"error.h"', "<weirpool/a/b.h>"]


@pytest.mark.parametrize("include", NOT_PUBLIC)
def test_a_public_header_includes_public_headers_only(tree, include):
    write(tree / "core/include/weirpool/planted.h", f"#include <stdint.h>\n#include {include}\n")
    assert refused(tree).startswith(f"core/include/weirpool/planted.h:2: #include {include}: a public header")


def function(lines, head="static int planted(int a,\n                   int b) {"):
    body = "    if (a) {\n        b++; /* } */\n    }\n    a += '}' + *\"}\";\n"
    used = head.count("\n") + 1 + body.count("\n") + 1
    return f"{head}\n{body}" + "    a++;\n" * (lines - used) + "}\n"


BEFORE = (
    "/* A comment. */\n#define OPEN {\nstruct s {\n    int (*f)(void);\n};\n"
    "static const int t[] = {(1),\n    2};\n\n"
)


def test_a_long_function_is_refused(tree):
    path = tree / "core/src/base/planted.c"
    write(path, BEFORE + function(80) + "\n" + function(80, "void other(void)\n{"))
    assert run(tree) == (0, [])
    write(path, BEFORE + function(80) + "\n" + function(81))
    line = BEFORE.count("\n") + 80 + 1 + 1
    assert refused(tree) == f"core/src/base/planted.c:{line}: a function of 81 lines, more than 80"


def test_a_long_table_is_no_function(tree):
    write(tree / "core/src/base/planted.c", "static const int t[] = {\n" + "    f(1),\n" * 100 + "};\n")
    assert run(tree) == (0, [])


def test_a_long_file_is_refused(tree):
    path = tree / "core/src/base/planted.h"
    write(path, "\n" * 800)
    assert run(tree) == (0, [])
    append(path, "\n")
    assert refused(tree) == "core/src/base/planted.h:801: 801 lines, more than 800"
