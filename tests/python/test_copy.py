"""COPY from and to the client, and scripts."""

import asyncio
import contextlib
import gc
import io
import os
import pathlib
import threading

import pytest
import weirpool
from support import LOOPS, PRELOAD, no_warnings, turns, until_async
from weirpool import errors

TABLE = "create table t (a int, b text)"
CSV = "copy t (a, b) from stdin (format csv)"
TO_CSV = "copy (select a, b from t order by a) to stdout (format csv)"
SHORT = "copy (select generate_series(1, 10)) to stdout"
ENDLESS = "copy (select generate_series(1, 1000000000)) to stdout"


def on_one(main):
    """Runs main(pool, connection) in autocommit, and sees to it that it leaves a clean pool behind."""

    async def wrapped(url, *arguments):
        async with weirpool.create_pool(url, min_size=1, max_size=2) as pool:
            await pool.execute(TABLE)
            async with pool.connection() as connection:
                await main(pool, connection, *arguments)
            await until_async(lambda: (s := pool.snapshot())["idle"] == s["size"])
            assert await pool.fetchval("select 1") == 1

    return wrapped


def go(main, url, *arguments, loop="asyncio"):
    with no_warnings():
        LOOPS[loop](on_one(main), url, *arguments)


async def usable(connection, backend, failed=False):
    """The same connection works on."""
    if failed:
        with pytest.raises(errors.InFailedSqlTransaction):
            await connection.fetchval("select 1")
        await connection.rollback()
    assert await connection.fetchval("select 2") == 2
    assert connection.info["backend"] == backend


# ---- in


@pytest.mark.parametrize("loop", list(LOOPS))
def test_formats_pass_through(pg_url, loop):
    async def main(pool, connection):
        backend = connection.info["backend"]
        assert await connection.copy_in(CSV, b'1,one\n2,"two, too"\n') == 2
        assert await connection.copy_in("copy t from stdin", b"3\tthr\\tee\n4\t\\N\n") == 2
        rows = [tuple(row) for row in await connection.fetch("select * from t order by a")]
        assert rows == [(1, "one"), (2, "two, too"), (3, "thr\tee"), (4, None)]
        for form in ("text", "csv", "binary"):
            copied = b"".join([chunk async for chunk in connection.copy_out(f"copy t to stdout (format {form})")])
            assert copied.startswith(b"PGCOPY\n\xff\r\n\0") == (form == "binary")
            await connection.execute("create temp table u (a int, b text)")
            assert await connection.copy_in(f"copy u from stdin (format {form})", copied) == 4
            assert [tuple(row) for row in await connection.fetch("select * from u order by a")] == rows
            await connection.execute("drop table u")
        await usable(connection, backend)

    go(main, pg_url, loop=loop)


class Reader:
    """A file whose read is to be awaited."""

    def __init__(self, data):
        self.data = io.BytesIO(data)

    async def read(self, size):
        await asyncio.sleep(0)
        return self.data.read(size)


async def some(pieces):
    for piece in pieces:
        await asyncio.sleep(0)
        yield piece


