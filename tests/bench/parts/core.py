"""The pool in C, on a driver that takes no time, and what it counts and watches with: bench_core.c, bench_breaker.c,
bench_histogram.c, bench_metrics.c."""

from __future__ import annotations

import subprocess

from harness import Bench, Figures, Row


async def measure(bench: Bench) -> None:
    """What the pool costs in C, on a driver that takes no time; its histograms, its breakers, a scrape."""
    for program in ("core", "histogram", "breaker", "metrics"):
        rounds = [report(bench.paths[program]) for _ in range(bench.rounds)]
        for lines in zip(*rounds):
            name, _, unit, limit = lines[0]
            values: list[Figures] = [{"value": float(line[1])} for line in lines]
            asked = float(limit) if limit else None
            bench.add(Row("core", name, measure="value", unit=unit, lower=True, asked=asked, ours=values))


def report(program: str) -> list[list[str]]:
    """Each line is a name, a value, a unit, and a limit or nothing."""
    said = subprocess.run([program], capture_output=True, text=True, check=True).stdout
    return [line.split("\t") for line in said.splitlines()]
