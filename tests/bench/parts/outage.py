"""The same outage for each pool: its server is killed, is stopped, or is cut off, and comes back."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import multiprocessing
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any

import asyncpg
import psycopg_pool
import uvloop
import weirpool
from harness import Bench, Figures, Row

TESTS = pathlib.Path(__file__).parents[2]
CALLERS, PAUSE, DEADLINE = 16, 0.01, 1.0  # seconds: between two calls of a caller, and for each call
LASTS, PATIENCE = 5.0, 20.0  # seconds: the outage, and for the recovery
LEAST = 0.001  # of a measure, so that ratios are numbers
SPAWN = multiprocessing.get_context("spawn")
Call = Callable[[], Awaitable[Any]]
Calls = list[tuple[float, float, bool]]
"""When each began and ended, on the clock that all processes have alike, and whether it failed."""

# ---- a server of our own, and a way to it that counts who comes


class Server:
    def __init__(self, folder: str) -> None:
        self.folder = f"{folder}/pg"
        self.url = self("start")

    def __call__(self, action: str) -> str:
        command = ["sh", str(TESTS / "support" / "pg.sh"), action, self.folder]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def proxy_main(port: int, control: Connection) -> None:
    """In a process of its own, so that it takes no time of the callers'."""
    sys.path.append(str(TESTS / "faults"))
    from proxy import Fault, Network

    with Network() as network:
        proxy = network.proxy(("127.0.0.1", port))
        control.send(proxy.port)
        while (command := control.recv()) != "end":
            if command == "cut":
                proxy.otherwise = Fault(silent=True)
                proxy.vanish()
            elif command == "pass":
                proxy.otherwise = Fault()
            control.send(len(proxy.conversations))  # attempts to connect, since the beginning


@contextlib.contextmanager
def way_to(server: Server) -> Iterator[tuple[str, Callable[[str], int]]]:
    """An URL, and what gives commands to the proxy: "cut", "pass" or "count"."""
    start, port = server.url.rsplit(":", 1)
    number, database = port.split("/")
    ours, theirs = SPAWN.Pipe()
    process = SPAWN.Process(target=proxy_main, args=(int(number), theirs))
    process.start()

    def command(text: str) -> int:
        ours.send(text)
        count: int = ours.recv()
        return count

    try:
        yield f"{start}:{ours.recv()}/{database}", command
    finally:
        ours.send("end")
        process.join()


# ---- the pools


@contextlib.asynccontextmanager
async def ours(url: str) -> AsyncIterator[Call]:
    async with weirpool.create_pool(url, min_size=10, max_size=10) as pool:
        yield lambda: pool.fetchval("select 1", timeout=DEADLINE)


@contextlib.asynccontextmanager
async def theirs_asyncpg(url: str) -> AsyncIterator[Call]:
    pool = await asyncpg.create_pool(url, min_size=10, max_size=10)
    try:
        yield lambda: asyncio.wait_for(pool.fetchval("select 1"), DEADLINE)
    finally:
        pool.terminate()


@contextlib.asynccontextmanager
async def theirs_psycopg(url: str) -> AsyncIterator[Call]:
    pool = psycopg_pool.AsyncConnectionPool(url, min_size=10, max_size=10, open=False, kwargs={"autocommit": True})
    await pool.open(wait=True)

    async def call() -> Any:
        async with pool.connection(timeout=DEADLINE) as connection:
            return await (await connection.execute("select 1")).fetchone()

    try:
        yield lambda: asyncio.wait_for(call(), DEADLINE)
    finally:
        with contextlib.suppress(Exception):
            await asyncio.wait_for(pool.close(timeout=1), 10)


SIDES = {"weirpool": ours, "asyncpg": theirs_asyncpg, "psycopg_pool": theirs_psycopg}

# ---- the callers, in a process of their own: there are pools whose process hangs


