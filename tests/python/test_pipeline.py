"""Statements of the pool's callers that share connections, and those that only read."""

import asyncio

import pytest
import weirpool
from support import turns
from weirpool import _core


async def known(pool, *statements):
    """Until the pool knows of each that it is short."""
    for sql in statements:
        for _ in range(20):
            await pool.fetchval(sql, 1)


ECHO = "SELECT $1::int"
WRITE_ONE = (
    "CREATE FUNCTION write_one() RETURNS int LANGUAGE sql AS 'INSERT INTO kept VALUES (1) RETURNING n'"
)


@pytest.mark.parametrize("readonly", [False, True])
def test_errors_stay_with_their_callers(pg_url, run, readonly):
    async def body():
        async with weirpool.create_pool(pg_url, max_size=2) as pool:
            await known(pool, ECHO, "SELECT 1 / $1::int")
            calls = []
            for number in range(200):
                bad = number % 5 == 0
                sql = "SELECT 1 / $1::int" if bad else ECHO
                calls.append(pool.fetchval(sql, 0 if bad else number, readonly=readonly))
            answers = await asyncio.gather(*calls, return_exceptions=True)
            for number, answer in enumerate(answers):
                if number % 5 == 0:
                    assert isinstance(answer, weirpool.Error) and answer.sqlstate == "22012"
                else:
                    assert answer == number

    run(body)


def test_the_width_can_be_pinned(pg_url, run):
    """As the benchmark does it."""
    pid = "SELECT pg_backend_pid() + 0 * $1::int"

    async def body():
        async with weirpool.create_pool(pg_url, min_size=4, max_size=4, pipeline_max_wait=1) as pool:
            await known(pool, pid)
            for width in (1, 3, 4):
                _core._pin_width(pool, width)
                for _ in range(20):
                    pids = await asyncio.gather(*(pool.fetchval(pid, number) for number in range(16)))
                    assert len(set(pids)) == width
            for width in (-1, 5):
                with pytest.raises(weirpool.ArgumentError, match=rf"width={width}: give 1 to max_size=4"):
                    _core._pin_width(pool, width)
            _core._pin_width(pool, 0)
            assert await pool.fetchval(ECHO, 7) == 7

    run(body)


def test_what_the_server_has_not_come_to_was_not_done(pg_url, run):
    """It says farewell in the midst of one statement: the writes behind that one may be made again."""
    ends = "select case when $1::int = 0 then pg_terminate_backend(pg_backend_pid()) end"

    async def body():
        options = {"max_size": 1, "pipeline_max_wait": 60, "circuit_breaker": False}
        async with weirpool.create_pool(pg_url, **options) as pool, weirpool.create_pool(pg_url, max_size=1) as other:
            await other.execute("create table kept (n int)")
            await known(pool, ECHO, ends)
            for _ in range(20):
                await pool.execute("insert into kept values ($1)", -1)
            # What is sent when the server has gone drops its farewell, or has libpq tell it as a notice, which does
            # not say where the server was: until it is heard.
            for _ in range(200):
                calls = [pool.execute("insert into kept values ($1)", n) for n in range(4)]
                ended, *behind = await asyncio.gather(pool.fetchval(ends, 0), *calls, return_exceptions=True)
                assert {type(error) for error in behind} <= {weirpool.ConnectionLost, weirpool.OutcomeUnknown}
                heard = [type(error) for error in behind] == [weirpool.ConnectionLost] * 4
                if heard and ended.sqlstate == "57P01":
                    break
            assert heard and ended.sqlstate == "57P01"
            assert all(error.retryable for error in behind)
            assert await other.fetchval("select count(*) from kept where n >= 0") == 0

    run(body)


