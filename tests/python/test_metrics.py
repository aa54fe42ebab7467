"""Metrics as text, read by the parsers of prometheus_client, beside snapshots taken at the same moment."""

import contextlib
import subprocess
import sys
import time

import pytest
import weirpool
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client import parser as prometheus
from support import for_python, until
from weirpool.prometheus import PoolCollector

PARSERS = {
    "prometheus": prometheus.text_string_to_metric_families,
    "openmetrics": openmetrics.text_string_to_metric_families,
}
POOL = "db_client_connection_pool_name"


def read(text, format):
    """The families by name, and all values by sample, a name with its sorted labels."""
    families = {family.name: family for family in PARSERS[format](text)}
    values = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in families.values()
        for sample in family.samples
    }
    assert len(values) == sum(len(family.samples) for family in families.values()), "a series comes twice"
    return families, values


class Reader:
    def __init__(self, pool, format, names="both"):
        self.name = pool.name
        self.families, self.values = read(pool.metrics(format=format, names=names), format)

    def __call__(self, metric, **labels):
        return self.values[(metric, *sorted({POOL: self.name, **labels}.items()))]

    def histogram(self, metric, **labels):
        """As a snapshot has it: the bounds, and how many lie between them; the count, the sum."""
        ends = ["0.001", "0.005", "0.01", "0.05", "0.1", "0.5", "1.0", "5.0", "10.0", "+Inf"]
        seen = [self(metric + "_bucket", le=end, **labels) for end in ends]
        between = [after - before for before, after in zip([0, *seen], seen)]
        buckets = dict(zip(map(float, ends), between))
        return buckets, self(metric + "_count", **labels), self(metric + "_sum", **labels)


def of_latency(latency):
    return latency["buckets"], latency["count"], latency["sum"]


def work(pool):
    for n in range(20):
        pool.fetchval("select $1 + 1", n)
    for _ in range(3):
        with pytest.raises(weirpool.Error):
            pool.fetch("select nonsense")
    with pool.session() as session:
        session.fetch("select 1")
        with pytest.raises(weirpool.CheckoutTimeout):
            with pool.connection(checkout_timeout=0.01):
                pass
        pool.breaker.query.force_open()


@pytest.mark.parametrize("format", PARSERS)
def test_values_are_those_of_the_snapshot(url, format):
    with weirpool.create_pool_sync(url, min_size=0, max_size=1, max_overflow=0, name="shop") as pool:
        work(pool)
        now = pool.snapshot()
        got = Reader(pool, format)
    operation = {"db_system_name": pool_system(url)}
    assert got("db_client_connection_count", db_client_connection_state="idle") == now["idle"] == 1
    assert got("db_client_connection_count", db_client_connection_state="used") == now["active"] == 0
    assert got("db_client_connection_max") == got("db_client_connection_idle_max") == 1
    assert got("db_client_connection_timeouts_total") == now["checkouts_timed_out"] == 1
    assert got.histogram("db_client_connection_wait_time_seconds") == of_latency(now["wait"])
    assert got.histogram("db_client_connection_use_time_seconds") == of_latency(now["use"])
    assert got.histogram("db_client_connection_create_time_seconds") == of_latency(now["connect"])
    buckets, count, total = got.histogram("db_client_operation_duration_seconds", **operation)
    failed = got.histogram("db_client_operation_duration_seconds", error_type="ProgrammingError", **operation)
    assert failed == of_latency(now["query_failed"])
    assert count == now["queries_succeeded"] == 21 and failed[1] == now["queries_failed"] == 3
    assert {end: n + failed[0][end] for end, n in buckets.items()} == now["query"]["buckets"]
    assert total + failed[2] == pytest.approx(now["query"]["sum"])
    for outcome in ("granted", "timed_out", "cancelled", "refused"):
        assert got("weir_checkouts_total", outcome=outcome) == now[f"checkouts_{outcome}"]
    for outcome in ("succeeded", "failed", "timed_out", "cancelled"):
        assert got("weir_queries_total", outcome=outcome) == now[f"queries_{outcome}"]
    for name in ("connections_created", "returned", "leaks", "circuit_refused"):
        assert got(f"weir_{name}_total") == now[name]
    states = {
        state: got("weir_circuit_breaker_state", breaker="query", weir_circuit_breaker_state=state)
        for state in ("closed", "open", "half_open", "forced_open", "disabled", "metrics_only")
    }
    assert states.pop("forced_open") == 1 and not any(states.values())
    assert got("weir_health_status", weir_health_status="unhealthy") == 1
    assert got("db_active_connections") == 0 and got("db_idle_connections") == 1
    assert got("db_total_connections_created") == 1 and got("db_connection_timeouts") == 1
    assert got("db_query_failure_rate") == pytest.approx(3 / 24)
    assert got("db_average_query_time") == pytest.approx(now["query"]["sum"] / 24)
    kind = "stateset" if format == "openmetrics" else "gauge"
    assert got.families["weir_circuit_breaker_state"].type == kind
    assert all(family.documentation for family in got.families.values())


