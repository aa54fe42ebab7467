"""The load generators: as little Python a call as there can be, and the same for both sides."""

from __future__ import annotations

import asyncio
import ctypes
import os
import random
import struct
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from itertools import cycle, islice
from typing import Any

from harness import Figures

POINT = "select abalance from pgbench_accounts where aid=$1"
ACCOUNTS = 1_000_000
KEYS = random.Random(1).choices(range(1, ACCOUNTS + 1), k=200_000)


def keys(count: int) -> Iterator[int]:
    return islice(cycle(KEYS), count)


def figures(calls: int, wall: float, cpu: float) -> Figures:
    return {"rate": calls / wall, "cpu_us": cpu / calls * 1e6, "calls": calls}


class Closed:
    """A number of callers, each of which awaits one call after another, as fast as they come.

    `caller` gets an iterator of keys, shared by all callers, and makes a call for each. Each side makes
    as many calls as take it the wanted time, which its first run finds out: no clock is read between calls.
    """

    def __init__(
        self, caller: Callable[[Iterator[int]], Awaitable[None]], callers: int, seconds: float
    ) -> None:
        self.caller, self.callers, self.seconds, self.calls = caller, callers, seconds, 0

    async def __call__(self) -> Figures:
        if not self.calls:
            rate = (await self.run(max(2 * self.callers, 20)))["rate"]
            rate = (await self.run(self.enough(rate * self.seconds / 4)))["rate"]
            self.calls = self.enough(rate * self.seconds)
        return await self.run(self.calls)

    def enough(self, calls: float) -> int:
        return max(int(calls), 2 * self.callers, 20)

    async def run(self, calls: int) -> Figures:
        shared = keys(calls)
        wall, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(self.caller(shared) for _ in range(self.callers)))
        return figures(calls, time.perf_counter() - wall, time.process_time() - cpu)


class Threads(Closed):
    """The same with blocking calls, each caller a thread."""

    def __init__(self, caller: Callable[[Iterator[int]], None], callers: int, seconds: float) -> None:
        super().__init__(caller, callers, seconds)  # type: ignore[arg-type]

    async def run(self, calls: int) -> Figures:
        shared = keys(calls)
        threads = [threading.Thread(target=self.caller, args=(shared,)) for _ in range(self.callers)]
        wall, cpu = time.perf_counter(), time.process_time()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return figures(calls, time.perf_counter() - wall, time.process_time() - cpu)


class Ticker:
    """A descriptor that is readable `rate` times a second: event loops' own timers have milliseconds."""

    def __init__(self, rate: float) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self.fd = libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        period = int(1e9 / rate)
        times = struct.pack("@4l", 0, period, 0, period)
        if self.fd < 0 or libc.timerfd_settime(self.fd, 0, times, None) < 0:
            raise OSError(ctypes.get_errno(), "timerfd")

    def ticks(self) -> int:
        return int(struct.unpack("@Q", os.read(self.fd, 8))[0])

    def close(self) -> None:
        os.close(self.fd)


class Open:
    """Calls that are due at fixed times, made by the first of a number of callers that is free.

    `call` gets the number of the call; those that it says it counts (a true result) have their latency taken,
    from the time at which the call was due.
    """

    def __init__(self, call: Callable[[int], Awaitable[Any]], callers: int, rate: float, calls: int) -> None:
        self.call, self.callers, self.rate, self.calls = call, callers, rate, calls

    async def __call__(self) -> Figures:
        loop, ticker = asyncio.get_running_loop(), Ticker(self.rate)
        due: deque[int] = deque()
        free: deque[asyncio.Future[None]] = deque()
        latencies: list[float] = []
        begun, made = time.perf_counter(), 0

        def tick() -> None:
            nonlocal made
            for _ in range(min(ticker.ticks(), self.calls - made)):
                made += 1
                due.append(made)
                if free:
                    free.popleft().set_result(None)
            if made == self.calls:
                loop.remove_reader(ticker.fd)
                while free:
                    free.popleft().set_result(None)

        async def caller() -> None:
            while due or made < self.calls:
                if not due:
                    free.append(loop.create_future())
                    await free[-1]
                    continue
                which = due.popleft()
                if await self.call(which):
                    latencies.append(time.perf_counter() - begun - which / self.rate)

        loop.add_reader(ticker.fd, tick)
        cpu = time.process_time()
        await asyncio.gather(*(caller() for _ in range(self.callers)))
        wall, cpu = time.perf_counter() - begun, time.process_time() - cpu
        ticker.close()
        return {**figures(self.calls, wall, cpu), **percentiles(latencies)}


def percentiles(latencies: list[float]) -> Figures:
    latencies.sort()
    return {
        f"p{n}_ms": latencies[min(int(len(latencies) * n / 100), len(latencies) - 1)] * 1e3
        for n in (50, 90, 99)
    }
