"""A connection that ends at every byte: a typed error, and the truth about what was written."""

import asyncio

import pytest
import weirpool
from harness import ABSENT, EITHER, LONG, THERE, Claims, agree, all_of, claim, echo, quiet, sample, write
from proxy import CLIENT, SERVER, Fault
from support import LOOPS, no_warnings


async def in_session(pool, key):
    async with pool.session() as session:
        assert await session.fetchval("insert into t values ($1) returning a", key) == key


async def script(pool, claims, key):
    insert = "insert into t values ($1)"
    await write(claims, 3 * key, pool.execute(insert, 3 * key))
    await write(claims, 3 * key + 1, in_session(pool, 3 * key + 1))
    await write(claims, 3 * key + 2, pool.transaction(["select 1", (insert, 3 * key + 2), "select 2"]))


def boundaries(conversation, side, but=""):
    """Where that side's messages end, those of one kind left out."""
    ends, at = set(), 0
    for who, kind, body in conversation.messages():
        if who == side:
            alone = side == SERVER and kind == "N" and not body  # to the question for TLS
            at += 1 if alone else len(body) + 4 + len(kind)
            ends |= {at - 1, at, at + 1} if kind != but else set()
    assert at == conversation.passed[side]
    return ends


async def reference(through):
    """The conversation without a fault."""
    options = {"min_size": 1, "max_size": 1}
    proxy = through.proxy()
    async with weirpool.create_pool(through.url(proxy), **options) as pool:
        await pool.execute("create table t (a bigint)")
    claims = Claims()
    async with weirpool.create_pool(through.url(proxy), **options) as pool:
        await script(pool, claims, -1)
        conversation = proxy.conversations[-1]
        ends = {side: boundaries(conversation, side) for side in (CLIENT, SERVER)}
        assert set(claims.values()) == {THERE}
        return dict(conversation.passed), ends


async def sweep(through, observer, side, how, options, every, concurrency, timeout):
    claims, cuts = Claims(), 0

    async def attempt(k):
        nonlocal cuts
        proxy = through.proxy()
        proxy.faults.append(Fault(cut=(side, k), how=how))
        async with weirpool.create_pool(through.url(proxy), **options) as pool:
            await script(pool, claims, k)
            await echo(pool, timeout)
            if how == "vanish":
                await pool.close(grace=0)  # a connection may still be waited for
            else:
                await quiet(pool)
                assert pool.snapshot()["idle"] == pool.snapshot()["size"] <= 1
        cuts += proxy.conversations[0].cut

    passed, ends = await reference(through)
    offsets = sample(range(passed[side] + 1), every, ends[side])
    await all_of(attempt, offsets, concurrency)
    assert cuts > 0.9 * len(offsets)  # the last ones may come too late
    await observer.nobody()
    agree(observer, claims)
    # Where packets vanish a connect that hangs may be overtaken by the next: then nobody is refused.
    assert {THERE, EITHER} | ({ABSENT} if how != "vanish" else set()) <= set(claims.values())
    assert claims.numbers or side == CLIENT or how == "vanish"


@pytest.mark.parametrize("side", [SERVER, CLIENT])
@pytest.mark.parametrize(("loop", "how"), [("asyncio", "fin"), ("uvloop", "rst")])
def test_at_every_byte(through, observer, loop, side, how):
    options = {"min_size": 1, "max_size": 1, "retry_min": 0.001, "retry_max": 0.01}
    with no_warnings():
        LOOPS[loop](sweep, through, observer, side, how, options, 16, 4, 20)


@pytest.mark.parametrize("side", [SERVER, CLIENT])
def test_packets_vanish_at_every_byte(through, observer, side):
    """Nothing arrives any more, and nobody is told: only the deadlines help."""
    options = {"min_size": 1, "max_size": 2, "retry_min": 0.001, "retry_max": 0.01}
    options |= {"connect_timeout": 0.4, "checkout_timeout": 5, "command_timeout": 0.4}
    with no_warnings():
        LOOPS["asyncio"](sweep, through, observer, side, "vanish", options, 32, 24, 0.4)