def test_all_sources(pg_url, tmp_path):
    many = b"".join(b"%d,x%d\n" % (n, n) for n in range(30000))
    assert len(many) > 4 * 65536
    path = tmp_path / "rows.csv"
    path.write_bytes(many)
    lines = many.splitlines(keepends=True)

    async def main(pool, connection):
        sources = [many, bytearray(many), memoryview(many), many.decode(), path, io.BytesIO(many), Reader(many)]
        sources += [lines, iter(lines), some(lines), some([many]), [many.decode(), b"", memoryview(b"")]]
        sources += [(bytes([byte]) for byte in many)]
        for source in sources:
            assert await connection.copy_in(CSV, source) == 30000
        with open(path, "rb") as file, open(path) as text:
            assert await connection.copy_in(CSV, file) == await pool.copy_in(CSV, text) == 30000
        count = (len(sources) + 2) * 30000
        assert tuple(await pool.fetchrow("select count(*), sum(a) from t")) == (count, count * 29999 // 2)
        for empty in (b"", [], some([])):
            assert await connection.copy_in(CSV, empty) == 0
        for wrong in (None, 3, object()):
            with pytest.raises(TypeError, match="an iterable of bytes, not"):
                await connection.copy_in(CSV, wrong)
        with pytest.raises(TypeError, match="gives bytes, not int"):
            await connection.copy_in(CSV, [b"1,x\n", 3])
        with pytest.raises(FileNotFoundError):
            await connection.copy_in(CSV, tmp_path / "missing")
        assert await pool.fetchval("select count(*) from t") == count

    go(main, pg_url)


def test_a_source_that_raises_ends_the_copy(pg_url):
    def broken():
        yield b"1,x\n" * 50000
        raise LookupError("mine")

    async def main(pool, connection):
        backend = connection.info["backend"]
        for source in (broken(), some(broken())):
            with pytest.raises(LookupError, match="mine"):
                await connection.copy_in(CSV, source)
            await usable(connection, backend)
        async with pool.session() as session:
            backend = session.info["backend"]
            with pytest.raises(LookupError, match="mine"):
                await session.copy_in(CSV, broken())
            await usable(session, backend, failed=True)
        assert await pool.fetchval("select count(*) from t") == 0

    go(main, pg_url)


def test_a_file_that_does_not_wait(pg_url):
    """More may come: what has come is not all."""

    @contextlib.contextmanager
    def pipe():
        read, write = os.pipe()
        os.set_blocking(read, False)
        with open(read, "rb", buffering=0) as source, open(write, "wb", buffering=0) as target:
            target.write(b"1,x\n")
            yield source

    async def main(pool, connection):
        with pipe() as source, pytest.raises(BlockingIOError):
            await connection.copy_in(CSV, source)
        assert await pool.fetchval("select count(*) from t") == 0

    go(main, pg_url)
    with weirpool.create_pool_sync(pg_url, max_size=1) as pool, pipe() as source:
        pool.execute(TABLE.replace("table t", "table u"))
        with pytest.raises(BlockingIOError):
            pool.copy_in("copy u from stdin (format csv)", source)
        assert pool.fetchval("select count(*) from u") == 0


def test_what_the_server_refuses(pg_url):
    async def main(pool, connection):
        backend = connection.info["backend"]
        asked = []

        def ask():
            asked.append(1)
            yield b""

        with pytest.raises(errors.UndefinedTable):
            await connection.copy_in("copy missing from stdin", ask())
        assert asked == []
        with pytest.raises(errors.InvalidTextRepresentation) as caught:
            await connection.copy_in(CSV, b"1,x\nzwei,y\n")
        assert caught.value.sqlstate == "22P02"
        with pytest.raises(errors.BadCopyFileFormat):
            await connection.copy_in(CSV, b"1,x,zu viel\n")
        with pytest.raises(errors.DivisionByZero):
            async for _ in connection.copy_out("copy (select 10 / (5 - n) from generate_series(1, 9) n) to stdout"):
                pass
        for text in "copy t from stdin; drop table t", "; drop table t; copy t from stdin;":
            with pytest.raises(errors.SyntaxError, match="multiple commands"):
                await connection.copy_in(text, b"")
        with pytest.raises(errors.SyntaxError, match="multiple commands"):
            await connection.copy_out("copy t to stdout; drop table t", io.BytesIO())
        assert await connection.copy_in("copy t from stdin (delimiter ';', format csv);\n", b"3;x") == 1
        await usable(connection, backend)

    go(main, pg_url)


def test_refused_before_it_has_read_anything(pg_url):
    """The server says so when it has asked for the data, which is on its way, or in doubt."""
    notices = []

    async def main():
        async with weirpool.create_pool(pg_url, max_size=1, on_notice=notices.append) as pool:
            await pool.execute_script(
                "create table t (a int); create view v as select a + 1 as a from t;"
                "create function no() returns trigger language plpgsql as"
                " $$ begin raise exception 'never'; end $$;"
                "create trigger no before insert on t for each statement execute function no()"
            )
            backend = await pool.fetchval("select pg_backend_pid()")
            for source in b"1\n" * 1000, b"":
                for n in range(50):
                    with pytest.raises(errors.WrongObjectType, match="cannot copy to view"):
                        await pool.copy_in("copy v from stdin", source)
                    assert await pool.fetchrow("select $1::int, pg_backend_pid()", n) == (n, backend)
                    with pytest.raises(errors.RaiseException, match="never"):
                        await pool.copy_in("copy t from stdin", source)
                    assert await pool.fetchrow("select $1::int, pg_backend_pid()", n) == (n, backend)

    LOOPS["asyncio"](main)
    assert notices == []


def test_the_server_refuses_a_source_without_end(pg_url):
    """An error in the data is told while the source still has some."""

    async def main(pool, connection):
        def endless():
            yield b"bad,x\n"
            while True:
                yield b"1,x\n" * 10000

        async def slow():
            yield b"bad,x\n" * 20000
            while True:
                await asyncio.sleep(0.01)
                yield b"1,x\n" * 20000

        for source in (endless(), slow()):
            with pytest.raises(errors.InvalidTextRepresentation):
                await connection.copy_in(CSV, source)
        assert await connection.fetchval("select count(*) from t") == 0

    go(main, pg_url)


def test_notices_are_no_errors(pg_url):
    async def main(pool, connection):
        await connection.execute_script(
            "create function note() returns trigger language plpgsql as $$ begin raise notice 'row %', new.a;"
            "return new; end $$; create trigger note before insert on t for each row execute function note()"
        )
        async def slow():
            for n in range(20):
                await asyncio.sleep(0.02)
                yield b"%d,x\n" % n * 20000

        assert await connection.copy_in(CSV, slow()) == 20 * 20000

    go(main, pg_url)


def test_other_commands_are_refused(pg_url):
    async def main(pool, connection):
        backend = connection.info["backend"]
        for command in ("select 1", "copy t from '/etc/passwd'", "insert into t values (1)"):
            with pytest.raises(weirpool.ArgumentError, match="copy_in takes COPY … FROM STDIN"):
                await connection.copy_in(command, b"")
            with pytest.raises(weirpool.ArgumentError, match="copy_out takes COPY … TO STDOUT"):
                await anext(connection.copy_out(command))
        with pytest.raises(weirpool.ArgumentError, match="run it with copy_out"):
            await connection.copy_in(ENDLESS, b"")
        with pytest.raises(weirpool.ArgumentError, match="run it with copy_in"):
            await anext(connection.copy_out(CSV))
        for runs in (connection.execute, pool.execute, connection.fetch):
            with pytest.raises(weirpool.NotSupportedError, match="run them with copy_in or copy_out"):
                await runs(CSV)
        with pytest.raises(TypeError, match="takes a text and no parameters"):
            await connection.execute_script("select $1", 3)
        await usable(connection, backend)

    go(main, pg_url)


def test_in_a_transaction(pg_url):
    async def main(pool, connection):
        async with pool.session() as session:
            assert await session.copy_in(CSV, b"1,x\n") == 1  # the first statement: BEGIN goes ahead
            assert session.info["in_transaction"]
            with contextlib.suppress(errors.InvalidTextRepresentation):
                async with session.transaction():
                    assert await session.copy_in(CSV, b"2,x\n") == 1
                    await session.copy_in(CSV, b"bad,x\n")
            assert b"".join([chunk async for chunk in session.copy_out(TO_CSV)]) == b"1,x\n"
            await session.rollback()
        assert await pool.fetchval("select count(*) from t") == 0
        async with pool.session(readonly=True) as session:
            with pytest.raises(errors.ReadOnlySqlTransaction):
                await session.copy_in(CSV, b"1,x\n")
            await session.rollback()
        async with pool.session() as session:
            await session.copy_in(CSV, b"1,x\n")
        assert await pool.fetchval("select count(*) from t") == 1

    go(main, pg_url)


# ---- out


def test_targets(pg_url, tmp_path):
    class Writer(io.BytesIO):
        async def write(self, chunk):
            await asyncio.sleep(0)
            return super().write(chunk)

    async def main(pool, connection):
        await connection.copy_in(CSV, (b"%d,x\n" % n for n in range(50000)))
        expected = b"".join(b"%d,x\n" % n for n in range(50000))
        assert await connection.copy_out(TO_CSV, tmp_path / "a") == 50000
        assert await pool.copy_out(TO_CSV, to=str(tmp_path / "b")) == 50000
        with open(tmp_path / "c", "wb") as file:
            assert await connection.copy_out(TO_CSV, to=file) == 50000
        for name in "abc":
            assert (tmp_path / name).read_bytes() == expected
        for target in (io.BytesIO(), Writer()):
            assert await connection.copy_out(TO_CSV, to=target) == 50000
            assert target.getvalue() == expected
        chunks = pool.copy_out(TO_CSV)
        assert chunks.rows is None
        found = [chunk async for chunk in chunks]
        assert b"".join(found) == expected
        assert chunks.rows == 50000
        assert len(found) > 2
        assert all(chunk.endswith(b"\n") for chunk in found)
        assert [chunk async for chunk in chunks] == []
        empty = connection.copy_out("copy (select 1 where false) to stdout")
        assert [chunk async for chunk in empty] == []
        assert empty.rows == 0
        with pytest.raises(TypeError, match="a path or an open file, not int"):
            connection.copy_out(TO_CSV, to=3)
        with pytest.raises(FileNotFoundError):
            await connection.copy_out(TO_CSV, to=tmp_path / "missing" / "a")
        with pytest.raises(io.UnsupportedOperation), open(tmp_path / "a", "rb") as file:
            await connection.copy_out(TO_CSV, to=file)

    go(main, pg_url)


@pytest.mark.parametrize("loop", list(LOOPS))
def test_breaking_out(pg_url, loop):
    async def main(pool, connection):
        backend = connection.info["backend"]
        async for chunk in connection.copy_out(ENDLESS):
            assert chunk.startswith(b"1\n2\n")
            break
        await usable(connection, backend)
        held = connection.copy_out(ENDLESS)
        async for _ in held:
            break
        with pytest.raises(weirpool.SessionBusy, match="a COPY is running"):
            await connection.fetchval("select 1")
        held.close()
        held.close()
        assert [chunk async for chunk in held] == []
        await usable(connection, backend)
        connection.copy_out(ENDLESS)  # nothing was sent
        async for _ in pool.copy_out(ENDLESS):
            break
        async with pool.session() as session:
            async for _ in session.copy_out(ENDLESS):
                break
            await session.rollback()
            await session.execute("insert into t values (1)")
            kept = session.copy_out(ENDLESS)
            await anext(kept)
            with pytest.raises(weirpool.SessionBusy):
                await session.commit()
            await session.rollback()  # the COPY falls with its transaction
            assert await session.fetchval("select count(*) from t") == 0
        left = await pool.connection()
        rest = left.copy_out(ENDLESS)
        await anext(rest)
        left.release()
        with pytest.raises(weirpool.SessionClosed):
            await anext(rest)
        assert pool.snapshot()["connections_lost"] == 0

    go(main, pg_url, loop=loop)


def test_closing_before_it_begins(pg_url, run):
    """Nothing is left: neither a connection nor a warning."""

    async def main():
        async with weirpool.create_pool(pg_url, min_size=1, max_size=1) as pool:
            for _ in range(2):
                pool.copy_out(ENDLESS).close()
                pool.copy_out(ENDLESS)
                with pytest.raises(TypeError, match="a path or an open file"):
                    pool.copy_out(ENDLESS, to=5)
                with pytest.warns(RuntimeWarning, match=r"coroutine 'Pool\.copy_out' was never awaited"):
                    pool.copy_out(ENDLESS, to="nowhere")
            holder = await pool.connection()
            chunks = pool.copy_out(ENDLESS)
            first = asyncio.ensure_future(anext(chunks, None))
            while not pool.snapshot()["waiting"]:
                await asyncio.sleep(0)
            chunks.close()
            holder.release()
            assert await first is None
            assert await pool.fetchval("select 1", timeout=30) == 1
            assert [chunk async for chunk in chunks] == []

    with no_warnings():
        run(main)


def resident():
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def test_memory_is_bounded(pg_url, server):
    """What the consumer does not take stays with the server."""
    waits = "select count(*) from pg_stat_activity where wait_event = 'ClientWrite'"
    # a sanitizer keeps what was freed
    most = (512 if PRELOAD else 48) << 20

    async def main(pool, connection):
        total = 0
        chunks = connection.copy_out("copy (select n, repeat('x', 40) from generate_series(1, 2000000) n) to stdout")
        await anext(chunks)
        before = resident()
        await until_async(lambda: server.sql(waits) == "1")
        await turns()
        assert resident() - before < 16 << 20
        async for chunk in chunks:
            total += len(chunk)
            assert len(chunk) < 1 << 17
        assert total > 90 << 20
        assert chunks.rows == 2000000
        assert resident() - before < most

    go(main, pg_url)


def test_the_source_waits_for_the_server(pg_url):
    async def main(pool, connection):
        await connection.execute_script(
            "create function hold() returns trigger language plpgsql as $$ begin"
            " perform pg_advisory_xact_lock(7); return new; end $$;"
            "create trigger hold before insert on t for each row execute function hold()"
        )
        given = 0

        def rows():
            nonlocal given
            for _ in range(1000):
                given += 1
                yield b"1,x\n" * 25000

        async with pool.session() as other:
            await other.fetchval("select pg_advisory_xact_lock(7)")
            task = asyncio.create_task(connection.copy_in(CSV, rows(), timeout=30))
            locked = "select count(*) from pg_locks where not granted"
            while not await other.fetchval(locked):
                await asyncio.sleep(0.01)
            await turns(100)
            assert 0 < given < 200
            stopped = given
            await turns(100)
            assert given == stopped
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await connection.fetchval("select count(*) from t") == 0

    go(main, pg_url)


# ---- deadlines, cancellation, loss


def test_deadlines(pg_url):
    async def main(pool, connection):
        backend = connection.info["backend"]

        async def nothing():
            yield b"1,x\n"
            await asyncio.sleep(0.3)
            yield b"2,x\n"

        with pytest.raises(weirpool.CommandTimeout):
            await connection.copy_in(CSV, nothing(), timeout=0.1)
        await usable(connection, backend)
        with pytest.raises(weirpool.CommandTimeout):
            await connection.execute_script("select 1; select pg_sleep(3600)", timeout=0.1)
        await usable(connection, backend)
        with pytest.raises(weirpool.CommandTimeout):
            async for _ in connection.copy_out("copy (select pg_sleep(3600)) to stdout", timeout=0.1):
                pass
        await usable(connection, backend)
        chunks = connection.copy_out(ENDLESS, timeout=2)
        await anext(chunks)
        await until_async(lambda: pool.snapshot()["queries_timed_out"] == 4)
        with pytest.raises(weirpool.CommandTimeout, match="COPY was not done in time"):
            await anext(chunks)
        await usable(connection, backend)
        with pytest.raises(weirpool.CommandTimeout):
            async for _ in connection.copy_out(ENDLESS, timeout=0.3):
                pass
        await usable(connection, backend)
        assert await connection.copy_in(CSV, nothing(), timeout=None) == 2
        with pytest.raises(weirpool.ArgumentError, match="timeout"):
            await connection.copy_in(CSV, b"", timeout=0)
        assert pool.snapshot()["queries_timed_out"] == 5
        assert await connection.fetchval("select count(*) from t") == 2

    go(main, pg_url)


class Never:
    """A file that keeps its reader, or writer, waiting; and a source that does, behind `first`."""

    def __init__(self, first=b"1,x\n" * 20000):
        self.first, self.entered, self.left = first, 0, 0

    async def read(self, size):
        self.entered += 1
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0)
            self.left += 1

    write = read

    async def __aiter__(self):
        yield self.first
        await self.read(0)


