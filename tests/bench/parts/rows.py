"""Results of many rows or large values: what decoding costs.

The five SELECTs are those of MagicStack's pgbench. As there, ten callers, each on a connection of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import peers
from harness import Bench, Row, geometric_mean
from loads import Closed

CALLERS = 10
SETUP = """
drop table if exists bench_mixed, bench_bytes, bench_arrays, bench_large;
create table bench_mixed as select i, i * 7::bigint as big, i / 7.0::float8 as real, 'name ' || i as name,
  i % 2 = 0 as flag, timestamptz '2024-01-01 00:00+00' + i * interval '1 hour' as at
  from generate_series(1, 1000) i;
create table bench_bytes as select repeat('a', 1000)::bytea as b from generate_series(1, 100);
create table bench_arrays as
  select (select array_agg(i) from generate_series(1, 100) i) as a from generate_series(1, 100);
create table bench_large (b bytea);
alter table bench_large alter b set storage external;
insert into bench_large select string_agg(sha512(i::text::bytea), '') from generate_series(1, 16384) i;
analyze;
"""
PG_TYPE = """select typname, typnamespace, typowner, typlen, typbyval, typcategory, typispreferred,
 typisdefined, typdelim, typrelid, typelem, typarray from pg_type
 where typtypmod = $1 and typisdefined = $2"""
# what, statement, parameters, asked of asyncpg, one of the five
QUERIES: list[tuple[str, str, tuple[Any, ...], float, bool]] = [
    ("1,000 rows of 6 mixed columns", "select * from bench_mixed", (), 1.3, False),
    ("10,000 integers", "select i from generate_series(1, $1::int) i", (10_000,), 1.3, False),
    ("an array of 100 integers", "select a from bench_arrays limit 1", (), 1.3, False),
    ("five: pg_type", PG_TYPE, (-1, True), 1.3, True),
    ("five: 1,000 integers", "select i from generate_series(1, $1::int) i", (1000,), 1.3, True),
    ("five: 100 bytea of 1 kB", "select * from bench_bytes", (), 1.3, True),
    ("five: 100 arrays of 100", "select * from bench_arrays", (), 1.3, True),
    ("five: 1 + 1", "select 1 + 1", (), 1.3, True),
    ("bytea of 1 MB", "select b from bench_large", (), 1.1, False),
]


def caller(pool: Any, sql: str, arguments: tuple[Any, ...]) -> Any:
    async def calls(keys: Iterator[int]) -> None:
        fetch = pool.fetch
        for _ in keys:
            await fetch(sql, *arguments)

    return calls


def psycopg_caller(pool: Any, sql: str, arguments: tuple[Any, ...]) -> Any:
    sql = re.sub(r"\$\d", "%s", sql)

    async def calls(keys: Iterator[int]) -> None:
        for _ in keys:
            async with pool.connection() as lent:
                cursor = await lent.execute(sql, arguments, binary=True)
                await cursor.fetchall()

    return calls


async def measure(bench: Bench) -> None:
    """pool.fetch against asyncpg's, and against psycopg's binary rows from its pool."""
    async with peers.ours(size=1) as admin:
        for statement in filter(str.strip, SETUP.split(";")):
            await admin.execute(statement)
    against_asyncpg: list[Row] = []
    async with peers.ours() as ours, peers.asyncpg_pool() as apg, peers.psycopg_async() as psycopg:
        for title, sql, arguments, asked, _ in QUERIES:
            mine = Closed(caller(ours, sql, arguments), CALLERS, bench.seconds)
            theirs = Closed(caller(apg, sql, arguments), CALLERS, bench.seconds)
            row = Row("rows", title, "asyncpg", asked=asked)
            against_asyncpg.append(await bench.compare(row, mine, theirs))
            theirs = Closed(psycopg_caller(psycopg, sql, arguments), CALLERS, bench.seconds)
            await bench.compare(Row("rows", title, "psycopg", asked=0.95), mine, theirs)
    five = [row for row, query in zip(against_asyncpg, QUERIES) if query[4]]
    bench.add(geometric_mean("rows", "geometric mean of the five", "asyncpg", five, 1.5))
    bench.add(geometric_mean("rows", "geometric mean of all", "asyncpg", against_asyncpg, 1.5))
