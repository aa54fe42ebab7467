"""Record: a tuple with names."""

import copy
import pickle

import pytest
import weirpool


@pytest.fixture
def record(sqlite_url):
    with weirpool.create_pool_sync(sqlite_url, max_size=1) as pool:
        yield pool.fetchrow("select 1 as a, 'x' as b, null as c")


def test_is_a_tuple(record):
    assert (record[0], record[1], record[-1]) == (1, "x", None)
    assert record[0:2] == (1, "x") and record[::-1] == (None, "x", 1) and record[5:] == ()
    assert len(record) == 3 and list(record) == [1, "x", None] and tuple(record) == (1, "x", None)
    a, b, c = record
    assert (a, b, c) == (1, "x", None)
    assert "x" in record and "y" not in record
    for wrong in (3, -4, 2**70):
        with pytest.raises(IndexError):
            record[wrong]


def test_equals_and_sorts_as_its_tuple(record):
    assert record == (1, "x", None) and (1, "x", None) == record and not record != (1, "x", None)
    assert record != (1, "x") and record != [1, "x", None] and record is not None
    assert hash(record) == hash((1, "x", None)) and {(1, "x", None): 5}[record] == 5
    assert record < (2,) and record > (0, "z") and record <= record and record >= record
    with pytest.raises(TypeError):
        record < 3  # noqa: B015


def test_has_names(record):
    assert record["a"] == 1 and record["c"] is None
    with pytest.raises(KeyError, match="nope"):
        record["nope"]
    with pytest.raises(TypeError, match="not by float"):
        record[1.0]
    assert record.keys() == ("a", "b", "c") and record.values() == (1, "x", None)
    assert record.items() == (("a", 1), ("b", "x"), ("c", None))
    assert dict(record) == {"a": 1, "b": "x", "c": None} == {**record}
    assert (
        record.get("b") == "x"
        and record.get("z") is None
        and record.get("z", 7) == 7
        and record.get(1) is None
    )
    with pytest.raises(TypeError):
        record.get()


def test_shows_itself(record):
    assert repr(record) == "<Record a=1 b='x' c=None>"


def test_of_equal_names_the_last(url):
    with weirpool.create_pool_sync(url, max_size=1) as pool:
        row = pool.fetchrow("select 1 as a, 2 as a")
    assert row == (1, 2) and row["a"] == 2 and dict(row) == {"a": 2} and row.keys() == ("a", "a")


def test_pickles_and_copies(record, url):
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        twin = pickle.loads(pickle.dumps(record, protocol))
        assert twin == record and dict(twin) == dict(record) and type(twin) is weirpool.Record
    assert copy.deepcopy(record) == copy.copy(record) == record
    rows = [record] * 3 + [copy.copy(record)]
    assert len(pickle.dumps(rows)) < 2 * len(pickle.dumps([record]))


def test_cannot_be_made_or_changed(record):
    with pytest.raises(TypeError):
        weirpool.Record()
    with pytest.raises(TypeError):
        record[0] = 2
    with pytest.raises(AttributeError):
        record.a = 2
    make, columns = weirpool._core._make_record, weirpool._core.Columns(("a", "b"))
    assert dict(make(columns, (1, 2))) == {"a": 1, "b": 2}
    with pytest.raises(ValueError):
        make(columns, (1,))
    with pytest.raises(TypeError):
        weirpool._core.Columns((1,))
    with pytest.raises(TypeError):
        weirpool._core.Columns(names=("a",))


def test_columns_are_shared(url):
    with weirpool.create_pool_sync(url, max_size=1) as pool:
        one, two = pool.fetch("select 1 as a, 2 as b union all select 3, 4")
        three = pool.fetchrow("select 5 as a, 6 as b")
        assert one.keys() is two.keys() is three.keys()
        assert pool.fetchrow("select 5 as a, 6 as c").keys() == ("a", "c")
        # more shapes than are kept
        for n in range(300):
            assert pool.fetchrow(f"select {n} as c{n}, 2 as b").items() == ((f"c{n}", n), ("b", 2))
        assert one.keys() == ("a", "b")


def test_empty_and_wide(url):
    with weirpool.create_pool_sync(url, max_size=1) as pool:
        assert pool.fetch("select 1 as a where 1 = 0") == []
        assert pool.fetchrow("select 1 as a where 1 = 0") is None
        wide = pool.fetchrow("select " + ", ".join(f"{n} as c{n}" for n in range(1000)))
        assert len(wide) == 1000 and wide["c999"] == 999
