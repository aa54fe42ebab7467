"""Values there and back, in binary form and as text, for every type that has a Python type of its own."""

import datetime as dt
import ipaddress
import math
import uuid
import zoneinfo
from decimal import Decimal

import pytest
import weirpool
from hypothesis import example, given, settings
from hypothesis import strategies as st

MICRO = dt.timedelta(microseconds=1)
DAY = dt.timedelta(days=1)

inner_dates = st.dates(dt.date.min + DAY, dt.date.max - DAY)
offsets = st.integers(-15 * 3600, 15 * 3600).map(lambda n: dt.timezone(dt.timedelta(seconds=n)))
numerics = st.one_of(
    st.decimals(allow_nan=False, allow_infinity=False),
    st.decimals(-(10**40), 10**40, places=20),
    st.decimals(-1, 1, places=40),
    st.integers(-(10**30), 10**30).map(lambda n: Decimal(n).scaleb(60)),
)
prefixes = st.ip_addresses().flatmap(
    lambda address: st.tuples(st.just(address), st.integers(0, address.max_prefixlen))
)
TYPES = {
    "numeric": numerics.filter(lambda n: -16383 <= n.as_tuple().exponent < 1000),
    "date": inner_dates,
    "time": st.times(),
    "timetz": st.builds(lambda time, zone: time.replace(tzinfo=zone), st.times(), offsets),
    "timestamp": st.datetimes(dt.datetime.min + MICRO, dt.datetime.max - MICRO),
    "timestamptz": st.datetimes(
        dt.datetime.min + 2 * DAY, dt.datetime.max - 2 * DAY, timezones=st.one_of(offsets, st.timezones())
    ),
    "interval": st.timedeltas(dt.timedelta(days=-170000000), dt.timedelta(days=170000000)),
    "uuid": st.uuids(),
    "inet": st.ip_addresses() | prefixes.map(ipaddress.ip_interface),
    "cidr": prefixes.map(lambda prefix: ipaddress.ip_network(prefix, strict=False)),
}
PLAIN = {
    "boolean": st.booleans(),
    "smallint": st.integers(-(2**15), 2**15 - 1),
    "integer": st.integers(-(2**31), 2**31 - 1),
    "bigint": st.integers(-(2**63), 2**63 - 1),
    "double precision": st.floats(allow_nan=False),
    "real": st.floats(width=32, allow_nan=False),
    "text": st.text(st.characters(codec="utf-8", exclude_characters="\0")),
    "bytea": st.binary(),
}
NAMES = [*TYPES, *PLAIN]


@pytest.fixture(scope="module")
def pools(server):
    """One pool that speaks binary, and one that knows no types and gets all results as text."""
    url = server.new_database()
    binary = weirpool.create_pool_sync(url, max_size=1)
    text = weirpool.create_pool_sync(url, max_size=1, statement_cache_size=0)
    with binary, text:
        server.sql(OWN, url.rsplit("/", 1)[1])
        for pool in (binary, text):
            pool.fetchval("select 1")
        yield binary, text


def same(got, wanted):
    assert got == wanted
    assert type(got) is type(wanted) and str(got) == str(wanted)


def there_and_back(pools, name, value):
    """In both forms there, in both forms back, and the server agrees on what its text is."""
    got = [pool.fetchrow(f"select $1::{name} as a, $1::{name}::text as b", value) for pool in pools]
    assert got[0]["b"] == got[1]["b"]
    return [
        got[0]["a"],
        got[1]["a"],
        *(pool.fetchval(f"select $1::text::{name}", got[0]["b"]) for pool in pools),
    ]


def normal(name, value):
    """What the server makes of the value: it keeps instants in UTC, and decimals without exponent."""
    if name == "timestamptz":
        return value.astimezone(dt.timezone.utc).replace(fold=0)
    if name in ("time", "timetz", "timestamp"):
        return value.replace(fold=0)
    if name == "numeric":
        return Decimal(format(value, "f")) if value else abs(Decimal(format(value, "f")))
    if name.startswith("char("):
        return value.ljust(20)
    if name in ("inet", "cidr") and "/" in str(value):
        host = name == "inet" and value.network.prefixlen == value.max_prefixlen
        return value.ip if host else value
    return value


