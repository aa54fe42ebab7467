"""Point queries: one row of pgbench_accounts by its primary key."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import peers
import weirpool
from harness import Bench, Figures, Row, Side, absent, takes
from loads import POINT, Closed, Threads


def caller(pool: Any) -> Any:
    async def calls(keys: Iterator[int]) -> None:
        fetchval = pool.fetchval
        for key in keys:
            await fetchval(POINT, key)

    return calls


def readonly_caller(pool: weirpool.Pool) -> Any:
    async def calls(keys: Iterator[int]) -> None:
        fetchval: Any = pool.fetchval
        for key in keys:
            await fetchval(POINT, key, readonly=True)

    return calls


def has_readonly() -> bool:
    return takes(weirpool.Pool.fetchval, "readonly")


async def beside_asyncpg(
    bench: Bench, part: str, title: str, calls: Any, wanted: dict[int, float], **options: Any
) -> None:
    """Calls on a pool with these options against asyncpg's fetchval, for each number of callers."""
    async with peers.ours(**options) as ours, peers.asyncpg_pool() as theirs:
        for callers, asked in wanted.items():
            row = Row(part, f"{title}, {callers} callers", "asyncpg", asked=asked)
            await bench.compare(row, Closed(calls(ours), callers, bench.seconds),
                                Closed(caller(theirs), callers, bench.seconds))  # fmt: skip


async def measure(bench: Bench) -> None:
    """pool.fetchval, each with a Sync of its own, against asyncpg's."""
    await beside_asyncpg(bench, "point", "fetchval", caller, {1: 2.2, 16: 5, 64: 9, 256: 11})


async def alone(bench: Bench) -> None:
    """pool.fetchval with the option pipeline=False, one statement a connection at a time, against asyncpg's."""
    await beside_asyncpg(bench, "alone", "fetchval, pipeline off", caller, {1: 2, 16: 3}, pipeline=False)


async def readonly(bench: Bench) -> None:
    """pool.fetchval(readonly=True), whose Syncs may be shared, against asyncpg's fetchval."""
    if not has_readonly():
        bench.add(absent("readonly", "fetchval, readonly=True", "not built: fetchval() has no readonly"))
        return
    await beside_asyncpg(
        bench, "readonly", "fetchval readonly", readonly_caller, {1: 2.2, 16: 7, 64: 11, 256: 13}
    )


# ---- programs


def run(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


async def tokio(bench: Bench) -> None:
    """pool.fetchval, each with a Sync of its own, against Rust: ten pipelined connections on one thread."""
    program = bench.paths.get("tokio")
    if not program:
        bench.add(absent("tokio", "fetchval", f"not measured: {bench.paths['no-tokio']}"))
        return
    async with peers.ours() as ours:
        for callers in (16, 64, 256):
            command = [program, peers.HOST, str(peers.PORT), str(callers), str(bench.seconds)]

            async def theirs(command: list[str] = command) -> Figures:
                return json.loads(run(command))  # type: ignore[no-any-return]

            row = Row("tokio", f"fetchval, {callers} callers", "tokio-postgres", asked=0.9)
            await bench.compare(row, Closed(caller(ours), callers, bench.seconds), theirs)


PIPELINE = 8


def pgbench_side(script: str, seconds: float) -> Side:
    whole = max(1, round(seconds))  # pgbench knows no others
    options = f"-n -M prepared -c 10 -j 1 -s 10 -T {whole} -U postgres -h {peers.HOST} -p {peers.PORT}"
    command = ["pgbench", *options.split(), "-f", script, "bench"]

    async def side() -> Figures:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        wall = time.perf_counter()
        said = run(command)
        wall = time.perf_counter() - wall
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        found = re.search(r"tps = ([0-9.]+)", said)
        assert found, said
        rate = float(found.group(1)) * PIPELINE
        return {"rate": rate, "cpu_us": cpu / (rate * wall) * 1e6}

    return side


async def pgbench(bench: Bench) -> None:
    """pool.fetchval(readonly=True) of 256 callers, queries a second, against pgbench's own pipelines of 8."""
    title = "fetchval readonly, 256 callers"
    if not has_readonly():
        bench.add(absent("pgbench", title, "not built: fetchval() has no readonly"))
        return
    query = f"\\set aid random(1, 100000 * :scale)\n{POINT.replace('$1', ':aid')};\n"
    with tempfile.NamedTemporaryFile("w", suffix=".sql", dir=os.environ.get("TMPDIR")) as script:
        script.write("\\startpipeline\n" + query * PIPELINE + "\\endpipeline\n")
        script.flush()
        async with peers.ours() as ours:
            row = Row("pgbench", title, "pgbench, pipelines of 8", asked=0.7)
            await bench.compare(row, Closed(readonly_caller(ours), 256, bench.seconds),
                                pgbench_side(script.name, bench.seconds))  # fmt: skip


# ---- threads


async def threads(bench: Bench) -> None:
    """The blocking pool's fetchval against psycopg 3's pool: connection(), execute(), fetchone()."""
    text = POINT.replace("$1", "%s")
    ours, theirs = peers.ours_sync(), peers.psycopg_sync()

    def our_calls(keys: Iterator[int]) -> None:
        fetchval = ours.fetchval
        for key in keys:
            fetchval(POINT, key)

    def their_calls(keys: Iterator[int]) -> None:
        connection = theirs.connection
        for key in keys:
            with connection() as lent:
                lent.execute(text, (key,), binary=True).fetchone()[0]

    with ours, theirs:
        for callers, asked in ((1, 1.5), (8, 2)):
            row = Row("threads", f"blocking fetchval, {callers} threads", "psycopg", asked=asked)
            await bench.compare(row, Threads(our_calls, callers, bench.seconds),
                                Threads(their_calls, callers, bench.seconds))  # fmt: skip
