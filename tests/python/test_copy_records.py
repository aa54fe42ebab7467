"""Rows of values by COPY: the types, the format that is chosen, and what goes wrong on the way."""

import asyncio
import datetime
import decimal
import ipaddress
import math
import uuid

import pytest
import weirpool
from support import LOOPS, no_warnings, turns
from test_copy import go
from weirpool import errors

ZONE = datetime.timezone(datetime.timedelta(hours=2))
MOMENT = datetime.datetime(2024, 2, 29, 12, 30, 1, 999999)
# a column's type, and what is written and comes back the same
BINARY = [
    ("boolean", [True, False, None]),
    ("smallint", [-32768, 32767]),
    ("integer", [-(2**31), 2**31 - 1]),
    ("bigint", [-(2**63), 2**63 - 1]),
    ("real", [0.5, -math.inf]),
    ("double precision", [0.1, 5e-324, math.inf]),
    ("numeric", [decimal.Decimal("1e-20"), decimal.Decimal("-123456789012345678901234567890.5")]),
    ("text", ["", "tab\t, line\n, back\\slash, \\N, ünï", "x" * 100_000]),
    ("varchar(5)", ["", "abcde"]),
    ("bytea", [b"", bytes(range(256))]),
    ("date", [datetime.date(1, 1, 1), datetime.date.max]),
    ("time", [datetime.time(23, 59, 59, 999999)]),
    ("timetz", [datetime.time(1, 2, 3, tzinfo=ZONE)]),
    ("timestamp", [MOMENT]),
    ("timestamptz", [MOMENT.replace(tzinfo=ZONE)]),
    ("interval", [datetime.timedelta(days=3, microseconds=-1)]),
    ("uuid", [uuid.UUID(int=2**127 + 5)]),
    ("json", [{"a": [1, None, "\t\n\\"]}]),
    ("jsonb", [{"a": [1, None, "\t\n\\"]}, [1, 2]]),
    ("integer[]", [[], [1, None, 3], [[1, 2], [3, 4]]]),
    ("text[]", [["a\tb", 'say "x"', None, "\\"]]),
    ("int4range", [weirpool.Range(1, 5), weirpool.Range(empty=True)]),
    ("colour", ["red", None, "green\t"]),
    ("colour[]", [["red", "green\t"]]),
    ("positive", [1, 7]),
]
TEXT = [
    ("inet", [ipaddress.ip_interface("192.168.0.1/24"), ipaddress.ip_address("::1")]),
    ("macaddr", ["08:00:2b:01:02:03"]),
    ("bit(3)", ["101"]),
    ("point", ["(1,2)"]),
]


async def prepare(pool):
    await pool.execute("drop type if exists colour cascade")
    await pool.execute(r"create type colour as enum ('red', E'green\t')")
    await pool.execute("drop domain if exists positive")
    await pool.execute("create domain positive as int check (value > 0)")


@pytest.mark.parametrize("loop", list(LOOPS))
def test_values_come_back_as_they_went(pg_url, loop):
    async def main(pool, connection):
        await prepare(pool)
        for kind, values in BINARY + TEXT:
            await connection.execute("drop table if exists one")
            await connection.execute(f"create table one (n int, v {kind})")
            rows = list(enumerate([*values, None]))
            assert await connection.copy_records("one", rows) == len(rows)
            back = await connection.fetch("select n, v from one order by n")
            assert [tuple(row) for row in back] == rows, kind

    go(main, pg_url, loop=loop)


def test_all_columns_in_text_form_where_one_has_no_other(pg_url):
    """The same values beside an address, which sends all of the COPY as text."""

    async def main(pool, connection):
        await prepare(pool)
        for kind, values in BINARY:
            await connection.execute("drop table if exists one")
            await connection.execute(f"create table one (a inet, n int, v {kind})")
            rows = [(ipaddress.ip_address("10.0.0.1"), n, value) for n, value in enumerate([*values, None])]
            assert await connection.copy_records("one", rows) == len(rows)
            back = await connection.fetch("select a, n, v from one order by n")
            assert [tuple(row) for row in back] == rows, kind

    go(main, pg_url)


