"""The pool in C, on a driver that takes no time: bench_core.c."""

from __future__ import annotations

import subprocess

from harness import Bench, Figures, Row


async def measure(bench: Bench) -> None:
    """Each run of the program is a round; each line of it is a name, a value, a unit and a limit or nothing."""
    rounds: list[list[list[str]]] = []
    for _ in range(bench.rounds):
        said = subprocess.run([bench.paths["core"]], capture_output=True, text=True, check=True).stdout
        rounds.append([line.split("\t") for line in said.splitlines()])
    for lines in zip(*rounds):
        name, _, unit, limit = lines[0]
        values: list[Figures] = [{"value": float(line[1])} for line in lines]
        bench.add(Row("core", name, measure="value", unit=unit, lower=True, asked=float(limit) if limit else None, ours=values))
