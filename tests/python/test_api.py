"""What the package offers, and that it does what it says; on both databases and both loops."""

import ast
import asyncio
import contextlib
import enum
import functools
import inspect
import itertools
import math
import re
import sqlite3
import subprocess
import sys
import textwrap
from decimal import Decimal

import pytest
import weirpool
from support import for_python, no_warnings
from weirpool import errors


@functools.cache
def described_attributes(cls):
    """The attributes of a class written in Python that have a docstring: a string behind them."""
    try:
        body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0].body
    except (TypeError, OSError):
        return set()
    described = set()
    for statement, after in itertools.pairwise(body):
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            targets = getattr(statement, "targets", None) or [getattr(statement, "target", None)]
            described.update(getattr(target, "id", "") for target in targets)
    return described


def is_described(cls, name):
    owner = next((base for base in cls.__mro__ if name in vars(base)), cls)
    if not owner.__module__.startswith("weirpool") or name in described_attributes(owner):
        return True
    member = getattr(cls, name)
    doc = inspect.getdoc(member) or ""
    own = doc != inspect.getdoc(type(member)) and not doc.startswith("Alias for field")
    return bool(doc and own) or re.search(rf"\b{name}\b", inspect.getdoc(owner))


def test_everything_public_has_a_docstring():
    for name in weirpool.__all__:
        thing = getattr(weirpool, name)
        if inspect.isclass(thing) or inspect.isfunction(thing) or inspect.isbuiltin(thing):
            assert inspect.getdoc(thing), name
        if inspect.isclass(thing):
            for member in dir(thing):
                assert member.startswith("_") or is_described(thing, member), f"{name}.{member}"
    for name in errors.__all__:
        assert getattr(errors, name).__doc__, name


def test_functions_show_how_they_are_called():
    functions = {name: getattr(weirpool, name) for name in weirpool.__all__}
    shown = {name: str(inspect.signature(thing)) for name, thing in functions.items() if inspect.isroutine(thing)}
    assert shown["fingerprint"] == "(sql, /)" and shown["libpq_version"] == shown["sqlite_version"] == "()"
    assert weirpool.fingerprint.__doc__.startswith("What a statement has")


def test_docstrings_of_statements_say_what_their_time_is_over():
    for cls in (weirpool.Pool, weirpool.SyncPool, weirpool.Connection, weirpool.SyncConnection):
        for name in ("execute", "executemany", "execute_script", "fetch", "fetchrow", "fetchval"):
            doc = getattr(cls, name).__doc__
            assert "command_timeout" in doc, name
            for word in ("checkout_timeout", "CheckoutTimeout"):
                assert (word in doc) == cls.__name__.endswith("Pool"), f"{cls.__name__}.{name}"


def test_names():
    assert set(weirpool.__all__) <= set(dir(weirpool))
    for cls in filter(inspect.isclass, vars(weirpool).values()):
        assert cls.__module__.partition(".")[0] == "weirpool" or cls.__name__ not in weirpool.__all__
    assert re.fullmatch(r"\d+\.\d+\.\d+", weirpool.__version__)
    assert weirpool.libpq_version() >= 140000
    assert weirpool.sqlite_version().startswith("3.")


INTRUDER = """
import sqlite3, sys
sqlite3.connect(sys.argv[1], timeout=0).execute("insert into t values (2)")
"""


def test_sqlite_is_the_one_that_python_has(tmp_path):
    """Where a process has two copies, closing a database in one drops the other's locks, as POSIX has it."""
    path = tmp_path / "locked.db"
    assert weirpool.sqlite_version() == sqlite3.sqlite_version
    with weirpool.create_pool_sync(f"sqlite:///{path}") as pool:
        pool.execute("create table t (a integer)")
        with pool.session() as session:
            session.execute("insert into t values (1)")
            with contextlib.closing(sqlite3.connect(path)) as own:
                assert own.execute("select count(*) from t").fetchone() == (0,)
            intruder = subprocess.run([sys.executable, "-c", INTRUDER, path], capture_output=True, text=True)
            assert "database is locked" in intruder.stderr
        assert pool.fetchval("select group_concat(a) from t") == "1"