def test_names_are_quoted(pg_url):
    async def main(pool, connection):
        await connection.execute('create schema "S a"')
        await connection.execute('create table "S a"."T ""x""" ("A b" int, c int default 7, "select" text)')
        table, rows = 'T "x"', [("s", 1), (None, 2)]
        count = await pool.copy_records(table, rows, schema="S a", columns=("select", "A b"))
        assert count == 2
        back = await connection.fetch('select * from "S a"."T ""x""" order by 1')
        assert [tuple(row) for row in back] == [(1, 7, "s"), (2, 7, None)]
        with pytest.raises(errors.UndefinedTable):
            await connection.copy_records("T", [(1,)], schema="S a")
        with pytest.raises(errors.UndefinedColumn):
            await connection.copy_records("t", [(1,)], columns=["A"])

    go(main, pg_url)


def test_many_rows_from_all_kinds_of_sources(pg_url):
    async def main(pool, connection):
        async def later():
            for n in range(5000):
                yield n, f"{n}"

        for source in (later(), ([n, f"{n}"] for n in range(5000)), zip(range(5000), map(str, range(5000)))):
            assert await connection.copy_records("t", source) == 5000
            assert await connection.fetchval("select sum(a) from t where a::text = b") == sum(range(5000))
            await connection.execute("delete from t")
        assert await connection.copy_records("t", []) == 0

        async def nothing():
            for row in ():
                yield row

        assert await connection.copy_records("t", nothing()) == 0
        assert await connection.fetchval("select count(*) from t") == 0

    go(main, pg_url)


def rows_until(count, last):
    yield from ((n, "x") for n in range(count))
    yield last


@pytest.mark.parametrize(
    ("last", "error", "words"),
    [
        ((1, 2), weirpool.DataError, r"^record 3001, column b: text takes text, not int"),
        ((2**31, "x"), weirpool.DataError, r"^record 3001, column a: 2147483648 is out of range for integer"),
        ((1, "a\0b"), weirpool.DataError, r"^record 3001, column b: a text with a NUL"),
        ((1, object()), weirpool.ArgumentError, r"parameter \$2 is of type object"),
        ((1,), weirpool.ArgumentError, "set"),
        (5, weirpool.ArgumentError, "each set of parameters must be a sequence"),
        ("ab", weirpool.ArgumentError, "each set of parameters must be a sequence"),
        ((1, None), errors.NotNullViolation, "null value"),
    ],
)
def test_a_bad_row_ends_it_and_nothing_is_kept(pg_url, last, error, words):
    async def main(pool, connection):
        await connection.execute("alter table t alter b set not null")
        backend = connection.info["backend"]
        with pytest.raises(error, match=words):
            await connection.copy_records("t", rows_until(3000, last))
        assert await connection.fetchval("select count(*) from t") == 0
        assert connection.info["backend"] == backend

    go(main, pg_url)


def test_a_schema_in_the_name(pg_url):
    async def main(pool, connection):
        for one in (pool, connection):
            with pytest.raises(errors.UndefinedTable) as caught:
                await one.copy_records("public.t", [(1, "x")])
            assert caught.value.hint == "a schema is given as such: copy_records('t', …, schema='public')"
            with pytest.raises(errors.UndefinedTable) as caught:
                await one.copy_records("public.t", [(1, "x")], schema="public")
            assert caught.value.hint is None
        with weirpool.create_pool_sync(pg_url) as blocking:
            with pytest.raises(errors.UndefinedTable, match="schema='public'"):
                blocking.copy_records("public.t", [(1, "x")])

    go(main, pg_url)


def test_a_source_that_raises(pg_url):
    def broken(after):
        yield from ((n, "x") for n in range(after))
        raise KeyError("mine")

    async def main(pool, connection):
        for after in (0, 1, 3000):
            with pytest.raises(KeyError, match="mine"):
                await connection.copy_records("t", broken(after))
        assert await connection.fetchval("select count(*) from t") == 0

    go(main, pg_url)


def test_texts_for_dates(pg_url):
    """They have no binary form: the first rows decide, and later ones must be like them."""

    async def main(pool, connection):
        await connection.execute("create table days (d date, n int)")
        day = datetime.date(2024, 2, 29)
        assert await connection.copy_records("days", [("2024-02-29", 1), (day, 2)]) == 2
        assert await connection.fetchval("select count(*) from days where d = $1", day) == 2
        with pytest.raises(weirpool.DataError, match="record 3001 has a value that goes as text"):
            await connection.copy_records("days", [*([(day, 1)] * 3000), ("2024-02-29", 1)])
        assert await connection.fetchval("select count(*) from days") == 2

    go(main, pg_url)


