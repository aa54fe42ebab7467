"""Properties that hold for all values: what goes in comes out; a Record is its tuple."""

import contextlib
import math
import pickle

import pytest
import weirpool
from hypothesis import given
from hypothesis import strategies as st

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
INTEGER = st.integers(-(2**63), 2**63 - 1)
COMMON = st.none() | INTEGER | st.floats() | TEXT | st.binary()

def same(one, other):
    if isinstance(one, float) and math.isnan(one):
        return isinstance(other, float) and math.isnan(other)
    return type(one) is type(other) and one == other


@pytest.fixture(scope="module")
def pools(server, tmp_path_factory):
    with contextlib.ExitStack() as stack:
        url = f"sqlite:///{tmp_path_factory.mktemp('properties')}/x.db"
        sqlite = stack.enter_context(weirpool.create_pool_sync(url, max_size=1))
        sqlite.execute("create table t (a)")  # opens what SQLite keeps open once it has written
        postgresql = stack.enter_context(weirpool.create_pool_sync(server.new_database(), max_size=1))
        yield {"sqlite": sqlite, "postgresql": postgresql}


@given(values=st.lists(COMMON, min_size=1, max_size=20))
def test_round_trip_sqlite(pools, values):
    parameters = ", ".join(f"${n}" for n in range(1, len(values) + 1))
    row = pools["sqlite"].fetchrow(f"select {parameters}", *values)
    for value, got in zip(values, row, strict=True):
        nan = isinstance(value, float) and math.isnan(value)  # SQLite makes NULL of it
        assert got is None if nan else same(value, got)


@given(values=st.lists(INTEGER | TEXT, min_size=1, max_size=8), data=st.data())
def test_a_record_is_its_tuple(pools, values, data):
    columns = ", ".join(f"${n + 1} as c{n}" for n in range(len(values)))
    record = pools["sqlite"].fetchrow(f"select {columns}", *values)
    wanted = tuple(values)
    assert record == wanted and hash(record) == hash(wanted) and list(record) == values
    assert dict(record) == {f"c{n}": value for n, value in enumerate(values)}
    part = data.draw(st.slices(len(values)))
    assert record[part] == wanted[part]
    n = data.draw(st.integers(-len(values), len(values) - 1))
    assert record[n] == wanted[n]
    assert pickle.loads(pickle.dumps(record)) == record


@given(sets=st.lists(st.tuples(INTEGER, TEXT), max_size=50))
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_executemany_stores_all(pools, database, sets):
    with pools[database].connection() as connection:
        connection.execute("create table many (a bigint, b text)")
        try:
            assert connection.executemany("insert into many values ($1, $2)", sets) == len(sets)
            assert sorted(connection.fetch("select a, b from many")) == sorted(sets)
        finally:
            connection.execute("drop table many")