def pool_system(url):
    return url.partition(":")[0]


@pytest.mark.parametrize("format", PARSERS)
def test_failures_are_told_apart(url, format):
    """By the classes that users know, a family each, and not by each SQLSTATE."""
    with weirpool.create_pool_sync(url, min_size=0, max_size=1, name="failing") as pool:
        pool.execute("create table t (a integer primary key, b integer not null)")
        for _ in range(2):
            with contextlib.suppress(weirpool.IntegrityError):
                pool.execute("insert into t values (1, 1)")
        for text in ("insert into t values (2, null)", "select nonsense", "select * from nowhere"):
            with pytest.raises(weirpool.Error):
                pool.execute(text)
        text, now = pool.metrics(format=format), pool.snapshot()
    counts = {
        sample.labels.get("error_type"): sample.value
        for sample in read(text, format)[0]["db_client_operation_duration_seconds"].samples
        if sample.name.endswith("_count")
    }
    lasting = ("CommandTimeout", "SessionTimeout", "OutcomeTimeout")
    ended = ("ConnectionLost", "OutcomeUnknown", "SessionReclaimed")
    slow = dict.fromkeys(lasting + ended, 0)  # there from the beginning
    assert counts == {None: now["queries_succeeded"], "IntegrityError": 2, "ProgrammingError": 2} | slow
    assert sum(counts.values()) == now["query"]["count"]


def test_statements_that_were_not_answered_are_in_the_durations(url):
    """Counters and histogram tell the same: who has not waited until its end leaves a statement slow."""
    slow = "with recursive t(n) as (select 1 union all select n + 1 from t) select count(*) from t"
    with weirpool.create_pool_sync(url, min_size=0, max_size=1, name="late") as pool:
        pool.fetchval("select 1")
        with pytest.raises(weirpool.CommandTimeout):
            pool.fetch(slow, timeout=0.06, readonly=True)
        with pytest.raises(weirpool.SessionTimeout):
            with pool.session(timeout=0.11) as session:
                session.fetch(slow)
        got, now = Reader(pool, "openmetrics"), pool.snapshot()
    name, labels = "db_client_operation_duration_seconds", {"db_system_name": pool_system(url)}
    for error, bound in ("CommandTimeout", 0.05), ("SessionTimeout", 0.1):
        buckets, count, total = got.histogram(name, error_type=error, **labels)
        assert count == 1 and total > bound
        assert not any(n for end, n in buckets.items() if end <= bound)
    assert now["query_failed"]["count"] == got("weir_queries_total", outcome="timed_out") == 2
    assert now["query"]["count"] == 3 and now["query"]["max"] > 0.1
    assert got("db_average_query_time") > 0.05


def test_recycled_connections_are_told_from_others(url):
    with weirpool.create_pool_sync(url, min_size=0, max_size=2, name="recycling") as pool:
        pool.fetch("select 1")
        pool.expire()
        pool.fetch("select 1")
        until(lambda: pool.snapshot()["connections_closed"])  # SQLite's by its own thread
        now = pool.snapshot()
        got = Reader(pool, "openmetrics")
        assert now["connections_closed"] == now["connections_recycled"] == 1
        assert got("weir_connections_closed_total", reason="recycled") == 1
        assert got("weir_connections_closed_total", reason="other") == 0
        assert got("db_connections_recycled") == 1
        with pytest.raises(weirpool.SessionClosed):
            with pool.session() as session:
                session.fetch("select 1")
                session.discard()
                session.fetch("select 1")
        until(lambda: pool.snapshot()["connections_closed"] == 2)
        assert pool.snapshot()["connections_recycled"] == 1


@pytest.mark.parametrize("format", PARSERS)
def test_names(sqlite_url, format):
    with weirpool.create_pool_sync(sqlite_url) as pool:
        seed = Reader(pool, format, "seed").families
        standard = Reader(pool, format, "standard").families
        both = Reader(pool, format).families
        assert pool.metrics() == pool.metrics(format="prometheus", names="both")
    assert seed.keys() == {
        "db_active_connections",
        "db_idle_connections",
        "db_overflow_connections",
        "db_total_connections_created",
        "db_average_checkout_time",
        "db_average_query_time",
        "db_checkout_failure_rate",
        "db_query_failure_rate",
        "db_health_check_passes",
        "db_health_check_failures",
        "db_connections_recycled",
        "db_connection_timeouts",
    }
    assert not any(name.startswith("db_") and not name.startswith("db_client_") for name in standard)
    assert both.keys() == seed.keys() | standard.keys()
    assert {family.type for family in seed.values()} == {"gauge"}
    if format == "openmetrics":
        units = {family.unit for family in standard.values() if family.type == "histogram"}
        assert units == {"seconds"}


