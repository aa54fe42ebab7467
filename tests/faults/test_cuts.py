"""A connection that ends at every byte: a typed error, and the truth about what was written."""

import pytest
import weirpool
from harness import ABSENT, EITHER, THERE, agree, all_of, echo, quiet, sample, write
from proxy import CLIENT, SERVER, Fault
from support import LOOPS, no_warnings


async def in_session(pool, key):
    async with pool.session() as session:
        assert await session.fetchval("insert into t values ($1) returning a", key) == key


async def script(pool, claims, key):
    await write(claims, 2 * key, pool.execute("insert into t values ($1)", 2 * key))
    await write(claims, 2 * key + 1, in_session(pool, 2 * key + 1))


def boundaries(conversation, side):
    """Where that side's messages end."""
    ends, at = set(), 0
    for who, kind, body in conversation.messages():
        if who == side:
            alone = side == SERVER and kind == "N" and not body  # to the question for TLS
            at += 1 if alone else len(body) + 4 + len(kind)
            ends |= {at - 1, at, at + 1}
    assert at == conversation.passed[side]
    return ends


async def reference(through):
    """The conversation without a fault."""
    options = {"min_size": 1, "max_size": 1}
    proxy = through.proxy()
    async with weirpool.create_pool(through.url(proxy), **options) as pool:
        await pool.execute("create table t (a bigint)")
    claims = {}
    async with weirpool.create_pool(through.url(proxy), **options) as pool:
        await script(pool, claims, -1)
        conversation = proxy.conversations[-1]
        ends = {side: boundaries(conversation, side) for side in (CLIENT, SERVER)}
        assert set(claims.values()) == {THERE}
        return dict(conversation.passed), ends


async def sweep(through, observer, side, how, options, every, concurrency, timeout):
    claims, cuts = {}, 0

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
    assert {ABSENT, THERE, EITHER} <= set(claims.values())


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