async def soon(coroutine):
    """Raises what the coroutine does; what it waits for in vain takes an hour."""
    task = asyncio.ensure_future(coroutine)
    done, _ = await asyncio.wait((task,), timeout=60)
    assert done
    await task


@pytest.mark.parametrize("loop", list(LOOPS))
def test_a_source_or_target_that_keeps_the_copy_waiting(pg_url, server, loop):
    """Deadlines, errors of the server's and losses are told meanwhile, and the source is left in order."""

    async def main(pool, connection):
        backend = connection.info["backend"]
        reader, writer = os.pipe()
        with open(reader, "rb") as blocked:
            with pytest.raises(weirpool.CommandTimeout, match="COPY was not done in time"):
                await soon(connection.copy_in(CSV, blocked, timeout=1))
            os.close(writer)  # a thread reads it still
        source = Never()
        for call in (
            lambda timeout: connection.copy_in(CSV, source, timeout=timeout),
            lambda timeout: connection.copy_in(CSV, source.__aiter__(), timeout=timeout),
            lambda timeout: pool.copy_in(CSV, source, timeout=timeout),
            lambda timeout: connection.copy_out(ENDLESS, to=source, timeout=timeout),
            lambda timeout: connection.copy_out(SHORT, to=source, timeout=timeout),  # the server is done with it
            lambda timeout: pool.copy_out(SHORT, to=source, timeout=timeout),
            lambda timeout: pool.copy_out(ENDLESS, to=source, timeout=timeout),
        ):
            source.entered = source.left = 0
            for timeout in (0.1, 1, 10):  # on a busy machine the first may pass before the COPY has begun
                await until_async(lambda: not (s := pool.snapshot())["cleaning"] + s["connecting"])
                with pytest.raises(weirpool.CommandTimeout):
                    await soon(call(timeout))
                if source.entered:
                    break
            assert source.left == source.entered == 1
        await usable(connection, backend)
        with pytest.raises(errors.InvalidTextRepresentation):
            await soon(connection.copy_in(CSV, Never(b"bad,x\n" * 20000).__aiter__()))
        with pytest.raises(weirpool.SessionTimeout):
            async with pool.session(timeout=0.1) as session:
                await soon(session.copy_in(CSV, source))
        task = asyncio.ensure_future(connection.copy_in(CSV, source.__aiter__()))
        copies = "select count(*) from pg_stat_progress_copy"
        await until_async(lambda: server.sql(copies, pg_url.rpartition("/")[2]) == "1")
        server.sql(f"select pg_terminate_backend({backend})")
        with pytest.raises(weirpool.ConnectionLost):
            await soon(task)
        assert await pool.fetchval("select count(*) from t") == 0

    go(main, pg_url, loop=loop)


