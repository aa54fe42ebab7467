"""How many of ten connections pipelining keeps busy: the right number, how soon, and what sessions see of it.

Three loads of 64 callers: point queries to the server beside; the same 2 ms away (through bench_delay.c); and
one statement in twenty of 5 ms.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass

import peers
import weirpool
from harness import Bench, Figures, Row
from loads import KEYS, POINT, Closed, figures, percentiles
from weirpool._core import _pin_width

from parts.point import caller

CALLERS, WIDTHS = 64, (1, 2, 3, 4, 6, 8, 10)
SLOW = "select pg_sleep(0.005)"


@dataclass(frozen=True)
class Load:
    name: str
    delay_us: int = 0
    slow_every: int = 0


BESIDE, AWAY, MIXED = Load("point"), Load("2 ms away", delay_us=2000), Load("1 in 20 of 5 ms", slow_every=20)


class Delay:
    """The proxy. `host` is the folder of its socket."""

    def __init__(self, program: str, host: str) -> None:
        self.host = host
        self.process = subprocess.Popen([program, host, peers.HOST, str(peers.PORT)], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip
        assert self.process.stdout and self.process.stdout.readline() == "ready\n"

    def set(self, round_trip_us: int) -> None:
        assert self.process.stdin
        self.process.stdin.write(f"{round_trip_us}\n")
        self.process.stdin.flush()


@contextmanager
def proxy(bench: Bench) -> Iterator[Delay]:
    with tempfile.TemporaryDirectory() as folder:
        delay = Delay(bench.paths["delay"], folder)
        try:
            yield delay
        finally:
            delay.process.communicate()


async def call(pool: weirpool.Pool, load: Load, key: int) -> None:
    if load.slow_every and key % load.slow_every == 0:
        await pool.fetchval(SLOW)
    else:
        await pool.fetchval(POINT, key)


def load_caller(pool: weirpool.Pool, load: Load):  # type: ignore[no-untyped-def]
    async def calls(keys: Iterator[int]) -> None:
        for key in keys:
            await call(pool, load, key)

    return calls


# ---- the right number


async def learned(bench: Bench) -> None:
    """The rate with a number that is learnt against the best fixed one's, of ten connections each, in the same
    rounds."""
    for load in (BESIDE, AWAY, MIXED):
        with proxy(bench) as delay:
            delay.set(load.delay_us)
            async with AsyncExitStack() as stack:
                host = delay.host if load.delay_us else peers.HOST
                sides: dict[str, Closed] = {}
                for name, width in (("learned", 0), *((f"fixed {width}", width) for width in WIDTHS)):
                    pool = await stack.enter_async_context(peers.ours(host))
                    _pin_width(pool, width)
                    sides[name] = Closed(load_caller(pool, load), CALLERS, bench.seconds)
                await Closed(sides["learned"].caller, CALLERS, 2)()  # as long as it may take to learn
                kept: dict[str, list[Figures]] = {name: [] for name in sides}
                order, shuffle = list(sides), random.Random(1).shuffle
                for number in range(bench.rounds + 1):
                    shuffle(order)
                    for name in order:
                        result = await sides[name]()
                        if number:
                            kept[name].append(result)
        fixed = (f"fixed {width}" for width in WIDTHS)
        best = max(fixed, key=lambda name: statistics.median(one["rate"] for one in kept[name]))
        ours, theirs = kept["learned"], kept[best]
        bench.add(Row("learning", load.name, best, asked=0.9, ours=ours, theirs=theirs, detail=kept))


# ---- how soon

PHASE, WINDOW, WINDOWS_SEEN = 4.0, 0.05, 4
PHASES = (BESIDE, AWAY, MIXED, BESIDE, MIXED, AWAY, BESIDE)  # each of the six changes once


async def phases(pool: weirpool.Pool, delay: Delay, length: float) -> list[list[float]]:
    """For each phase how many calls were done in each window of it."""
    load, done, over = PHASES[0], 0, False

    async def one(number: int) -> None:
        nonlocal done
        while not over:
            await call(pool, load, KEYS[number % len(KEYS)])
            number += CALLERS
            done += 1

    callers = [asyncio.create_task(one(number)) for number in range(CALLERS)]
    counts: list[list[float]] = []
    for load in PHASES:
        delay.set(load.delay_us)
        counts.append([])
        begun = last = time.perf_counter()
        before = done
        while last < begun + length:
            await asyncio.sleep(WINDOW)
            now = time.perf_counter()
            counts[-1].append((done - before) / (now - last))
            last, before = now, done
    over = True
    await asyncio.gather(*callers)
    return counts


def steady(rates: list[float]) -> float:
    return statistics.median(rates[len(rates) // 2 :])


def times_to_adapt(counts: list[list[float]]) -> list[float]:
    """For each phase, until the mean over 0.2 s first is within 10 % of what the load has had in the best of
    its phases, each phase's second half taken; the phase's length if never."""
    times = []
    for load, rates in zip(PHASES, counts):
        best = max(steady(others) for other, others in zip(PHASES, counts) if other == load)
        means = (statistics.fmean(rates[i : i + WINDOWS_SEEN]) for i in range(len(rates) - WINDOWS_SEEN + 1))
        reached = (i for i, mean in enumerate(means) if mean >= 0.9 * best)
        times.append(next(reached, len(rates)) * WINDOW)
    return times


async def adapting(bench: Bench) -> None:
    """How long after a change of load one pool has the best rate that it reaches; through the proxy."""
    length = PHASE * min(bench.seconds, 1.0)
    with proxy(bench) as delay:
        async with peers.ours(delay.host) as pool:
            kept: list[list[list[float]]] = [await phases(pool, delay, length) for _ in range(bench.rounds)]
    times = [times_to_adapt(counts) for counts in kept]
    for i in range(1, len(PHASES)):
        ours: list[Figures] = [{"seconds": one[i]} for one in times]
        change = f"{PHASES[i - 1].name} -> {PHASES[i].name}"
        detail = {"rates": [one[i] for one in kept]}
        row = Row(
            "adapting", change, measure="seconds", unit="s", lower=True, asked=2, ours=ours, detail=detail
        )
        bench.add(row)


# ---- sessions beside it

PIPELINING, ASKERS = 256, 4


async def grants(bench: Bench) -> None:
    """How long a session is waited for while 256 callers pipeline point queries."""
    async with peers.ours() as pool:

        async def run() -> Figures:
            waits: list[float] = []
            over, calls = False, 0

            async def asker() -> None:
                while not over:
                    begun = time.perf_counter()
                    async with pool.session() as session:
                        waits.append(time.perf_counter() - begun)
                        await session.fetchval(POINT, 1)
                    await asyncio.sleep(0.01)

            def endless() -> Iterator[int]:
                nonlocal calls
                while not over:
                    calls += 1
                    yield KEYS[calls % len(KEYS)]

            shared = endless()
            cpu = time.process_time()
            tasks = [asyncio.create_task(caller(pool)(shared)) for _ in range(PIPELINING)]
            tasks += [asyncio.create_task(asker()) for _ in range(ASKERS)]
            length = 3 * bench.seconds
            await asyncio.sleep(length)
            over = True
            await asyncio.gather(*tasks)
            return {
                **figures(calls, length, time.process_time() - cpu),
                **percentiles(waits),
                "grants": len(waits),
            }

        await bench.alone(
            Row("grants", "p99 of a session's grant", measure="p99_ms", unit="ms", lower=True, asked=20), run
        )
