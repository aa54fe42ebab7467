"""Round trips, counted at the proxy, which holds what the server says for longer than it takes to go on."""

import asyncio

import pytest
import weirpool
from harness import quiet
from proxy import CLIENT, SERVER, Fault
from support import LOOPS, no_warnings

HELD = 0.02


class Line:
    """A pool behind a slow line, and a count of its round trips."""

    def __init__(self, proxy, pool):
        self.proxy, self.pool = proxy, pool

    def mark(self):
        self.marks = {talk: len(talk.pieces) for talk in self.proxy.conversations}

    def trips(self):
        """Since the mark, over all connections."""
        return sum(talk.trips(self.marks.get(talk, 0)) for talk in self.proxy.conversations)

    def said(self):
        """What the client has sent since the mark."""
        return [
            (kind, body)
            for talk in self.proxy.conversations
            for side, kind, body in talk.messages(self.marks.get(talk, 0))
            if side == CLIENT
        ]

    async def cost(self, coroutine):
        """(round trips until the answer, answer)."""
        await quiet(self.pool)
        self.mark()
        answer = await coroutine
        return self.trips(), answer


@pytest.fixture
def on_line(through):
    """Runs a test with a pool of so many connections behind a slow line."""

    def run(test, size=1):
        async def main():
            proxy = through.proxy()
            proxy.otherwise = Fault(delay=HELD)
            async with weirpool.create_pool(
                through.url(proxy), min_size=size, max_size=size, pipeline_max_wait=1
            ) as pool:
                await pool.execute("create table t (a bigint)")
                await quiet(pool)
                await test(Line(proxy, pool))

        with no_warnings():
            LOOPS["asyncio"](main)

    return run


ASK = "select $1::bigint"


def test_a_statement(on_line):
    async def test(line):
        first, _ = await line.cost(line.pool.fetchval(ASK, 1))
        again, answer = await line.cost(line.pool.fetchval(ASK, 2))
        assert (first, again, answer) == (2, 1, 2)  # the first asks for the types
        many, _ = await line.cost(
            line.pool.executemany("insert into t values ($1)", [(n,) for n in range(50)])
        )
        again, _ = await line.cost(
            line.pool.executemany("insert into t values ($1)", [(n,) for n in range(50)])
        )
        assert (many, again) == (2, 1)

    on_line(test)


def test_a_session(on_line):
    """BEGIN travels with the first statement, COMMIT and ROLLBACK alone; a savepoint with what follows it."""

    async def session(pool, statements, fail=False):
        async with pool.session() as session:
            for n in range(statements):
                assert await session.fetchval(ASK, n) == n
            if fail:
                raise LookupError

    async def nested(pool):
        async with pool.session() as session:
            await session.fetchval(ASK, 1)
            async with session.transaction():
                await session.fetchval(ASK, 2)
            async with session.transaction():
                pass

    async def test(line):
        await line.pool.fetchval(ASK, 0)
        for statements in (1, 2, 3):
            assert (await line.cost(session(line.pool, statements)))[0] == statements + 1
        assert (await line.cost(session(line.pool, 0)))[0] == 0
        assert line.said() == []
        with pytest.raises(LookupError):
            await line.cost(session(line.pool, 0, fail=True))
        assert line.trips() == 0
        with pytest.raises(LookupError):
            await line.cost(session(line.pool, 1, fail=True))
        assert 1 <= line.trips() <= 2
        assert (await line.cost(nested(line.pool)))[0] <= 4  # 1, 2, RELEASE, COMMIT

    on_line(test)


def test_a_connection(on_line):
    async def connection(pool, statements):
        async with pool.connection() as connection:
            for n in range(statements):
                assert await connection.fetchval(ASK, n) == n

    async def transaction(pool):
        async with pool.connection() as connection, connection.transaction(isolation="serializable"):
            assert await connection.fetchval(ASK, 1) == 1

    async def test(line):
        await line.pool.fetchval(ASK, 0)
        for statements in (0, 1, 2):
            assert (await line.cost(connection(line.pool, statements)))[0] == statements
        assert (await line.cost(transaction(line.pool)))[0] == 2
        await quiet(line.pool)
        assert len([kind for kind, _ in line.said() if kind == "S"]) == 2  # and nothing after it

    on_line(test)


def test_readonly(on_line):
    """It costs no round trip, and, once the session is read only, no message."""

    async def test(line):
        for text in (ASK, "select abs($1::bigint)"):
            for _ in range(2):
                await line.pool.fetchval(text, 0, readonly=True)
            trips, answer = await line.cost(line.pool.fetchval(text, 7, readonly=True))
            assert (trips, answer) == (1, 7)
            assert "".join(kind for kind, _ in line.said()) == "BDES"

    on_line(test)


