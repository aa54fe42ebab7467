"""What the C code has Python do: hooks of the user, and log lines."""

from __future__ import annotations

import inspect
import logging
from typing import TYPE_CHECKING, Any

from ._listen import Notice

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Sequence

    from . import Connection, SyncConnection
    from ._types import Alert

logger = logging.getLogger("weirpool")
# The event loop keeps only weak references to its tasks.
_tasks: set[asyncio.Task[None]] = set()


def refuse_awaitable(what: str, given: object) -> None:
    """Where a hook is called, and nobody would await what it gives: it has not run."""
    if not inspect.isawaitable(given):
        return
    if inspect.iscoroutine(given):
        given.close()
    raise TypeError(f"{what} must be a plain function; it gave something to be awaited")


def log(level: int, line: str) -> None:
    logger.log(level, line)


def notice(hook: Callable[[Notice], object], fields: tuple[Any, ...]) -> None:
    """What the server said on a connection of the pool."""
    try:
        refuse_awaitable("on_notice", hook(Notice(*fields)))
    except Exception:
        logger.exception("the hook on_notice has failed")


def alert(
    hooks: list[Callable[[Alert], object]], loop: asyncio.AbstractEventLoop | None, event: Alert
) -> None:
    """An alert of the pool's has fired, or is resolved."""
    for hook in list(hooks):
        try:
            answer = hook(event.copy())
            if loop is None:
                refuse_awaitable("a callback of a blocking pool", answer)
            elif inspect.isawaitable(answer):
                _start_alert(answer, loop)
        except Exception:
            logger.exception("a callback for alerts has failed")


def _start_alert(answer: Awaitable[object], loop: asyncio.AbstractEventLoop) -> None:
    task = loop.create_task(_await_alert(answer))
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)


async def _await_alert(answer: Awaitable[object]) -> None:
    try:
        await answer
    except Exception:
        logger.exception("a callback for alerts has failed")


def _give_up(connection: Any, error: Exception) -> None:
    """The init of a new connection has failed: whoever waits for it is told why."""
    try:
        why = f"{type(error).__name__}: {error}"
        why.encode()
    except Exception:
        why = type(error).__name__
    connection._init_failed(why)


def start_init(
    loop: asyncio.AbstractEventLoop, init: Callable[[Connection], Awaitable[object]], connection: Connection
) -> None:
    """A new connection of an asynchronous pool: its init hook runs as a task."""
    task = loop.create_task(_init(init, connection))
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)


async def _init(init: Callable[[Connection], Awaitable[object]], connection: Connection) -> None:
    try:
        answer = init(connection)
        if not inspect.isawaitable(answer):
            raise TypeError(
                "the init hook of an asynchronous pool must be a coroutine function (async def); it gave "
                + type(answer).__name__
            )
        await answer
    except Exception as error:
        _give_up(connection, error)
        logger.exception("the init hook has failed; its connection is closed")
    except BaseException:
        connection.discard()
        raise
    else:
        connection.release()


def run_init(init: Callable[[SyncConnection], object], connection: SyncConnection) -> None:
    """A new connection of a blocking pool."""
    try:
        refuse_awaitable("the init hook of a blocking pool", init(connection))
    except Exception as error:
        _give_up(connection, error)
        logger.exception("the init hook has failed; its connection is closed")
    except BaseException:
        connection.discard()
        raise
    else:
        connection.release()


# What of a call says how a transaction is to begin.
_BEGIN = {
    "transaction": ("isolation", "readonly", "deferrable"),
    **dict.fromkeys(("execute", "fetch", "fetchrow", "fetchval"), ("readonly",)),
}


def _split(method: str, kwargs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """How a transaction is to begin, if there is to be one, and the rest."""
    names = _BEGIN.get(method, ())
    begin = {name: value for name, value in kwargs.items() if name in names and value is not False}
    return begin, {name: value for name, value in kwargs.items() if name not in names}


async def through(checkout: Any, method: str, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """
    A call of the pool's that runs on the connection which is borrowed for it, setup included. args: of a transaction its
    statements.
    """
    begin, rest = _split(method, kwargs)
    async with checkout as connection:
        if method != "transaction" and not begin:
            return await getattr(connection, method)(*args, **rest)
        async with connection.transaction(**begin):
            if method != "transaction":
                return await getattr(connection, method)(*args, **rest)
            return [await connection._either(*statement, **rest) for statement in args]


def through_sync(checkout: Any, method: str, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    begin, rest = _split(method, kwargs)
    with checkout as connection:
        if method != "transaction" and not begin:
            return getattr(connection, method)(*args, **rest)
        with connection.transaction(**begin):
            if method != "transaction":
                return getattr(connection, method)(*args, **rest)
            return [connection._either(*statement, **rest) for statement in args]
