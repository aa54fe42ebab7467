"""circuit_record and circuit_ignore of a pool: functions and classes beside SQLSTATEs and names."""

import asyncio
import contextlib
import functools
import logging

import pytest
import weirpool
from support import no_warnings, until, until_async
from weirpool import errors

TABLE = "create table if not exists once (n int primary key)"
ONCE = "insert into once values (1) on conflict do nothing"
TWICE = "insert into once values (1)"


def is_twice(error):
    return error.sqlstate == "23505"


def numbers(breaker):
    """How calls have ended."""
    snapshot = breaker.snapshot()
    return {kind: snapshot["calls_" + kind] for kind in ("failed", "succeeded", "ignored", "cancelled")}


def counts(breaker, before=None):
    """What has been counted since, all calls being over."""
    assert breaker.snapshot()["running"] == 0
    now = numbers(breaker)
    return {kind: now[kind] - (before or {}).get(kind, 0) for kind in now if now[kind] != (before or {}).get(kind, 0)}


@contextlib.asynccontextmanager
async def opened(url, **options):
    async with weirpool.create_pool(url, min_size=1, max_size=1, **options) as pool:
        await pool.execute(TABLE)
        await pool.execute(ONCE)
        yield pool


@contextlib.contextmanager
def opened_sync(url, **options):
    with weirpool.create_pool_sync(url, min_size=1, max_size=1, **options) as pool:
        pool.execute(TABLE)
        pool.execute(ONCE)
        yield pool


FORMS = [
    (is_twice, None, "failed"),
    ("23", is_twice, "ignored"),
    (is_twice, "23", "ignored"),
    (is_twice, is_twice, "ignored"),
    (weirpool.IntegrityError, None, "failed"),
    (["08", is_twice], (KeyError, weirpool.IntegrityError), "ignored"),
    (lambda error: False, lambda error: None, "succeeded"),
    ("IntegrityError", lambda error: False, "failed"),
    (None, None, "succeeded"),
]


def test_forms(url, run):
    """What each form says is the same of a pool's statements, awaited or not, and of a breaker of one's own."""

    async def main(record, ignore, expected):
        async with opened(url, circuit_record=record, circuit_ignore=ignore) as pool:
            before = numbers(pool.breaker.query)
            with pytest.raises(errors.UniqueViolation):
                await pool.execute(TWICE)
            assert counts(pool.breaker.query, before) == {expected: 1}

    for record, ignore, expected in FORMS:
        with no_warnings():
            run(functools.partial(main, record, ignore, expected))
            with opened_sync(url, circuit_record=record, circuit_ignore=ignore) as pool:
                before = numbers(pool.breaker.query)
                with pytest.raises(errors.UniqueViolation) as caught:
                    pool.execute(TWICE)
                assert counts(pool.breaker.query, before) == {expected: 1}
        breaker = weirpool.CircuitBreaker(record=record, ignore=ignore)
        with pytest.raises(errors.UniqueViolation), breaker:
            raise caught.value
        assert counts(breaker) == {expected: 1}


def test_every_way_to_fail(pg_url, run):
    """A function sees what the caller sees, once, whatever has failed; and what nobody sees the lists judge."""
    seen = []

    def record(error):
        seen.append(error)
        return True

    async def main():
        options = {"circuit_failure_threshold": None, "circuit_failure_rate": None}
        async with opened(pg_url, circuit_record=record, **options) as pool:
            breaker = pool.breaker.query
            failed = numbers(breaker)["failed"]

            @contextlib.asynccontextmanager
            async def fails(number=1):
                nonlocal failed
                with pytest.raises(weirpool.Error) as caught:
                    yield
                failed += number
                assert len(seen) == number and caught.value in seen
                assert numbers(breaker)["failed"] == failed
                seen.clear()

            for method in (pool.fetch, pool.fetchrow, pool.fetchval, pool.execute, pool.execute_script):
                async with fails():
                    await method("select 1 / 0")
            async with fails():
                await pool.executemany("insert into once values ($1)", [[1]])
            async with fails():
                await pool.transaction(["select 1", "select 1 / 0"])
            async with fails():
                await pool.fetchval("select pg_sleep(60)", timeout=0.05)
            async with pool.connection() as connection:
                await connection.execute("create temp table later (n int unique deferrable initially deferred)")
                async with fails(), connection.transaction():
                    await connection.execute("insert into later values (1), (1)")
                async with fails():
                    await connection.fetch("select 1 / 0")
                async with fails():
                    async for _ in connection.stream("select 1 / (2 - n) from generate_series(1, 3) n", prefetch=1):
                        pass
                async with fails():
                    await connection.copy_in("copy once from stdin", b"one\n")
                async with fails():
                    await connection.copy_out("copy (select 1 / 0) to stdout", to=Sink())
                async with fails(), connection.pipeline():
                    connection.execute("select 1 / 0")
                async with fails(2), connection.pipeline():
                    first, second = connection.fetch("select 1 / 0"), connection.fetch("select no")
                    with pytest.raises(errors.DivisionByZero):
                        await first
                    await second
            async with fails():
                async for _ in pool.stream("select 1 / 0"):
                    pass
            async with fails():
                await pool.copy_in("copy once from stdin", Slowly())

            for _ in range(2):
                before, operation = numbers(breaker), pool.fetch("select 1 / 0")
                await until_async(operation.send(None).done)
                assert breaker.snapshot()["running"] == 1
                operation.close()  # nobody sees it: by the table it is no failure
                assert not seen and counts(breaker, before) == {"succeeded": 1}

    class Sink:
        def write(self, data):
            pass

    class Slowly:
        """More than one piece: the server says no between two of them."""

        async def __aiter__(self):
            yield b"one\n" * 100000
            while True:
                await asyncio.sleep(0.001)

    with no_warnings():
        run(main)