def test_a_source_that_is_cancelled_has_not_ended(pg_url):
    async def main(pool, connection):
        async def source():
            yield b"1,x\n"
            raise asyncio.CancelledError

        with pytest.raises(asyncio.CancelledError):
            await connection.copy_in(CSV, source())
        assert await connection.fetchval("select count(*) from t") == 0

    go(main, pg_url)


def test_a_target_that_takes_longer_than_the_server(pg_url):
    class Slow(io.BytesIO):
        async def write(self, chunk):
            await asyncio.sleep(0.05)
            return super().write(chunk)

    async def main(pool, connection):
        await connection.copy_in(CSV, (b"%d,x\n" % n for n in range(30000)))
        target = Slow()
        assert await connection.copy_out(TO_CSV, to=target) == 30000
        assert target.getvalue().count(b"\n") == 30000

    go(main, pg_url)


@pytest.mark.parametrize("loop", list(LOOPS))
def test_cancellation(pg_url, loop):
    async def main(pool, connection):
        backend = connection.info["backend"]
        entered = asyncio.Event()

        async def never():
            yield b"1,x\n" * 100000
            entered.set()
            await asyncio.sleep(3600)

        def endless():
            while True:
                yield b"1,x\n" * 10000
                entered.set()

        async def read(sql):
            async for _ in connection.copy_out(sql):
                entered.set()

        async def read_slowly():  # the server sends a few rows together, or none
            entered.set()
            await read("copy (select n, pg_sleep(n - 1) from generate_series(1, 100) n) to stdout")

        async def script():
            entered.set()
            await connection.execute_script("select 1; select pg_sleep(3600)")

        works = [
            lambda: connection.copy_in(CSV, never()),
            lambda: connection.copy_in(CSV, endless()),
            lambda: read(ENDLESS),
            read_slowly,
            script,
        ]
        for work in works:
            entered.clear()
            task = asyncio.ensure_future(work())
            await entered.wait()
            await turns(3)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await usable(connection, backend)
        assert await connection.fetchval("select count(*) from t") == 0

    go(main, pg_url, loop=loop)