async def callers(side: str, url: str, parent: Connection) -> Calls:
    """Keeps calling until enough of the calls have been served since the time that the parent sends."""
    calls: Calls = []
    over, ready = False, float("inf")

    async def caller(call: Call) -> None:
        while not over:
            begun, failed = time.perf_counter(), False
            try:
                await call()
            except Exception:
                failed = True
            calls.append((begun, time.perf_counter(), failed))
            await asyncio.sleep(PAUSE)

    async with SIDES[side](url) as call:
        tasks = [asyncio.create_task(caller(call)) for _ in range(CALLERS)]
        parent.send("calling")
        served = 0
        while served < 10 * CALLERS and time.perf_counter() < ready + PATIENCE:
            await asyncio.sleep(0.02)
            if parent.poll():
                ready = parent.recv()
            served = sum(not failed and begun >= ready for begun, _, failed in calls)
        over = True
        await asyncio.gather(*tasks)
    return calls


def callers_main(side: str, url: str, parent: Connection) -> None:
    logging.disable(logging.CRITICAL)  # each of them has much to say of an outage
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        parent.send(runner.run(callers(side, url, parent)))


# ---- one outage


def suffer(server: Server, command: Callable[[str], int], kind: str, lasts: float) -> tuple[float, float, int]:
    """When it began, when the server was ready again, and the attempts to connect meanwhile, in five seconds."""
    before, begin = command("count"), time.perf_counter()
    if kind == "cut off":
        command("cut")
    else:
        server("kill" if kind == "killed" else "pause")
    time.sleep(lasts)
    attempts = command("pass" if kind == "cut off" else "count") - before
    length = time.perf_counter() - begin
    if kind != "cut off":
        server("again" if kind == "killed" else "resume")
    return begin, time.perf_counter(), round(attempts * LASTS / length)


def outage(server: Server, side: str, kind: str, lasts: float) -> Figures:
    with way_to(server) as (url, command):
        ours, theirs = SPAWN.Pipe()
        process = SPAWN.Process(target=callers_main, args=(side, url, theirs))
        process.start()
        ours.recv()
        time.sleep(1)
        begin, ready, attempts = suffer(server, command, kind, lasts)
        ours.send(ready)
        hangs = not ours.poll(PATIENCE + 10)
        calls: Calls = [(begin, ready + PATIENCE, True)] if hangs else ours.recv()
        process.kill()
        process.join()
    failures = [one for one in calls if one[2] and one[1] >= begin]
    first = min((one[1] for one in failures), default=begin)
    refused = [one[1] - one[0] for one in failures if one[0] < ready]
    back = min((one[1] for one in calls if not one[2] and one[0] >= ready), default=ready + PATIENCE)
    figures = {
        "first": first - begin,
        "errors": float(len(failures)),
        "refusal": 1e3 * (statistics.median(refused) if refused else 0),
        "beyond": 1e3 * max(one[1] - one[0] - DEADLINE for one in calls),
        "back": back - ready,
        "last": max((one[1] for one in failures), default=ready) - ready,
        "attempts": float(attempts),
    }
    return {name: max(value, LEAST) for name, value in figures.items()}


# ---- all of them

KINDS = ("killed", "stopped", "cut off")
MEASURES: list[tuple[str, str, str, float | None]] = [  # the last: what is asked of ours
    ("first", "first error after", "s", None),
    ("errors", "errors", "", None),
    ("refusal", "a call that fails takes", "ms", 1),
    ("beyond", "beyond the deadline", "ms", 100),
    ("back", "served again after", "s", 1),
    ("last", "last error after ready", "s", 0.3),
    ("attempts", "attempts to connect in 5 s", "", 40),
]


async def measure(bench: Bench) -> None:
    """16 callers who keep asking, with a deadline of 1 s, while for 5 s (that often --seconds) the server is killed,
    is stopped (SIGSTOP), or answers nobody; then it is back. A process that hangs stands with 20 s."""
    kept: dict[str, dict[str, list[Figures]]] = {kind: {side: [] for side in SIDES} for kind in KINDS}
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder).chmod(0o755)
        server = Server(folder)
        try:
            for _ in range(bench.rounds):
                for kind in KINDS:
                    for side in random.sample(list(SIDES), len(SIDES)):
                        kept[kind][side].append(outage(server, side, kind, LASTS * bench.seconds))
        finally:
            server("stop")
    for kind in KINDS:
        for name, title, unit, limit in MEASURES:
            for peer in ("asyncpg", "psycopg_pool"):
                bench.add(
                    Row("outage", f"{kind}: {title}", peer, name, unit, lower=True, limit=limit,
                        ours=kept[kind]["weirpool"], theirs=kept[kind][peer])
                )  # fmt: skip
