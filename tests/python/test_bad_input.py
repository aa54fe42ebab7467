"""Whatever is given, the answer is an exception that says what is wrong, and never the password."""

import decimal
import functools
import inspect
import io
import math
import traceback

import pytest
import weirpool
from weirpool import errors

CANARY = "s3cr3t-canary"

BAD_OPTIONS = [
    ({"max_sise": 3}, "max_size"),
    ({"max_size": 0}, "max_size"),
    ({"max_size": -1}, "max_size"),
    ({"max_size": 10**6}, "max_size"),
    ({"max_size": 2**80}, "max_size"),
    ({"max_size": "3"}, "max_size"),
    ({"max_size": 1.5}, "max_size"),
    ({"max_size": None}, "max_size"),
    ({"max_size": True}, "max_size"),
    ({"min_size": 5, "max_size": 4}, "min_size"),
    ({"lifo": 1}, "lifo"),
    ({"lifo": "yes"}, "lifo"),
    ({"checkout_timeout": 0}, "checkout_timeout"),
    ({"checkout_timeout": -1}, "checkout_timeout"),
    ({"checkout_timeout": math.nan}, "checkout_timeout"),
    ({"checkout_timeout": math.inf}, "checkout_timeout"),
    ({"checkout_timeout": 1e30}, "checkout_timeout"),
    ({"checkout_timeout": "1"}, "checkout_timeout"),
    ({"checkout_timeout": [1]}, "checkout_timeout"),
    ({"retry_min": None}, "retry_min"),
    ({"retry_min": 3, "retry_max": 2}, "retry_min"),
    ({"sqlite_begin": "sometimes"}, "sqlite_begin"),
    ({"sqlite_begin": 3}, "sqlite_begin"),
    ({"name": "a\0b"}, "name"),
    ({"name": "\ud800"}, "name"),
    ({"name": b"x"}, "name"),
    ({"init": 3}, "init"),
    ({"setup": "f"}, "setup"),
    ({"server_settings": 3}, "server_settings"),
    ({"server_settings": {"search_path": 3}}, "search_path"),
    ({"server_settings": {3: "x"}}, "server_settings"),
    ({"server_settings": {"a": "b\0"}}, "a"),
]


@pytest.mark.parametrize(("options", "named"), BAD_OPTIONS, ids=repr)
@pytest.mark.parametrize("create", [weirpool.create_pool, weirpool.create_pool_sync])
def test_options(create, options, named):
    with pytest.raises(weirpool.OptionError) as caught:
        create(f"postgresql://app:{CANARY}@127.0.0.1:1/x", **options)
    assert named in str(caught.value) and isinstance(caught.value, ValueError)
    assert CANARY not in "".join(traceback.format_exception(caught.value))


BAD_URLS = [
    "",
    "x",
    "mysql://a:{}@h/d",
    "postgresql://a:{}@h:notaport/d",
    "postgresql://a:{}@h:99999/d",
    "postgresql://a:{}@[::1/d",
    "postgresql://a:{}@h/d?nope=1",
    "postgresql://a:{}@h/d?max_size=x",
    "postgresql://a:{}%zz@h/d",
    "postgresql://a:x@{}@h:y/d",
    "sqlite://host/{}",
    "sqlite:///x?nope={}",
]


@pytest.mark.parametrize("url", BAD_URLS)
def test_urls(run, url):
    async def main():
        async with weirpool.create_pool(url.format(CANARY)):
            pass

    for attempt in (lambda: run(main), lambda: weirpool.create_pool_sync(url.format(CANARY))):
        with pytest.raises(weirpool.OptionError) as caught:
            attempt()
        shown = str(caught.value) + repr(caught.value) + repr(caught.value.__dict__)
        assert CANARY not in shown


@pytest.mark.parametrize("url", [None, 3, b"sqlite:///x", "sqlite:///x\0y", "sqlite:///\ud800"])
def test_urls_that_are_no_text(url):
    with pytest.raises((weirpool.OptionError, TypeError)):
        weirpool.create_pool_sync(url)