def test_signature_is_the_table_of_options():
    options = {row[0]: row for row in weirpool._options.rows(weirpool._core.option_table)}
    for function in (weirpool.create_pool, weirpool.create_pool_sync):
        parameters = dict(inspect.signature(function).parameters)
        for name in ("url", "init", "setup", "server_settings", "codecs", "on_notice"):
            del parameters[name]
        assert list(parameters) == list(options)
        for name, parameter in parameters.items():
            assert parameter.default == options[name][3] and parameter.kind is parameter.KEYWORD_ONLY
            assert f"\n{name}: {options[name][7]}" in function.__doc__


# One of each shape: blocking and awaited, on the pool, on a connection, in a session.
@pytest.mark.parametrize("place", ["pool", "connection", "session"])
def test_statements(url, run, place):
    async def body(target):
        assert await target.execute("create table t (a integer, b text)") == "CREATE TABLE"
        assert await target.execute("insert into t values ($1, $2)", 1, "one") == "INSERT 0 1"
        assert await target.executemany("insert into t values ($1, $2)", [(2, "two"), [3, "three"]]) == 2
        assert await target.executemany("insert into t values ($1, $2)", iter([])) == 0
        assert await target.fetch("select a, b from t order by a") == [(1, "one"), (2, "two"), (3, "three")]
        assert await target.fetchrow("select b, a from t where a = $1", 2) == ("two", 2)
        assert await target.fetchrow("select b from t where a = $1", 9) is None
        assert await target.fetchval("select count(*) from t") == 3
        assert await target.fetchval("select a, b from t where a = 3", column=1) == "three"
        assert await target.fetchval("select a, b from t where a = 3", column=-1) == "three"
        assert await target.fetchval("select a from t where a = 9", column=5) is None
        assert await target.fetchval("select null") is None
        with pytest.raises(weirpool.errors.ArgumentError, match="no column 2: the result has 2"):
            await target.fetchval("select a, b from t where a = 3", column=2)
        assert await target.execute("update t set b = $1", "x", timeout=5) == "UPDATE 3"
        assert await target.execute("delete from t where a > $1", 1, timeout=None) == "DELETE 2"
        assert await target.execute("drop table t") == "DROP TABLE"

    async def main():
        async with weirpool.create_pool(url, max_size=2) as pool:
            if place == "pool":
                return await body(pool)
            async with getattr(pool, place)() as target:
                await body(target)

    with no_warnings():
        run(main)


@pytest.mark.parametrize("place", ["pool", "connection", "session"])
def test_statements_blocking(url, place):
    def body(target):
        assert target.execute("create table t (a integer, b text)") == "CREATE TABLE"
        assert target.execute("insert into t values ($1, $2)", 1, "one") == "INSERT 0 1"
        assert target.executemany("insert into t values ($1, $2)", [(2, "two"), [3, "three"]]) == 2
        assert target.fetch("select a, b from t order by a") == [(1, "one"), (2, "two"), (3, "three")]
        assert target.fetchrow("select b, a from t where a = $1", 2) == ("two", 2)
        assert target.fetchval("select a, b from t where a = 3", column=1) == "three"
        with pytest.raises(weirpool.errors.UndefinedTable):
            with target.transaction() if place != "pool" else pytest.MonkeyPatch.context():
                target.fetch("select * from nope")
        assert target.execute("drop table t") == "DROP TABLE"

    with no_warnings(), weirpool.create_pool_sync(url, max_size=2) as pool:
        if place == "pool":
            body(pool)
        else:
            with getattr(pool, place)() as target:
                body(target)


class Colour(enum.IntEnum):
    RED = 7


class Name(str):
    pass


VALUES = [
    (None, "text", None),
    (True, "boolean", True),
    (0, "bigint", 0),
    (-(2**63), "bigint", -(2**63)),
    (2**63 - 1, "bigint", 2**63 - 1),
    (Colour.RED, "bigint", 7),
    (1.5, "double precision", 1.5),
    (math.inf, "double precision", math.inf),
    ("", "text", ""),
    ("Grüße, 世界 🌍", "text", "Grüße, 世界 🌍"),
    (Name("n"), "text", "n"),
    (b"", "bytea", b""),
    (b"\x00\xff", "bytea", b"\x00\xff"),
    (bytearray(b"ab"), "bytea", b"ab"),
    (memoryview(b"abcd")[::2], "bytea", b"ac"),
    (Decimal("12345678901234567890.123456789"), "numeric", Decimal("12345678901234567890.123456789")),
    (Decimal("-0.10"), "numeric", Decimal("-0.10")),
    (Decimal("NaN"), "numeric", Decimal("NaN")),
    (2**70, "numeric", Decimal(2**70)),
]