# ---- COPY

MANY = 2000


async def copies(pool, claims, key):
    """A COPY each way; what comes out is whole, or the caller is told that it is not."""
    rows = b"".join(b"%d\n" % n for n in range(key * MANY, key * MANY + MANY))
    await write(claims, key * MANY, pool.copy_in("copy t from stdin", rows))
    series = pool.copy_out("copy (select generate_series(1, 2000)) to stdout")
    try:
        out = b"".join([chunk async for chunk in series])
    except weirpool.Error as error:
        assert claim(error) == ABSENT, repr(error)  # a read is always retryable
    else:
        assert out == b"".join(b"%d\n" % n for n in range(1, 2001))


@pytest.mark.parametrize("side", [SERVER, CLIENT])
def test_within_a_copy(through, observer, side):
    options = {"min_size": 1, "max_size": 1, "retry_min": 0.001, "retry_max": 0.01}
    claims = Claims()

    async def reference():
        proxy = through.proxy()
        async with weirpool.create_pool(through.url(proxy), **options) as pool:
            await pool.execute("create table t (a bigint)")
            await quiet(pool)
        async with weirpool.create_pool(through.url(proxy), **options) as pool:
            await copies(pool, claims, 0)
        conversation = proxy.conversations[-1]
        return range(conversation.passed[side]), boundaries(conversation, side, but="d")  # but the rows

    async def attempt(k):
        proxy = through.proxy()
        proxy.faults.append(Fault(cut=(side, k), how="rst" if k % 2 else "fin"))
        async with weirpool.create_pool(through.url(proxy), **options) as pool:
            await copies(pool, claims, k + 1)
            await echo(pool)
            await quiet(pool)
            assert pool.snapshot()["idle"] == pool.snapshot()["size"] <= 1

    async def main():
        offsets, ends = await reference()
        every = 31 if LONG else 397
        await all_of(attempt, [k for k in offsets if k % every == 0 or k in ends])
        await observer.nobody()
        agree(observer, claims)
        rows = observer.keys()
        for key, said in claims.items():  # all of a COPY or nothing
            there = len(rows.intersection(range(key, key + MANY)))
            assert there in (0, MANY) and (there == MANY or said != THERE)
        assert {ABSENT, THERE} <= set(claims.values())

    with no_warnings():
        LOOPS["asyncio"](main)


# ---- pipelines, streams, scripts


async def pipeline(pool, key):
    async with pool.session() as session, session.pipeline():
        session.execute("insert into t values ($1)", key)
        assert await session.fetchval("select a from t where a = $1", key) == key


async def stream(pool, key):
    text, rows = "select $1::bigint + i from generate_series(1, 20) i", []
    try:
        async with pool.session() as session:
            rows = [row[0] async for row in session.stream(text, key, prefetch=6)]
    except weirpool.OutcomeUnknown:
        assert len(rows) == 20  # it is of the session's COMMIT, and that comes after all rows
    except weirpool.Error as error:
        assert claim(error) == ABSENT, repr(error)
    else:
        assert rows == [key + n for n in range(1, 21)]


async def others(pool, claims, key):
    await write(claims, 3 * key, pipeline(pool, 3 * key))
    await stream(pool, key)
    await write(claims, 3 * key + 1, pool.execute_script(f"select 1; insert into t values ({3 * key + 1})"))
    await write(claims, 3 * key + 2, pool.executemany("insert into t values ($1)", [(3 * key + 2,)] * 2))


