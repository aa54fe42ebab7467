"""Types that a database has of its own, and codecs: through a pool, in binary form."""

import asyncio
import copy
import datetime as dt
import json
import pickle
from decimal import Decimal

import pytest
import weirpool
import test_values  # noqa: F401  (the profile of hypothesis)
from hypothesis import given, settings
from hypothesis import strategies as st
from weirpool import Codec, Json, Range

TYPES = """
create extension hstore
create type mood as enum ('so so', 'well')
create domain small as int check (value >= 0)
create type span as range (subtype = float8, multirange_type_name = spans)
create type home as (street text, number small, moods mood[])
create type person as (name text, home home, tags hstore, span span, born date)
create domain note as jsonb
create type place as (at point, name text)
create table people (id int primary key, person person)
"""


@pytest.fixture(scope="module")
def url(server):
    url = server.new_database()
    with weirpool.create_pool_sync(url, max_size=1) as pool:
        for sql in TYPES.strip().splitlines():
            pool.execute(sql)
    return url


@pytest.fixture(scope="module")
def pool(url):
    with weirpool.create_pool_sync(url, max_size=2) as pool:
        yield pool


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
maybe = st.none() | texts
spans = st.builds(
    lambda a, b, *flags: Range(min(a, b), max(a, b) + 1, *flags),
    st.floats(-1e9, 1e9),
    st.floats(-1e9, 1e9),
    st.booleans(),
    st.booleans(),
)
moods = st.lists(st.sampled_from(["well", "so so", None]))
homes = st.tuples(maybe, st.none() | st.integers(0, 2**31 - 1), moods)
people = st.tuples(
    maybe,
    st.none() | homes,
    st.none() | st.dictionaries(texts, maybe, max_size=3),
    st.none() | spans,
    st.none() | st.dates(dt.date(2, 1, 1)),
)


@settings(max_examples=40)
@given(value=people)
def test_rows_of_a_type(pool, value):
    sql = "select $1::person as a, array[$1::person, null] as b, point '(1,2)', $1::person::text"
    got = pool.fetchrow(sql, value)
    binary = pool.fetchval("select $1::person", value)
    for row in (got["a"], binary, *got["b"][:1], pool.fetchval("select $1::text::person", got[3])):
        assert row == value
        assert row.keys() == ("name", "home", "tags", "span", "born")
        if value[1] is not None:
            assert row["home"]["street"] == value[1][0]
    assert got["b"][1] is None
    assert pool.fetchval("select $1::person", binary) == value  # a Record goes back
    assert pool.fetchval("select $1::person[]", [value, None, binary]) == [value, None, value]


def test_own_types(pool):
    for name, value in [
        ("mood", "well"),
        ("mood[]", ["well", None, "so so"]),
        ("small", 7),
        ("small[]", [[1, 2], [3, None]]),
        ("note", {"a": [1]}),
        ("note[]", [{"a": [1]}, None]),
        ("span", Range(1.5, None)),
        ("span[]", [Range(1.5, 2.5), None, Range(empty=True)]),
        ("spans", [Range(None, 1.0), Range(2.0, 3.0)]),
        ("hstore", {"a": "1", "b c": None, "": 'q"\\'}),
        ("hstore", {}),
        ("hstore[]", [{"a": "1"}, None]),
    ]:
        for point in ("", ", point '(1,2)'"):
            got = pool.fetchrow(f"select $1::{name}{point}", value)[0]
            assert got == value and type(got) is type(value)
    assert pool.fetchval("select $1::place", ("(1,2)", "x")) == ("(1,2)", "x")
    got = pool.fetchval("select row(1, p) from (select row('a', null, null, null, null)::person as p) s")
    assert got == (1, ("a", None, None, None, None))
    for name, value, text in [
        ("small", "x", "integer takes int, not text"),
        ("person", (1,), "a record of 1, but the type has 5 fields"),
        ("person", {"name": "x"}, "public.person takes record or text, not map"),
        ("home", ("x", "y", []), "integer takes int, not text"),
        ("hstore", {"a": 1}, "public.hstore takes a map of texts, or text, not json"),
        ("span", 3, "public.span takes range or text"),
    ]:
        with pytest.raises(weirpool.DataError, match=rf"parameter \$1: {text}"):
            pool.fetchval(f"select $1::{name}", value)
    with pytest.raises(weirpool.errors.CheckViolation):
        pool.fetchval("select $1::small", -1)