def of_bytes(most):
    return PLAIN["text"].filter(lambda text: len(text.encode()) <= most)


def hardware(size):
    return st.binary(min_size=size, max_size=size).map(lambda data: data.hex(":"))


LABELS = ["a", "A", "Grüße", "x y", "it's", '"', "\\", ",", "{}", "NULL", "(1)", "l" * 63]
TEXTS = {
    "varchar": PLAIN["text"],
    "varchar(20)": st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20),
    "char(20)": st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20),
    "name": of_bytes(63),
    '"char"': st.text(st.characters(max_codepoint=127, exclude_characters="\0"), max_size=1),
    "macaddr": hardware(6),
    "macaddr8": hardware(8),
    "label": st.sampled_from(LABELS),
    "percent": st.integers(0, 100),
    "amount": st.decimals(-(10**19), 10**19, places=2),
    "short_note": of_bytes(20),
    "day": inner_dates,
}
OWN = f"""
create type label as enum ({", ".join("'" + label.replace("'", "''") + "'" for label in LABELS)});
create domain percent as integer check (value between 0 and 100);
create domain amount as numeric(22, 2) not null;
create domain short_note as varchar(20);
create domain day as date;
create extension if not exists hstore;
"""
ALL = {**PLAIN, **TYPES, **TEXTS}


@pytest.mark.parametrize("name", ALL)
@given(data=st.data())
def test_round_trip(pools, name, data):
    value = data.draw(ALL[name])
    for got in there_and_back(pools, name, value):
        same(got, normal(name, value))


@given(value=st.dictionaries(PLAIN["text"], st.none() | PLAIN["text"]))
def test_hstore_round_trips(pools, value):
    """With the types unknown it is text, as the guide says."""
    for sql in ("select $1::hstore", "select $1::hstore, point '(1,2)'"):
        assert pools[0].fetchval(sql, value) == value
    text = pools[0].fetchval("select $1::hstore::text", value)
    assert pools[0].fetchval("select $1::hstore", text) == value
    assert pools[1].fetchval("select $1::hstore", text) == text