def test_statements(url, run):
    async def main():
        async with weirpool.create_pool(url, max_size=1) as pool:
            cases = [
                ((3,), {}, weirpool.ArgumentError, "must be a str, not int"),
                ((b"select 1",), {}, weirpool.ArgumentError, "must be a str, not bytes"),
                (("",), {}, weirpool.ArgumentError, "empty"),
                (("select '\0'",), {}, weirpool.ArgumentError, "NUL"),
                (("select '\ud800'",), {}, weirpool.ArgumentError, "surrogate"),
                (("select $1", "\ud800"), {}, weirpool.ArgumentError, r"parameter \$1 .*surrogate"),
                (
                    ("select $1, $2", 1, object()),
                    {},
                    weirpool.ArgumentError,
                    r"parameter \$2 is of type object",
                ),
                (("select $1", {1}), {}, weirpool.ArgumentError, r"parameter \$1 is of type set"),
                (
                    ("select $1", 10**5000),
                    {},
                    weirpool.ArgumentError,
                    r"parameter \$1 is a number of too many",
                ),
                (("select 1",), {"timeout": 0}, weirpool.ArgumentError, "timeout"),
                (("select 1",), {"timeout": -1}, weirpool.ArgumentError, "timeout"),
                (("select 1",), {"timeout": math.nan}, weirpool.ArgumentError, "timeout"),
                (("select 1",), {"timeout": math.inf}, weirpool.ArgumentError, "timeout"),
                (("select 1",), {"timeout": 1e300}, weirpool.ArgumentError, "timeout"),
                (("select 1",), {"timeout": 10**400}, weirpool.ArgumentError, "timeout"),
                (("select 1",), {"timeout": "1"}, weirpool.ArgumentError, "timeout"),
                (("select 1",), {"timeout": True}, weirpool.ArgumentError, "timeout"),
                (("select 1",), {"nope": 1}, TypeError, "unexpected keyword argument 'nope'"),
                ((), {}, TypeError, "needs the statement"),
            ]
            async with pool.session() as session:
                for arguments, keywords, kind, message in cases:
                    for target in (pool, session):
                        with pytest.raises(kind, match=message):
                            target.fetch(*arguments, **keywords)  # at once: not when it is awaited
                with pytest.raises(TypeError, match="unexpected keyword argument 'column'"):
                    session.fetch("select 1", column=1)
                for column in ("x", 1.0, True, None, 2**70):
                    with pytest.raises(weirpool.ArgumentError, match="column"):
                        session.fetchval("select 1", column=column)
            with pytest.raises(TypeError, match="executemany"):
                pool.executemany("select $1")
            with pytest.raises(TypeError):
                pool.executemany("select $1", 3)
            for sets in ([3], ["ab"], [b"ab"], [{"a": 1}.__iter__], [(1,), None]):
                with pytest.raises(weirpool.ArgumentError, match="each set"):
                    pool.executemany("select $1", sets)
            with pytest.raises(weirpool.ArgumentError, match=r"parameter \$2"):
                pool.executemany("select $1, $2", [(1, 2), (1, object())])
            with pytest.raises(weirpool.ArgumentError):
                await pool.executemany("select $1", [(1,), (1, 2)])
            for broken in (ZeroDivisionError, MemoryError):

                def sets(broken=broken):
                    yield (1,)
                    raise broken

                with pytest.raises(broken):
                    pool.executemany("select $1", sets())
            for keywords in (
                {"checkout_timeout": 0},
                {"timeout": "x"},
                {"isolation": 3},
                {"isolation": "a\0"},
            ):
                with pytest.raises(weirpool.ArgumentError, match=next(iter(keywords))):
                    pool.session(**keywords)
            with pytest.raises(TypeError):
                pool.session(1)
            connection = await pool.connection()
            with pytest.raises(TypeError):
                pool.connection(isolation="serializable")
            with pytest.raises(weirpool.ArgumentError, match="grace"):
                pool.close(grace=-1)
            with pytest.raises(TypeError):
                pool.close(1)

            for wrong in ("no", 1, None):
                for flag in ("readonly", "deferrable"):
                    for call in (pool.session, connection.transaction, functools.partial(pool.transaction, [])):
                        with pytest.raises(weirpool.ArgumentError, match=f"{flag} must be True or False"):
                            call(**{flag: wrong})
            connection.release()
            assert await pool.fetchval("select 1") == 1

    run(main)


