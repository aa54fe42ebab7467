"""The core's tables of options, as signatures and docstrings show them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import TypeAlias

from . import _core

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
    names = "".join(f"; {name}" for name in variables(name))
    return f"{name}: {text}; default {initial!r}{names}"


def variables(option: str) -> list[str]:
    """The environment variables of an option, or of "url"."""
    names: list[str] = []
    while (name := _core.option_variable(option, len(names))) is not None:
        names.append(name)
    return names


def parameter(row: Row) -> inspect.Parameter:
    return inspect.Parameter(row[0], inspect.Parameter.KEYWORD_ONLY, default=row[3])
