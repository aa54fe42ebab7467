"""Changed bytes: a typed error, or another value; no crash, no hang, no endless memory."""

import asyncio
import contextlib
import ctypes
import gc
import os
import pathlib
import random
import re

import pytest
import weirpool
from harness import LONG, all_of, quiet, sample
from proxy import CLIENT, SERVER, Fault
from support import LOOPS, PRELOAD, no_warnings

MASKS = [[0x01, 0x80, 0xFF]] if not LONG else [[1 << bit] for bit in range(8)] + [[0xFF], [0x7F]]
OPTIONS = {"min_size": 1, "max_size": 2, "retry_min": 0.001, "retry_max": 0.01}
OPTIONS |= {"connect_timeout": 0.3, "checkout_timeout": 1, "command_timeout": 0.15}
PATIENCE = 20  # seconds for what has deadlines of 3 in all
UNHARMED = OPTIONS | dict.fromkeys(("connect_timeout", "checkout_timeout", "command_timeout"), PATIENCE)
ROOM = 64 << 20 if not PRELOAD else 1 << 30  # bytes; a sanitizer keeps books of what is only reserved


async def script(pool):
    """Some of everything that a server says; gives what went well."""
    done = 0
    for step in (
        lambda: pool.fetch("select $1::bigint as n, 'text'::text, 1.5::numeric, array[1, 2], null::date", 7),
        lambda: pool.execute("insert into t values ($1)", 1),
        lambda: pool.fetchval("select 1/0"),
        lambda: in_session(pool),
        lambda: pool.executemany("insert into t values ($1)", [(1,), (2,)]),
        lambda: pool.execute("do $$ begin raise warning 'note'; end $$"),
        lambda: pool.fetchval("select $1::bigint", 8),
    ):
        try:
            await asyncio.wait_for(step(), PATIENCE)
            done += 1
        except weirpool.Error:
            pass
        except (ValueError, OverflowError, UnicodeError) as error:
            raise AssertionError(f"not a typed error: {error!r}") from error
    return done


async def in_session(pool):
    async with pool.session() as session:
        await session.fetchval("insert into t values (3) returning a")
        async with session.transaction():
            await session.execute("insert into t values (4)")


def sample_cases(talk, masks):
    """(offset, mask): the highest byte of each message's length, and a share of all bytes."""
    heads, at = [], 0
    for side, kind, body in talk.messages():
        if side == SERVER:
            heads.append(at + 1)
            at += 1 if kind == "N" and not body else len(body) + 5
    assert at == talk.passed[SERVER]
    lengths = [(offset, mask) for mask in (0x01, 0x3F, 0x80) for offset in heads]
    anywhere = [(offset, mask) for mask in masks for offset in range(at)]
    return sorted(
        {
            cases[n]
            for cases, every in ((lengths, 5), (anywhere, 13))
            for n in sample(range(len(cases)), every)
        }
    )


def memory():
    """The most that the process has had resident."""
    return int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path("/proc/self/status").read_text()).group(1)) * 1024


@contextlib.contextmanager
def unbooked():
    """Has LeakSanitizer not look: libpq loses the result of a description that contradicts its length."""
    process = ctypes.CDLL(None)
    getattr(process, "__lsan_disable", int)()
    try:
        yield
    finally:
        getattr(process, "__lsan_enable", int)()


@pytest.mark.parametrize("masks", MASKS)
def test_at_every_byte(through, observer, masks):
    done = {}

    async def attempt(case, options=OPTIONS):
        offset, mask = case
        proxy = through.proxy()
        proxy.faults.append(Fault(flip=(SERVER, offset, mask)))
        pool = weirpool.create_pool(through.url(proxy), **options)
        try:
            await asyncio.wait_for(pool, PATIENCE)
            done[case] = await script(pool)
        except weirpool.Error:
            done[case] = 0
        await asyncio.wait_for(pool.close(grace=0), PATIENCE)
        if len(done) % 16 == 0:
            gc.collect()  # an error that wait_for passes on keeps its frames, and half a megabyte of pool in them

    async def main():
        proxy = through.proxy()
        async with weirpool.create_pool(through.url(proxy), **UNHARMED) as pool:
            await pool.execute("create table t (a bigint)")
        async with weirpool.create_pool(through.url(proxy), **UNHARMED) as pool:
            whole = await script(pool)
            cases = sample_cases(proxy.conversations[-1], masks)
        harmless = (1 << 30, 0)
        await attempt(harmless, UNHARMED)
        assert done.pop(harmless) == whole
        before = memory()
        await all_of(attempt, cases, 32)
        assert memory() - before < ROOM
        assert len(done) == len(cases) and min(done.values()) < whole
        await observer.nobody()

    with no_warnings(), unbooked():
        LOOPS["asyncio"](main)