def test_rows_of_another_size(pg_url):
    async def main(pool, connection):
        with pytest.raises(weirpool.ArgumentError, match="the rows have 3 values, the columns are 2: name"):
            await connection.copy_records("t", [(1, "a", 3)])
        await connection.execute("create table made (a int, b int generated always as (a + 1) stored)")
        with pytest.raises(weirpool.ArgumentError, match="name those that the rows are for"):
            await connection.copy_records("made", [(1,)])
        assert await connection.copy_records("made", [(1,)], columns=["a"]) == 1
        assert await connection.fetchval("select b from made") == 2

    go(main, pg_url)


def test_in_a_session(pg_url):
    async def main(pool, connection):
        async with pool.session() as session:
            await session.copy_records("t", [(1, "one")])
            await session.rollback()
            assert await session.copy_records("t", [(2, "two")]) == 1
        assert [tuple(row) for row in await pool.fetch("select * from t")] == [(2, "two")]

    go(main, pg_url)


def test_a_deadline_over_all_of_it(pg_url):
    async def main(pool, connection):
        await connection.execute("create function slow() returns trigger language plpgsql as "
                                 "$$begin perform pg_sleep(60); return new; end$$")
        await connection.execute("create trigger slow before insert on t for each row execute function slow()")
        with pytest.raises(weirpool.CommandTimeout):
            await connection.copy_records("t", [(1, "x")], timeout=0.2)
        with pytest.raises(weirpool.ArgumentError, match="timeout"):
            await connection.copy_records("t", [(1, "x")], timeout="soon")
        assert await connection.fetchval("select 1") == 1

    go(main, pg_url)


@pytest.mark.parametrize("first", [0, 3, 1000])
def test_records_that_keep_the_copy_waiting(pg_url, first):
    left = 0

    async def records():
        nonlocal left
        for n in range(first):
            yield (n, "x")
        try:
            await asyncio.sleep(3600)
        finally:
            left += 1

    async def main(pool, connection):
        for number, borrower in enumerate((connection, pool), 1):
            task = asyncio.ensure_future(borrower.copy_records("t", records(), timeout=0.1))
            await asyncio.wait((task,), timeout=60)
            with pytest.raises(weirpool.CommandTimeout):
                task.result()
            assert left == number
            assert await connection.fetchval("select count(*) from t") == 0
        task = asyncio.ensure_future(connection.copy_records("t", records()))
        await turns()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    go(main, pg_url)


def test_own_codecs(pg_url):
    codecs = {
        "point": weirpool.Codec(lambda text: tuple(map(float, text[1:-1].split(","))), str, tuple)
    }

    async def main():
        async with weirpool.create_pool(pg_url, min_size=1, codecs=codecs) as pool:
            await pool.execute("create table points (n int, p point)")
            assert await pool.copy_records("points", [(1, (1.5, 2.0)), (2, None)]) == 2
            rows = await pool.fetch("select * from points order by n")
            assert [tuple(row) for row in rows] == [(1, (1.5, 2.0)), (2, None)]

    with no_warnings():
        LOOPS["asyncio"](main)


def test_blocking(pg_url):
    with weirpool.create_pool_sync(pg_url, min_size=1, max_size=2) as pool:
        pool.execute("create table t (a int, b text)")
        assert pool.copy_records("t", ((n, f"{n}") for n in range(5000))) == 5000
        with pool.session() as session:
            assert session.copy_records("t", [("x",)], columns=["b"]) == 1
        assert pool.fetchval("select count(*) from t") == 5001
        with pytest.raises(KeyError), pool.connection() as connection:
            connection.copy_records("t", ({}[n] for n in range(3)))
        assert pool.copy_records("t", []) == 0


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        (("t", 5), {}, "an iterable of rows, not int"),
        (("t", "rows"), {}, "an iterable of rows, not str"),
        (("", []), {}, "table must be a name"),
        ((None, []), {}, "table must be a name"),
        (("t", []), {"columns": "ab"}, "columns must be a list of names"),
        (("t", []), {"columns": [1]}, "a column must be a name, not 1"),
        (("t", []), {"schema": 1}, "schema must be a name, not 1"),
    ],
)
def test_bad_arguments(pg_url, arguments, options, words):
    async def main(pool, connection):
        for one in (pool, connection):
            with pytest.raises(TypeError, match=words):
                await one.copy_records(*arguments, **options)

    go(main, pg_url)


def test_sqlite_has_none():
    with weirpool.create_pool_sync("sqlite://") as pool:
        pool.execute("create table t (a int)")
        with pytest.raises(weirpool.NotSupportedError, match="use executemany"):
            pool.copy_records("t", [(1,)])