def test_the_connection_is_lost(pg_url, server):
    def terminate(connection):
        server.sql(f"select pg_terminate_backend({connection.info['backend']})")

    async def main(url):
        async with weirpool.create_pool(url, min_size=1, max_size=2, retry_min=0.001) as pool:
            await pool.execute(TABLE)
            first, second, third = [await pool.connection() for _ in range(2)] + [None]

            async def rows():
                yield b"1,x\n"
                terminate(first)
                while True:
                    await asyncio.sleep(0.01)
                    yield b"1,x\n" * 20000

            with pytest.raises(weirpool.ConnectionLost) as caught:
                await first.copy_in(CSV, rows())
            assert caught.value.retryable
            chunks = second.copy_out(ENDLESS)
            await anext(chunks)
            terminate(second)
            with pytest.raises(weirpool.ConnectionLost):
                async for _ in chunks:
                    pass
            first.release()
            second.release()
            third = await pool.connection(checkout_timeout=20)
            task = asyncio.create_task(third.execute_script("select 1; select pg_sleep(3600)"))
            await turns()
            terminate(third)
            with pytest.raises(weirpool.OutcomeUnknown):  # a script in autocommit
                await task
            third.release()

    with no_warnings():
        LOOPS["asyncio"](main, pg_url)


def test_the_end_of_a_copy_is_never_answered(pg_url, server):
    """Sent whole, in autocommit, the outcome is unknown; in a transaction it is not."""

    async def main(url):
        async with weirpool.create_pool(url, min_size=1, max_size=2, retry_min=0.001) as pool:
            await pool.execute(TABLE)
            await pool.execute_script(
                "create function hold() returns trigger language plpgsql as $$ begin"
                " perform pg_sleep(3600); return null; end $$;"
                "create trigger hold after insert on t for each statement execute function hold()"
            )
            sleeping = "select count(*) from pg_stat_activity where wait_event = 'PgSleep'"
            for lend, error in ((pool.connection, weirpool.OutcomeUnknown), (pool.session, weirpool.ConnectionLost)):
                session = await lend(checkout_timeout=20)
                task = asyncio.create_task(session.copy_in(CSV, b"1,x\n"))
                await until_async(lambda: server.sql(sleeping) == "1")
                server.sql(f"select pg_terminate_backend({session.info['backend']})")
                with pytest.raises(error):
                    await task
                session.release()

    with no_warnings():
        LOOPS["asyncio"](main, pg_url)


