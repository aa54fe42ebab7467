"""clang.py: lets pass what clang compiles without a word, and refuses the rest; lint.clang looks at the tree."""

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).with_name("clang.py")


def check(tmp_path, name, text):
    source, build = tmp_path / name, tmp_path / "build"
    build.mkdir()
    source.write_text(text)
    entry = {"directory": str(build), "command": f"cc -Wall -Werror -o x.o -c {source}", "file": str(source)}
    (build / "compile_commands.json").write_text(json.dumps([entry]))
    done = subprocess.run([sys.executable, SCRIPT, build], capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def test_what_compiles_passes(tmp_path):
    assert check(tmp_path, "planted.c", "int planted;\n") == (0, "clang is content with 1 sources\n")


def test_a_warning_of_clang_alone_is_refused(tmp_path):
    status, said = check(tmp_path, "planted.c", "int planted(int a) {\n    a = a;\n    return a;\n}\n")
    assert status == 1
    assert "planted.c:2:7: error: explicitly assigning" in said


def test_a_check_of_nothing_is_refused(tmp_path):
    status, said = check(tmp_path, "build/planted.c", "int planted;\n")
    assert status == 1
    assert "no source of ours" in said