NEW_YORK = zoneinfo.ZoneInfo("America/New_York")
BOUNDARIES = [
    ("smallint", -(2**15)),
    ("smallint", 2**15 - 1),
    ("integer", -(2**31)),
    ("integer", 2**31 - 1),
    ("bigint", -(2**63)),
    ("bigint", 2**63 - 1),
    ("double precision", 1.7976931348623157e308),
    ("real", 3.4028234663852886e38),
    ("text", ""),
    ("bytea", b""),
    ("varchar(20)", "\U0010ffff" * 20),
    ("name", "n" * 63),
    ('"char"', ""),
    ("macaddr", "ff:ff:ff:ff:ff:ff"),
    ("macaddr8", "00:00:00:00:00:00:00:00"),
    ("label", "l" * 63),
    ("percent", 100),
    ("amount", Decimal("99999999999999999999.99")),
    ("short_note", ""),
    ("double precision", math.nan),
    ("double precision", -math.inf),
    ("double precision", 5e-324),
    ("real", math.nan),
    ("real", math.inf),
    ("numeric", Decimal("NaN")),
    ("numeric", Decimal("Infinity")),
    ("numeric", Decimal("-Infinity")),
    ("numeric", Decimal("-0.00")),
    ("numeric", Decimal("1E+131071")),
    ("numeric", Decimal("1E-16383")),
    ("numeric", Decimal("9" * 131072 + "." + "9" * 16383)),
    ("numeric", Decimal(10000)),
    ("numeric", Decimal("0.0001")),
    ("numeric", Decimal("0.00001000")),
    ("numeric", Decimal("100000000.00010000")),
    ("date", dt.date.max - DAY),
    ("date", dt.date.min + DAY),
    ("date", dt.date(2000, 1, 1)),
    ("date", dt.date(1999, 12, 31)),
    ("date", dt.date(1900, 2, 28)),
    ("date", dt.date(2000, 2, 29)),
    ("time", dt.time.min),
    ("time", dt.time.max),
    ("timetz", dt.time(0, 0, tzinfo=dt.timezone(dt.timedelta(hours=15, minutes=59, seconds=59)))),
    ("timetz", dt.time.max.replace(tzinfo=dt.timezone(-dt.timedelta(hours=15, minutes=59, seconds=59)))),
    ("timestamp", dt.datetime(2000, 1, 1)),
    ("timestamp", dt.datetime(1999, 12, 31, 23, 59, 59, 999999)),
    ("timestamptz", dt.datetime(2024, 11, 3, 1, 30, tzinfo=NEW_YORK, fold=1)),
    ("timestamptz", dt.datetime(2024, 11, 3, 1, 30, tzinfo=NEW_YORK, fold=0)),
    ("interval", dt.timedelta()),
    ("interval", -MICRO),
    ("interval", dt.timedelta(days=-1, microseconds=1)),
    ("uuid", uuid.UUID(int=0)),
    ("uuid", uuid.UUID(int=2**128 - 1)),
    ("inet", ipaddress.ip_address("::")),
    ("inet", ipaddress.ip_address("::ffff:1.2.3.4")),
    ("inet", ipaddress.ip_interface("10.1.2.3/8")),
    ("inet", ipaddress.ip_interface("10.1.2.3/32")),
    ("inet", ipaddress.ip_interface("fe80::1/64")),
    ("cidr", ipaddress.ip_network("0.0.0.0/0")),
    ("cidr", ipaddress.ip_network("10.1.2.3/32")),
    ("cidr", ipaddress.ip_network("2001:db8::/32")),
]


@pytest.mark.parametrize(("name", "value"), BOUNDARIES, ids=[f"{n}-{str(v)[:40]}" for n, v in BOUNDARIES])
def test_boundaries(pools, name, value):
    for got in there_and_back(pools, name, value):
        if value != value:
            assert type(got) is type(value) and got != got
        else:
            same(got, normal(name, value))


UTC = dt.timezone.utc


@pytest.mark.parametrize(
    ("name", "last", "first"),
    [
        ("date", dt.date.max, dt.date.min),
        ("timestamp", dt.datetime.max, dt.datetime.min),
        ("timestamptz", dt.datetime.max.replace(tzinfo=UTC), dt.datetime.min.replace(tzinfo=UTC)),
    ],
)
def test_infinity_is_the_last_moment(pools, name, last, first):
    for value, text in ((last, "infinity"), (first, "-infinity")):
        for pool in pools:
            same(pool.fetchval(f"select '{text}'::{name}"), value)
            assert pool.fetchval(f"select $1::{name}::text", value) == text


def test_infinite_intervals(pools):
    """They came with PostgreSQL 17: before, the longest timedelta is itself, and the server's longest is no less."""
    new = int(pools[0].fetchval("show server_version_num")) >= 170000
    ends = [
        (dt.timedelta.max, "", "'178956970 years 7 mons 2147483647 days 2562047788:00:54.775807'"),
        (dt.timedelta.min, "-", "'-178956970y -7mon -2147483647d -2562047788:00:54' - interval '1mon 1d 0.775808s'"),
    ]
    for value, sign, longest in ends:
        infinite = f"'{sign}infinity'" if new else longest
        finite = f"{value.days} days" + ("" if sign else " 23:59:59.999999")
        for pool in pools:
            same(pool.fetchval(f"select interval {infinite}"), value)
            same(pool.fetchval("select $1::interval", value), value)
            same(pool.fetchval("select $1::interval[]", [value]), [value])
            text = pool.fetchval("select $1::interval::text", value)
            assert text == (sign + "infinity" if new else finite)
    near = [dt.timedelta.max - MICRO, dt.timedelta.min + MICRO]
    for pool in pools:
        same(pool.fetchval("select $1::interval[]", near), near)


