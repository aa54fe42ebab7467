"""What the build refuses."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_windows_is_refused_before_a_compiler_is_looked_for(tmp_path):
    command = ["cmake", "-S", ROOT, "-B", tmp_path, "-DCMAKE_SYSTEM_NAME=Windows"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "Weirpool does not run on Windows" in done.stderr
    assert "identification" not in done.stdout