@pytest.mark.parametrize(
    ("given", "kind", "wanted"), VALUES, ids=[f"{kind}-{given!r}" for given, kind, _ in VALUES]
)
def test_values_postgresql(pg_url, given, kind, wanted):
    with weirpool.create_pool_sync(pg_url, max_size=1) as pool:
        got = pool.fetchval(f"select $1::{kind}", given)
    assert type(got) is type(wanted)
    assert got == wanted or (got != got and wanted != wanted)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (None, None),
        (True, 1),
        (2**63 - 1, 2**63 - 1),
        (Colour.RED, 7),
        (1.5, 1.5),
        ("Grüße\U0001f30d", "Grüße\U0001f30d"),
        (b"\x00\xff", b"\x00\xff"),
        (bytearray(b"ab"), b"ab"),
    ],
)
def test_values_sqlite(sqlite_url, given, wanted):
    with weirpool.create_pool_sync(sqlite_url, max_size=1) as pool:
        got = pool.fetchval("select $1", given)
    assert type(got) is type(wanted) and got == wanted


def test_sessions_commit_and_roll_back(url, run):
    async def main():
        async with weirpool.create_pool(url, max_size=2) as pool:
            await pool.execute("create table t (a integer)")
            async with pool.session() as session:
                assert not session.info["in_transaction"] and session.info["depth"] == 0
                await session.execute("insert into t values (1)")
                assert session.info["in_transaction"] and session.info["depth"] == 1
                assert not session.info["failed"] and session.pool is pool
            assert session.closed
            with pytest.raises(KeyError):
                async with pool.session() as session:
                    await session.execute("insert into t values (2)")
                    raise KeyError
            assert session.closed
            async with pool.session() as session:
                await session.execute("insert into t values (3)")
                await session.rollback()
                await session.execute("insert into t values (4)")
                await session.commit()
                await session.execute("insert into t values (5)")
            session = await pool.session()
            await session.execute("insert into t values (6)")
            session.release()
            session.release()  # harmless
            assert [row["a"] for row in await pool.fetch("select a from t order by a")] == [1, 4, 5]
            with pytest.raises(weirpool.SessionClosed):
                await session.execute("select 1")
            with pytest.raises(weirpool.SessionClosed):
                session.info  # noqa: B018

    with no_warnings():
        run(main)


def test_savepoints(url, run):
    async def main():
        async with weirpool.create_pool(url, max_size=2) as pool:
            await pool.execute("create table t (a integer)")
            async with pool.session() as session:
                await session.execute("insert into t values (1)")
                with pytest.raises(errors.UndefinedTable):
                    async with session.transaction():
                        await session.execute("insert into t values (2)")
                        assert session.info["depth"] == 2
                        await session.execute("select * from nope")
                async with session.transaction():
                    await session.execute("insert into t values (3)")
                    async with session.transaction():
                        await session.execute("insert into t values (4)")
                with pytest.raises(weirpool.TransactionError, match="savepoint"):
                    async with session.transaction(readonly=True):
                        pass
            assert [row["a"] for row in await pool.fetch("select a from t order by a")] == [1, 3, 4]

    with no_warnings():
        run(main)


def test_transaction_on_a_connection(url, run):
    async def main():
        async with weirpool.create_pool(url, max_size=2) as pool:
            await pool.execute("create table t (a integer)")
            async with pool.connection() as connection:
                await connection.execute("insert into t values (1)")
                async with connection.transaction(isolation="serializable"):
                    await connection.execute("insert into t values (2)")
                with pytest.raises(ZeroDivisionError):
                    async with connection.transaction():
                        await connection.execute("insert into t values (3)")
                        1 / 0  # noqa: B018
                async with connection.transaction():
                    pass
                with pytest.raises(errors.ReadOnlySqlTransaction):
                    async with connection.transaction(readonly=True):
                        await connection.execute("insert into t values (4)")
                assert not hasattr(connection, "commit")
            assert [row["a"] for row in await pool.fetch("select a from t order by a")] == [1, 2]

    with no_warnings():
        run(main)