def test_what_signatures_show_as_default_can_be_given(pg_url, run):
    arguments = {
        "executemany": ("insert into t values ($1)", [(1,)]),
        "copy_in": ("copy t from stdin", b""),
        "copy_records": ("t", []),
        "copy_out": ("copy t to stdout", io.BytesIO()),
        "transaction": (["select 1"],),
        "session": (),
        "connection": (),
        "check_health": (),
        "run": (lambda session: session.execute("select 1"),),
        "close": (),
    }

    async def call(method, omitted):
        given = method(*arguments.get(method.__name__, ("select 1",)), **dict.fromkeys(omitted, ...))
        if method.__name__ == "stream":
            return [row async for row in given]
        return await given

    async def main():
        async with weirpool.create_pool(pg_url, max_size=2) as pool:
            await pool.execute("create table t (a integer)")
            async with pool.session() as session:
                called = set()
                methods = [getattr(target, name) for target in (session, pool) for name in dir(target) if name[0] != "_"]
                for method in methods:
                    if not inspect.isroutine(method) or method.__name__ in ("close", "drain"):
                        continue
                    shown = inspect.signature(method).parameters.values()
                    omitted = [parameter.name for parameter in shown if parameter.default is ...]
                    answer = await call(method, omitted) if omitted else None
                    called.update(omitted)
                    if isinstance(answer, weirpool.Connection):
                        answer.release()
                    if isinstance(answer, weirpool.Listener):
                        answer.close()
                assert called == {"timeout", "checkout_timeout", "max_queued", "heartbeat"}
            await call(pool.close, ["grace"])

    run(main)


def test_what_is_not_entered(sqlite_url, run):
    async def main():
        async with weirpool.create_pool(sqlite_url) as pool:
            for make, what in ((pool.session, "session"), (pool.connection, "connection")):
                checkout = make()
                with pytest.raises(AttributeError) as caught:
                    _ = checkout.fetchval
                assert str(caught.value) == (
                    f"fetchval is of the {what} itself, which `async with` gives: async with pool.{what}() as {what}:"
                )
                assert not hasattr(checkout, "fetchvall") and not hasattr(checkout, "__len__")
                assert hasattr(checkout, "commit") is False
                checkout.close()

    run(main)
    with weirpool.create_pool_sync(sqlite_url) as pool:
        for make, what, name in ((pool.session, "session", "commit"), (pool.connection, "connection", "execute")):
            checkout = make()
            with pytest.raises(AttributeError, match=rf"^{name} is of the {what} itself, which `with` gives: with pool"):
                getattr(checkout, name)
            with pytest.raises(AttributeError, match="has no attribute 'fetchvall'"):
                _ = checkout.fetchvall
            with checkout:
                pass


def test_wrong_numbers_of_parameters(url, run):
    async def main():
        async with weirpool.create_pool(url, max_size=1) as pool:
            with pytest.raises(weirpool.Error):
                await pool.fetch("select $1", 1, 2)
            with pytest.raises(weirpool.Error):
                await pool.fetch("select $1, $2", 1)
            with pytest.raises(errors.SyntaxError):
                await pool.fetch("selec 1")
            assert await pool.fetchval("select 1") == 1

    run(main)