@pytest.mark.parametrize(
    "text",
    [
        "date '10000-01-01'",
        "date '0001-12-31 BC'",
        "timestamp '294276-12-31 23:59:59.999999'",
        "timestamp '4713-01-01 00:00:00 BC'",
        "timestamptz '4713-01-02 00:00:00+00 BC'",
        "timestamptz '10000-01-01 00:00:00+00'",
        "time '24:00'",
        "timetz '24:00+01'",
        "interval '-178956970 years'",
    ],
)
def test_what_python_cannot_hold(pools, text):
    for pool in pools:
        for call in (pool.fetchval, pool.fetchrow, pool.fetch):
            with pytest.raises(
                weirpool.DataError, match="column 'odd': Python cannot hold .* select it as text"
            ):
                call(f"select {text} as odd")
        assert pool.fetchval(f"select ({text})::text")


@pytest.mark.parametrize(
    ("text", "days"),
    [("1 month", 30), ("1 year", 365), ("-1 year -1 month", -395), ("1 mon -1 day", 29), ("14 months", 425)],
)
def test_months_have_thirty_days(pools, text, days):
    for pool in pools:
        same(pool.fetchval(f"select interval '{text}'"), dt.timedelta(days=days))


INTERVALS = st.tuples(
    st.integers(-(2**31), 2**31 - 1), st.integers(-(2**31), 2**31 - 1), st.integers(-(2**62), 2**62)
)


@given(parts=INTERVALS)
@example(parts=(0, 0, 0))
@example(parts=(-1, 1, -1))
def test_interval_texts(pools, parts):
    """What the server writes is read as what it sends in binary form."""
    months, days, micros = parts
    months, days = months // 1000, days // 4
    sql = (
        f"select make_interval(months => {months}, days => {days}) + {micros} * interval '1 microsecond' as a"
    )
    wanted = pools[0].fetchval(sql)
    assert pools[1].fetchval(sql) == wanted


def test_texts_are_taken(pools):
    for name, text in [
        ("date", "2024-02-29"),
        ("time", "12:00"),
        ("timetz", "12:00+01"),
        ("timestamp", "2024-02-29 1:02"),
        ("timestamptz", "2024-02-29 1:02 Europe/Berlin"),
        ("interval", "1 day 2 hours ago"),
        ("uuid", "{A0EEBC99-9C0B4EF8-BB6D6BB9-BD380A11}"),
        ("inet", "10.1/16"),
        ("cidr", "10.1"),
        ("json", '{"a": 1}'),
        ("jsonb", '{"a": 1}'),
        ("macaddr", "08-00-2b-01-02-03"),
        ("macaddr8", "08-00-2b-01-02-03-04-05"),
    ]:
        first, second = (pool.fetchval(f"select $1::{name}", text) for pool in pools)
        same(first, second)
        assert pools[0].fetchval(f"select $1::{name}::text", text) == pools[0].fetchval(
            f"select '{text}'::{name}::text"
        )


def test_addresses_of_hardware_are_text(pools):
    for pool in pools:
        assert pool.fetchval("select '08002b:010203'::macaddr") == "08:00:2b:01:02:03"
        assert pool.fetchval("select '08002b:0102030405'::macaddr8") == "08:00:2b:01:02:03:04:05"


ITEMS = {**PLAIN, **TYPES, "numeric": st.decimals(-(10**40), 10**40, places=20)}


def boxes(name):
    """Lists with NULLs in them, of one to six dimensions."""
    item = st.none() | {**TEXTS, **ITEMS}[name]

    @st.composite
    def box(draw, dimensions):
        lengths = draw(
            st.lists(st.integers(1, 4 if dimensions < 3 else 2), min_size=dimensions, max_size=dimensions)
        )

        def level(depth):
            if depth == len(lengths):
                return draw(item)
            return [level(depth + 1) for _ in range(lengths[depth])]

        return level(0)

    return st.just([]) | st.lists(item) | st.integers(1, 6).flatmap(box)