def test_how_a_connection_shows(url, run):
    async def main():
        async with weirpool.create_pool(url) as pool, pool.connection() as connection:
            backend = connection.info["backend"]
            shown = f" backend={backend}" if url.startswith("postgresql") else ""
            assert (backend is None) == (shown == "")
            async with connection.transaction():
                assert repr(connection) == f"<Connection{shown} depth=1>"

    run(main)


def test_transactions_blocking(url):
    with no_warnings(), weirpool.create_pool_sync(url, max_size=2) as pool:
        pool.execute("create table t (a integer)")
        with pool.session() as session:
            session.execute("insert into t values (1)")
            with pytest.raises(ZeroDivisionError), session.transaction():
                session.execute("insert into t values (2)")
                1 / 0  # noqa: B018
        with pytest.raises(ZeroDivisionError), pool.session() as session:
            session.execute("insert into t values (3)")
            1 / 0  # noqa: B018
        with pool.session() as session:
            session.execute("insert into t values (4)")
            session.commit()
            session.execute("insert into t values (5)")
            session.rollback()
        with pool.connection() as connection:
            connection.execute("insert into t values (6)")
            with connection.transaction():
                connection.execute("insert into t values (7)")
        assert [row["a"] for row in pool.fetch("select a from t order by a")] == [1, 4, 6, 7]
        assert session.closed and connection.closed


def test_failed_transaction_does_not_commit(pg_url, run):
    async def main():
        async with weirpool.create_pool(pg_url, max_size=1) as pool:
            with pytest.raises(weirpool.TransactionRolledBack):
                async with pool.session() as session:
                    with pytest.raises(errors.UndefinedTable):
                        await session.execute("select * from nope")
                    assert session.info["failed"]
            assert await pool.fetchval("select 1") == 1

    run(main)


def test_isolation(pg_url, run):
    async def main():
        async with weirpool.create_pool(pg_url, max_size=1) as pool:
            for given, shown in [
                (None, "read committed"),
                ("repeatable_read", "repeatable read"),
                ("serializable", "serializable"),
            ]:
                async with pool.session(isolation=given) as session:
                    assert await session.fetchval("show transaction_isolation") == shown
            async with pool.session(isolation="serializable", readonly=True, deferrable=True) as session:
                assert await session.fetchval("show transaction_deferrable") == "on"
                with pytest.raises(errors.ReadOnlySqlTransaction):
                    await session.execute("create table t ()")
                await session.rollback()
            both = "select current_setting('transaction_isolation'), current_setting('transaction_deferrable')"
            async with pool.connection() as connection:
                async with connection.transaction(isolation="serializable", deferrable=True):
                    assert await connection.fetchrow(both) == ("serializable", "on")
                assert await connection.fetchrow(both) == ("read committed", "off")
            with pytest.raises(weirpool.ArgumentError, match="isolation"):
                async with pool.session(isolation="chaos"):
                    pass

    run(main)


def test_unused_session_sends_nothing(url, run):
    async def main():
        async with weirpool.create_pool(url, max_size=1) as pool:
            for _ in range(10):
                async with pool.session():
                    pass
                async with pool.connection():
                    pass
            assert pool.snapshot()["queries_started"] == 0
            assert pool.snapshot()["checkouts_granted"] == 20

    run(main)


def test_an_idle_connection_is_lent_without_a_turn_of_the_loop(url, run):
    async def main():
        async with weirpool.create_pool(url, min_size=1, max_size=1) as pool:
            turns = []
            asyncio.get_running_loop().call_soon(turns.append, 1)
            async with pool.session():
                assert turns == []
            async with pool.connection() as connection:
                assert turns == [] and connection.info["depth"] == 0
            assert turns == []

    run(main)