def test_in_sessions_and_sets(pool):
    sets = [(n, (f"p{n}", ("x", n, ["well"]), {"k": str(n)}, None, None)) for n in range(20)]
    assert pool.executemany("insert into people values ($1, $2)", sets) == 20
    with pool.session() as session:
        session.execute("create type inner_type as (a int, b text)")
        assert session.fetchval("select $1::inner_type", (1, "x"))["b"] == "x"
        row = session.fetchrow("select person from people where id = $1", 7)
        assert row["person"]["tags"] == {"k": "7"}
    assert [tuple(row) for row in pool.fetch("select * from people order by id")] == sets


def test_types_that_change(url):
    with weirpool.create_pool_sync(url, max_size=1) as pool:
        pool.execute("create type shape as (a int)")
        assert pool.fetchval("select row(1)::shape").keys() == ("a",)
        pool.execute("drop type shape")
        pool.execute("create type shape as (b text, c int)")
        assert pool.fetchrow("select row('x', 2)::shape as s")["s"].items() == (("b", "x"), ("c", 2))


def test_many_at_once(run, url):
    async def main():
        async with weirpool.create_pool(url, max_size=5) as pool:
            calls = [pool.fetchval(f"select row($1::text, {n}, null)::home", "x") for n in range(100)]
            got = await asyncio.gather(*calls)
            assert got == [("x", n, None) for n in range(100)]
            async with pool.connection() as connection:  # a transaction would have failed with its statement
                task = asyncio.ensure_future(connection.fetchval("select 'well'::mood"))
                await asyncio.sleep(0)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            assert await pool.fetchval("select 'well'::mood") == "well"

    run(main)


# ---- codecs


class Money:
    def __init__(self, cents):
        self.cents = cents

    def __eq__(self, other):
        return isinstance(other, Money) and self.cents == other.cents

    __hash__ = None


def refuse(_):
    raise ValueError("no such mood")


CODECS = {
    "money": Codec(
        lambda text: Money(int(text.strip("$").replace(",", "").replace(".", ""))),
        lambda money: f"{money.cents / 100:.2f}",
        Money,
    ),
    "pg_catalog.json": Codec(lambda text: json.loads(text, parse_float=Decimal)),
    3802: Codec(
        lambda data: ("jsonb", data),
        lambda value: b"\1" + json.dumps(sorted(value)).encode(),
        set,
        format="binary",
    ),
    "mood": Codec(str.upper),
    "public.home": Codec(),
    "no.such_type": Codec(refuse),
}


@pytest.fixture(scope="module")
def coded(url):
    with weirpool.create_pool_sync(url, max_size=1, codecs=CODECS) as pool:
        yield pool


def test_codecs(coded):
    assert coded.fetchval("select '12.34'::money") == Money(1234)
    assert coded.fetchval("select $1::money", Money(1234)) == Money(1234)
    assert coded.fetchval("select $1::money[]", [Money(1), None]) == [Money(1), None]
    assert coded.fetchval("select null::money") is None
    assert coded.fetchval("select '1.10'::json") == Decimal("1.10")
    assert coded.fetchval("select '[1]'::jsonb") == ("jsonb", b"\1[1]")
    assert coded.fetchval("select $1::jsonb::text", {3, 1, 2}) == "[1, 2, 3]"
    assert coded.fetchval("select $1::note::text", {3, 1, 2}) == "[1, 2, 3]"
    assert coded.fetchval("select $1::jsonb[]", [{1}, None]) == [("jsonb", b"\1[1]"), None]
    assert coded.fetchval("select $1::jsonb::text", Json("x")) == '"x"'
    assert coded.fetchval("select array['well', null]::mood[]") == ["WELL", None]
    assert coded.fetchval("select row('x', 1, '{well}')::home") == "(x,1,{well})"
    row = coded.fetchval("select row('a', row('x', 1, null), null, null, null)::person")
    assert row == ("a", "(x,1,)", None, None, None)
    assert coded.fetchval("select 1 + $1::int", 1) == 2
    with pytest.raises(weirpool.DataError, match=r"parameter \$1: integer takes no value of that codec"):
        coded.fetchval("select $1::int", Money(1))
    with pytest.raises(weirpool.DataError, match="a codec wants the binary form"):
        coded.fetchval("select '[1]'::jsonb, '1'::json")