# ---- scripts


def test_scripts(url):
    async def main(pool, connection):
        script = "insert into t values (1, 'a;b'); -- one; two\ninsert into t values (2, 'c');\n/* the end */"
        assert await connection.execute_script(script) == "INSERT 0 1"
        assert await pool.execute_script("select 1; select a from t") == "SELECT 2"
        for nothing in (" ", "-- nothing", ";;"):
            assert await connection.execute_script(nothing) is None
        with pytest.raises(weirpool.ArgumentError):
            await connection.execute_script("")
        with pytest.raises(weirpool.ProgrammingError) as caught:
            await connection.execute_script("select 'ä';\nselectx 1")
        assert caught.value.position == 13
        async with pool.session() as session:
            await session.execute_script("delete from t; insert into t values (9, 'x')")
            assert session.info["in_transaction"]
            await session.rollback()
            assert await session.fetchval("select count(*) from t") == 2
            with pytest.raises(weirpool.IntegrityError):
                await session.execute_script("create table u (a int primary key); insert into u values (1), (1)")
            await session.rollback()
        big = "".join(f"insert into t values ({n}, 'x');" for n in range(5000))
        async with pool.session() as session:
            assert await session.execute_script(big) == "INSERT 0 1"
        assert await pool.fetchval("select count(*) from t") == 5002

    with no_warnings():
        LOOPS["asyncio"](on_one(main), url)