def test_pool_properties(url, run):
    async def main():
        pool = weirpool.create_pool(url, min_size=1, max_size=3, name="mine")
        assert repr(pool) == "<Pool not open>" and not pool.closed
        assert await pool is pool
        assert (pool.name, pool.min_size, pool.max_size, pool.closed) == ("mine", 1, 3, False)
        assert pool.url == url and pool.database_system == url.partition(":")[0]
        assert re.fullmatch(r"<Pool mine size=\d idle=\d waiting=0>", repr(pool))
        pool.resize(min_size=2)
        assert (pool.min_size, pool.max_size) == (2, 3)
        pool.resize(min_size=0, max_size=1)
        assert (pool.min_size, pool.max_size) == (0, 1)
        with pytest.raises(weirpool.OptionError):
            pool.resize(min_size=9)
        wrongs = ("x", True, -1, 10001, 2**80, 1.5, [])
        for name, wrong in itertools.product(("min_size", "max_size"), wrongs):
            with pytest.raises(weirpool.OptionError, match=name):
                pool.resize(**{name: wrong})
        with pytest.raises(weirpool.OptionError, match="max_size=0 is out of range"):
            pool.resize(max_size=0)
        assert (pool.min_size, pool.max_size) == (0, 1)
        await pool.close()
        assert pool.closed and repr(pool) == "<Pool closed>"
        await pool.close()
        with pytest.raises(weirpool.PoolClosed):
            await pool.fetch("select 1")

    with no_warnings():
        run(main)


def test_expire_replaces_connections(pg_url, run):
    async def main():
        async with weirpool.create_pool(pg_url, min_size=1, max_size=1) as pool:
            before = await pool.fetchval("select pg_backend_pid()")
            async with pool.connection() as held:
                pool.expire()
                assert held.info["backend"] == before == await held.fetchval("select pg_backend_pid()")
            assert await pool.fetchval("select pg_backend_pid()") != before

    run(main)


def test_snapshot_is_the_table_of_metrics(url, run):
    rows = []
    while (entry := weirpool._core.metric_table(len(rows))) is not None:
        rows.append(entry)

    async def main():
        async with weirpool.create_pool(url, min_size=1, max_size=2) as pool:
            await pool.fetchval("select 1")
            snapshot = pool.snapshot()
            assert list(snapshot) == [name for name, _, _ in rows]
            for name, kind, text in rows:
                assert text and isinstance(snapshot[name], dict if kind == 2 else int)
            query = snapshot["query"]
            assert list(query) == ["count", "sum", "max", "p50", "p90", "p99", "p999", "buckets"]
            assert list(query["buckets"]) == [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, math.inf]
            assert (
                query["count"] == sum(query["buckets"].values()) == 1
                and 0 < query["p50"] <= query["max"] < 10
            )
            assert snapshot["queries_succeeded"] == 1 and snapshot["max_size"] == 2

    run(main)
    assert set(rows[0][0:1]) and weirpool.Snapshot.__annotations__.keys() == {name for name, _, _ in rows}


def test_server_settings(pg_url, run):
    async def main():
        settings = {"search_path": "pg_catalog", "application_name": "tester"}
        async with weirpool.create_pool(pg_url, max_size=1, server_settings=settings) as pool:
            assert await pool.fetchval("show search_path") == "pg_catalog"
            assert await pool.fetchval("show application_name") == "tester"
        async with weirpool.create_pool(pg_url, max_size=1) as pool:
            assert await pool.fetchval("show application_name") == "weirpool"

    run(main)


def test_timeouts(pg_url, run):
    async def main():
        async with weirpool.create_pool(pg_url, min_size=1, max_size=1) as pool:
            with pytest.raises(weirpool.CommandTimeout) as caught:
                await pool.fetch("select pg_sleep(60)", timeout=0.05)
            assert isinstance(caught.value, TimeoutError) and not caught.value.retryable
            async with pool.connection() as held:
                with pytest.raises(weirpool.CheckoutTimeout):
                    async with pool.connection(checkout_timeout=0.02):
                        pass
                with pytest.raises(weirpool.CheckoutTimeout):
                    await pool.fetch("select 1", timeout=0.02)
                with pytest.raises(weirpool.CommandTimeout):
                    await held.fetch("select pg_sleep(60)", timeout=0.02)
                assert await held.fetchval("select 1") == 1
            with pytest.raises(weirpool.SessionTimeout):
                async with pool.session(timeout=0.05) as session:
                    await session.fetchval("select pg_sleep(60)")
            assert await pool.fetchval("select 1") == 1

    run(main)


