"""PgBouncer in transaction mode between the pool and the server: two server connections for all clients."""

import asyncio
import contextlib
import os
import pathlib
import random
import shutil
import socket
import subprocess
import tempfile

import pytest
import weirpool
from support import free_port, until, until_async
from weirpool import errors

SERVERS = 2
SLEEPERS = "select count(*) from pg_stat_activity where state = 'active' and query like 'select pg_sleep(600)%'"


class Bouncer:
    """A PgBouncer of our own, on a free port, before the tests' server."""

    def __init__(self, folder, server, **settings):
        self.port = settings.pop("port", None) or free_port()
        settings = {
            "listen_addr": "127.0.0.1",
            "listen_port": self.port,
            "unix_socket_dir": "",
            "auth_type": "trust",
            "auth_file": folder / "users",
            "pool_mode": "transaction",
            "default_pool_size": SERVERS,
            "max_client_conn": 200,
            **settings,
        }
        lines = ["[databases]", f"* = host=127.0.0.1 port={server.port}", "[pgbouncer]"]
        (folder / "ini").write_text("\n".join(lines + [f"{k} = {v}" for k, v in settings.items()]))
        (folder / "users").write_text('"app" ""\n')
        as_user = []
        if os.geteuid() == 0:  # it refuses root, as PostgreSQL does
            as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
            folder.chmod(0o755)
        program = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
        with (folder / "log").open("w") as log:
            self.process = subprocess.Popen([*as_user, program, folder / "ini"], stderr=log, stdout=log)

    def answers(self):
        assert self.process.poll() is None
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def url(self, database):
        return f"postgresql://app@127.0.0.1:{self.port}/{database}"

    def stop(self):
        self.process.terminate()
        self.process.wait()


@contextlib.contextmanager
def running(server, **settings):
    with tempfile.TemporaryDirectory(prefix="weirpool-") as folder:
        bouncer = Bouncer(pathlib.Path(folder), server, **settings)
        try:
            until(bouncer.answers)
            yield bouncer
        finally:
            bouncer.stop()


@pytest.fixture(scope="module")
def bouncer(server):
    with running(server) as bouncer:
        yield bouncer


@pytest.fixture(scope="module")
def database(server, bouncer):
    name = server.new_database().rsplit("/", 1)[1]
    server.sql("create table t (n int primary key, s text)", name)
    return name


@pytest.fixture
def proxied(server, bouncer, database):
    server.sql("truncate t", database)
    return bouncer.url(database)


def pool_of(url, **options):
    return weirpool.create_pool(url, **{"min_size": 0, "max_size": 8, "statement_cache_size": 0, **options})


def backends(server, database):
    """The server's connections for the database, but for our own look at it."""
    where = f"where datname = '{database}' and pid <> pg_backend_pid()"
    return int(server.sql(f"select count(*) from pg_stat_activity {where}"))


def test_statements(run, server, proxied, database):
    async def main():
        async with pool_of(proxied) as pool:
            for _ in range(3):
                assert await pool.fetchval("select $1::int + 1", 41) == 42
            assert await pool.fetchval("select $1::text", "weir") == "weir"
            assert await pool.execute("insert into t values ($1, $2)", 1, "one") == "INSERT 0 1"
            assert await pool.executemany("insert into t values ($1, $2)", [(n, str(n)) for n in range(2, 500)]) == 498
            rows = await pool.fetch("select n, s from t where n > $1 order by n", 497)
            assert [tuple(row.values()) for row in rows] == [(498, "498"), (499, "499")]
            with pytest.raises(errors.UniqueViolation):
                await pool.execute("insert into t values (1, 'again')")
            with pytest.raises(errors.UniqueViolation):
                await pool.executemany("insert into t values ($1, 'x')", [(1000,), (1001,), (1,), (1002,)])
            with pytest.raises(errors.SyntaxError):
                await pool.fetch("selec")
            with pytest.raises(errors.UndefinedTable):
                await pool.executemany("insert into nowhere values ($1)", [(1,), (2,)])
            assert await pool.fetchval("select count(*) from t") == 499
            answers = await asyncio.gather(*(pool.fetchval("select $1::int", n) for n in range(200)))
            assert answers == list(range(200))
            await until_async(lambda: backends(server, database) <= SERVERS)  # one may be ending

    run(main)