def test_codecs_that_fail(url):
    class Mine(Exception):
        pass

    def fail(_):
        raise Mine

    def too_big(_):
        raise ValueError("mine")

    codecs = {
        "mood": Codec(fail, fail, Money),
        "json": Codec(too_big, lambda _: b"x", set),
        "small": Codec(),
        "note": Codec(None, lambda value: None, frozenset),
    }
    with weirpool.create_pool_sync(url, max_size=1, codecs=codecs) as pool:
        for call in (pool.fetchval, pool.fetchrow, pool.fetch):
            with pytest.raises(Mine):
                call("select 'well'::mood")
            with pytest.raises(Mine):
                call("select $1::mood", Money(1))
            with pytest.raises(ValueError, match="^mine$"):
                call("select '1'::json")
            with pytest.raises(ValueError, match="^mine$"):
                call("select array['1'::json]")
            with pytest.raises(weirpool.ArgumentError, match="for set must give str or None, not bytes"):
                call("select $1::json", {1})
        assert pool.fetchval("select $1::note is null", frozenset()) is True
        assert pool.execute("select 'well'::mood") == "SELECT 1"
        assert pool.fetchval("select 1") == 1 and pool.snapshot()["size"] == 1


@pytest.mark.parametrize("ends", [StopIteration, StopAsyncIteration])
def test_a_codec_that_raises_the_end_of_an_iteration(url, run, ends):
    """It ends no stream, and is nobody's answer."""

    def decode(_text):
        raise ends

    async def main():
        async with weirpool.create_pool(url, max_size=1, codecs={"mood": Codec(decode)}) as pool:
            with pytest.raises(RuntimeError, match=f"a codec's decoder raised {ends.__name__}") as caught:
                async for _ in pool.stream(moods):
                    raise AssertionError
            assert isinstance(caught.value.__cause__, ends)
            with pytest.raises(RuntimeError, match="decoder"):
                await asyncio.wait_for(asyncio.create_task(pool.fetch(moods)), 30)

    moods = "select 'well'::mood"
    run(main)
    with weirpool.create_pool_sync(url, max_size=1, codecs={"mood": Codec(decode)}) as pool:
        for rows in (pool.stream(moods), map(pool.fetch, [moods])):
            with pytest.raises(RuntimeError, match="decoder"):
                list(rows)


def test_codecs_in_text_mode(url):
    with weirpool.create_pool_sync(url, max_size=1, statement_cache_size=0, codecs=CODECS) as pool:
        assert pool.fetchval("select 1") == 1
        assert pool.fetchval("select $1::money::text", Money(150)) == "$1.50"
        assert pool.fetchval("select '1.50'::money") == "$1.50"


def test_what_is_no_codec():
    for arguments in [{"format": "json"}, {"encoder": str}, {"python_type": set}]:
        with pytest.raises(ValueError, match="format|go together"):
            Codec(**arguments)
    for arguments in [{"decoder": 3}, {"encoder": str, "python_type": 3}]:
        with pytest.raises(TypeError):
            Codec(**arguments)
    for bad, text in [
        ([], "codecs must be a dict"),
        ({"json": str}, "must have a weirpool.Codec, not type"),
        ({"": Codec()}, "is no type's name"),
        ({-1: Codec()}, "is no type's name"),
        ({1.5: Codec()}, "a type's name in codecs must be a str, not float"),
        ({"1": Codec(), 1: Codec()}, "1 stands there twice"),
        ({"a": Codec(str, str, set), "b": Codec(str, str, set)}, "two of them write"),
    ]:
        with pytest.raises(weirpool.OptionError, match=text):
            weirpool.create_pool_sync("sqlite://", codecs=bad)
    assert repr(Codec(format="binary")) == "<Codec binary>"
    codec = Codec(bytes.hex, bytes.fromhex, str, "binary")
    for twin in (copy.copy(codec), copy.deepcopy(codec), pickle.loads(pickle.dumps(codec))):
        assert [getattr(twin, name) for name in Codec.__slots__] == [getattr(codec, name) for name in Codec.__slots__]
    with pytest.raises(AttributeError, match="a Codec does not change"):
        Codec().decoder = str