def each(function, value):
    if isinstance(value, list):
        return [each(function, item) for item in value]
    return None if value is None else function(value)


OWN_TYPES = ["label", "percent", "short_note", "day"]
BUILT_IN = {name: TEXTS[name] for name in TEXTS if name not in (*OWN_TYPES, "amount")}


@pytest.mark.parametrize("name", OWN_TYPES)
@settings(max_examples=15)
@given(data=st.data())
def test_arrays_of_own_types_round_trip(pools, name, data):
    """With the types unknown they are text, as the guide says."""
    value = data.draw(boxes(name))
    text = pools[0].fetchval(f"select $1::{name}[]::text", value)
    assert pools[0].fetchval(f"select $1::{name}[]", value) == value
    assert pools[0].fetchval(f"select $1::{name}[], point '(1,2)'", value) == value
    assert pools[0].fetchval(f"select $1::text::{name}[]", text) == value
    assert pools[1].fetchval(f"select $1::{name}[]", value) == text


@pytest.mark.parametrize("name", [*ITEMS, *BUILT_IN])
@settings(max_examples=30)
@given(data=st.data())
def test_arrays_round_trip(pools, name, data):
    value = data.draw(boxes(name))
    wanted = each(lambda item: normal(name, item), value)
    for got in there_and_back(pools, f"{name}[]", value):
        assert got == wanted
        assert str(got) == str(wanted)


def test_arrays_of_texts(pools):
    odd = ["", " ", "NULL", "null", None, ",", "{}", '"', "\\", 'a"b\\c', "Grüße", "a b", "'", "\n"]
    for pool in pools:
        for name in ("text", "varchar", "name", "char(20)"):
            got = pool.fetchval(f"select $1::{name}[]", odd)
            assert [item and item.rstrip(" ") for item in got] == [item and item.rstrip(" ") for item in odd]
        assert pool.fetchval('select $1::"char"[]', ["", "more", "\\101", None]) == ["", "m", "A", None]
        for name in ("json", "jsonb"):
            assert pool.fetchval(f"select $1::{name}[]", ['{"a": 1}', None, "[]"]) == [{"a": 1}, None, []]
        assert pool.fetchval("select $1::macaddr[]", ["08:00:2b:01:02:03"]) == ["08:00:2b:01:02:03"]
        assert pool.fetchval("select $1::int[]", "{1,2,NULL}") == [1, 2, None]
        assert pool.fetchval("select $1::date[]", ["2024-02-29", None]) == [dt.date(2024, 2, 29), None]
        assert pool.fetchval("select $1::float8[]", [1, 2.5, Decimal("0.1")]) == [1.0, 2.5, 0.1]
        assert pool.fetchval("select $1::bytea[]", [bytearray(b"a"), memoryview(b"abcd")[::2]]) == [
            b"a",
            b"ac",
        ]
        assert pool.fetchval("select '[0:1][-2:-1]={{1,2},{3,4}}'::int[]") == [[1, 2], [3, 4]]
        assert pool.fetchval("select $1::int[]", []) == []
        assert pool.fetchval("select 3 = any($1::int[])", list(range(10000))) is True
        pool.execute("drop type if exists mood")
        pool.execute("create type mood as enum ('so so', 'well')")
        assert pool.fetchval("select $1::mood[]::text", ["so so", None, "well"]) == '{"so so",NULL,well}'