def transactions(messages):
    """(the client's messages, whether an earlier Sync had no answer yet when they came) for each Sync."""
    syncs = answers = 0
    said, behind = [], False
    for side, kind, body in messages:
        if side == CLIENT:
            behind = behind or (not said and syncs > answers)
            said.append((kind, body))
            if kind == "S":
                syncs += 1
                yield said, behind
                said, behind = [], False
        elif kind == "Z":
            answers += 1


def test_readonly_behind_others(through):
    """A transaction is guarded when it is sent behind a text with calls that has no answer yet."""

    async def run(pool, talk, text):
        await quiet(pool)
        first = len(talk.pieces)
        answers = await asyncio.gather(*[pool.fetchval(text, n, readonly=True) for n in range(40)])
        assert answers == list(range(40))
        sent = list(transactions(talk.messages(first)))
        assert sum(kind == "E" for said, _ in sent for kind, _ in said) == 40 + sum(map(guarded, sent))
        assert len(sent) < 25
        return sent

    def guarded(sent):
        return sent[0][0] == ("P", b"\0SET transaction_read_only = on\0\0\0")

    async def main():
        proxy = through.proxy()
        options = {"min_size": 1, "max_size": 1, "pipeline_max_wait": 60}  # all are short, come what may
        async with weirpool.create_pool(through.url(proxy), **options) as pool:
            calls = "select abs($1::bigint)"
            for _ in range(30):
                known = [pool.fetchval(text, 1, readonly=True) for text in [ASK, calls] * 8]
                await asyncio.gather(*known)
            talk = proxy.conversations[0]
            assert not any(map(guarded, await run(pool, talk, ASK)))
            sent = await run(pool, talk, calls)
            assert any(behind for _, behind in sent)
            assert all(guarded(one) for one in sent if one[1])

    with no_warnings():
        LOOPS["asyncio"](main)


def test_readonly_ones_share_a_sync(through):
    """Eight of them; what the server skips behind one that fails is sent again, once, each with its own."""
    divide = "select $1::bigint / $2::bigint"

    async def main():
        proxy = through.proxy()
        options = {"min_size": 1, "max_size": 1, "pipeline_max_wait": 60}  # all are short, come what may
        async with weirpool.create_pool(through.url(proxy), **options) as pool:
            for _ in range(30):
                await asyncio.gather(*[pool.fetchval(divide, 1, 1, readonly=True) for _ in range(16)])
            line = Line(proxy, pool)

            async def ask(count, bad=()):
                calls = [pool.fetchval(divide, n, int(n not in bad), readonly=True) for n in range(count)]
                _, answers = await line.cost(asyncio.gather(*calls, return_exceptions=True))
                for n, answer in enumerate(answers):
                    assert answer == n or (n in bad and answer.sqlstate == "22012")
                said = "".join(kind for kind, _ in line.said())
                return [said.count(kind) for kind in "BES"]

            # The first four of a turn of the loop are sent at once, each with its own.
            assert await ask(4) == [4, 4, 4]
            assert await ask(12) == [12, 12, 5]
            assert await ask(13) == [13, 13, 6]
            assert await ask(40) == [40, 40, 9]
            assert await ask(40, bad={0}) == [40, 40, 9]
            assert await ask(40, bad={6}) == [45, 45, 14]  # 7 to 11 were skipped
            assert await ask(40, bad={4, 19, 20}) == [54, 54, 23]  # 5 to 11 were, and 21 to 27
            assert await ask(40, bad={5, 6}) == [46, 46, 15]  # 6 failed only then

    with no_warnings():
        LOOPS["asyncio"](main)


@pytest.mark.parametrize("asks", [True, False])
def test_a_transactions_number(through, asks):
    """It is asked for behind the first write, unless commit_xid=False."""

    async def main():
        proxy = through.proxy()
        async with weirpool.create_pool(through.url(proxy), min_size=1, max_size=1, commit_xid=asks) as pool:
            await pool.execute("create table t (a bigint)")
            await quiet(pool)
            line = Line(proxy, pool)
            line.mark()
            async with pool.session() as session:
                await session.fetchval(ASK, 1)
                assert not any(b"xact_id" in body for _, body in line.said())
                await session.execute("insert into t values ($1)", 1)
                await session.execute("insert into t values ($1)", 2)
            assert sum(b"xact_id" in body for kind, body in line.said() if kind == "P") == asks
            line.mark()
            await pool.transaction([(ASK, 1), ("insert into t values ($1)", 3)])
            assert sum(b"xact_id" in body for kind, body in line.said() if kind == "P") == asks
            session = await pool.session()
            try:
                await session.execute("insert into t values ($1)", 4)
                number = await session.fetchval("select pg_current_xact_id()::text")
                talk = proxy.conversations[-1]
                talk.fault = Fault(cut=(SERVER, talk.passed[SERVER]))
                with pytest.raises(weirpool.OutcomeUnknown) as caught:
                    await session.commit()
                assert caught.value.xid == (int(number) if asks else None)
            finally:
                session.release()

    with no_warnings():
        LOOPS["asyncio"](main)