OF_TRANSACTIONS = ("BEGIN", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE")


@pytest.mark.parametrize(
    "sql",
    [
        "BEGIN",
        "START TRANSACTION",
        "COMMIT",
        "END",
        "ROLLBACK",
        "ABORT",
        "SAVEPOINT a",
        "RELEASE a",
        "PREPARE TRANSACTION 'x'",
        "set search_path = x",
        "RESET ALL",
        "DISCARD ALL",
        "/* a */ LISTEN c",
        "UNLISTEN *",
        "LOAD 'plpgsql'",
        "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
        "PREPARE p AS SELECT 1",
        "DEALLOCATE ALL",
        "CREATE TEMP TABLE t (n int)",
        "create temporary view v as select 1",
    ],
)
def test_what_changes_a_connection_is_refused(pg_url, run, sql):
    async def body():
        async with weirpool.create_pool(pg_url, max_size=1) as pool:
            remedy = r"pool\.listen\(\)" if " LISTEN" in sql else r"pool\.connection\(\)"
            with pytest.raises(weirpool.ArgumentError, match=remedy) as caught:
                await pool.execute(sql)
            assert f": {sql.removeprefix('/* a */ ').split()[0]} would " in str(caught.value)
            assert await pool.fetchval(ECHO, 7) == 7
        async with weirpool.create_pool(pg_url, max_size=1, pipeline=False) as pool:
            if sql.split()[0] in OF_TRANSACTIONS or "TRANSACTION" in sql:
                with pytest.raises(weirpool.ArgumentError, match=r"pool\.session\(\)"):
                    await pool.execute(sql)
            else:
                await pool.execute(sql)
            assert await pool.fetchval(ECHO, 7) == 7

    run(body)


def test_a_table_that_changes_under_many(pg_url, run):
    """0A000, "cached plan must not change result type", is nobody's: each is run once more, and its neighbours not."""

    async def body():
        async with (
            weirpool.create_pool(pg_url, max_size=1, pipeline_max_wait=60) as pool,
            weirpool.create_pool(pg_url, max_size=1) as other,
        ):
            await other.execute("create table changing (n int)")
            await other.execute("create table kept (n int)")
            await other.execute("insert into changing values (7)")
            text, insert = "select * from changing", "insert into kept values ($1)"
            for n in range(3):
                await known(pool, ECHO)
                assert await pool.fetchval(text) == 7 and await pool.execute(insert, -1)
            for kind, value in (("text", "7"), ("bigint", 7), ("numeric", 7)):
                await other.execute(f"alter table changing alter n type {kind} using n::{kind}")
                await other.execute("truncate kept")
                calls = [
                    call
                    for n in range(8)
                    for call in (pool.fetch(text), pool.execute(insert, n), pool.fetchval(ECHO, n))
                ]
                answers = await asyncio.gather(*calls)
                assert [rows[0][0] for rows in answers[::3]] == [value] * 8
                assert answers[2::3] == list(range(8))
                assert await other.fetchval("select count(*) = 8 and count(distinct n) = 8 from kept")

    run(body)


@pytest.mark.parametrize("pipeline", [True, False])
@pytest.mark.parametrize("sql", ["COMMIT PREPARED 'x'", "rollback /* it */ prepared 'x'"])
def test_prepared_transactions_are_ended_on_the_pool(pg_url, run, sql, pipeline):
    """They are no connection's."""

    async def body():
        async with weirpool.create_pool(pg_url, max_size=1, pipeline=pipeline) as pool:
            with pytest.raises(weirpool.errors.UndefinedObject, match='identifier "x" does not exist'):
                await pool.execute(sql)

    run(body)


@pytest.mark.parametrize("pipeline", [True, False])
def test_transactions_are_not_begun_or_ended_on_the_pool(url, run, pipeline):
    async def body():
        async with weirpool.create_pool(url, max_size=1, pipeline=pipeline) as pool:
            for sql in ("begin", " -- x\n COMMIT", "end", "Rollback", "savepoint a", "release a"):
                with pytest.raises(weirpool.ArgumentError, match=r"pool\.session\(\)"):
                    await pool.execute(sql)
            assert await pool.fetchval("select $1", "x") == "x"

    run(body)


@pytest.mark.parametrize(
    "sql",
    [
        "COMMIT",
        "DO $$ BEGIN INSERT INTO kept VALUES (1); END $$",
        "INSERT INTO kept VALUES (1)",
        "WITH w AS (INSERT INTO kept VALUES (1) RETURNING n) SELECT n FROM w",
        "SELECT write_one()",
        "SELECT set_config('transaction_read_only', 'off', false), write_one()",
        "SELECT set_config('default_transaction_read_only', 'off', false), write_one()",
        "EXPLAIN ANALYZE INSERT INTO kept VALUES (1)",
        "SELECT nextval('counted')",
    ],
)
def test_readonly_writes_nothing(pg_url, run, sql):
    async def body():
        async with weirpool.create_pool(pg_url, max_size=1) as pool:
            async with pool.connection() as connection:
                await connection.execute("CREATE TABLE kept (n int)")
                await connection.execute("CREATE SEQUENCE counted")
                await connection.execute(WRITE_ONE)
            try:
                calls = [pool.fetch(sql, readonly=True), pool.fetch("SELECT write_one()", readonly=True)]
                calls += [pool.fetchval(ECHO, n, readonly=True) for n in range(20)]
                answers = await asyncio.gather(*calls, return_exceptions=True)
                assert all(isinstance(answer, weirpool.Error) for answer in answers[:2]), answers[:2]
                assert answers[2:] == list(range(20))
                assert await pool.fetchval("SELECT count(*) FROM kept") == 0
                assert await pool.fetchval("SHOW transaction_read_only") == "off"
                await pool.execute("INSERT INTO kept VALUES (2)")  # the connection is whole again
            finally:
                for what in ("FUNCTION write_one()", "TABLE kept", "SEQUENCE counted"):
                    await pool.execute(f"DROP {what}")

    run(body)


@pytest.mark.parametrize("unlock", ["SELECT unlock()", "SELECT * FROM unlocked"])
@pytest.mark.parametrize("write", ["SELECT write_one()", "SELECT * FROM written"])
def test_readonly_cannot_be_lifted_from_ahead(pg_url, run, unlock, write):
    """A function may switch off what it likes: those that are on their way behind it write nothing either."""
    script = f"""
        CREATE TABLE kept (n int); {WRITE_ONE};
        CREATE FUNCTION unlock() RETURNS int LANGUAGE plpgsql AS $$ BEGIN
            PERFORM set_config('default_transaction_read_only', 'off', false);
            BEGIN PERFORM set_config('transaction_read_only', 'off', true);
            EXCEPTION WHEN OTHERS THEN NULL; END;
            RETURN 1;
        END $$;
        CREATE VIEW unlocked AS SELECT unlock();
        CREATE VIEW written AS SELECT write_one();
    """

    async def body():
        async with weirpool.create_pool(pg_url, min_size=1, max_size=1) as pool:
            await pool.execute_script(script)
            for _ in range(30):  # all are known to be short, failures too
                await pool.fetchval(unlock, readonly=True)
                await pool.fetchval(ECHO, 1, readonly=True)
                with pytest.raises(weirpool.errors.ReadOnlySqlTransaction):
                    await pool.fetchval(write, readonly=True)
            for _ in range(10):
                calls = [pool.fetchval(unlock, readonly=True)]
                calls += [pool.fetchval(ECHO, n, readonly=True) for n in range(12)]
                calls += [pool.fetchval(write, readonly=True)]
                *answers, refused = await asyncio.gather(*calls, return_exceptions=True)
                assert answers == [1, *range(12)]
                assert isinstance(refused, weirpool.errors.ReadOnlySqlTransaction), refused
                assert await pool.fetchval("SELECT count(*) FROM kept") == 0
            await pool.execute("INSERT INTO kept VALUES (2)")

    run(body)


def test_a_deadline_leaves_its_neighbours(pg_url, run):
    async def body():
        async with weirpool.create_pool(pg_url, max_size=1) as pool:
            sleep = "SELECT $1::int FROM pg_sleep($2::float8)"
            for _ in range(20):
                await pool.fetchval(sleep, 1, 0.0)
            await known(pool, ECHO)
            slow = asyncio.ensure_future(pool.fetchval(sleep, 1, 600.0, timeout=0.2))
            others = [pool.fetchval(ECHO, number) for number in range(20)]
            assert await asyncio.gather(*others) == list(range(20))
            with pytest.raises(weirpool.CommandTimeout):
                await slow

    run(body)


def test_nobody_stands_behind_what_is_long(pg_url, run):
    """COPY both ways, a stream, a script: others have the other connection, or wait until there is one."""
    long = "generate_series(1, 1000000)"

    async def body():
        over = asyncio.Event()

        async def rows():
            yield b"1\n"
            await over.wait()

        async def stream(seen):
            async for _ in pool.stream(f"SELECT * FROM {long}", prefetch=10):
                seen.set()
                await over.wait()
                break

        async def copy_out(seen):
            async for _ in pool.copy_out(f"COPY (SELECT * FROM {long}) TO STDOUT"):
                seen.set()
                await over.wait()
                break

        async def copy_in(seen):
            seen.set()
            await pool.copy_in("COPY kept FROM STDIN", rows())

        async def script(seen):
            seen.set()
            await pool.execute_script("SELECT 1; SELECT pg_advisory_xact_lock(7)")

        async with (
            weirpool.create_pool(pg_url, min_size=2, max_size=2, pipeline_max_wait=60) as pool,
            weirpool.create_pool(pg_url, max_size=1) as other,
        ):
            await pool.execute("CREATE TABLE kept (n int)")
            for kind in (stream, copy_out, copy_in, script):
                await known(pool, ECHO)
                over.clear()
                async with other.session() as holder:
                    await holder.execute("SELECT pg_advisory_xact_lock(7)")
                    seen = [asyncio.Event(), asyncio.Event()]
                    first = asyncio.ensure_future(kind(seen[0]))
                    await seen[0].wait()
                    answers = await asyncio.gather(*(pool.fetchval(ECHO, n, timeout=5) for n in range(40)))
                    assert answers == list(range(40))
                    second = asyncio.ensure_future(kind(seen[1]))
                    await seen[1].wait()
                    late = [asyncio.ensure_future(pool.fetchval(ECHO, n)) for n in range(40)]
                    await turns(50)
                    assert not any(task.done() for task in late) and pool.snapshot()["waiting"] == 40
                over.set()
                assert await asyncio.gather(*late) == list(range(40))
                await asyncio.gather(first, second)

    run(body)


def test_reads_that_share_a_sync_have_one_now(pg_url, run):
    """As the guide says of readonly; all others have their own."""

    async def body():
        async with weirpool.create_pool(pg_url, min_size=1, max_size=1, pipeline_max_wait=60) as pool:
            for _ in range(20):
                await asyncio.gather(*(pool.fetchval("SELECT now()", readonly=True) for _ in range(16)))
                await pool.fetchval("SELECT now()")
            for readonly in (True, False):
                calls = (pool.fetchval("SELECT now()", readonly=readonly) for _ in range(40))
                moments = len(set(await asyncio.gather(*calls)))
                assert moments <= 12 if readonly else moments == 40  # four in groups of one, the rest of eight

    run(body)


def test_who_holds_a_lock_is_answered(pg_url, run):
    async def body():
        async with weirpool.create_pool(pg_url, max_size=3) as pool:
            await pool.execute("CREATE TABLE locked AS SELECT 1 AS n")
            try:
                await known(pool, ECHO)
                async with pool.session() as session:
                    await session.execute("UPDATE locked SET n = 2")
                    blocked = asyncio.ensure_future(pool.execute("UPDATE locked SET n = n + 1"))
                    for number in range(20):
                        assert await pool.fetchval(ECHO, number) == number
                await blocked
                assert await pool.fetchval("SELECT n FROM locked") == 3
            finally:
                await pool.execute("DROP TABLE locked")

    run(body)
