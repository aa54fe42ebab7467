"""What all parts share: alternating rounds, the rows that they give, the table and the file of these."""

from __future__ import annotations

import gc
import inspect
import json
import math
import statistics
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

Figures = dict[str, float]
Side = Callable[[], Awaitable[Figures]]


@dataclass
class Row:
    """One line of the table. A row without a peer has a limit instead of a least ratio."""

    part: str
    title: str
    peer: str = ""
    measure: str = "rate"
    unit: str = "/s"
    lower: bool = (
        False  # less is better: the ratio, or the value where there is no peer, must be at most `asked`
    )
    asked: float | None = None
    limit: float | None = None  # asked of our own value, whatever the peer's is
    ours: list[Figures] = field(default_factory=list)
    theirs: list[Figures] = field(default_factory=list)
    absent: str = ""  # why there are no figures
    detail: Any = None  # more figures, for the file

    def values(self, side: list[Figures]) -> list[float]:
        return [figures[self.measure] for figures in side]

    @property
    def ratios(self) -> list[float]:
        return [a / b for a, b in zip(self.values(self.ours), self.values(self.theirs))]

    @property
    def ratio(self) -> float | None:
        """The median of the rounds' ratios: what the machine does from round to round falls on both sides."""
        return statistics.median(self.ratios) if self.theirs else None

    @property
    def verdict(self) -> str:
        asked = self.asked if self.limit is None else self.limit
        if asked is None or not self.ours:
            return ""
        own = self.limit is not None or self.ratio is None
        value = statistics.median(self.values(self.ours)) if own else self.ratio
        assert value is not None
        return "ok" if (value <= asked if self.lower else value >= asked) else "MISSED"


@dataclass
class Bench:
    rounds: int
    seconds: float
    paths: dict[str, str]  # of the programs beside this one; absent: not built
    rows: list[Row] = field(default_factory=list)

    async def compare(self, row: Row, ours: Side, theirs: Side) -> Row:
        """Has both sides run in turn, after a round that does not count; who begins changes."""
        sides = [(ours, row.ours), (theirs, row.theirs)]
        for number in range(self.rounds + 1):
            for run, kept in sides if number % 2 else reversed(sides):
                gc.collect()
                figures = await run()
                if number:
                    kept.append(figures)
        return self.add(row)

    async def alone(self, row: Row, run: Side) -> Row:
        for number in range(self.rounds + 1):
            gc.collect()
            figures = await run()
            if number:
                row.ours.append(figures)
        return self.add(row)

    def add(self, row: Row) -> Row:
        self.rows.append(row)
        print("  ".join(filter(None, cells(row))), file=sys.stderr, flush=True)
        return row

    def keep(self, path: str, versions: dict[str, str]) -> None:
        rows = [{**vars(row), "ratio": row.ratio, "verdict": row.verdict} for row in self.rows]
        kept = {"versions": versions, "rounds": self.rounds, "seconds": self.seconds, "rows": rows}
        with open(path, "w", encoding="utf-8") as file:
            json.dump(kept, file, indent=1)


def geometric_mean(part: str, title: str, peer: str, rows: list[Row], asked: float) -> Row:
    """A row whose ratio in each round is the mean of the given rows' ratios in that round."""
    means = [
        math.exp(statistics.fmean(map(math.log, ratios))) for ratios in zip(*(row.ratios for row in rows))
    ]
    ours, theirs = [{"mean": mean} for mean in means], [{"mean": 1.0} for _ in means]
    return Row(part, title, peer, measure="mean", unit="x", asked=asked, ours=ours, theirs=theirs)


# ---- the table

HEAD = (
    "part",
    "what",
    "weirpool",
    "(min-max)",
    "peer",
    "",
    "(min-max)",
    "ratio",
    "(min-max)",
    "asked",
    "",
    "CPU a call",
)


def number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}" if abs(value) < 10 else f"{value:.1f}"


def spread(values: list[float]) -> str:
    return f"({number(min(values))}-{number(max(values))})"


def cells(row: Row) -> tuple[str, ...]:
    if row.absent:
        return (row.part, row.title, row.absent, *[""] * (len(HEAD) - 3))
    ours = row.values(row.ours)
    sign = "<=" if row.lower else ">="
    wanted = row.asked if row.limit is None else row.limit
    unit = "" if row.theirs and row.limit is None else f" {row.unit}"
    asked = "" if wanted is None else f"{sign} {wanted:g}{unit}"
    shown = [
        row.part,
        row.title,
        f"{number(statistics.median(ours))} {row.unit}".replace(" /s", "/s"),
        spread(ours),
    ]
    if row.theirs:
        theirs = row.values(row.theirs)
        shown += [
            row.peer,
            f"{number(statistics.median(theirs))} {row.unit}".replace(" /s", "/s"),
            spread(theirs),
        ]
        shown += [f"{row.ratio:.2f}", f"({min(row.ratios):.2f}-{max(row.ratios):.2f})"]
    else:
        shown += [""] * 5
    return (*shown, asked, row.verdict, processor_time(row))


def processor_time(row: Row) -> str:
    sides = (side for side in (row.ours, row.theirs) if side and "cpu_us" in side[0])
    medians = [statistics.median(figures["cpu_us"] for figures in side) for side in sides]
    return " : ".join(number(us) for us in medians) + " us" if medians else ""


def table(rows: list[Row]) -> Iterator[str]:
    lines = [HEAD, *map(cells, rows)]
    full = [line for line in lines if any(line[3:])]  # what is absent says why across the columns
    widths = [max(len(line[i]) for line in (full if i == 2 else lines)) for i in range(len(HEAD))]
    right = {2, 5, 7}
    for i, line in enumerate(lines):
        text = "  ".join(cell.rjust(width) if n in right and any(line[3:]) else cell.ljust(width)
                         for n, (cell, width) in enumerate(zip(line, widths)))  # fmt: skip
        yield text.rstrip()
        if i == 0:
            yield "-" * (sum(widths) + 2 * (len(widths) - 1))


def absent(part: str, title: str, why: str) -> Row:
    return Row(part, title, absent=why)


def takes(function: Callable[..., object], parameter: str) -> bool:
    """Has the package that parameter yet?"""
    return parameter in inspect.signature(function).parameters
