"""examples/demo.py --json: what the program counted is what the pool says, name by name. demo_json.py [COMMAND …]: by
that command, which is given --json."""

import json
import subprocess
import sys
from pathlib import Path

COUNTED = {
    "checkouts_started", "checkouts_granted", "checkouts_timed_out", "returned", "wait", "use", "connect",
    "queries_started", "queries_succeeded", "queries_timed_out", "query",
}  # fmt: skip

demo = Path(__file__).resolve().parents[1] / "examples" / "demo.py"
command = sys.argv[1:] or [sys.executable, demo]
said = json.loads(subprocess.run([*command, "--json"], check=True, stdout=subprocess.PIPE).stdout)
program, pool = said["program"], said["pool"]
assert set(program) == COUNTED, program
for name, number in program.items():
    value = pool[name]
    assert number == (value["count"] if isinstance(value, dict) else value), (name, number, value)
assert program["queries_started"] > 10_000 and program["queries_timed_out"] == program["checkouts_timed_out"] == 1
assert said["equal"] is True
