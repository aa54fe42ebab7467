"""check_generated.sh and headers.sh: pass on the tree as it is, and refuse what they are there for."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TABLE = "core/include/weirpool/sqlstate.def.h"


def run(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def tree(tmp_path):
    for name in ("core", "tests/lint"):
        shutil.copytree(ROOT / name, tmp_path / name)
    return tmp_path


def test_the_generated_table_is_up_to_date():
    status, output = run(ROOT / "tests/lint/check_generated.sh")
    assert (status, f"{TABLE} is up to date" in output) == (0, True), output


def test_a_changed_table_is_refused(tree):
    table = tree / TABLE
    table.write_text(table.read_text().replace("UniqueViolation", "UniqueViolence"))
    status, output = run(tree / "tests/lint/check_generated.sh")
    assert status == 1
    assert f"{TABLE} is not what" in output
    assert '+    X("23505", UniqueViolation, IntegrityError) \\' in output


def test_missing_errcodes_are_refused(tree):
    status, output = run(tree / "tests/lint/check_generated.sh", tree / "errcodes.txt")
    assert status == 1
    assert "no errcodes.txt" in output


def generate(tree, *lines):
    (tree / "errcodes.txt").write_text("".join(line + "\n" for line in lines))
    return run("python3", tree / "core/src/base/sqlstate.py", tree / "errcodes.txt")


def test_only_named_errors_become_classes(tree):
    status, output = generate(
        tree,
        "# a comment",
        "Section: Class 23 - Integrity Constraint Violation",
        "01000    W    ERRCODE_WARNING                warning",
        "23505    E    ERRCODE_UNIQUE_VIOLATION       unique_violation",
        "23505    E    ERRCODE_ALIAS",
        "0Z002    E    ERRCODE_UNKNOWN_CLASS          unknown_class",
    )
    assert status == 0
    assert [line for line in output.splitlines() if line.startswith('    X("') and line.count(",") == 2] == [
        '    X("0Z002", UnknownClass, DatabaseError) \\',
        '    X("23505", UniqueViolation, IntegrityError)',
    ]


@pytest.mark.parametrize("second", ["23505 E ERRCODE_B other", "23506 E ERRCODE_B unique_violation"])
def test_what_is_there_twice_is_refused(tree, second):
    status, output = generate(tree, "23505 E ERRCODE_A unique_violation", second)
    assert status == 1
    assert "is there twice" in output


def test_names_of_pep_249_are_refused(tree):
    status, output = generate(tree, "23505 E ERRCODE_A data_error")
    assert status == 1
    assert "DataError is there twice" in output


def test_an_empty_list_is_refused(tree):
    status, output = generate(tree, "# nothing")
    assert status == 1
    assert "no row of an error" in output


def test_public_headers_compile_alone():
    status, output = run(ROOT / "tests/lint/headers.sh")
    assert (status, "public headers compile alone" in output) == (0, True), output


BAD = ["weir_error *planted(void);\n", "int class(int new);\n", "#include <absent.h>\n"]


@pytest.mark.parametrize("text", BAD)
def test_a_header_that_does_not_is_refused(tree, text):
    (tree / "core/include/weirpool/planted.h").write_text(text)
    status, output = run(tree / "tests/lint/headers.sh")
    assert status == 1
    assert "core/include/weirpool/planted.h: does not compile alone" in output