@pytest.mark.parametrize("side", [SERVER, CLIENT])
def test_within_pipelines_streams_and_scripts(through, observer, side):
    options = {"min_size": 1, "max_size": 1, "retry_min": 0.001, "retry_max": 0.01}
    claims, cuts = Claims(), 0

    async def attempt(k):
        nonlocal cuts
        proxy = through.proxy()
        async with weirpool.create_pool(through.url(proxy), **options) as pool:
            await quiet(pool)
            talk = proxy.conversations[0]
            first = talk.passed[side]
            talk.fault = Fault(cut=(side, first + k), how="rst" if k % 2 else "fin")
            await others(pool, claims, k)
            cuts += talk.cut
            spoken = talk.passed[side] - first
            await echo(pool)
            await quiet(pool)
            assert pool.snapshot()["idle"] == pool.snapshot()["size"] <= 1
        return spoken

    async def main():
        async with weirpool.create_pool(through.direct, **options) as pool:
            await pool.execute("create table t (a bigint)")
        offsets = sample(range(await attempt(100_000)), 16)
        await all_of(attempt, offsets)
        assert cuts > 0.9 * len(offsets)
        await observer.nobody()
        agree(observer, claims)
        assert {THERE, EITHER, ABSENT} <= set(claims.values())

    with no_warnings():
        LOOPS["uvloop"](main)


# ---- LISTEN


@pytest.mark.parametrize("side", [SERVER, CLIENT])
def test_a_listener(through, observer, side):
    """It listens again, and says so: nothing is missing that no gap stands for."""
    options = {"min_size": 0, "max_size": 1, "retry_min": 0.001, "retry_max": 0.01}
    cuts = gaps = 0

    async def hear(listener, teller, payload):
        """Until it is heard, or a gap has come in its place: then once more."""
        nonlocal gaps
        await teller.execute("select pg_notify('c', $1)", payload)
        while True:
            note = await listener.get(timeout=20)
            if isinstance(note, weirpool.Gap):
                gaps += 1
                await teller.execute("select pg_notify('c', $1)", payload)
            elif note.payload == payload:
                return

    async def attempt(k):
        nonlocal cuts
        proxy = through.proxy()
        proxy.faults.append(Fault(cut=(side, k), how="rst" if k % 2 else "fin"))
        async with (
            weirpool.create_pool(through.direct, **options) as teller,
            weirpool.create_pool(through.url(proxy), **options) as pool,
        ):
            try:
                async with pool.listen("c") as listener:
                    for n in range(3):
                        await hear(listener, teller, f"{k}-{n}")
                    await listener.add("d")
                    await hear(listener, teller, f"{k}-last")
            except weirpool.Error as error:
                assert claim(error) == ABSENT, repr(error)
            cuts += proxy.conversations[0].cut
            return proxy.conversations[0].passed[side]

    async def main():
        offsets = sample(range(await attempt(100_000)), 8)
        await all_of(attempt, offsets)
        assert cuts > 0.9 * len(offsets)
        assert gaps or side == CLIENT  # who says nothing when it listens
        await observer.nobody()

    with no_warnings():
        LOOPS["asyncio"](main)


# ---- many callers on one connection

CROWD = 10
DIVIDE = "select 1 / $1::bigint"
SHARING = {"min_size": 1, "max_size": 1, "retry_min": 0.001, "retry_max": 0.01, "pipeline_max_wait": 1}


async def warm_up(pool):
    """From here on the pool knows the statements, and that they are short."""
    for n in range(6):
        await pool.execute("insert into t values ($1)", -n - 10)
        assert await pool.fetchval("select $1::bigint", n) == n
        assert await pool.fetchval(DIVIDE, 1) == 1
    await quiet(pool)


async def crowd(pool, claims, key):
    """Reads, writes, errors, a session, all at once; each gets its own answer, or one of its own errors."""

    async def read(nonce):
        try:
            assert await pool.fetchval("select $1::bigint", nonce) == nonce
        except weirpool.Error as error:
            assert claim(error) == ABSENT, repr(error)  # a read is always retryable

    async def divide():
        with pytest.raises(weirpool.Error) as caught:
            await pool.fetchval(DIVIDE, 0)
        assert caught.value.sqlstate == "22012" or caught.value.retryable, repr(caught.value)

    keys = iter(range(key * CROWD, key * CROWD + CROWD))
    calls = []
    for n in range(3):
        calls += [read(key + n), divide()]
        calls += [
            write(claims, k, pool.execute("insert into t values ($1)", k)) for k in (next(keys), next(keys))
        ]
    if key % 3 == 0:
        k = next(keys)
        calls.append(write(claims, k, in_session(pool, k)))
    await asyncio.gather(*calls)


