"""JSON, ranges, multiranges, bits and rows, there and back, in binary form and as text."""

import copy
import datetime as dt
import gc
import json
import pickle
from decimal import Decimal

import pytest
import weirpool
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_values import pools, same  # noqa: F401
from weirpool import Json, Range

UTC = dt.timezone.utc
DAY = dt.timedelta(days=1)
MICRO = dt.timedelta(microseconds=1)

# ---- JSON

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
# jsonb keeps a number as numeric: without exponent, and without the sign of 0
numbers = st.integers(-(10**30), 10**30) | st.floats(-1e15, 1e15).map(lambda x: x or 0.0)
documents = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    max_leaves=12,
)


@given(value=documents)
@example(value=[])
@example(value={})
@example(value=[[]])
@example(value=[1, [2], {}])
@example(value=[1.0, 1e-300, 2**70, True, None])
@example(value=[[1, "a"], [None, {"b": [1.5]}]])
@example(value={"a": None, "b": 'x"\\\n\x1f\u2028'})
@example(value=[[[[[[[[1]]]]]]]])
def test_json_round_trips(pools, value):
    for pool in pools:
        assert pool.fetchval("select $1::json", Json(value)) == value
        assert pool.fetchval("select $1::json", json.dumps(value)) == value
    if isinstance(value, (dict, list)):
        sql = "select $1::json as a, $2::jsonb as b, $2::jsonb, point '(1,2)'"
        got = pools[0].fetchrow(sql, value, value)
        assert got["a"] == got["b"] == got[2] == value
        assert str(got["a"]) == str(value)
    if isinstance(value, dict):
        assert pools[1].fetchval("select $1::jsonb", value) == value


def test_what_is_json(pools):
    assert str(pools[0].fetchval("select $1::json", [-0.0, 1e300])) == "[-0.0, 1e+300]"
    for pool in pools:
        for name in ("json", "jsonb"):
            assert pool.fetchval(f"select $1::{name}", Json(None)) is None
            assert pool.fetchval(f"select $1::{name} is null", Json(None)) is False
            assert pool.fetchval(f"select $1::{name} is null", None) is True
            assert pool.fetchval(f"select $1::{name}", Json("5")) == "5"
            assert pool.fetchval(f"select $1::{name}", "5") == 5
            assert pool.fetchval(f"select $1::{name}", Json((1, {2: True}))) == [1, {"2": True}]
            assert pool.fetchval(f"select $1::{name}[]", [{"a": 1}, Json([1]), None]) == [{"a": 1}, [1], None]
            assert pool.fetchval(f"select '[1, {{}}]'::{name}::text") == "[1, {}]"
    pool = pools[0]
    assert pool.fetchval("select $1::jsonb", (1, (2, "x"), [3])) == [1, [2, "x"], [3]]
    assert pool.fetchval("select $1::jsonb", [(1, 2), (3, 4)]) == [[1, 2], [3, 4]]
    for bad, text in [
        ([dt.date(2024, 2, 29)], "JSON has no date"),
        ([float("nan")], "JSON has no NaN"),
        ([Decimal("Infinity")], "JSON has no NaN"),
        (5, "jsonb takes json, .*, not int"),
    ]:
        with pytest.raises(weirpool.DataError, match=rf"parameter \$1: {text}"):
            pool.fetchval("select $1::jsonb", bad)
    for name, value, text in [
        ("text", {"a": "b"}, "text takes text, not map"),
        ("text", {"a": 1}, "text takes text, not json"),
        ("integer", Json(1), "integer takes int, not json"),
    ]:
        with pytest.raises(weirpool.DataError, match=text):
            pool.fetchval(f"select $1::{name}", value)
    itself: dict[str, object] = {}
    itself["a"] = itself
    for odd, text in [
        ({"a": object()}, "not JSON serializable"),
        (Json(dt.date.min), "not JSON serializable"),
        (itself, "Circular"),
        ({"a": "\ud800"}, "lone surrogate"),
        ({"a": 1, "b": "\ud800"}, "lone surrogate"),
    ]:
        with pytest.raises(weirpool.ArgumentError, match=rf"parameter \$1 .*{text}"):
            pool.fetchval("select $1::jsonb", odd)
    assert repr(Json([1])) == "Json([1])" and pickle.loads(pickle.dumps(Json([1]))).value == [1]


class Meddler:
    """Garbage in a cycle, whose finalizer changes a dict."""

    def __init__(self, changed):
        self.itself, self.changed = self, changed

    def __del__(self):
        self.changed.update((f"key {n}", "x") for n in range(2000))