def test_a_script_in_autocommit_is_one_transaction_on_postgresql(pg_url):
    async def main(pool, connection):
        with pytest.raises(errors.DivisionByZero):
            await connection.execute_script("insert into t values (1); select 1 / 0")
        assert await connection.fetchval("select count(*) from t") == 0
        with pytest.raises(errors.DivisionByZero):
            await connection.execute_script("begin; insert into t values (1); commit; begin; select 1 / 0")
        assert connection.info["failed"]
        await connection.execute("rollback")
        assert await connection.fetchval("select count(*) from t") == 1
        with pytest.raises(weirpool.NotSupportedError, match="copy_in or copy_out"):
            await connection.execute_script("select 1; copy t from stdin")

    go(main, pg_url)


def test_a_script_that_ends_the_transaction(pg_url):
    async def main(pool, connection):
        session = await pool.session()
        await session.execute("insert into t values (1)")
        await session.execute_script("insert into t values (2); commit")
        assert not session.info["in_transaction"]
        await session.execute("insert into t values (3)")  # begins another
        assert session.info["in_transaction"]
        await session.rollback()
        await session.execute_script("insert into t values (4); rollback")
        with pytest.raises(weirpool.TransactionError):
            await session.commit()
        session.release()
        assert sorted(row[0] for row in await pool.fetch("select a from t")) == [1, 2]

    go(main, pg_url)


def test_what_a_script_leaves_behind_is_undone(pg_url):
    async def main(url):
        async with weirpool.create_pool(url, min_size=1, max_size=1) as pool:
            async with pool.connection() as connection:
                backend = connection.info["backend"]
                assert await connection.fetchval("select $1::int", 1) == 1
                await connection.execute_script("select 1; set work_mem = '1234kB'; prepare mine as select 1")
                await connection.execute_script("deallocate all; create temp table mine (a int)")
                assert await connection.fetchval("select $1::int", 1) == 1
            async with pool.connection() as connection:
                assert connection.info["backend"] == backend
                assert await connection.fetchval("show work_mem") != "1234kB"
                with pytest.raises(errors.UndefinedTable):
                    await connection.execute("select * from mine")
            await pool.execute_script("set work_mem = '1234kB'")
            assert await pool.fetchval("show work_mem") != "1234kB"

    with no_warnings():
        LOOPS["asyncio"](main, pg_url)


def test_without_prepared_statements_and_with_hooks(pg_url):
    async def setup(connection):
        await connection.execute_script("set search_path = other, public; select 1")

    async def init(connection):
        assert await connection.copy_in("copy t from stdin", b"1\tinit\n") == 1

    async def main(url):
        options = {"statement_cache_size": 0, "min_size": 1, "max_size": 1, "setup": setup, "init": init}
        async with weirpool.create_pool(url, min_size=1) as pool:
            await pool.execute_script(f"{TABLE}; create schema other; create table other.u (a int)")
        async with weirpool.create_pool(url, **options) as pool:
            assert await pool.copy_in("copy u from stdin", [b"1\n", b"2\n"]) == 2
            assert await pool.execute_script("select a from u", timeout=20) == "SELECT 2"
            assert [chunk async for chunk in pool.copy_out("copy u to stdout")] == [b"1\n2\n"]
            assert await pool.fetchval("select count(*) from t") == 1

    with no_warnings():
        LOOPS["asyncio"](main, pg_url)