def test_sessions(run, proxied):
    async def main():
        async with pool_of(proxied) as pool:
            async with pool.session(isolation="serializable") as session:
                await session.execute("insert into t values (1, 'kept')")
                with pytest.raises(errors.UniqueViolation):
                    async with session.transaction():
                        await session.execute("insert into t values (2, 'undone')")
                        await session.execute("insert into t values (1, 'again')")
                async with session.transaction():
                    await session.executemany("insert into t values ($1, $2)", [(3, "kept"), (4, "kept")])
                assert await session.fetchval("show transaction_isolation") == "serializable"
                await session.execute("set local work_mem = '9MB'")
            with pytest.raises(ZeroDivisionError):
                async with pool.session() as session:
                    await session.execute("insert into t values (5, 'undone')")
                    raise ZeroDivisionError
            with pytest.raises(errors.ReadOnlySqlTransaction):
                async with pool.session(readonly=True) as session:
                    await session.execute("insert into t values (6, 'refused')")
            async with pool.connection() as connection, connection.transaction():
                await connection.execute("insert into t values (7, 'kept')")
            rows = await pool.fetch("select n from t order by n")
            assert [row[0] for row in rows] == [1, 3, 4, 7]
            assert await pool.fetchval("show work_mem") == "4MB"

    run(main)


def test_time_limits_and_cancellation(run, server, proxied):
    """The server's statement ends, and nobody else's does."""

    async def main():
        async with pool_of(proxied) as pool:
            for round_ in range(6):
                if round_ % 2:
                    with pytest.raises(errors.CommandTimeout):
                        await pool.execute("select pg_sleep(600)", timeout=0.05)
                else:
                    task = asyncio.ensure_future(pool.execute("select pg_sleep(600)"))
                    await until_async(lambda: server.sql(SLEEPERS) == "1")
                    task.cancel()
                    with pytest.raises(asyncio.CancelledError):
                        await task
                for n in range(20):
                    assert await pool.fetchval("select $1::int", n) == n
                await until_async(lambda: server.sql(SLEEPERS) == "0")
            async with pool.session() as session:
                await session.execute("insert into t values (1, 'undone')")
                with pytest.raises(errors.CommandTimeout):
                    await session.execute("select pg_sleep(600)", timeout=0.05)
                with pytest.raises(errors.InFailedSqlTransaction):
                    await session.execute("insert into t values (2, 'undone')")
                await session.rollback()
            assert await pool.fetchval("select count(*) from t") == 0
            with pytest.raises(errors.LockTimeout):
                await lock_twice(pool)

    async def lock_twice(pool):
        async with pool.session() as holder:
            await holder.execute("lock table t")
            async with pool.session() as session:
                await session.execute("set local lock_timeout = '50ms'")
                await session.execute("lock table t")

    run(main)


def test_cancelled_in_the_proxys_queue(run, server, proxied):
    """Both server connections are taken: the statement waits in PgBouncer, and is given up there."""

    async def main():
        async with pool_of(proxied, min_size=SERVERS + 1) as pool, contextlib.AsyncExitStack() as stack:
            for _ in range(SERVERS):
                session = await stack.enter_async_context(pool.session())
                await session.execute("select 1")
            for _ in range(3):
                with pytest.raises(errors.PoolTimeout):
                    await pool.execute("insert into t values (1, 'too late')", timeout=0.1)
            await stack.aclose()
            await until_async(lambda: (s := pool.snapshot())["cleaning"] + s["connecting"] == 0)
            for n in range(20):
                assert await pool.fetchval("select $1::int", n) == n

    run(main)


def test_every_answer_is_ones_own(run, server, proxied, database):
    """Sixty tasks, a third of them cancelled, share eight clients of two server connections."""

    async def main():
        chance = random.Random(1)
        answered = 0

        async def echo(pool, task, n):
            nonlocal answered
            nonce = f"{task}.{n}"
            kind = chance.randrange(4)
            if kind == 0:
                async with pool.session() as session:
                    assert await session.fetchval("select $1::text", nonce) == nonce
                    assert await session.fetchval("select $1::text || '!'", nonce) == nonce + "!"
            elif kind == 1:
                rows = await pool.fetch("select $1::text, i from generate_series(1, 300) i", nonce)
                assert len(rows) == 300 and {row[0] for row in rows} == {nonce}
            elif kind == 2:
                with pytest.raises(errors.DivisionByZero):
                    await pool.fetchval("select $1::int / 0", n)
            else:
                assert await pool.fetchval("select $1::text from pg_sleep(0.001)", nonce) == nonce
            answered += 1

        async def work(pool, task):
            for n in range(25):
                one = asyncio.ensure_future(echo(pool, task, n))
                if chance.randrange(3) == 0:
                    await asyncio.sleep(chance.random() * 0.005)
                    one.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await one

        async with pool_of(proxied, command_timeout=60) as pool:
            await asyncio.gather(*(work(pool, task) for task in range(60)))
            await until_async(lambda: (s := pool.snapshot())["cleaning"] + s["active"] == 0)
            for n in range(100):
                assert await pool.fetchval("select $1::int", n) == n
            assert answered > 600
            assert backends(server, database) <= SERVERS

    run(main)