@pytest.mark.parametrize(
    ("sql", "value", "words"),
    [
        ("select $1::jsonb", 5, r"jsonb takes json, .*, not int: .* weirpool\.Json\(value\)"),
        ("select $1::bigint", 2**70, "1180591620717411303424 is out of range for bigint"),
        ("select $1::bigint", -(2**63) - 1, "-9223372036854775809 is out of range for bigint"),
        ("select $1::integer", 10**70, r"1000+\.\.\. is out of range for integer"),
        ("select $1::bigint", decimal.Decimal(5), "bigint takes int, not numeric"),
        ("select $1::bigint", decimal.Decimal("5e30"), "bigint takes int, not numeric"),
        ("select $1::integer", (1,), "integer takes int, not record: .* give them one by one"),
    ],
)
def test_a_value_that_does_not_fit(pg_url, sql, value, words):
    with weirpool.create_pool_sync(pg_url, max_size=1) as pool, pytest.raises(weirpool.DataError, match=words):
        pool.fetchval(sql, value)


def test_placeholders_of_others(pg_url, sqlite_url):
    with weirpool.create_pool_sync(pg_url, max_size=1) as pool:
        for sql in ("select n from (select 1 as n) t where n = ?", "select n from (select 1 as n) t where n = %s"):
            with pytest.raises(weirpool.ProgrammingError) as caught:
                pool.fetchval(sql, 1)
            assert caught.value.hint == "parameters are written $1, $2 ..., and the text has no $1"
        for sql, parameters in (("selct $1::int", (1,)), ("select n = ?", ())):
            with pytest.raises(weirpool.ProgrammingError) as caught:
                pool.fetchval(sql, *parameters)
            assert caught.value.hint is None
    with weirpool.create_pool_sync(sqlite_url) as pool:
        for sql, words in (("select $1::int", r"has no ::, write CAST\(\$1 AS type\)"), ("select :id", "write \\$1, ")):
            with pytest.raises(weirpool.NotSupportedError, match=words):
                pool.fetchval(sql, 1)


def test_too_many_parameters(pg_url, run):
    async def main():
        async with weirpool.create_pool(pg_url, max_size=1) as pool:
            with pytest.raises(weirpool.ArgumentError):
                await pool.fetch("select 1", *range(65536))
            assert await pool.fetchval("select 1") == 1

    run(main)


def test_after_close(url, run):
    async def main():
        pool = await weirpool.create_pool(url, max_size=1)
        connection = await pool.connection()
        await pool.close(grace=0)
        for operation in (pool.fetch("select 1"), pool.session(), pool.connection()):
            with pytest.raises(weirpool.PoolClosed):
                await operation
        with pytest.raises((weirpool.SessionClosed, weirpool.PoolClosed)):
            await connection.fetch("select 1")
        assert connection.closed and repr(connection) == "<Connection closed>"
        connection.release()
        with pytest.raises(weirpool.PoolClosed):
            pool.resize(max_size=3)

    run(main)


def test_before_open():
    pool = weirpool.create_pool("sqlite:///x")
    for read in (
        lambda: pool.name,
        lambda: pool.url,
        pool.snapshot,
        pool.expire,
        lambda: pool.resize(max_size=1),
    ):
        with pytest.raises(weirpool.PoolClosed, match="not been opened"):
            read()

    async def use():
        with pytest.raises(weirpool.PoolClosed, match="not been opened"):
            await pool.fetch("select 1")
        with pytest.raises(weirpool.PoolClosed, match="not been opened"):
            async with pool.session():
                pass
        await pool.close()
        assert pool.closed
        with pytest.raises(RuntimeError):
            await pool

    import asyncio

    asyncio.run(use())


def test_handles_of_another_kind():
    for function in (weirpool._core.pool_snapshot, weirpool._core.pool_expire, weirpool._core.pool_name):
        for wrong in (None, 3, object()):
            with pytest.raises(TypeError):
                function(wrong)
    with pytest.raises(TypeError):
        weirpool._core.pool_resize()