def test_a_dict_that_changes_meanwhile(pools):
    was = gc.get_threshold()
    for allocations in range(1, 60):  # of which one is within the call, where Python 3.11 collects as well
        values = {"a": "b"}
        gc.disable()
        Meddler(values)
        gc.set_threshold(allocations, 1, 1)
        gc.enable()
        try:
            given = pools[0].fetchval("select $1::json", values)
        finally:
            gc.set_threshold(*was)
        assert given["a"] == "b"
        gc.collect()


def test_json_that_python_cannot_hold(pools):
    for pool in pools:
        with pytest.raises(weirpool.DataError, match="column 'a': Python cannot hold this json"):
            pool.fetchval("select repeat('9', 10000)::json as a")


def test_json_on_sqlite(sqlite_url):
    with weirpool.create_pool_sync(sqlite_url, max_size=1) as pool:
        assert pool.fetchval("select json_extract($1, '$.a[1]')", {"a": [1, "x"]}) == "x"
        assert pool.fetchval("select json_extract($1, '$.a')", {"a": "ü\n"}) == "ü\n"
        assert pool.fetchval("select sum(value) from json_each($1)", [1, 2, 3]) == 6
        assert pool.fetchval("select $1", [[1.0, None], [True, "x"]]) == '[[1.0, null], [true, "x"]]'
        assert pool.fetchval("select $1", Json("x")) == '"x"'
        for bad, text in [
            (Range(1, 2), r"parameter \$1: SQLite has no range; give text"),
            ((1, 2), r"parameter \$1: SQLite has no record; give text"),
            ([dt.date.max], r"parameter \$1: sent as JSON, which has no value like one in it"),
        ]:
            with pytest.raises(weirpool.DataError, match=text):
                pool.fetchval("select $1", bad)


# ---- ranges

INNER = st.dates(dt.date.min + DAY, dt.date.max - 3 * DAY)
SUBTYPES = {
    "int4": st.integers(-(2**31), 2**31 - 2),
    "int8": st.integers(-(2**63), 2**63 - 2),
    "num": st.decimals(-(10**20), 10**20, places=5),
    "date": INNER,
    "ts": st.datetimes(dt.datetime.min + MICRO, dt.datetime.max - MICRO).map(lambda t: t.replace(fold=0)),
    "tstz": st.datetimes(dt.datetime.min + DAY, dt.datetime.max - DAY, timezones=st.just(UTC)).map(
        lambda t: t.replace(fold=0)
    ),
}
STEP = {"int4": 1, "int8": 1, "date": DAY}


def canonical(name, value):
    """What the server makes of the range."""
    lower, upper, lower_inc, upper_inc, empty = value._fields()
    step = STEP.get(name)
    if step and lower is not None and not lower_inc:
        lower, lower_inc = lower + step, True
    if step and upper is not None and upper_inc:
        upper, upper_inc = upper + step, False
    if lower is not None and upper is not None:
        empty = empty or (lower >= upper and not (lower == upper and lower_inc and upper_inc))
    return Range(lower, upper, lower_inc, upper_inc, empty)


@st.composite
def ranges(draw, name):
    if draw(st.integers(0, 9)) == 0:
        return Range(empty=True)
    bounds = [draw(st.none() | SUBTYPES[name]) for _ in range(2)]
    if None not in bounds:
        bounds.sort()
    return Range(*bounds, draw(st.booleans()), draw(st.booleans()))


def both(pools, name, value):
    """There and back in both forms, and from the server's own text."""
    text = pools[0].fetchval(f"select $1::{name}::text", value)
    got = [pool.fetchval(f"select $1::{name}", value) for pool in pools]
    got += [pool.fetchval(f"select $1::text::{name}", text) for pool in pools]
    return [*got, pools[0].fetchrow(f"select $1::{name}, point '(1,2)'", value)[0]]


@pytest.mark.parametrize("name", SUBTYPES)
@settings(max_examples=25)
@given(data=st.data())
def test_ranges_round_trip(pools, name, data):
    value = data.draw(ranges(name))
    for got in both(pools, f"{name}range", value):
        same(got, canonical(name, value))


@pytest.mark.parametrize("name", SUBTYPES)
@settings(max_examples=10)
@given(data=st.data())
def test_arrays_of_ranges_round_trip(pools, name, data):
    value = data.draw(st.lists(st.none() | ranges(name), max_size=4))
    for got in both(pools, f"{name}range[]", value):
        assert got == [None if item is None else canonical(name, item) for item in value]