@pytest.mark.parametrize("masks", MASKS)
def test_nobody_gets_anothers_answer(through, observer, masks):
    """Many share a connection: a byte that is changed may spoil an answer, and must not shift the others."""
    options = OPTIONS | {"connect_timeout": PATIENCE, "max_size": 1, "pipeline_max_wait": 1}

    async def attempt(case):
        proxy = through.proxy()
        async with weirpool.create_pool(through.url(proxy), **options) as pool:
            for _ in range(4):
                await asyncio.wait_for(pool.fetchval("select $1::bigint", 0, timeout=PATIENCE), PATIENCE)
            talk = proxy.conversations[-1]
            first = talk.passed[SERVER]
            talk.fault = Fault(flip=(SERVER, first + case[0], case[1]))
            nonces = [int.from_bytes(os.urandom(7), "big") for _ in range(8)]
            calls = [pool.fetchval("select $1::bigint", nonce) for nonce in nonces]
            answers = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), PATIENCE)
            for nonce, answer in zip(nonces, answers, strict=True):
                if isinstance(answer, weirpool.Error):
                    continue
                if answer is None:  # libpq skips a message of COPY where there is none: a row that has become one
                    assert case[1] == ord("D") ^ ord("d")
                    continue
                assert (answer ^ nonce) % (1 << 64) in [0, *(case[1] << 8 * n for n in range(8))], (
                    nonce,
                    answer,
                )
            spoken = talk.passed[SERVER] - first
            await asyncio.wait_for(pool.close(grace=0), PATIENCE)
            return spoken

    async def main():
        total = await attempt((1 << 30, 0))
        cases = [(offset, mask) for mask in masks for offset in range(total)]
        await all_of(attempt, [cases[n] for n in sample(range(len(cases)), 13)], 16)
        await observer.nobody()

    with no_warnings(), unbooked():
        LOOPS["uvloop"](main)


# ---- other work, and the client's bytes, too

OWN_TYPES = """
create table t (a bigint);
create extension hstore;
create type mood as enum ('so so', 'well');
create domain small as int;
create type span as range (subtype = float8);
create type home as (street text, number small, moods mood[]);
"""
VALUES = """
select now(), interval '1 day', '10.0.0.1/8'::inet, uuid 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '0101'::varbit,
 '{[1,2)}'::int4multirange, array[[1.5, null], [2, 3]]::numeric[], '{"a": 1}'::jsonb, row(1, 'x'), '12:00+01'::timetz
"""


async def every(rows):
    return [row async for row in rows]


async def pipeline(pool):
    async with pool.session() as session, session.pipeline():
        session.execute("insert into t values ($1)", 5)
        await session.fetchval("select count(*) from t")


async def readers(pool):
    text = "select $1::bigint / $2::bigint"
    calls = [pool.fetchval(text, n, int(n != 2), readonly=True) for n in range(9)]
    for answer in await asyncio.gather(*calls, return_exceptions=True):
        if isinstance(answer, Exception) and not isinstance(answer, weirpool.DataError):
            raise answer


async def listener(pool):
    async with pool.listen("c") as listener:
        await pool.execute("notify c, 'x'")
        await listener.get(timeout=1)


def own_types(pool):
    home, span = ("x", 1, ["well"]), weirpool.Range(1.0, 2.0)
    return pool.fetchrow("select $1::home, $2::mood, $3::hstore, $4::span", home, "well", {"a": None}, span)


OTHERS = {
    "copy_in": lambda pool: pool.copy_in("copy t from stdin", b"1\n2\n"),
    "copy_out": lambda pool: every(pool.copy_out("copy (select generate_series(1, 5)) to stdout")),
    "copy_records": lambda pool: pool.copy_records("t", [(3,), (4,)]),
    "stream": lambda pool: every(pool.stream("select generate_series(1, 9)", prefetch=4)),
    "transaction": lambda pool: pool.transaction([("insert into t values ($1)", 6), "select 1"]),
    "script": lambda pool: pool.execute_script("select 1; insert into t values (9)"),
    "values": lambda pool: pool.fetchrow(VALUES),
    "own types": own_types,
    "pipeline": pipeline,
    "readers": readers,
    "listener": listener,
}


@pytest.mark.parametrize("kinds", [[kind] for kind in OTHERS] if LONG else [OTHERS], ids=OTHERS if LONG else ["all"])
@pytest.mark.parametrize("side", [SERVER, CLIENT])
def test_in_other_work(through, observer, side, kinds):
    """In a connection that works, and in the next one, which a listener has, and who was cut off."""
    done = dict.fromkeys(kinds, 0)

    async def attempt(case, options=OPTIONS):
        kind, offset, mask = case
        proxy = through.proxy()
        async with weirpool.create_pool(through.url(proxy), **options) as pool:
            await quiet(pool)
            talk = proxy.conversations[0]
            first = talk.passed[side]
            talk.fault = Fault(flip=(side, first + offset, mask))
            proxy.faults.append(Fault(flip=(side, offset, mask)))
            with contextlib.suppress(weirpool.Error):
                await asyncio.wait_for(OTHERS[kind](pool), PATIENCE)
                done[kind] += 1
            await asyncio.wait_for(pool.close(grace=0), PATIENCE)
            if offset % 16 == 0:
                gc.collect()  # as above
            return max(talk.passed[side] - first, *[other.passed[side] for other in proxy.conversations[1:]], 0)

    async def main():
        async with weirpool.create_pool(through.direct, **UNHARMED) as pool:
            await pool.execute_script(OWN_TYPES)
        before, cases = memory(), []
        for kind in kinds:
            offsets = range(await attempt((kind, 1 << 30, 0), UNHARMED))
            cases += [(kind, offset, mask) for mask in (0x01, 0x80, 0xFF) for offset in offsets]
        assert all(done.values())
        picked = [cases[n] for n in sample(range(len(cases)), 61)]
        random.Random(1).shuffle(picked)  # a length of 16 MiB, which libpq makes room for, seldom comes with others
        await all_of(attempt, picked, 16)
        assert sum(done.values()) < len(picked)
        assert memory() - before < 2 * ROOM
        await observer.nobody()

    with no_warnings(), unbooked():
        LOOPS["uvloop"](main)
