"""pool.transaction([…])"""

import asyncio

import pytest
import weirpool

INSERT = {"sqlite": "insert into kept values (?)", "postgresql": "insert into kept values ($1)"}


@pytest.fixture
def on_pool(url, run):
    """Runs a test with a pool, a table `kept` (n integer unique), and its INSERT."""

    def go(test, **options):
        async def body():
            async with weirpool.create_pool(url, **{"max_size": 2, **options}) as pool:
                await pool.execute("create table kept (n integer unique)")
                await test(pool, INSERT[pool.database_system])
                assert pool.snapshot()["active"] == 0
                await pool.execute("drop table kept")

        run(body)

    return go


def test_what_it_gives(on_pool):
    async def test(pool, insert):
        for first in (1, 10, 20):
            tag, rows, none, again = await pool.transaction(
                [(insert, first), "select n from kept order by n desc", "select n from kept where n < 0", [insert, first + 1]]
            )
            assert (tag, none, again) == ("INSERT 0 1", [], "INSERT 0 1")
            assert rows[0]["n"] == first
        assert await pool.fetchval("select count(*) from kept") == 6
        assert await pool.transaction([]) == []
        assert await pool.transaction((insert, n) for n in range(100, 200)) == ["INSERT 0 1"] * 100

    on_pool(test)


@pytest.mark.parametrize("place", range(4))
def test_all_or_nothing(on_pool, place):
    async def test(pool, insert):
        await pool.execute(insert, 0)
        for failing, error in (((insert, 0), "23505"), (("select * from nowhere",), "42P01")):
            statements = [(insert, n) for n in (1, 2, 3)]
            statements.insert(place, failing)
            for _ in range(3):
                with pytest.raises(weirpool.DatabaseError) as caught:
                    await pool.transaction(statements)
                assert caught.value.sqlstate == error
                assert await pool.fetchval("select count(*) from kept") == 1

    on_pool(test)


@pytest.mark.parametrize("hooked", [False, True])
@pytest.mark.parametrize(
    "control",
    [
        "commit",
        "ROLLBACK",
        "/* so /* be it */ */ end",
        "-- enough\n;begin",
        "savepoint a",
        "release a",
        "rollback to a",
        "start transaction",
        "abort",
        "prepare transaction 'x'",
    ],
)
def test_it_ends_by_itself(on_pool, control, hooked):
    """What would begin or end transactions is refused: it would be neither all nor nothing."""

    async def test(pool, insert):
        unknown = pool.database_system == "sqlite" and control.split()[0] in ("/*", "start", "abort", "prepare")
        for _ in range(2):
            with pytest.raises(weirpool.DatabaseError if unknown else weirpool.ArgumentError) as caught:
                await pool.transaction([(insert, 1), control, (insert, 2)])
            word = control.split("\n;")[-1].split("*/")[-1].split()[0]
            assert unknown or f": {word} begins or ends a transaction" in str(caught.value)
            assert await pool.fetchval("select count(*) from kept") == 0
        if hooked and not unknown:
            with pytest.raises(weirpool.ArgumentError):
                await pool.execute(control)
        assert await pool.transaction([(insert, 1)]) == ["INSERT 0 1"]

    async def setup(connection):
        await connection.fetchval("select 1")

    on_pool(test, setup=setup if hooked else None)


def test_many_at_once(on_pool):
    async def test(pool, insert):
        async def one(n):
            rows = (await pool.transaction([(insert, n), "select max(n) from kept", (insert, -n)]))[1]
            return rows[0][0] >= n

        assert all(await asyncio.gather(*[one(n) for n in range(1, 200)]))
        assert await pool.fetchval("select sum(n) from kept") == 0
        assert await pool.fetchval("select count(*) from kept") == 398

    on_pool(test)


def test_isolation(pg_url, run):
    async def body():
        async with weirpool.create_pool(pg_url) as pool:
            show = ["show transaction_isolation", "show transaction_read_only", "show transaction_deferrable"]
            rows = await pool.transaction(show, isolation="serializable", readonly=True, deferrable=True)
            assert [row[0][0] for row in rows] == ["serializable", "on", "on"]
            rows = await pool.transaction(show)
            assert [row[0][0] for row in rows] == ["read committed", "off", "off"]
            with pytest.raises(weirpool.errors.ReadOnlySqlTransaction):
                await pool.transaction(["create table t (n integer)"], readonly=True)

    run(body)


def test_what_fails_at_commit(pg_url, run):
    async def body():
        async with weirpool.create_pool(pg_url) as pool:
            await pool.execute("create table late (n integer unique deferrable initially deferred)")
            twice = [("insert into late values ($1)", 1)] * 2
            for _ in range(3):
                with pytest.raises(weirpool.errors.UniqueViolation):
                    await pool.transaction(twice)
            assert await pool.fetchval("select count(*) from late") == 0

    run(body)


class Hollow(list):
    def __iter__(self):
        return iter(())


