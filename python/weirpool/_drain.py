"""Draining pools when the process is told to end."""

from __future__ import annotations

import _thread
import asyncio
import logging
import os
import signal
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any

from ._pool import Pool, SyncPool

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

logger = logging.getLogger("weirpool")
# The event loop keeps only weak references to its tasks.
_tasks: set[asyncio.Task[None]] = set()


class _Handler:
    """The handler of SIGTERM: drains the pools, and hands the signal on to the handler that was there before.

    The default action, which ends the process, comes when all pools are drained, or with a second signal.
    """

    def __init__(self, before: Any) -> None:
        self.before = before
        self.process = os.getpid()
        self.begun = False
        # By their pools: with those they go, and the event loops that they hold.
        self.starters: weakref.WeakKeyDictionary[Any, Callable[[Callable[[], None]], None]] = (
            weakref.WeakKeyDictionary()
        )

    def __call__(self, number: int, frame: FrameType | None) -> None:
        again, self.begun = self.begun, True
        ours = os.getpid() == self.process  # in a forked child the pools are the parent's
        starters = list(self.starters.values())
        if ours and not again:
            self.left = set(starters)
            for start in starters:
                try:
                    start(lambda start=start: self.drained(start))  # type: ignore[misc]
                except RuntimeError:  # the loop has just been closed, or there are to be no more threads
                    self.drained(start)
        if callable(self.before):
            self.before(number, frame)
        elif self.before is signal.SIG_DFL and (again or not ours or not starters):
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    def drained(self, start: Callable[[Callable[[], None]], None]) -> None:
        self.left.discard(start)
        if self.left or self.before is not signal.SIG_DFL:
            return
        # Handlers run in the main thread alone: this gets it out of whatever it waits in. Again and again, since
        # a signal that comes right before such a wait does not end it.
        main: int = threading.main_thread().ident  # type: ignore[assignment]
        signal.pthread_kill(main, signal.SIGTERM)
        while threading.get_ident() != main:
            time.sleep(0.1)
            signal.pthread_kill(main, signal.SIGTERM)


def _in_loop(pool: weakref.ref[Pool], grace: Any) -> Callable[[Callable[[], None]], None]:
    loop = asyncio.get_running_loop()

    async def drain(done: Callable[[], None]) -> None:
        try:
            if target := pool():
                await target.drain(grace=grace)
        except Exception:
            logger.exception("draining a pool at SIGTERM has failed")
        done()  # not when it is cancelled: the program ends by itself then

    def create(done: Callable[[], None]) -> None:
        task = loop.create_task(drain(done))
        _tasks.add(task)
        task.add_done_callback(_tasks.discard)

    def start(done: Callable[[], None]) -> None:
        if loop.is_running():
            loop.call_soon_threadsafe(create, done)
        else:
            done()

    return start


def _in_thread(pool: weakref.ref[SyncPool], grace: Any) -> Callable[[Callable[[], None]], None]:
    def drain(done: Callable[[], None]) -> None:
        try:
            if target := pool():
                target.drain(grace=grace)
        except Exception:
            logger.exception("draining a pool at SIGTERM has failed")
        done()

    def start(done: Callable[[], None]) -> None:
        # A thread, since the main one may hold what the drain waits for. Not threading's: starting that takes
        # locks that the code may hold into which the signal has come.
        _thread.start_new_thread(drain, (done,))

    return start


def drain_on_sigterm(
    pool: Pool | SyncPool,
    *,
    grace: float | None = ...,  # type: ignore[assignment]
) -> None:
    """Has the pool drained when the process gets SIGTERM; see help(pool.drain).

    Called in the main thread, for a pool of asyncio in its running loop, after whatever else handles SIGTERM has
    been set up (loop.add_signal_handler() among it). The handler that was there before is called, too, at once. Where
    that is the default action, the process ends by it, but only when all such pools are drained, or with a second
    SIGTERM. The pool is not kept alive by this, and forked processes drain nothing.

    grace: seconds, as for drain(); omitted is the option close_timeout.
    """
    if isinstance(pool, Pool):
        start = _in_loop(weakref.ref(pool), grace)
    elif isinstance(pool, SyncPool):
        start = _in_thread(weakref.ref(pool), grace)
    else:
        raise TypeError(f"a Pool or SyncPool is wanted, not {type(pool).__name__}")
    pool._check_grace(grace)  # type: ignore[union-attr]
    handler = signal.getsignal(signal.SIGTERM)
    if handler is None:
        raise RuntimeError("SIGTERM has a handler that Python knows nothing of, and cannot call")
    if not isinstance(handler, _Handler) or handler.process != os.getpid():  # a parent's drains nothing here
        handler = _Handler(handler.before if isinstance(handler, _Handler) else handler)
        signal.signal(signal.SIGTERM, handler)
    handler.starters[pool] = start
