"""Pipelines, and what Pool.run() and SyncPool.run() have in common. What is repeated, and when, the core decides."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, TypeVar

from . import _core

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .errors import Error

_T = TypeVar("_T")


def begin(fn: Callable[..., object], retries: int, timeout: float | None) -> Any:
    if not callable(fn):
        again = " that was called already: give the function" if inspect.iscoroutine(fn) else ""
        raise TypeError(f"run() wants a function that takes a session, not {type(fn).__name__}{again}")
    return _core._Retry(retries, timeout)  # type: ignore[attr-defined]


def awaitable(fn: Callable[..., object], given: Awaitable[_T]) -> Awaitable[_T]:
    if inspect.isawaitable(given):
        return given
    raise TypeError(f"run() of an asynchronous pool wants a coroutine function; {fn!r} gave {given!r}")


def plain(fn: Callable[..., object], given: _T) -> _T:
    if not inspect.isawaitable(given):
        return given
    if inspect.iscoroutine(given):
        given.close()
    raise TypeError(f"run() of a blocking pool wants a plain function; {fn!r} gave something to be awaited")


def pause_after(retry: Any, error: Error) -> float | None:
    """Seconds; None: the error is to be raised."""
    pause: float | None = retry.next(error)
    note = retry.note()
    if note:
        # as add_note() does, of which Python 3.10 and its type checkers know nothing
        setattr(error, "__notes__", [*getattr(error, "__notes__", ()), note])
    return pause


class Pipeline:
    """What connection.pipeline() gives: see there."""

    __slots__ = ("_connection", "_started")

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def __aenter__(self) -> None:
        self._started = self._connection._set_pipeline(True)

    async def __aexit__(self, kind: object, error: object, traceback: object) -> None:
        try:
            while kind is None and any(operation._watch() for operation in self._started):
                for operation in list(self._started):  # other tasks may start some meanwhile
                    answered = operation._watch()
                    if answered is not None:
                        await answered
        finally:
            started = list(self._started)
            for operation in started:
                operation._cut()
            self._connection._set_pipeline(False)
        if kind is None:
            for operation in started:
                failure = operation._failure()
                if failure is not None:
                    raise failure
