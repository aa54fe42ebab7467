"""What the C code has Python do: hooks of the user, and log lines."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from ._listen import Notice

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable

    from . import Connection, Pool, SyncConnection, SyncPool

logger = logging.getLogger("weirpool")
# The event loop keeps only weak references to its tasks.
_tasks: set[asyncio.Task[None]] = set()


def log(level: int, line: str) -> None:
    logger.log(level, line)


def wants_debug() -> bool:
    return logger.isEnabledFor(logging.DEBUG)


def notice(hook: Callable[[Notice], object], fields: tuple[Any, ...]) -> None:
    """What the server said on a connection of the pool."""
    try:
        hook(Notice(*fields))
    except Exception:
        logger.exception("the hook on_notice has failed")


def start_init(
    loop: asyncio.AbstractEventLoop, init: Callable[[Connection], Awaitable[object]], connection: Connection
) -> None:
    """A new connection of an asynchronous pool: its init hook runs as a task."""
    task = loop.create_task(_init(init, connection))
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)


async def _init(init: Callable[[Connection], Awaitable[object]], connection: Connection) -> None:
    try:
        await init(connection)
    except Exception:
        connection.discard()
        logger.exception("the init hook has failed; its connection is closed")
    except BaseException:
        connection.discard()
        raise
    else:
        connection.release()


def run_init(init: Callable[[SyncConnection], object], connection: SyncConnection) -> None:
    """A new connection of a blocking pool."""
    try:
        init(connection)
    except Exception:
        connection.discard()
        logger.exception("the init hook has failed; its connection is closed")
    except BaseException:
        connection.discard()
        raise
    else:
        connection.release()


def limits(kwargs: dict[str, Any]) -> tuple[dict[str, Any], float | None]:
    """A statement's time-out bounds waiting and running together: what the checkout may take, and when it ends."""
    timeout = kwargs.get("timeout")
    checkout = {"checkout_timeout": timeout} if "timeout" in kwargs else {}
    if isinstance(timeout, (int, float)):
        return checkout, time.monotonic() + timeout
    return checkout, None  # none, or something that the checkout refuses


def left(kwargs: dict[str, Any], end: float | None) -> dict[str, Any]:
    return kwargs if end is None else {**kwargs, "timeout": max(end - time.monotonic(), 0.001)}


def _split(kwargs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """How a transaction is to begin, and the rest."""
    begin = {name: value for name, value in kwargs.items() if name != "timeout"}
    return begin, {name: value for name, value in kwargs.items() if name == "timeout"}


def _statement(item: Any) -> Any:
    return (item,) if isinstance(item, str) else item


async def through(pool: Pool, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A statement of a pool with a setup hook: it runs on a connection that was checked out."""
    checkout, end = limits(kwargs)
    async with pool.connection(**checkout) as connection:
        if method != "transaction":
            return await getattr(connection, method)(*args, **left(kwargs, end))
        begin, rest = _split(kwargs)
        async with connection.transaction(**begin):
            return [await connection._either(*_statement(item), **left(rest, end)) for item in args[0]]


def through_sync(pool: SyncPool, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    checkout, end = limits(kwargs)
    with pool.connection(**checkout) as connection:
        if method != "transaction":
            return getattr(connection, method)(*args, **left(kwargs, end))
        begin, rest = _split(kwargs)
        with connection.transaction(**begin):
            return [connection._either(*_statement(item), **left(rest, end)) for item in args[0]]