@pytest.mark.parametrize("name", SUBTYPES)
@settings(max_examples=10)
@given(data=st.data())
def test_multiranges_round_trip(pools, name, data):
    binary, text = pools
    value = data.draw(st.lists(ranges(name), max_size=5))
    written = binary.fetchval(f"select $1::{name}multirange::text", value)
    wanted = binary.fetchval(f"select $1::{name}multirange", value)
    assert wanted == sorted(wanted) and all(isinstance(item, Range) and item for item in wanted)
    assert text.fetchval(f"select $1::text::{name}multirange", written) == wanted
    assert binary.fetchval(f"select $1::{name}multirange", tuple(value)) == wanted
    assert text.fetchval(f"select array[$1::text::{name}multirange, null]", written) == [wanted, None]
    assert binary.fetchval(f"select array[$1::{name}multirange, null]", value) == [wanted, None]
    assert binary.fetchval(f"select $1::{name}multirange[]", [tuple(value), None]) == [wanted, None]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("int4", []),
        ("int8", [Range()]),
        ("date", [Range(None, dt.date(2000, 1, 1)), Range(dt.date(2024, 2, 29), dt.date.max)]),
        ("num", [Range(Decimal("-Infinity"), Decimal("NaN"), True, True)]),
    ],
)
def test_ends_of_multiranges(pools, name, value):
    text = pools[0].fetchval(f"select $1::{name}multirange::text", value)
    assert str(pools[0].fetchval(f"select $1::{name}multirange", value)) == str(value)
    box = [[tuple(value), None], [tuple(value), ()]]
    got = pools[0].fetchval(f"select $1::{name}multirange[]", box)
    assert str(got) == str([[value, None], [value, []]])
    for pool in pools:
        assert str(pool.fetchval(f"select $1::text::{name}multirange", text)) == str(value)


BOUNDARIES = [
    ("int4range", Range()),
    ("int4range", Range(-(2**31), 2**31 - 1)),
    ("int4range", Range(None, 5, True, False)),
    ("numrange", Range(Decimal("NaN"), None)),
    ("numrange", Range(Decimal("-Infinity"), Decimal("Infinity"))),
    ("daterange", Range(dt.date.min, dt.date.max)),
    ("tsrange", Range(dt.datetime.min, dt.datetime.max)),
    ("tstzrange", Range(*(t.replace(tzinfo=UTC) for t in (dt.datetime.min, dt.datetime.max)), True, True)),
]


@pytest.mark.parametrize(("name", "value"), BOUNDARIES, ids=[f"{n}-{v}" for n, v in BOUNDARIES])
def test_ends_of_ranges(pools, name, value):
    for got in both(pools, name, value):
        assert str(got) == str(value)


def test_ranges_with_texts_in_them(pools):
    for pool in pools:
        assert pool.fetchval("select $1::daterange", Range("2024-02-29", "2024-03-02")) == Range(
            dt.date(2024, 2, 29), dt.date(2024, 3, 2)
        )
        assert pool.fetchval("select $1::tsrange", Range("2024-02-29 1:00", None, False)) == Range(
            dt.datetime(2024, 2, 29, 1), None, False
        )
        assert pool.fetchval("select $1::int4range", "[1,5]") == Range(1, 6)
        got = pool.fetchval("select $1::int4range[]", [Range(1, 2), "empty"])
        assert got == [Range(1, 2), Range(empty=True)]
        assert pool.fetchval("select $1::int4multirange", "{[1,5], [7,9]}") == [Range(1, 6), Range(7, 10)]
    pool = pools[0]
    many = [Range("2024-02-29", dt.date(2024, 3, 2)), Range(None, "2000-01-01")]
    assert pool.fetchval("select $1::datemultirange::text", many) == "{(,2000-01-01),[2024-02-29,2024-03-02)}"
    for name, bad, text in [
        ("int4range", 3, "int4range takes range or text, not int"),
        ("int4range", Range("a", 2), "integer takes int, not text"),
        ("int4range", Range(1.5, 2), "integer takes int"),
        ("int4multirange", [1], "int4multirange takes a list of ranges, or text, not array"),
        ("int4multirange", [Range(1, 2), None], "int4multirange takes a list of ranges"),
        ("integer", Range(1, 2), "integer takes int, not range"),
    ]:
        with pytest.raises(weirpool.DataError, match=rf"\$1: {text}"):
            pool.fetchval(f"select $1::{name}", bad)
    for pool in pools:
        with pytest.raises(weirpool.DataError, match="lower bound"):
            pool.fetchval("select $1::int4range", Range(2, 1))
        with pytest.raises(weirpool.DataError, match="column 'a': Python cannot hold this range"):
            pool.fetchval("select daterange('10000-01-01', null) as a")