def test_labels_are_escaped_and_all_pools_are_there(sqlite_url):
    odd = 'a "b\\c" é'
    with (
        weirpool.create_pool_sync(sqlite_url, name=odd) as one,
        weirpool.create_pool_sync(sqlite_url, name="two", max_size=3) as two,
        weirpool.create_pool_sync(sqlite_url, name="two", max_size=4),
    ):
        for format in PARSERS:
            values = read(weirpool.metrics(format=format), format)[1]
            assert values[("db_client_connection_max", (POOL, odd))] == 20
            assert values[("db_client_connection_max", (POOL, "two"))] == 7
            values = read(weirpool.metrics([two], format=format), format)[1]
            assert values[("db_client_connection_max", (POOL, "two"))] == 3
            assert ("db_client_connection_max", (POOL, odd)) not in values
        with pytest.raises(weirpool.ArgumentError, match="format=xml: give prometheus or openmetrics"):
            weirpool.metrics(format="xml")
        with pytest.raises(weirpool.ArgumentError, match="names=all: give seed, standard or both"):
            one.metrics(names="all")
        with pytest.raises(TypeError, match="a Pool or SyncPool is wanted, not int"):
            weirpool.metrics([one, 7])
    assert weirpool.metrics() == ""


def test_asynchronous_pools_have_them_too(sqlite_url, run):
    async def main():
        async with weirpool.create_pool(sqlite_url, name="async") as pool:
            await pool.fetch("select 1")
            return Reader(pool, "openmetrics")("weir_queries_total", outcome="succeeded")

    assert run(main) == 1


def test_exemplars_have_the_trace_of_a_statement(url):
    trace, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    comment = f" /*application='shop',traceparent='00-{trace}-{span}-01'*/"

    def exemplars(pool):
        text = pool.metrics(format="openmetrics")
        return [
            (sample.labels.get("error_type"), sample.labels["le"], sample.exemplar)
            for sample in read(text, "openmetrics")[0]["db_client_operation_duration_seconds"].samples
            if sample.exemplar
        ]

    with weirpool.create_pool_sync(url, max_size=1, name="traced") as pool:
        for text in ("select 1", "select 1 /* traceparent */", "select 1" + comment.replace("-01'", "-00'")):
            pool.fetch(text)
        assert exemplars(pool) == []
        before = time.time()
        pool.fetch("select 1" + comment)
        ((error, _, exemplar),) = exemplars(pool)
        assert error is None and exemplar.labels == {"trace_id": trace, "span_id": span}
        assert 0 < exemplar.value < 60 and before - 1 < float(exemplar.timestamp) < time.time() + 1
        with pytest.raises(weirpool.Error):
            pool.fetch("select nonsense" + comment.replace("4bf9", "0000"))
        by_error = {error: exemplar for error, _, exemplar in exemplars(pool)}
        assert by_error["ProgrammingError"].labels["trace_id"] == trace.replace("4bf9", "0000")
        assert by_error[None].labels["trace_id"] == trace
        (family,) = (f for f in PoolCollector().collect() if "operation" in f.name)
        assert sum(sample.exemplar is not None for sample in family.samples) == 2


def test_collector(sqlite_url):
    registry = CollectorRegistry(auto_describe=True)
    with weirpool.create_pool_sync(sqlite_url, name="collected") as pool:
        registry.register(PoolCollector(names="standard"))
        with pytest.raises(ValueError, match="Duplicated"):
            registry.register(PoolCollector([pool]))
        pool.fetch("select 1")
        labels = {POOL: "collected", "outcome": "succeeded"}
        assert registry.get_sample_value("weir_queries_total", labels) == 1
        text = generate_latest(registry).decode()
        assert read(text, "prometheus")[1] == read(pool.metrics(names="standard"), "prometheus")[1]
    assert registry.get_sample_value("weir_queries_total", labels) is None


def test_collector_says_what_is_missing():
    code = "import sys; sys.modules['prometheus_client'] = None; import weirpool.prometheus"
    done = subprocess.run([sys.executable, "-c", code], env=for_python(), capture_output=True, text=True)
    assert "ImportError: weirpool.prometheus needs the package prometheus_client: pip install" in done.stderr
