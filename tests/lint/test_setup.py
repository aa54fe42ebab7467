""".ci/setup.sh installs what is missing, and asks for nothing; the system's commands are stand-ins here."""

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / ".ci/setup.sh"


def setup(tmp_path, **commands):
    """Its status, its errors, and how apt-get and sudo were called."""
    calls = tmp_path / "calls"
    calls.touch()
    for name, body in {"id": "echo 0", "apt-get": "", **commands}.items():
        command = tmp_path / name
        command.write_text(f'#!/bin/sh\n[ "${{0##*/}}" = id ] || echo "${{0##*/}} $*" >>{calls}\n{body}\n')
        command.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["sh", SCRIPT, "demo"], env=environment, capture_output=True, text=True)
    return done.returncode, done.stderr, calls.read_text()


def test_headers_of_python_are_wanted_too(tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import sysconfig\nsysconfig.get_path = lambda *a, **k: '/none'\n")
    status, _, calls = setup(
        tmp_path,
        python3=f'PYTHONPATH={tmp_path} exec {sys.executable} "$@"',
        **{"dpkg-query": '[ "$4" = python3-dev ] || echo install ok installed', "apt-get": '[ "$1" != install ]'},
    )
    assert status == 1 and calls.endswith(" python3-dev\n")


def test_sudo_that_wants_a_password_is_not_asked(tmp_path):
    status, errors, calls = setup(tmp_path, id="echo 1000", sudo="exit 1", **{"dpkg-query": "exit 1"})
    assert status == 1
    assert errors.endswith("install these packages first: gcc libc6-dev libpq-dev libsqlite3-dev\n")
    assert [call.split()[1] for call in calls.splitlines() if call.startswith("sudo")] == ["-n"]