def test_what_is_no_array(pools):
    deep, itself = [1], []
    for _ in range(6):
        deep = [deep]
    itself.append(itself)
    for bad in ([[1], [2, 3]], [[1], 2], [1, [2]], [1, []], [[]], deep):  # which is JSON
        with pytest.raises(weirpool.DataError, match=r"\$1: integer\[\] takes array .*, not json"):
            pools[0].fetchval("select $1::int[]", bad)
        assert pools[0].fetchval("select $1::jsonb", bad) == bad
    for bad, text in [
        (itself, "more than six dimensions"),
        ([[1], [dt.date.max, 1]], "not all of one length"),
        ([[1], dt.date.max], "lists beside values"),
        ([object()], "is of type object"),
        (["\ud800"], "lone surrogate"),
        ([["\ud800"], []], "lone surrogate"),
    ]:
        for pool in pools:
            with pytest.raises(weirpool.ArgumentError, match=rf"parameter \$1 .*{text}"):
                pool.fetchval("select $1::int[]", bad)
    for name, value in [
        ("integer", ["x"]),
        ("bigint", [1, 2.0]),
        ("text", [1]),
        ("date", [NAIVE]),
        ("numeric", ["1"]),
    ]:
        with pytest.raises(weirpool.DataError, match=rf"parameter \$1: {name} takes"):
            pools[0].fetchval(f"select $1::{name}[]", value)
    with pytest.raises(weirpool.DataError, match=r"\$1: smallint\[\] takes array .* or text, not int"):
        pools[0].fetchval("select $1::smallint[]", 3)
    with pytest.raises(weirpool.DataError, match="integer takes int, not array"):
        pools[0].fetchval("select $1::integer", [3])
    with pytest.raises(weirpool.DataError, match="column 'a': Python cannot hold this array"):
        pools[0].fetchval("select array[date '10000-01-01'] as a")


def test_a_list_that_changes_meanwhile(pools):
    class Vicious(uuid.UUID):
        @property
        def bytes(self):
            values.clear()
            return bytes(16)

    values = [Vicious(int=1), *("x" * n for n in range(100, 200))]
    values[1:] = [uuid.UUID(int=n) for n in range(100)]
    assert len(pools[0].fetchval("select $1::uuid[]", values)) == 101 and values == []


def test_subclasses_are_what_their_values_are(pools):
    class Money(Decimal):
        def __str__(self):
            return f"{self:.2f} EUR"

    class Odd(dt.datetime):
        def utcoffset(self):
            return 5

    for pool in pools:
        assert pool.fetchval("select $1::numeric", Money("12.345")) == Decimal("12.345")
        assert pool.fetchval("select $1::numeric[]", [Money("NaN"), Money("1e3")])[1] == 1000
        with pytest.raises(weirpool.ArgumentError, match=r"parameter \$1 has a utcoffset\(\) that gives no timedelta"):
            pool.fetchval("select $1::timestamptz", Odd(2024, 2, 29, tzinfo=dt.timezone.max))


def test_wide_rows(pools):
    """Every frequent type in columns near and far, with and without NULLs, and texts of all short lengths."""
    values = [True, -7, 7_000_000_000, 2**32 - 1, -0.5, "ünï", "", "plain text", b"\x00\xff"]
    types = ["bool", "int", "bigint", "oid", "double precision", "text", "varchar", "name", "bytea"]
    columns = ", ".join(f"case when i % {2 + c} > 0 then ${1 + c % 9}::{types[c % 9]} end" for c in range(27))
    wanted = [tuple(values[c % 9] if i % (2 + c) else None for c in range(27)) for i in range(1, 61)]
    texts = [text * n + end for n in range(20) for text in "aü" for end in ("", "é", "€ and more")]
    for pool in pools:
        rows = pool.fetch(f"select {columns} from generate_series(1, 60) i order by i", *values)
        assert [tuple(row) for row in rows] == wanted
        assert [row[0] for row in pool.fetch("select unnest($1::text[])", texts)] == texts


def test_executemany_with_arrays(pools):
    pool = pools[0]
    pool.execute("drop table if exists boxes")
    pool.execute("create table boxes (n int, a int[], t text[])")
    sets = [(n, list(range(n)), [str(n)] * 3) for n in range(50)]
    assert pool.executemany("insert into boxes values ($1, $2, $3)", sets) == 50
    assert [tuple(row) for row in pool.fetch("select * from boxes order by n")] == sets


def test_dates_are_midnights(pools):
    for pool in pools:
        for day in (dt.date(2024, 2, 29), dt.date.max, dt.date.min):
            assert pool.fetchval("select $1::timestamp", day) == pool.fetchval(
                "select $1::date::timestamp", day
            )


