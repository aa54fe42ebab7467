"""The core's tables of options, as signatures and docstrings show them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import TypeAlias

Row: TypeAlias = tuple[str, int, bool, bool | int | float | str | None, float, float, str | None, str]
Table: TypeAlias = Callable[[int], Row | None]
_SHOWS_RANGE = (0, 1, 4)  # counts, times, ratios


def rows(table: Table) -> Iterator[Row]:
    row = 0
    while (entry := table(row)) is not None:
        yield entry
        row += 1


def line(row: Row) -> str:
    name, kind, nullable, initial, least, most, choices, text = row
    if kind in _SHOWS_RANGE:
        text += f" ({least:g} to {most:g}{', or None' if nullable else ''})"
    elif choices:
        text += f" ({choices.replace('|', ', ')})"
    return f"{name}: {text}; default {initial!r}"


def parameter(row: Row) -> inspect.Parameter:
    return inspect.Parameter(row[0], inspect.Parameter.KEYWORD_ONLY, default=row[3])
