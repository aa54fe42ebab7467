"""The core's tables of options, as signatures and docstrings show them."""

import inspect

_SHOWS_RANGE = (0, 1, 4)  # counts, times, ratios


def rows(table):
    row = 0
    while (entry := table(row)) is not None:
        yield entry
        row += 1


def line(name, kind, nullable, initial, least, most, choices, text):
    if kind in _SHOWS_RANGE:
        text += f" ({least:g} to {most:g}{', or None' if nullable else ''})"
    elif choices:
        text += f" ({choices.replace('|', ', ')})"
    return f"{name}: {text}; default {initial!r}"


def parameters(table):
    only = inspect.Parameter.KEYWORD_ONLY
    return [inspect.Parameter(name, only, default=initial) for name, _, _, initial, *_ in rows(table)]


def lines(table):
    return "\n".join(line(*row) for row in rows(table))