def test_all_that_takes_several_messages(run, proxied):
    """Streams, COPY, scripts, pipelines, whole transactions; others use the server connections meanwhile."""

    async def numbers(on):
        text = "select n from generate_series(1, $1::int) n"
        return [row[0] async for row in on.stream(text, 250, prefetch=20)]

    async def noise(other):
        while True:
            assert await asyncio.gather(*[other.fetchval("select $1::int", n) for n in range(8)]) == list(range(8))

    async def add(session):
        await session.execute("insert into t values ($1, 'run')", 9)
        return await session.fetchval("select count(*) from t")

    async def work(pool):
        assert await numbers(pool) == list(range(1, 251))
        async for row in pool.stream("select n from generate_series(1, 100000) n", prefetch=10):
            if row[0] == 15:
                break
        async with pool.session() as session, session.pipeline():
            session.execute("insert into t values ($1, 'pipeline')", 1)
            count = session.fetchval("select count(*) from t")
            assert await count == 1
        async with pool.connection() as connection:
            assert await numbers(connection) == list(range(1, 251))
            async with connection.pipeline():
                answers = [connection.fetchval("select $1::int", n) for n in range(20)]
            assert [await answer for answer in answers] == list(range(20))
        async with pool.session() as session:
            assert await numbers(session) == list(range(1, 251))
            assert await session.copy_in("copy t from stdin", b"2\tcopy\n3\tcopy\n") == 2
        assert await pool.copy_records("t", [(4, "records"), (5, None)]) == 2
        assert await pool.execute_script("select 1; insert into t values (6, 'script')") == "INSERT 0 1"
        tag, rows = await pool.transaction([("insert into t values ($1, $2)", 7, "whole"), "select count(*) from t"])
        assert (tag, rows[0][0]) == ("INSERT 0 1", 7)
        assert await pool.run(add) == 8
        rows = pool.copy_out("copy (select n from t order by n) to stdout")
        assert b"".join([chunk async for chunk in rows]) == b"1\n2\n3\n4\n5\n6\n7\n9\n"

    async def main():
        async with pool_of(proxied) as pool, pool_of(proxied) as other:
            noises = [asyncio.ensure_future(noise(other)) for _ in range(2)]
            await work(pool)
            for task in noises:
                task.cancel()
            for outcome in await asyncio.gather(*noises, return_exceptions=True):
                assert isinstance(outcome, asyncio.CancelledError)

    run(main)


def test_readonly_reaches_nobody_else(run, proxied):
    """It is of the transaction, not of the server connection that the proxy has at hand; and it holds."""

    async def main():
        write = "create or replace function write_one() returns int language sql"
        async with pool_of(proxied, max_size=4) as pool, pool_of(proxied, max_size=4) as other:
            await pool.execute(f"{write} as 'insert into t values (77) returning n'")
            for n in range(20):
                reads = [pool.fetchval("select $1::int", k, readonly=True) for k in range(8)]
                assert await asyncio.gather(*reads) == list(range(8))
                assert await other.execute("insert into t values ($1)", n) == "INSERT 0 1"
                assert await pool.execute("insert into t values ($1)", 100 + n) == "INSERT 0 1"
                calls = [pool.fetchval("select write_one()", readonly=True)]
                calls += [other.fetchval("select 1 from pg_sleep(0.001)")]
                calls += [pool.fetchval("select $1::int", k, readonly=True) for k in range(8)]
                refused, *answers = await asyncio.gather(*calls, return_exceptions=True)
                assert isinstance(refused, errors.ReadOnlySqlTransaction), refused
                assert answers == [1, *range(8)]
            assert await pool.fetchval("select count(*) from t where n = 77") == 0

    run(main)


def test_a_pool_that_only_reads(run, proxied):
    """No session is told, for it is anybody's: each transaction is; what cannot be made one is not run."""

    async def main():
        insert = "insert into t values (1, 'x')"

        async def with_connection(pool, work):
            async with pool.connection() as connection:
                return await work(connection)

        async def with_session(pool):
            async with pool.session() as session:
                await session.execute(insert)

        async with pool_of(proxied, readonly=True) as pool, pool_of(proxied) as other:
            await other.execute("insert into t values (7, 'kept')")
            for _ in range(10):
                assert await pool.fetchval("select n from t") == 7
                for refused in (
                    with_connection(pool, lambda it: it.execute(insert)),
                    with_connection(pool, lambda it: it.executemany("insert into t values ($1)", [(1,), (2,)])),
                    with_session(pool),
                    pool.transaction([insert]),
                ):
                    with pytest.raises(errors.ReadOnlySqlTransaction):
                        await refused
                for work in (pool.execute_script(insert), pool.copy_in("copy t from stdin", b"1\tx\n")):
                    with pytest.raises(errors.NotSupportedError, match="readonly"):
                        await work
                assert await other.execute("update t set s = 'changed'") == "UPDATE 1"

    run(main)


