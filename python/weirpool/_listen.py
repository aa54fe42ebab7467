"""pool.listen(), and what it gives. The steps themselves are the core's."""

from __future__ import annotations

import warnings
from collections.abc import Generator
from types import TracebackType
from typing import Any, NamedTuple

from . import _core
from .errors import InterfaceError, SessionClosed


class Notification(NamedTuple):
    """What NOTIFY has sent."""

    channel: str
    """The name that was listened on."""
    payload: str
    """"" when there was none."""
    pid: int
    """The process id of the session that has notified, as pg_stat_activity has it."""


class Gap(NamedTuple):
    """Notifications from before this point may be missing; those after it are complete, up to the next Gap."""

    reconnected: int
    """So often the connection was lost and made anew; what was notified meanwhile nobody has."""
    dropped: int
    """So many came when max_queued of them were waiting to be taken."""


class Notice(NamedTuple):
    """What the server says beside its answers, as RAISE NOTICE has it do."""

    severity: str
    """NOTICE, WARNING, INFO, LOG or DEBUG."""
    sqlstate: str | None
    """Five characters, such as "01000"."""
    message: str
    """What it says."""
    detail: str | None
    """A second line to the message."""
    hint: str | None
    """What may help."""
    where: str | None
    """The context, such as the lines of functions."""


class _Listener:
    """What both kinds have alike."""

    __slots__ = ("__weakref__", "_closed", "_number", "_pool", "_wish")

    def __init__(
        self, pool: object, channels: tuple[object, ...], max_queued: object, heartbeat: object
    ) -> None:
        self._pool: Any = pool
        self._wish = (channels, max_queued, heartbeat)
        self._number: int | None = None
        self._closed = False

    @property
    def closed(self) -> bool:
        """True once close() has been called, or opening has failed; closing the pool ends its listeners, too."""
        return self._closed or self._pool.closed

    def close(self) -> None:
        """Ends it, without waiting: loops over it end, get() raises SessionClosed. Twice is no error."""
        self._closed = True
        if self._number is not None:
            self._pool._listener_close(self._number)

    def _begin(self) -> int:
        if self._number is not None or self._closed:
            raise RuntimeError("this listener has been opened before; make a new one")
        number: int = self._pool._listen(*self._wish)
        self._number = number
        return number

    def _opened(self) -> int:
        if self._number is None:
            raise InterfaceError("the listener has not been opened: use `with`, or `async with`")
        return self._number

    def _take(self) -> Notification | Gap | None:
        given = self._pool._listener_take(self._opened())
        if given is None:
            return None
        return Notification(*given) if len(given) == 3 else Gap(*given)

    def __del__(self) -> None:
        if self._number is not None and self._pool._listener_close(self._number):
            warnings.warn(f"a listener of {self._pool!r} was not closed", ResourceWarning, source=self)

    def __repr__(self) -> str:
        state = "closed" if self.closed else "not open" if self._number is None else "open"
        return f"<{type(self).__name__} of {self._pool!r} {state}>"


class Listener(_Listener):
    """A connection that LISTENs, for asyncio; made by Pool.listen().

    `async with` opens and closes it; `await` opens it, and close() is yours. It is open when the server has
    confirmed that it listens; ConnectError and its like when the first attempt to connect has failed.
    """

    __slots__ = ()

    async def _open(self) -> Listener:
        number = self._begin()
        try:
            await self._pool._listener_confirm(number)
        except BaseException:
            self.close()
            raise
        return self

    def __await__(self) -> Generator[object, None, Listener]:
        return self._open().__await__()

    async def __aenter__(self) -> Listener:
        return await self._open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    async def add(self, channel: str) -> None:
        """Listens on that channel, too, and returns when the server has confirmed it.

        When that fails (ConnectError, ConnectionLost), or is cancelled, the channel is among the listener's all
        the same, and is listened on as soon as there is a connection; unless the server itself has refused it.
        """
        self._pool._listener_change(self._opened(), channel, True)
        await self._pool._listener_confirm(self._number)

    async def remove(self, channel: str) -> None:
        """No longer listens on that channel; what has come on it is still given out. Otherwise as add()."""
        self._pool._listener_change(self._opened(), channel, False)
        await self._pool._listener_confirm(self._number)

    async def get(self, *, timeout: float | None = None) -> Notification | Gap:
        """Waits for the next notification, or gap, and gives it. One task at a time.

        timeout: seconds; PoolTimeout, a TimeoutError, when none has come. What a cancelled get() would have
        given the next one gives. PoolClosed; SessionClosed after close().
        """
        clock = _core._Retry(0, timeout)  # type: ignore[attr-defined]
        while (given := self._take()) is None:
            await self._pool._listener_wait(self._number, clock.left())
        return given

    def __aiter__(self) -> Listener:
        return self

    async def __anext__(self) -> Notification | Gap:
        try:
            return await self.get()
        except SessionClosed:
            raise StopAsyncIteration from None


class SyncListener(_Listener):
    """A connection that LISTENs, whose calls block; made by SyncPool.listen().

    `with` opens and closes it. It is open when the server has confirmed that it listens; ConnectError and its
    like when the first attempt to connect has failed. It reads while a thread waits in get(), or in any other
    call of the pool.
    """

    __slots__ = ()

    def __enter__(self) -> SyncListener:
        number = self._begin()
        try:
            self._pool._listener_confirm(number)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def add(self, channel: str) -> None:
        """As Listener.add()."""
        self._pool._listener_change(self._opened(), channel, True)
        self._pool._listener_confirm(self._number)

    def remove(self, channel: str) -> None:
        """As Listener.remove()."""
        self._pool._listener_change(self._opened(), channel, False)
        self._pool._listener_confirm(self._number)

    def get(self, *, timeout: float | None = None) -> Notification | Gap:
        """As Listener.get(); one thread at a time."""
        clock = _core._Retry(0, timeout)  # type: ignore[attr-defined]
        while (given := self._take()) is None:
            self._pool._listener_wait(self._number, clock.left())
        return given

    def __iter__(self) -> SyncListener:
        return self

    def __next__(self) -> Notification | Gap:
        try:
            return self.get()
        except SessionClosed:
            raise StopIteration from None