def test_what_a_range_is():
    one = Range(1, 5)
    assert (one.lower, one.upper, one.lower_inc, one.upper_inc, one.empty) == (1, 5, True, False, False)
    assert repr(one) == "<Range [1, 5)>" and repr(Range(None, 2, True, True)) == "<Range (, 2]>"
    assert repr(Range(1, 2, empty=True)) == "<Range empty>" == repr(Range(empty=True))
    assert 1 in one and 5 not in one and 0 not in one and 3 in Range() and 3 not in Range(empty=True)
    assert 5 in Range(1, 5, False, True) and 1 not in Range(1, 5, False, True)
    assert one and not Range(empty=True) and Range()
    assert one == Range(1, 5) and one != Range(1, 5, True, True) and one != (1, 5)
    assert hash(one) == hash(Range(1, 5)) and len({one, Range(1, 5), Range(empty=True)}) == 2
    for twin in (copy.copy(one), copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
        assert twin == one
    for name in ("lower", "other"):
        with pytest.raises(AttributeError):
            setattr(one, name, 2)
    with pytest.raises(AttributeError):
        del one.lower
    with pytest.raises(TypeError):
        assert one < 3
    match one:
        case Range(lower, upper):
            assert (lower, upper) == (1, 5)


@settings(max_examples=25)
@given(values=st.lists(ranges("int4").map(lambda r: canonical("int4", r)), min_size=2, max_size=6))
def test_ranges_are_sorted_as_the_server_does(pools, values):
    wanted = pools[0].fetchval("select array_agg(x order by x) from unnest($1::int4range[]) x", values)
    assert sorted(values) == wanted
    a, b = values[:2]
    assert (a < b, a <= b, a > b, a >= b) == tuple(
        pools[0].fetchrow("select $1::int4range < $2, $1 <= $2, $1 > $2, $1 >= $2", a, b)
    )


@settings(max_examples=30)
@given(values=st.lists(ranges("num"), min_size=2, max_size=6))
def test_ranges_of_numbers_are_sorted_as_the_server_does(pools, values):
    values = [canonical("num", value) for value in values]
    wanted = pools[0].fetchval("select array_agg(x order by x) from unnest($1::numrange[]) x", values)
    assert sorted(values) == wanted


# ---- bits, rows


@settings(max_examples=30)
@given(value=st.text("01", max_size=40))
def test_bits_are_text(pools, value):
    for pool in pools:
        same(pool.fetchval("select $1::varbit", value), value)
        assert pool.fetchval("select $1::varbit[]", [value, None]) == [value, None]
        if value:
            same(pool.fetchval(f"select $1::bit({len(value)})", value), value)


def test_rows_without_a_type(pools):
    inner = "row(2.5, date '2024-02-29')"
    sql = f"select row(1, 'a'::text, null::int, array[1, null], {inner}, '[1]'::jsonb) as a"
    wanted = (1, "a", None, [1, None], (Decimal("2.5"), dt.date(2024, 2, 29)), [1])
    for got in (pools[0].fetchval(sql), pools[0].fetch(sql)[0]["a"]):
        assert got == wanted and type(got) is tuple
    assert pools[0].fetchval("select array[row(1, true), row(2, null)]") == [(1, True), (2, None)]
    assert pools[0].fetchval("select row()") == ()
    assert pools[1].fetchval(sql) == '(1,a,,"{1,NULL}","(2.5,2024-02-29)",[1])'
    with pytest.raises(weirpool.DataError, match="column 'a'"):
        pools[0].fetchval("select row(point '(1,2)') as a")
    assert pools[0].fetchval("select row(point '(1,2)')::text") == '("(1,2)")'


def test_tuples_as_arrays(pools):
    assert pools[0].fetchval("select $1::int[]", (1, None, 3)) == [1, None, 3]
    assert pools[0].fetchval("select 3 = any($1::int[])", (1, 3)) is True
    assert pools[0].fetchval("select $1::int[]", ()) == []
    for bad in ((1, [2]), ((1, 2), (3, 4))):
        with pytest.raises(weirpool.DataError, match=r"\$1: integer(\[\])? takes"):
            pools[0].fetchval("select $1::int[]", bad)
    deep = ()
    for _ in range(40):
        deep = (deep,)
    with pytest.raises(weirpool.ArgumentError, match="nested too deep"):
        pools[0].fetchval("select $1::int[]", deep)
