"""SQLite's columns as what they are declared as: sqlite_types="declared"."""

import asyncio
import contextlib
import datetime as dt
import sqlite3
import uuid
from decimal import Decimal

import pytest
import weirpool
from hypothesis import given, settings
from hypothesis import strategies as st
from weirpool import Json

offsets = st.integers(-86399, 86399).map(lambda n: dt.timezone(dt.timedelta(seconds=n)))
times = st.times() | st.builds(lambda time, zone: time.replace(tzinfo=zone), st.times(), offsets)
instants = st.datetimes(
    dt.datetime.min + dt.timedelta(2), dt.datetime.max - dt.timedelta(2), timezones=offsets | st.timezones()
)
moments = st.datetimes() | instants
ends = st.sampled_from(
    [dt.datetime.min, dt.datetime.max]
    + [end.replace(tzinfo=dt.timezone.utc) for end in (dt.datetime.min, dt.datetime.max)]
)
texts = st.text(st.characters(codec="utf-8"))
numbers = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts
documents = st.recursive(numbers, lambda part: st.lists(part) | st.dictionaries(texts, part), max_leaves=5)
# SQLite itself makes integers and doubles of the numbers in columns of these types, and doubles have 15 digits.
short_decimals = st.builds(
    lambda digits, exponent: Decimal(digits).scaleb(exponent),
    st.integers(-(10**15) + 1, 10**15 - 1),
    st.integers(-280, 280),
)
short_numbers = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, width=32)
DECLARED = {
    "boolean": st.booleans(),
    "date": st.dates(),
    "time": times,
    "timestamp": moments | ends,
    "decimal": short_decimals,
    "decimal text": st.decimals(allow_nan=False, allow_infinity=False).filter(
        # as an integer it must have 64 bits, as a double it must be one
        lambda n: abs(n) < 2**63 if str(n).strip("-").isdigit() else n.adjusted() < 300
    ),
    "json": st.dictionaries(texts, documents) | texts.map(Json) | st.sampled_from([Json(True), Json(None)]),
    "json text": documents.filter(lambda value: not isinstance(value, str)).map(Json),
    "uuid": st.uuids(),
}


@pytest.fixture(scope="module")
def pool():
    with weirpool.create_pool_sync("sqlite://", max_size=1, sqlite_types="declared") as pool:
        columns = ", ".join(f'"{name}" {name}' for name in DECLARED)
        pool.execute(f"create table t (id integer primary key, {columns})")
        yield pool


@pytest.mark.parametrize("name", DECLARED)
@settings(max_examples=25)
@given(data=st.data())
def test_what_was_written_is_read(pool, name, data):
    """A second time by a statement that is known, and often on the caller's own thread."""
    given = data.draw(DECLARED[name])
    wanted = given.value if isinstance(given, Json) else given
    if isinstance(wanted, dt.datetime) and wanted.tzinfo:
        wanted = wanted.astimezone(dt.timezone.utc)  # in a gap of its own zone it equals nothing
    pool.execute(f'insert or replace into t (id, "{name}") values (1, $1)', given)
    for got in (
        pool.fetchval(f'select "{name}" from t where id = $1', 1),
        pool.fetchrow("select * from t where id = $1", 1)[name],
        pool.fetchval(f'insert or replace into t (id, "{name}") values (2, $1) returning "{name}"', given),
    ):
        assert got == wanted
        if wanted is not None and name not in ("json text", "json"):
            assert type(got) is type(wanted)
        if isinstance(wanted, (dt.datetime, dt.time)):
            assert (got.tzinfo is None) == (wanted.tzinfo is None)


near = st.text("0123456789-:T. +Zeabf[]{}\",\0") | st.from_regex(
    r"\d{4}-[01]\d-[0-3]\d([ T][0-2]\d:[0-5]\d(:[0-6]\d(\.\d{1,7})?)?(Z|[+-]\d\d(:\d\d)?)?)?", fullmatch=True
)
stored = st.none() | short_numbers | st.floats(allow_nan=False) | texts | near | st.binary(max_size=20)


