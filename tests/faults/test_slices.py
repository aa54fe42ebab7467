"""Bytes that come one at a time: the results are the same."""

import asyncio
import datetime
import decimal
import re
import uuid

import pytest
import weirpool
from proxy import Fault
from support import LOOPS, no_warnings

VALUES = [
    ("bigint", -(2**63)),
    ("text", "wéir\n" * 20),
    ("bytea", bytes(range(256))),
    ("numeric", decimal.Decimal("-12345678901234567890.12345678900")),
    ("timestamptz", datetime.datetime(2024, 2, 29, 12, tzinfo=datetime.timezone.utc)),
    ("uuid", uuid.UUID(int=1)),
    ("float8", 0.1),
    ("bool", True),
    ("int[]", [[1, None], [3, 4]]),
    ("text", None),
    ("jsonb", '{"a": 1}'),
]
WRONG = [
    "selec 1",
    "select * from no_such_table",
    "select 1/0",
    "select 'x'::int",
    "insert into t values (1, 'again')",
    "do $$ begin raise exception 'with detail' using detail = 'the detail', hint = 'the hint'; end $$",
]


async def outcome(coroutine):
    try:
        answer = await coroutine
        return [tuple(row.items()) for row in answer] if isinstance(answer, list) else answer
    except weirpool.Error as error:
        text = re.sub(r"\d+ ms", "… ms", str(error))
        return type(error).__name__, text, error.sqlstate, error.retryable


async def values(pool):
    for _ in range(2):  # learning the types, and knowing them
        for kind, value in VALUES:
            yield await outcome(pool.fetch(f"select $1::{kind} as v, pg_typeof($1::{kind})::text", value))


async def wrong(pool):
    for text in WRONG:
        yield await outcome(pool.execute(text))
    async with pool.connection() as connection:
        for text in WRONG:
            yield await outcome(connection.execute(text))


async def transaction(pool):
    async with pool.session() as session:
        yield await outcome(session.execute("insert into t values (10, 'kept')"))
        try:
            async with session.transaction():
                yield await outcome(session.execute("insert into t values (11, 'not kept')"))
                await session.execute("insert into t values (10, 'twice')")
        except weirpool.IntegrityError as error:
            yield str(error)
        async with session.transaction():
            yield await outcome(session.execute("insert into t values (12, 'kept')"))
        yield session.info["depth"]


async def volume(pool):
    yield await outcome(
        pool.executemany("insert into t values ($1, $2)", [(n, "x" * n) for n in range(100, 150)])
    )
    yield await outcome(pool.fetch("select * from t order by a"))
    yield await outcome(pool.fetch("select repeat(n::text, 5000) as big from generate_series(1, 4) n"))
    yield await outcome(pool.fetchval("select length($1::text)", "y" * 20_000))


async def cancelled(pool):
    yield await outcome(pool.fetchval("select pg_sleep(60)", timeout=0.2))
    yield await outcome(pool.fetchval("select 2"))
    async with pool.connection() as connection:
        yield await outcome(connection.fetchval("select pg_sleep(60)", timeout=0.2))
        yield await outcome(connection.fetchval("select 3"))
        yield await outcome(connection.execute("set work_mem = '1MB'"))
    yield await outcome(pool.fetchval("show work_mem"))
    yield await outcome(pool.execute("do $$ begin raise notice 'note'; perform pg_notify('c', 'x'); end $$"))


async def whole(pool):
    """Transactions in one go, and pipelines."""
    insert = "insert into t values ($1, 'kept') returning a"
    for first in (200, 210):
        yield await outcome(of_each(pool.transaction([(insert, first), ("select $1::text", "x" * 300)])))
        yield await outcome(of_each(pool.transaction([(insert, first + 1), (insert, first)])))
        async with pool.session() as session:
            async with session.pipeline():
                answers = [session.fetchval("select $1::bigint", n) for n in range(5)]
                answers.append(session.execute(insert, first + 2))
            yield [await outcome(answer) for answer in answers]
        async with pool.connection() as connection, connection.pipeline():
            answers = [connection.fetchval("select 1 / $1::bigint", n % 3) for n in range(6)]
            yield [await outcome(answer) for answer in answers]