def test_sqlite_has_no_copy(sqlite_url):
    async def main(pool, connection):
        with pytest.raises(weirpool.NotSupportedError, match="sqlite has no COPY: use executemany"):
            await connection.copy_in(CSV, b"")
        with pytest.raises(weirpool.NotSupportedError, match="sqlite has no COPY"):
            await anext(pool.copy_out(TO_CSV))
        with pytest.raises(weirpool.DatabaseError):
            await connection.execute_script("insert into t (a) values (1); insert into missing values (1)")
        assert await connection.fetchval("select count(*) from t") == 1
        with pytest.raises(weirpool.DatabaseError):
            await connection.execute_script("begin; insert into t (a) values (2); insert into missing values (1)")
        assert connection.info["in_transaction"]
        await connection.execute("rollback")
        endless = "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n"
        with pytest.raises(weirpool.CommandTimeout):
            await connection.execute_script(f"select 1; {endless}; select 2", timeout=0.1)
        assert await connection.fetchval("select count(*) from t") == 1

    go(main, sqlite_url)


# ---- blocking


def test_blocking(pg_url, tmp_path):
    many = b"".join(b"%d,x\n" % n for n in range(30000))
    path = tmp_path / "rows.csv"
    path.write_bytes(many)

    def broken():
        yield b"1,x\n"
        raise LookupError("mine")

    def expect(count):
        assert pool.fetchval("select count(*) from t") == count

    with no_warnings(), weirpool.create_pool_sync(pg_url, min_size=1, max_size=2) as pool:
        assert pool.execute_script(f"{TABLE}; select 1") == "SELECT 1"
        with pool.session() as session:
            backend = session.info["backend"]
            for source in (many, many.decode(), path, io.BytesIO(many), many.splitlines(keepends=True)):
                assert session.copy_in(CSV, source) == 30000
            assert session.execute_script("select 1") == "SELECT 1"
            assert session.info["backend"] == backend
        expect(150000)
        assert pool.copy_in(CSV, path) == 30000
        with pool.connection() as connection:
            with pytest.raises(LookupError, match="mine"):
                connection.copy_in(CSV, broken())
            with pytest.raises(errors.InvalidTextRepresentation):
                connection.copy_in(CSV, b"bad,x\n")
            with pytest.raises(weirpool.CommandTimeout):
                connection.copy_in(CSV, (b"1,x\n" for _ in iter(int, 1)), timeout=0.2)
            with pytest.raises(TypeError):
                connection.copy_in(CSV, some([]))
            with pytest.raises(weirpool.CommandTimeout):
                connection.execute_script("select pg_sleep(3600)", timeout=0.1)
            assert sum(chunk.count(b"\n") for chunk in connection.copy_out(TO_CSV)) == 180000
            assert connection.copy_out(TO_CSV, to=tmp_path / "out") == 180000
            target = io.BytesIO()
            assert pool.copy_out(TO_CSV, to=target) == 180000
            assert target.getvalue() == (tmp_path / "out").read_bytes()
            for chunk in connection.copy_out(ENDLESS):
                assert chunk.startswith(b"1\n2\n")
                break
            for _ in pool.copy_out(ENDLESS):
                break
            assert connection.fetchval("select 3") == 3
        expect(180000)


def test_threads_copy_at_once(pg_url):
    with no_warnings(), weirpool.create_pool_sync(pg_url, min_size=1, max_size=4) as pool:
        pool.execute(TABLE)
        done = []

        def work(number):
            rows = (b"%d,x\n" % number for _ in range(20000))
            done.append(pool.copy_in(CSV, rows))
            done.append(sum(len(chunk) for chunk in pool.copy_out(f"copy (select 1 from t where a = {number}) to stdout")))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(done) == [20000] * 4 + [40000] * 4
        assert pool.fetchval("select count(*) from t") == 80000


def test_an_iterator_outlives_its_pool(pg_url):
    with no_warnings():
        pool = weirpool.create_pool_sync(pg_url, min_size=1, max_size=1)
        chunks = pool.copy_out(ENDLESS)
        assert next(chunks)
        pool.close(grace=0)
        with pytest.raises(weirpool.PoolClosed):
            next(chunks)
        del chunks, pool
        gc.collect()