def test_the_statement_is_named(on_pool):
    async def test(pool, insert):
        for bad, words in (
            ([(insert, 1), (insert, object())], "statement 2: parameter $1 is of type object"),
            ([(insert, 1), (insert,)], "statement 2: the statement takes 1 parameter, "),
            ([insert.replace("$1", "1"), 5], "statement 2: each statement must be a str"),
            ([(insert, 1), (insert, 2), (insert, b"")], "statement 3: parameter $1: integer takes int, not bytes"),
            ([(insert, 1), "begin"], "statement 2: "),
        ):
            if pool.database_system == "sqlite" and "takes int" in words:
                continue
            with pytest.raises(weirpool.Error) as caught:
                await pool.transaction(bad)
            assert str(caught.value).startswith(words), caught.value
        with pytest.raises(weirpool.errors.UniqueViolation) as caught:
            await pool.transaction([(insert, 1), (insert, 1)])
        assert "statement" not in str(caught.value)

    on_pool(test)


@pytest.mark.parametrize("hooked", [False, True])
def test_bad_arguments(on_pool, hooked):
    async def test(pool, insert):
        for bad, text in (
            ([Hollow(["select 1"])], "an empty one"),
            ("select 1", "a list of statements, not a str"),
            ([1], "not int"),
            ([()], "an empty one"),
            ([(1, "select 1")], "must be a str, not int"),
        ):
            with pytest.raises(weirpool.ArgumentError, match=text):
                await pool.transaction(bad)
        with pytest.raises(weirpool.Error):
            await pool.transaction([(insert, 1), (insert,)])  # a parameter is missing
        for arguments in ((), ([], []), (3,)):
            with pytest.raises(TypeError):
                await pool.transaction(*arguments)
        with pytest.raises(TypeError):
            await pool.transaction([(insert, 1)], nonsense=1)
        with pytest.raises(weirpool.ArgumentError, match="isolation"):
            await pool.transaction([(insert, 1)], isolation="strong")
        with pytest.raises(weirpool.ArgumentError, match="timeout"):
            await pool.transaction([(insert, 1)], timeout=0)
        assert await pool.fetchval("select count(*) from kept") == 0

    async def setup(connection):
        await connection.fetchval("select 1")

    on_pool(test, setup=setup if hooked else None)


def test_a_deadline(pg_url, run):
    """Whether it has committed cannot be known when it passes; here it has not."""

    async def body():
        async with weirpool.create_pool(pg_url, max_size=2) as pool:
            await pool.execute("create table kept as select 1 as n")
            change = ["select 1", "update kept set n = n + 1"]
            await pool.transaction(change)
            async with pool.session() as session:
                await session.execute("update kept set n = 10")
                with pytest.raises(weirpool.OutcomeTimeout) as caught:
                    await pool.transaction(change, timeout=0.1)
                assert not caught.value.retryable
                while await session.fetchval("select count(*) from pg_locks where not granted"):
                    pass  # until the server has heard that it is cancelled
            assert await pool.fetchval("select n from kept") == 10
            assert pool.snapshot()["size"] == 2  # the connection was kept

    run(body)


def test_a_cancelled_task(pg_url, run):
    async def body():
        async with weirpool.create_pool(pg_url, max_size=1) as pool:
            await pool.execute("create table kept (n integer)")
            task = asyncio.ensure_future(pool.transaction(["insert into kept values (1)", "select pg_sleep(600)"]))
            while not pool.snapshot()["active"]:
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await pool.fetchval("select count(*) from kept") == 0

    run(body)


def test_conflicts_are_retryable(pg_url, run):
    async def body():
        async with weirpool.create_pool(pg_url, max_size=2) as pool:
            await pool.execute("create table kept as select 1 as n")
            async with pool.session(isolation="serializable") as session:
                await session.fetchval("select n from kept")
                await session.execute("update kept set n = 2")
                rival = asyncio.ensure_future(
                    pool.transaction(["update kept set n = n + 1"], isolation="serializable")
                )
                while not await session.fetchval("select count(*) from pg_locks where not granted"):
                    pass
            with pytest.raises(weirpool.errors.SerializationFailure) as caught:
                await rival
            assert caught.value.retryable
            assert await pool.transaction(["update kept set n = n + 1"]) == ["UPDATE 1"]

    run(body)


def test_behind_a_setup_hook(url, run):
    async def body():
        seen = []

        async def setup(session):
            seen.append(await session.fetchval("select 1"))

        async with weirpool.create_pool(url, setup=setup) as pool:
            three = ("select cast($1 as integer)", 3)
            answers = await pool.transaction((item for item in ["select 2", three]), timeout=10)
            assert [rows[0][0] for rows in answers] == [2, 3] and seen == [1]

    run(body)


def test_blocking(url):
    with weirpool.create_pool_sync(url) as pool:
        insert = INSERT[pool.database_system]
        assert pool.transaction(["create table kept (n integer unique)", (insert, 1)])[1] == "INSERT 0 1"
        with pytest.raises(weirpool.errors.UniqueViolation):
            pool.transaction([(insert, 2), (insert, 1)])
        assert pool.transaction(["select n from kept"])[0][0]["n"] == 1
        pool.execute("drop table kept")
