"""Changed bytes of the server's: a typed error, or another value; no crash, no hang, no endless memory."""

import asyncio
import contextlib
import ctypes
import gc
import os
import pathlib
import re

import pytest
import weirpool
from harness import LONG, all_of, sample
from proxy import SERVER, Fault
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
        proxy.faults.append(Fault(flip=(offset, mask)))
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
            talk.fault = Fault(flip=(first + case[0], case[1]))
            nonces = [int.from_bytes(os.urandom(7), "big") for _ in range(8)]
            calls = [pool.fetchval("select $1::bigint", nonce) for nonce in nonces]
            answers = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), PATIENCE)
            for nonce, answer in zip(nonces, answers, strict=True):
                if isinstance(answer, weirpool.Error):
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