def test_opening_by_a_function(url, run):
    """Failures that a function finds open the breaker, and what it is not asked of does not."""

    async def main():
        options = {"circuit_record": is_twice, "circuit_failure_threshold": 3, "circuit_recovery_timeout": 60}
        async with opened(url, **options) as pool:
            results = await asyncio.gather(*(pool.execute(TWICE) for _ in range(3)), return_exceptions=True)
            assert {type(result) for result in results} == {errors.UniqueViolation}
            with pytest.raises(weirpool.CircuitOpen) as caught:
                pool.breaker.query.force_open()
                await pool.execute(TWICE)
            assert [event["reason"] for event in pool.breaker.query.events()][0] == "failures"
            assert "UniqueViolation" in caught.value.detail

    with no_warnings():
        run(main)


def test_a_place_comes_back(url):
    """A trial that fails, and is to be ignored, leaves its place to the next."""
    options = {"circuit_failure_threshold": 1, "circuit_recovery_timeout": 0.01, "circuit_probe_interval": 60}
    states = []

    def ignore(error):
        states.append(pool.breaker.query.snapshot())
        return pool.breaker.query.state == "half_open"

    with opened_sync(url, circuit_record="23", circuit_ignore=ignore, **options) as pool:
        with pytest.raises(errors.UniqueViolation):
            pool.execute(TWICE)
        until(lambda: pool.breaker.query.state == "half_open")
        for _ in range(2):
            with pytest.raises(errors.UniqueViolation):
                pool.execute(TWICE)
        assert [(state["state"], state["half_open_calls"]) for state in states] == [
            ("closed", 0),
            ("half_open", 1),
            ("half_open", 1),
        ]
        for _ in range(7):
            assert pool.fetchval("select 1") == 1
        assert pool.breaker.query.state == "closed"


def test_a_function_that_fails(url, run, caplog):
    """The caller gets his error, the log has the function's, and the table judges."""

    def broken(error):
        raise LookupError("in the predicate")

    async def nothing():
        pass

    def awaited(error):
        return nothing()

    async def main(predicate, words):
        async with opened(url, circuit_ignore=predicate, circuit_record="23") as pool:
            before = numbers(pool.breaker.query)
            with pytest.raises(errors.UniqueViolation), caplog.at_level(logging.ERROR, "weirpool"):
                await pool.execute(TWICE)
            assert counts(pool.breaker.query, before) == {"failed": 1}
            (record,) = caplog.records
            assert "circuit_ignore or circuit_record" in record.getMessage()
            assert words in str(record.exc_info[1])
            caplog.clear()

    with no_warnings():
        for predicate, words in [(broken, "in the predicate"), (awaited, "to be awaited")]:
            run(functools.partial(main, predicate, words))
            breaker = weirpool.CircuitBreaker(ignore=predicate)
            with pytest.raises((LookupError, TypeError), match=words), breaker:
                raise OSError


def test_ctrl_c_in_a_function(url):
    def interrupted(error):
        raise KeyboardInterrupt

    with opened_sync(url, circuit_record=interrupted) as pool:
        before = numbers(pool.breaker.query)
        with pytest.raises(KeyboardInterrupt) as caught:
            pool.execute(TWICE)
        assert isinstance(caught.value.__context__, errors.UniqueViolation)
        assert counts(pool.breaker.query, before) == {"succeeded": 1}


def test_a_function_that_uses_the_pool(url, run):
    """It runs under no lock, and may close the pool, too."""

    async def main():
        def ignore(error):
            tasks.append(asyncio.ensure_future(pool.close(grace=0)))
            return True

        tasks = []
        async with opened(url, circuit_ignore=ignore) as pool:
            with pytest.raises(errors.UniqueViolation):
                await pool.execute(TWICE)
            await asyncio.gather(*tasks)

    def ignore(error):
        seen.append(pool.fetchval("select 1"))
        if len(seen) == 2:
            pool.close(grace=0)
        return True

    with no_warnings():
        run(main)
        seen = []
        with opened_sync(url, circuit_ignore=ignore) as pool:
            for _ in range(2):
                with pytest.raises(errors.UniqueViolation):
                    pool.execute(TWICE)
        assert seen == [1, 1]


def test_what_is_refused():
    async def later(error):
        return True

    class Later:
        async def __call__(self, error):
            return True

    for create in (weirpool.create_pool, weirpool.create_pool_sync):
        for given, words in [
            (later, "coroutine function"),
            (functools.partial(later), "coroutine function"),
            (["08", Later()], "coroutine function"),
            (3, "no function"),
            ([int], "no class of exceptions"),
            (["UniqeViolation", is_twice], "UniqueViolation"),
        ]:
            for name in ("circuit_record", "circuit_ignore"):
                with pytest.raises(weirpool.OptionError, match=words) as caught:
                    create("sqlite://", **{name: given})
                assert name in str(caught.value)
    with pytest.raises(weirpool.OptionError, match="coroutine function"):
        weirpool.CircuitBreaker(record=later)


def test_the_lists_are_options_all_the_same():
    with weirpool.create_pool_sync("sqlite://", circuit_record=["08", is_twice, "23"], circuit_ignore=KeyError) as pool:
        assert pool.options["circuit_record"] == "08,23" and pool.options["circuit_ignore"] is None