NAIVE, AWARE = dt.datetime(2024, 2, 29), dt.datetime(2024, 2, 29, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("timestamptz", NAIVE),
        ("timestamptz", dt.date(2024, 2, 29)),
        ("timestamp", AWARE),
        ("date", NAIVE),
        ("time", dt.time(1, tzinfo=UTC)),
        ("timetz", dt.time(1)),
        ("interval", 3),
        ("interval", dt.time(1)),
        ("uuid", b"0" * 16),
        ("inet", 3232235777),
        ("cidr", True),
        ("date", 20240229),
        ("integer", NAIVE),
        ("text", NAIVE),
        ("numeric", dt.timedelta(1)),
        ("boolean", uuid.UUID(int=1)),
    ],
)
def test_no_kind_is_taken_for_another(pools, name, value):
    with pytest.raises(weirpool.DataError, match=rf"parameter \$1: {name} takes .*, not "):
        pools[0].fetchval(f"select $1::{name}", value)


class Odd(dt.tzinfo):
    def __init__(self, offset):
        self.offset = offset

    def utcoffset(self, _):
        if isinstance(self.offset, Exception):
            raise self.offset
        return self.offset

    def dst(self, _):
        return None

    def tzname(self, _):
        return None


def test_odd_time_zones(pools):
    pool = pools[0]
    assert pool.fetchval("select $1::timestamp", NAIVE.replace(tzinfo=Odd(None))) == NAIVE
    same(pool.fetchval("select $1::time", dt.time(1, tzinfo=NEW_YORK)), dt.time(1))
    with pytest.raises(KeyError):
        pool.fetchval("select $1::timestamptz", NAIVE.replace(tzinfo=Odd(KeyError())))
    with pytest.raises(TypeError):
        pool.fetchval("select $1::timestamptz", NAIVE.replace(tzinfo=Odd(3)))
    with pytest.raises(weirpool.ArgumentError, match="whole seconds"):
        pool.fetchval("select $1::timetz", dt.time(1, tzinfo=dt.timezone(MICRO)))
    assert pool.fetchval("select $1::timestamptz", NAIVE.replace(tzinfo=dt.timezone(MICRO))) == AWARE - MICRO


def test_sqlite_gets_text(sqlite_url):
    with weirpool.create_pool_sync(sqlite_url, max_size=1) as pool:
        for value, text in [
            (dt.date(2024, 2, 29), "2024-02-29"),
            (dt.time(12, 30, 0, 250000), "12:30:00.25"),
            (dt.time(12, 30, tzinfo=dt.timezone(dt.timedelta(hours=-5, minutes=-30))), "12:30:00-05:30"),
            (NAIVE, "2024-02-29 00:00:00"),
            (AWARE.astimezone(NEW_YORK), "2024-02-29 00:00:00+00:00"),
            (dt.time(12, 30, tzinfo=dt.timezone(dt.timedelta(hours=5))), "12:30:00+05:00"),
            (dt.date.max, "9999-12-31"),
            (dt.datetime.min, "0001-01-01 00:00:00"),
            (dt.datetime.max.replace(tzinfo=UTC), "9999-12-31 23:59:59.999999+00:00"),
            (dt.timedelta.max, "P999999999DT23H59M59.999999S"),
            (dt.timedelta(days=-2, hours=3), "P-2DT3H"),
            (dt.timedelta(), "PT0S"),
            (dt.timedelta(microseconds=1), "PT0.000001S"),
            (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
            (ipaddress.ip_address("::1"), "::1"),
            (ipaddress.ip_network("10.0.0.0/8"), "10.0.0.0/8"),
        ]:
            assert pool.fetchval("select $1", value) == text
        assert pool.fetchval("select date($1, '+1 day')", NAIVE) == "2024-03-01"
        assert pool.fetchval("select time($1)", dt.time(5, 6, 7)) == "05:06:07"
        assert pool.fetchval("select datetime($1)", AWARE.astimezone(NEW_YORK)) == "2024-02-29 00:00:00"