def test_nothing_is_reset_needlessly(run, server, proxied, database):
    async def main():
        server.sql(f"alter database {database} set log_statement = 'all'")
        with running(server) as fresh:  # its connections log
            begun = (server.folder / "log").stat().st_size
            async with pool_of(fresh.url(database)) as pool:
                for n in range(5):
                    await pool.execute("insert into t values ($1, 'x')", n)
                    async with pool.session() as session:
                        await session.execute("set local work_mem = '9MB'")
                        await session.fetch("select * from t for update")
                    async with pool.connection() as connection:
                        await connection.fetchval("select set_config('work_mem', '9MB', true)", timeout=20)
                    with pytest.raises(ZeroDivisionError):
                        async with pool.session() as session:
                            await session.execute("delete from t")
                            raise ZeroDivisionError
        server.sql(f"alter database {database} reset log_statement")
        with (server.folder / "log").open() as log:
            log.seek(begun)
            sent = [line.split(": ", 2)[-1].strip() for line in log if "execute <unnamed>" in line]
        assert len([text for text in sent if text.startswith("insert")]) == 5
        ours = {text for text in sent if text.split()[0].isupper() and "current_xact_id" not in text}
        assert ours == {"BEGIN", "COMMIT", "ROLLBACK"}

    run(main)


def test_settings_at_start_up(run, server, bouncer, proxied, database, caplog):
    """PgBouncer refuses most of them: our own defaults are left out, and the user's are an error with a remedy."""

    async def main():
        async with pool_of(proxied, server_settings={"application_name": "mine"}) as pool:
            assert await pool.fetchval("show application_name") == "mine"
            assert await pool.fetchval("show lock_timeout") == "0"
        assert "a proxy in between refuses settings at start-up: lock_timeout" in caplog.text
        caplog.clear()
        async with pool_of(proxied, lock_timeout=None) as pool:
            assert await pool.fetchval("select 1") == 1
        assert caplog.text == ""
        for options in ({"server_settings": {"timezone": "UTC"}}, {"lock_timeout": 3}):
            with pytest.raises(errors.ConnectError, match="name `options` in PgBouncer's ignore_startup") as caught:
                async with pool_of(proxied, require=True, **options):
                    pass
            assert not caught.value.retryable
            assert caught.value.sqlstate == "08P01"
        with running(server, ignore_startup_parameters="options") as lenient:
            async with pool_of(lenient.url(database), server_settings={"timezone": "UTC"}) as pool:
                assert await pool.fetchval("select 1") == 1
        # A whole session by client: statements are prepared, and the server's own time limit is missed by nobody.
        with running(server, pool_mode="session") as whole:
            async with pool_of(whole.url(database), statement_cache_size=10, max_size=2) as pool:
                for n in range(20):
                    assert await pool.fetchval("select $1::int", n) == n
                with pytest.raises(errors.CommandTimeout):
                    await pool.execute("select pg_sleep(600)", timeout=0.05)
                assert await pool.fetchval("select 1", timeout=60) == 1

    run(main)


def test_the_proxy_goes_away(run, server, database):
    """… and comes back."""

    async def main():
        with running(server) as bouncer:
            async with pool_of(bouncer.url(database), retry_max=0.1, min_size=2) as pool:
                assert await pool.fetchval("select 1") == 1
                bouncer.stop()
                with pytest.raises((errors.ConnectionLost, errors.ConnectError, errors.CheckoutTimeout)):
                    await pool.fetchval("select 1", timeout=1)
                with running(server, port=bouncer.port):
                    answer = None
                    while answer != 1:
                        with contextlib.suppress(errors.OperationalError):
                            answer = await pool.fetchval("select 1", timeout=60)

    run(main)


def test_pods_are_counted_by_time_alone(run, bouncer, database):
    """The server shows the proxy's connections, which keep a pod's mark long after it has gone."""
    options = {
        "pod_source": "database",
        "connection_budget": 10,
        "pod_surge": 0,
        "pod_refresh": 0.1,
        "pod_dead_after": 0.5,
    }

    async def main():
        url = bouncer.url(database)
        async with pool_of(url, **options) as stays:
            async with pool_of(url, **options) as leaves:
                await until_async(lambda: stays.snapshot()["share"] == leaves.snapshot()["share"] == 5)
                assert await leaves.fetchval("select 1") == 1
            await until_async(lambda: stays.snapshot()["pods"] == 1 and stays.snapshot()["share"] == 8)

    run(main)