@pytest.mark.parametrize("name", DECLARED)
@settings(max_examples=25)
@given(value=stored)
def test_whatever_is_stored_can_be_read(pool, name, value):
    """Nothing raises: what is no such thing comes as it is stored, as it does from an expression."""
    pool.execute(f'insert or replace into t (id, "{name}") values (3, $1)', value)
    got, raw = pool.fetchrow(f'select "{name}", coalesce("{name}", null) from t where id = 3')
    if type(got) is type(raw):
        assert got == raw or name.startswith("json")
    else:
        assert isinstance(raw, (int, float, str)) or name == "uuid"
        again = Json(got) if name.startswith("json") else str(got) if isinstance(got, Decimal) else got
        assert pool.fetchval(f'insert or replace into t (id, "{name}") values (3, $1) returning "{name}"', again) == got


@pytest.mark.parametrize("form", ["isoformat", "seconds", "sqlalchemy"])
@settings(max_examples=25)
@given(value=st.dates() | moments)
def test_others_texts_are_read(pool, form, value):
    """What sqlite3's adapters, SQLite's own functions and SQLAlchemy write."""
    if not isinstance(value, dt.datetime):
        value = dt.datetime.combine(value, dt.time())
    value = value.replace(fold=0) if value.tzinfo is None else value.astimezone(dt.timezone.utc)
    if form == "isoformat":
        text = value.isoformat(" ")
    elif form == "seconds":
        value = value.replace(microsecond=0, tzinfo=None)
        text = pool.fetchval("select datetime($1)", value)
    else:
        value = value.replace(tzinfo=None)
        text = value.strftime("%Y-%m-%d %H:%M:%S.%f").rjust(26, "0")
    pool.execute("insert or replace into t (id, timestamp) values (4, $1)", text)
    assert pool.fetchval("select timestamp from t where id = 4") == value


def test_sqlite3_reads_what_is_written(tmp_path):
    moment = dt.datetime(2024, 2, 29, 12, 30, tzinfo=dt.timezone.utc)
    with weirpool.create_pool_sync(f"sqlite:///{tmp_path}/x.db", max_size=1) as pool:
        pool.execute("create table t (d date, t timestamp)")
        pool.execute("insert into t values ($1, $2)", dt.date.max, moment)
        assert pool.fetchrow("select * from t") == ("9999-12-31", "2024-02-29 12:30:00+00:00")
    with contextlib.closing(sqlite3.connect(tmp_path / "x.db")) as connection:
        d, t = connection.execute("select * from t").fetchone()
    assert dt.date.fromisoformat(d) == dt.date.max and dt.datetime.fromisoformat(t) == moment


def test_the_option(sqlite_url):
    row = (True, dt.date(2024, 2, 29), Decimal("1.5"), [1], uuid.UUID(int=7))
    with weirpool.create_pool_sync(sqlite_url, max_size=1) as pool:
        pool.execute("create table t (b boolean, d date, n decimal, j json, u uuid)")
        pool.execute("insert into t values ($1, $2, $3, $4, $5)", *row)
        assert pool.fetchrow("select * from t") == (1, "2024-02-29", 1.5, "[1]", str(row[-1]))
    with weirpool.create_pool_sync(sqlite_url + "?sqlite_types=declared", max_size=1) as pool:
        assert pool.fetchrow("select * from t") == row
        assert pool.fetchrow("select max(d), b + 0, u || '' from t") == ("2024-02-29", 1, str(row[-1]))
    with pytest.raises(weirpool.OptionError, match="sqlite_types=parsed"):
        weirpool.create_pool_sync(sqlite_url, sqlite_types="parsed")


def test_on_a_loop(run, sqlite_url):
    """Short reads and those of the worker, in sessions and streams."""

    async def main():
        async with weirpool.create_pool(sqlite_url, max_size=2, sqlite_types="declared") as pool:
            await pool.execute("create table t (id integer primary key, d date)")
            days = [dt.date(2024, 1, 1) + dt.timedelta(n) for n in range(250)]
            await pool.executemany("insert into t (d) values ($1)", [(day,) for day in days])
            for _ in range(5):
                got = await asyncio.gather(*(pool.fetchval("select d from t where id = $1", n + 1) for n in range(250)))
                assert got == days
            async with pool.session(readonly=True) as session:
                assert [row["d"] async for row in session.stream("select d from t", prefetch=7)] == days

    run(main)
