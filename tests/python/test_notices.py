"""on_notice: what the server says beside its answers."""

import asyncio
import logging
import threading

import pytest
import weirpool
from support import no_warnings

RAISE = """do $$ begin
    raise notice 'low ☂' using detail = 'd', hint = 'h', errcode = '01234';
    raise warning 'high';
end $$"""


def check(seen):
    low, high = seen
    assert isinstance(low, weirpool.Notice)
    assert low[:5] == ("NOTICE", "01234", "low ☂", "d", "h")
    assert "line 2 at RAISE" in low.where
    assert (high.severity, high.message, high.detail, high.hint) == ("WARNING", "high", None, None)
    seen.clear()


def test_the_hook_gets_them(pg_url, run):
    async def main():
        seen, threads = [], set()

        def hook(notice):
            assert asyncio.get_running_loop() is loop
            threads.add(threading.get_ident())
            seen.append(notice)

        loop = asyncio.get_running_loop()
        async with weirpool.create_pool(pg_url, on_notice=hook, max_size=2) as pool:
            await pool.execute(RAISE)
            check(seen)
            async with pool.session() as session:
                await session.execute(RAISE)
                check(seen)
                async with session.pipeline():
                    await asyncio.gather(session.execute(RAISE), session.execute("select 1"))
                check(seen)
                await session.execute_script(RAISE)
                check(seen)
            await pool.transaction([RAISE])
            check(seen)
        assert threads == {threading.get_ident()} and seen == []

    with no_warnings():
        run(main)


def test_a_hook_that_fails(pg_url, run, caplog):
    async def main():
        def hook(notice):
            raise ValueError(notice.message)

        async with weirpool.create_pool(pg_url, on_notice=hook) as pool:
            assert await pool.execute(RAISE) == "DO"
            assert await pool.fetchval("select 1") == 1

    with caplog.at_level(logging.WARNING, "weirpool"), no_warnings():
        run(main)
    records = [record for record in caplog.records if "on_notice" in record.getMessage()]
    assert [str(record.exc_info[1]) for record in records] == ["low ☂", "high"]


def test_a_hook_that_uses_the_pool(pg_url):
    seen = []

    def hook(notice):
        seen.append((notice.message, pool.fetchval("select 7")))

    with no_warnings(), weirpool.create_pool_sync(pg_url, on_notice=hook) as pool:
        pool.execute(RAISE)
        assert seen == [("low ☂", 7), ("high", 7)]


def test_blocking(pg_url):
    seen = []
    with no_warnings(), weirpool.create_pool_sync(pg_url, on_notice=seen.append) as pool:
        pool.execute(RAISE)
        check(seen)
        with pytest.raises(weirpool.DatabaseError):
            pool.execute("do $$ begin raise notice 'before'; raise 'fails'; end $$")
        assert [notice.message for notice in seen] == ["before"]


def test_many_threads(pg_url):
    seen = []

    def work(number):
        for turn in range(50):
            pool.execute(f"do $$ begin raise notice '{number} {turn}'; end $$")

    with no_warnings(), weirpool.create_pool_sync(pg_url, on_notice=seen.append, max_size=4) as pool:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(notice.message for notice in seen) == sorted(
        f"{number} {turn}" for number in range(8) for turn in range(50)
    )


def test_without_a_hook_they_are_logged(pg_url, run, caplog):
    async def main():
        async with weirpool.create_pool(pg_url) as pool:
            await pool.execute(RAISE)

    for level, count in ((logging.INFO, 0), (logging.DEBUG, 1)):
        caplog.clear()
        with caplog.at_level(level, "weirpool"), no_warnings():
            run(main)
        lines = [record for record in caplog.records if "NOTICE: low ☂" in record.getMessage()]
        assert [record.levelno for record in lines] == [logging.DEBUG] * count


@pytest.mark.parametrize("hook", [3, "print", [len]])
def test_what_is_no_hook(pg_url, hook):
    with pytest.raises(weirpool.OptionError, match="on_notice must be a function"):
        weirpool.create_pool(pg_url, on_notice=hook)
