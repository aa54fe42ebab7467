"""Sizing by pods, as a user of Python sees it; the table of all combinations is tests/core/test_sizing.c."""

import contextlib

import pytest
import weirpool

# options, POD_COUNT, max_size or what the error says
CASES = [
    ({}, None, 20),
    ({}, "3", 10),
    ({"pod_count": 4}, "abc", 10),
    ({"pod_count": None}, "3", 20),
    ({"connections_per_pod": 15}, None, 15),
    ({"connections_per_pod": 15}, "3", 15),
    ({"max_size": 20, "connections_per_pod": 30}, "3", 20),
    ({"connection_budget": 100, "connection_reserve": 10}, "30", 3),
    ({"connection_budget": 100, "max_size": 50, "max_overflow": 5}, "4", 20),
    ({"connection_budget": 100}, None, "pod_count, which is not given: give it, or set POD_COUNT"),
    ({"connection_budget": 100, "max_overflow": 10}, "20", "max_overflow=10 leaves nothing of the 5 connections"),
    ({"connection_budget": 9}, "10", "connection_budget=9 over pod_count=10 leaves no connection to a pool"),
    ({"connection_reserve": 9}, "10", "connection_reserve=9 is a part of connection_budget"),
    ({"min_size": 5, "connection_budget": 40}, "10", "min_size=5 is above the 4 that max_size has by"),
    ({}, "abc", "POD_COUNT in the environment: pod_count=abc is no whole number"),
]


@pytest.mark.parametrize(("options", "pods", "answer"), CASES)
def test_sizes(options, pods, answer, run, monkeypatch):
    monkeypatch.delenv("POD_COUNT", raising=False)
    if pods is not None:
        monkeypatch.setenv("POD_COUNT", pods)

    def sizes(pool):
        return pool.max_size, pool.snapshot()["max_size"], pool.options["max_size"]

    def blocking():
        with weirpool.create_pool_sync("sqlite://", **options) as pool:
            return sizes(pool)

    async def main():
        async with weirpool.create_pool("sqlite://", **options) as pool:
            return sizes(pool)

    for open_pool in (blocking, lambda: run(main)):
        if isinstance(answer, int):
            assert open_pool() == (answer, answer, answer)
        else:
            with pytest.raises(weirpool.OptionError) as failure:
                open_pool()
            assert answer in str(failure.value)


def test_resizing_stays_within_the_share():
    with weirpool.create_pool_sync("sqlite://", pod_count=3, connection_budget=30, max_overflow=2) as pool:
        assert pool.max_size == 8
        pool.resize(min_size=0, max_size=4)
        pool.resize(max_size=8)
        with pytest.raises(weirpool.OptionError, match="max_size=9 is above the 8 that are the pool's share"):
            pool.resize(max_size=9)
        assert pool.max_size == 8


def test_the_pools_of_all_pods_stay_within_the_budget(server, pg_url):
    options = {"pod_count": 3, "connection_budget": 8, "min_size": 0}
    with contextlib.ExitStack() as stack:
        pools = [stack.enter_context(weirpool.create_pool_sync(pg_url, **options)) for _ in range(3)]
        for pool in pools:
            for _ in range(2):
                stack.enter_context(pool.connection()).fetchval("select 1")
            with pytest.raises(weirpool.CheckoutTimeout):
                pool.connection(checkout_timeout=0.05).__enter__()
        assert server.backends(pg_url) == 6