def test_a_pipeline(on_line):
    """BEGIN and all statements at once, then COMMIT."""

    async def dependent(pool):
        async with pool.session() as session:
            async with session.pipeline():
                session.execute("insert into t values ($1)", 1)
                session.execute("update t set a = a + $1", 1)
                answer = session.fetchval("select a from t")
            return await answer

    async def independent(pool):
        async with pool.connection() as connection, connection.pipeline():
            answers = [connection.fetchval(ASK, n) for n in range(5)]
        return [await answer for answer in answers]

    async def test(line):
        await dependent(line.pool)
        await line.pool.execute("truncate t")
        assert await line.cost(dependent(line.pool)) == (2, 2)
        await line.pool.fetchval(ASK, 0)
        assert await line.cost(independent(line.pool)) == (1, [0, 1, 2, 3, 4])

    on_line(test)


def test_a_whole_transaction(on_line):
    async def test(line):
        statements = [("insert into t values ($1)", 7), ("select a from t where a = $1", 7)]
        await line.pool.transaction(statements)
        trips, (tag, rows) = await line.cost(line.pool.transaction(statements))
        assert (trips, tag, [row["a"] for row in rows]) == (1, "INSERT 0 1", [7, 7])
        assert [kind for kind, _ in line.said()].count("S") == 1

    on_line(test)


def test_what_one_connection_has_learnt_all_know(on_line):
    """The first use of a statement on a connection costs no further trip, once another has used it."""

    async def test(line):
        await line.pool.fetchval("select $1::bigint, $2::text", 1, "x")
        held = [await line.pool.connection() for _ in range(3)]
        line.mark()
        for connection in held:
            await connection.fetchval("select $1::bigint, $2::text", 2, "y")
        assert line.trips() == 3
        parses = [body for kind, body in line.said() if kind == "P"]
        assert len(parses) == 2
        for connection in held:
            connection.release()

    on_line(test, size=3)


def test_a_reset_is_not_waited_for(on_line):
    async def test(line):
        async with line.pool.connection() as connection:
            await connection.execute("set work_mem = '1MB'")
            line.proxy.hold()
            line.mark()
        assert line.trips() == 0  # given back, while the server has not said a word
        others = asyncio.ensure_future(line.pool.fetchval("show work_mem"))
        while not any(b"DISCARD ALL" in body for _, body in line.said()):
            await asyncio.sleep(0.001)  # sent at once, not when the connection is wanted again
        line.proxy.flow()
        assert await others == "4MB"

    on_line(test)


def test_no_reset_without_need(on_line):
    async def test(line):
        async with line.pool.session() as session:
            await session.execute("insert into t values (1)")
        line.mark()
        await quiet(line.pool)
        async with line.pool.connection() as connection:
            assert await connection.fetchval("select count(*) from t") == 1
        await quiet(line.pool)
        assert not any(b"DISCARD" in body or b"ROLLBACK" in body for _, body in line.said())

    on_line(test)


def test_a_crowd_shares_its_trips(on_line):
    async def test(line):
        insert = "insert into t values ($1)"
        for n in range(3):
            await line.pool.fetchval(ASK, n)
            await line.pool.execute(insert, n)
        trips, answers = await line.cost(asyncio.gather(*[line.pool.fetchval(ASK, n) for n in range(30)]))
        assert trips <= 3 and answers == list(range(30))
        trips, tags = await line.cost(asyncio.gather(*[line.pool.execute(insert, n) for n in range(8)]))
        assert trips <= 3 and tags == ["INSERT 0 1"] * 8
        sets = [(n,) for n in range(5)]
        for _ in range(3):
            await line.pool.executemany(insert, sets)
        trips, counts = await line.cost(
            asyncio.gather(*[line.pool.executemany(insert, sets) for _ in range(8)])
        )
        assert trips <= 3 and counts == [5] * 8

    on_line(test)