async def crowd_sweep(through, observer, side, how):
    claims, cuts = Claims(), 0
    async with weirpool.create_pool(through.direct, **SHARING) as pool:
        await pool.execute("create table t (a bigint)")

    async def attempt(k):
        nonlocal cuts
        proxy = through.proxy()
        async with weirpool.create_pool(through.url(proxy), **SHARING) as pool:
            await warm_up(pool)
            talk = proxy.conversations[0]
            first, piece = talk.passed[side], len(talk.pieces)
            talk.fault = Fault(cut=(side, first + k), how=how)
            await crowd(pool, claims, k)
            cuts += talk.cut
            spoken, trips = talk.passed[side] - first, talk.trips(piece)
            await echo(pool)
            await quiet(pool)
            assert pool.snapshot()["idle"] == pool.snapshot()["size"] <= 1
        return spoken, trips

    total, trips = await attempt(100_000)
    assert trips < 8  # of 12 statements: they share
    offsets = sample(range(total), 16)
    await all_of(attempt, offsets)
    assert cuts > 0.9 * len(offsets)
    await observer.nobody()
    agree(observer, claims)
    assert {THERE, EITHER} <= set(claims.values())


@pytest.mark.parametrize("side", [SERVER, CLIENT])
@pytest.mark.parametrize(("loop", "how"), [("asyncio", "rst"), ("uvloop", "fin")])
def test_a_crowd_is_cut_off_at_every_byte(through, observer, loop, side, how):
    with no_warnings():
        LOOPS[loop](crowd_sweep, through, observer, side, how)


@pytest.mark.parametrize(("side", "how"), [(SERVER, "rst"), (CLIENT, "fin")])
def test_readers_that_share_a_sync(through, observer, side, how):
    """One of them fails, and at every byte they are cut off: each has its own row, or an error of its own."""
    cuts = 0

    async def read(pool, divisor, nonce):
        try:
            text = "select $2::bigint / $1::bigint"
            assert await pool.fetchval(text, divisor, nonce, readonly=True) == nonce and divisor
        except weirpool.Error as error:
            assert error.sqlstate == "22012" and not divisor or claim(error) == ABSENT, repr(error)

    async def attempt(k):
        nonlocal cuts
        proxy = through.proxy()
        async with weirpool.create_pool(through.url(proxy), **SHARING) as pool:
            for _ in range(6):
                await read(pool, 1, 7)
            await quiet(pool)
            talk = proxy.conversations[0]
            first = talk.passed[side]
            talk.fault = Fault(cut=(side, first + k), how=how)
            await asyncio.gather(*[read(pool, int(n % 6 != 3), 100 * k + n) for n in range(12)])
            cuts += talk.cut
            spoken = talk.passed[side] - first
            await echo(pool)
            await quiet(pool)
        return spoken

    async def main():
        total = await attempt(100_000)
        offsets = sample(range(total), 16)
        await all_of(attempt, offsets)
        assert cuts > 0.9 * len(offsets)
        await observer.nobody()

    with no_warnings():
        LOOPS["uvloop"](main)


def test_a_crowd_and_a_killed_backend(through, observer):
    """The server says farewell to whom it was working for; it has not come to those behind."""

    async def main():
        claims = Claims()
        async with weirpool.create_pool(through.direct, **SHARING) as pool:
            await pool.execute("create table t (a bigint)")
            for key in range(200 if LONG else 25):
                await warm_up(pool)
                async with pool.connection() as connection:
                    backend = connection.info["backend"]
                running = asyncio.ensure_future(crowd(pool, claims, key))
                for _ in range(key % 7):
                    await asyncio.sleep(0)
                observer.terminate(backend)
                await running
                await echo(pool)
        await observer.nobody()
        agree(observer, claims)
        assert {THERE, EITHER} <= set(claims.values())

    with no_warnings():
        LOOPS["asyncio"](main)