def test_too_many_waiting(url, run):
    async def main():
        async with weirpool.create_pool(url, max_size=1, max_waiting=1) as pool:
            async with pool.connection():
                waiter = asyncio.ensure_future(pool.connection())
                await asyncio.sleep(0)
                with pytest.raises(weirpool.TooManyWaiting):
                    await pool.connection()
                waiter.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiter

    run(main)


def test_busy_session(pg_url, run):
    async def main():
        async with weirpool.create_pool(pg_url, max_size=1) as pool, pool.connection() as connection:
            first = asyncio.ensure_future(connection.fetchval("select pg_sleep(0.1)"))
            await asyncio.sleep(0)
            assert connection.info["busy"]
            with pytest.raises(weirpool.SessionBusy):
                await connection.fetchval("select 1")
            await first
            assert await connection.fetchval("select 1") == 1

    run(main)


def test_a_context_manager_serves_once(url, run):
    async def main():
        async with weirpool.create_pool(url, max_size=1) as pool:
            checkout = pool.connection()
            async with checkout as connection:
                transaction = connection.transaction()
                async with transaction:
                    pass
                with pytest.raises(RuntimeError, match="entered before"):
                    await transaction.__aenter__()
            with pytest.raises(RuntimeError, match="entered before"):
                await checkout.__aenter__()
            with pytest.raises(RuntimeError, match="not entered"):
                await checkout.__aexit__(None, None, None)
            with pytest.raises(RuntimeError, match="opened before"):
                await pool
        with pytest.raises(RuntimeError, match="opened before"):
            await pool

    run(main)


def calls(function):
    seen = []
    sys.setprofile(lambda frame, event, argument: seen.append(event))
    try:
        function()
    finally:
        sys.setprofile(None)
    return len(seen)


def test_rows_come_in_one_call(url):
    text = "with recursive n (i) as (select 1 union all select i + 1 from n where i < $1) select i, 'x' from n"
    with weirpool.create_pool_sync(url) as pool:
        pool.fetch(text, 1)
        assert calls(lambda: pool.fetch(text, 5000)) == calls(lambda: pool.fetch(text, 1)) < 10
        assert calls(lambda: [row.keys() for row in pool.fetch(text, 5000)]) >= 5000  # it does count


def test_many_rows(url, run):
    async def main():
        async with weirpool.create_pool(url, max_size=1) as pool:
            last = "$1::int" if url.startswith("postgresql") else "$1"
            numbers = f"with recursive n(i) as (select 1 union all select i + 1 from n where i < {last})"
            rows = await pool.fetch(numbers + " select i, 'x' from n", 50_000)
            assert len(rows) == 50_000 and rows[0] == (1, "x") and rows[-1] == (50_000, "x")

    run(main)


@pytest.mark.parametrize("count", [7000, 7001, 65535])
def test_many_parameters(pg_url, count):
    """Over 7,000 libpq cannot be told their types: the server finds them."""
    values = ", ".join(f"(${n}::int8)" for n in range(1, count + 1))
    with weirpool.create_pool_sync(pg_url, max_size=1) as pool:
        total = pool.fetchval(f"select sum(v)::int8 from (values {values}) as t (v)", *range(1, count + 1))
        assert total == count * (count + 1) // 2
        with pytest.raises(weirpool.ArgumentError):
            pool.fetchval("select 1", *range(65536))
        assert pool.fetchval("select $1::int8", 7) == 7


def test_loaded_anew(url):
    """By those who clear sys.modules: what it gives and raises is of the package that is there."""
    program = """
import pickle, sys, weirpool

def use():
    with weirpool.create_pool_sync(sys.argv[1], max_size=1) as pool:
        with pool.session() as session:
            row = session.fetchrow("select 1 as a")
        assert type(row) is weirpool.Record and pickle.loads(pickle.dumps(row)) == row
        try:
            pool.execute("selec 1")
        except weirpool.errors.SyntaxError:
            print("ours")

before = weirpool
use()
for name in [name for name in sys.modules if name.startswith("weirpool")]:
    del sys.modules[name]
import weirpool
assert weirpool is not before
use()
"""
    environment = for_python()  # the classes of the first are not given back, which LeakSanitizer would tell
    environment["ASAN_OPTIONS"] = environment.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
    told = subprocess.run([sys.executable, "-c", program, url], env=environment, capture_output=True, text=True)
    assert (told.stdout, told.stderr, told.returncode) == ("ours\nours\n", "", 0)