async def of_each(coroutine):
    return tuple(tuple(tuple(row.items()) for row in rows) for rows in await coroutine)


async def pieces(pool):
    """Streams, COPY and scripts."""
    async with pool.session() as session:
        yield [
            tuple(r)
            async for r in session.stream(
                "select i, repeat('z', i) from generate_series(1, 40) i", prefetch=7
            )
        ]
    yield await outcome(pool.copy_in("copy t (a) from stdin", b"".join(b"%d\n" % n for n in range(300, 400))))
    yield await outcome(pool.copy_in("copy t (a) from stdin", b"401\nx\n"))
    yield await outcome(pool.copy_records("t", [(n, "y" * n) for n in range(500, 530)]))
    chunks = pool.copy_out("copy (select a, b from t order by a) to stdout (format binary)")
    yield b"".join([chunk async for chunk in chunks])
    yield await outcome(pool.execute_script("select 1; select 2; insert into t values (600, 'last')"))
    yield await outcome(pool.execute_script("insert into t values (601, 'not kept'); select 1/0; select 2"))
    yield await outcome(pool.fetchval("select count(*) from t"))


async def readonly(pool):
    for count in (4, 20):
        calls = [pool.fetchval("select 12 / $1::bigint", n % 5, readonly=True) for n in range(count)]
        yield [await outcome(call) for call in calls]
        calls = [outcome(pool.fetchval("select 12 / $1::bigint", n % 5, readonly=True)) for n in range(count)]
        yield await asyncio.gather(*calls)
    yield await outcome(pool.execute("with x as (delete from t returning a) select a from x", readonly=True))


async def everything(url):
    async with weirpool.create_pool(url, min_size=1, max_size=1, name="slices") as pool:
        yield await outcome(pool.execute("create table t (a bigint primary key, b text)"))
        yield await outcome(pool.execute("insert into t values (1, 'one')"))
        for part in (values, wrong, transaction, volume, whole, pieces, readonly, cancelled):
            async for answer in part(pool):
                yield part.__name__, answer
        yield await outcome(pool.execute("drop table t"))
        assert pool.snapshot()["connections_lost"] == 0


@pytest.mark.parametrize(("loop", "size"), [("asyncio", 1), ("uvloop", 7)])
def test_the_results_are_identical(through, loop, size):
    """With SCRAM, every byte of every message is looked at from both sides."""

    async def main():
        proxy = through.proxy()
        proxy.otherwise = Fault(slice=size)
        as_locked = [url.replace("app@", "locked:right@") for url in (through.direct, through.url(proxy))]
        plain, sliced = [[answer async for answer in everything(url)] for url in as_locked]
        assert sliced == plain and len(plain) > 50
        talk = proxy.conversations[0]
        assert len(talk.pieces) >= sum(talk.passed.values()) / size
        assert "SCRAM-SHA-256" in str([body for _, kind, body in talk.messages() if kind == "R"])

    with no_warnings():
        LOOPS[loop](main)


def test_over_a_unix_socket(through, tmp_path):
    async def main():
        path = f"{tmp_path}/.s.PGSQL.5432"
        proxy = through.proxy(path)
        proxy.otherwise = Fault(slice=1)
        user, name = "app", through.direct.rpartition("/")[2]
        url = f"postgresql://{user}@/{name}?host={tmp_path}&port=5432"
        async with weirpool.create_pool(url, min_size=1, max_size=2) as pool:
            assert await pool.fetchval("select repeat('x', 1000)") == "x" * 1000
            assert [r[0] for r in await pool.fetch("select generate_series(1, 100)")] == list(range(1, 101))

    with no_warnings():
        LOOPS["asyncio"](main)
