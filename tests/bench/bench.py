"""Weirpool beside asyncpg, psycopg 3, tokio-postgres, pgbench and aiosqlite: one run, one table.

    sh tests/bench/run.sh [--wheel FILE | --tree] [--quick] [--rounds N] [--seconds S] [--json FILE] [part]

run.sh starts a PostgreSQL of its own (pgbench tables, scale 10, no fsync; all connect through its Unix
socket), installs the package and the newest peers, builds the programs and runs this. On a row, weirpool and
its peer run in turn, each for --seconds, --rounds times after a warm-up; the one that begins changes. Shown
are medians of the rounds with the least and the greatest, the median of the rounds' ratios, what is asked of
it, and this process' CPU a call.

Both sides make the same calls from the same Python, on uvloop, on ten connections that are open and have the
statement prepared; psycopg is in autocommit, so that it pays no BEGIN and COMMIT.

Parts, all of them when none is named:

{parts}
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import sqlite3
import subprocess
import textwrap
from importlib import metadata

import aiosqlite
import asyncpg
import harness
import peers
import psycopg
import psycopg_pool
import uvloop
import weirpool
from parts import PARTS

QUICK = {"rounds": 1, "seconds": 0.2}
PROGRAMS = ("core", "histogram", "breaker", "metrics", "delay", "tokio", "no-tokio")


def parts_text() -> str:
    width = max(map(len, PARTS))
    lines = (f"{name:<{width}}  {' '.join((part.__doc__ or '').split())}" for name, part in PARTS.items())
    return "\n".join(
        textwrap.fill(line, 110, initial_indent="    ", subsequent_indent=" " * (width + 6)) for line in lines
    )


def processor() -> str:
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    return names[0] if names else platform.machine()


def said_by(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def versions(arguments: argparse.Namespace) -> dict[str, str]:
    tokio = arguments.tokio_version or "not built"
    return {
        "weirpool": f"{weirpool.__version__} ({arguments.package})",
        "its libpq": libpq(weirpool.libpq_version()),
        "its SQLite": weirpool.sqlite_version(),
        "CPython": platform.python_version(),
        "uvloop": metadata.version("uvloop"),
        "server": said_by("psql", "-XAtc", "show server_version", peers.url()),
        "asyncpg": asyncpg.__version__,
        "psycopg": f"{psycopg.__version__} ({psycopg.pq.__impl__}, libpq {libpq(psycopg.pq.version())})",
        "psycopg_pool": psycopg_pool.__version__,
        "aiosqlite": f"{aiosqlite.__version__} (SQLite {sqlite3.sqlite_version})",
        "tokio-postgres": tokio,
        "pgbench": said_by("pgbench", "--version").split(" ")[2],
        "kernel": platform.release(),
        "CPU": f"{os.cpu_count()} x {processor()}",
        "load average": ", ".join(f"{load:.2f}" for load in os.getloadavg()),
    }


def libpq(version: int) -> str:
    return f"{version // 10000}.{version % 10000}"


def parse() -> argparse.Namespace:
    description = (__doc__ or "").format(parts=parts_text())
    parser = argparse.ArgumentParser("run.sh", description=description,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("parts", nargs="*", metavar="part", help="of the above")
    parser.add_argument("--rounds", type=int, help="that count (7)")
    parser.add_argument(
        "--seconds", type=float, help="of a side's run in a round (1.0); some parts take a multiple"
    )
    parser.add_argument(
        "--quick", action="store_true", help="1 round of 0.2 s: does it work? The figures mean nothing"
    )
    parser.add_argument(
        "--json", metavar="FILE", default="bench.json", help="for the raw figures (build/bench.json)"
    )
    for name in ("package", *PROGRAMS, "tokio-version"):  # run.sh gives these
        parser.add_argument(f"--{name}", default="", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    unknown = [name for name in arguments.parts if name not in PARTS]
    if unknown:
        parser.error(f"no part is called {', '.join(unknown)}; there are {', '.join(PARTS)}")
    return arguments


async def measure(bench: harness.Bench, parts: list[str]) -> None:
    for name in parts:
        await PARTS[name](bench)


def main() -> None:
    arguments = parse()
    known = versions(arguments)
    preset = QUICK if arguments.quick else {"rounds": 7, "seconds": 1.0}
    bench = harness.Bench(
        rounds=int(arguments.rounds or preset["rounds"]), seconds=arguments.seconds or preset["seconds"],
        paths={name: vars(arguments)[name.replace("-", "_")] for name in PROGRAMS},
    )  # fmt: skip
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    try:
        asyncio.run(measure(bench, arguments.parts or list(PARTS)))
    finally:
        bench.keep(arguments.json, known)
    for name, version in known.items():
        print(f"{name + ':':<16}{version}")
    print(f"{'rounds:':<16}{bench.rounds} of {bench.seconds:g} s a side; raw figures in {arguments.json}")
    print("quick: the figures mean nothing\n" if arguments.quick else "")
    print("\n".join(harness.table(bench.rows)))


if __name__ == "__main__":
    main()
