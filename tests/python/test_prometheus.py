"""A Prometheus server of the distribution's scrapes a pool under load, and loads the rules and the dashboard we ship."""

import http.server
import json
import pathlib
import re
import shutil
import subprocess
import threading
import urllib.parse
import urllib.request

import pytest
import weirpool
from support import free_port, until

SHIPPED = pathlib.Path(__file__).parents[2] / "docs" / "prometheus"
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACED = f"select 1 /*traceparent='00-{TRACE}-{SPAN}-01'*/"
CONFIG = """
global: {{scrape_interval: 200ms, scrape_timeout: 200ms, evaluation_interval: 200ms}}
rule_files: ["{rules}"]
scrape_configs:
  - job_name: negotiated
    static_configs: [targets: ["127.0.0.1:{port}"]]
  - job_name: plain
    metrics_path: /plain
    static_configs: [targets: ["127.0.0.1:{port}"]]
"""


class Handler(http.server.BaseHTTPRequestHandler):
    """As an application would serve them: OpenMetrics for who asks for it."""

    served = set()

    def do_GET(self):
        wanted = "application/openmetrics-text" in self.headers["Accept"] and self.path == "/metrics"
        kind = weirpool.CONTENT_TYPE_OPENMETRICS if wanted else weirpool.CONTENT_TYPE_PROMETHEUS
        body = weirpool.metrics(format="openmetrics" if wanted else "prometheus").encode()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.served.add(kind)

    def log_message(self, *arguments):
        pass


class Prometheus:
    def __init__(self, folder, target):
        self.port = free_port()
        config = folder / "prometheus.yml"
        config.write_text(CONFIG.format(rules=SHIPPED / "alerts.yml", port=target))
        self.log = (folder / "log").open("w+")
        command = [
            shutil.which("prometheus"),
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--enable-feature=exemplar-storage",
            "--log.level=warn",
        ]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)

    def ask(self, path, **parameters):
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v1/{path}?{query}") as answer:
            found = json.load(answer)
        assert found["status"] == "success"
        return found["data"]

    def answers(self):
        try:
            self.ask("targets")
        except OSError:
            return False
        return True

    def value(self, expression):
        """By job."""
        result = self.ask("query", query=expression)["result"]
        return {series["metric"]["job"]: float(series["value"][1]) for series in result}

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.log.close()


@pytest.fixture(scope="module")
def target():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory, target):
    server = Prometheus(tmp_path_factory.mktemp("prometheus"), target)
    yield server
    server.stop()


def shop(url):
    return weirpool.create_pool_sync(url, name="shop", max_size=3)


class Load:
    """A thread that runs statements until told to stop."""

    def __init__(self, pool):
        self.pool, self.over = pool, False
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.over:
            self.pool.fetch(TRACED)

    def __enter__(self):
        self.thread.start()

    def __exit__(self, *exception):
        self.over = True
        self.thread.join()


def expressions():
    """Of the dashboard's panels, with its variables filled in."""
    for panel in json.loads((SHIPPED / "dashboard.json").read_text())["panels"]:
        for asked in panel["targets"]:
            text = asked["expr"].replace("$job", ".*").replace("$pool", "shop")
            yield panel["title"], text.replace("$__rate_interval", "2s")


def test_scrapes(pg_url, prometheus):
    until(prometheus.answers)
    with shop(pg_url) as pool:
        scrape(pool, prometheus)


def scrape(pool, prometheus):
    with Load(pool):
        until(lambda: len(prometheus.value("rate(weir_returned_total[2s]) > 0")) == 2)
        scraped = {
            scrape["labels"]["job"]: (scrape["health"], scrape["lastError"])
            for scrape in prometheus.ask("targets")["activeTargets"]
        }
        assert scraped == {"negotiated": ("up", ""), "plain": ("up", "")}
        assert Handler.served == {weirpool.CONTENT_TYPE_OPENMETRICS, weirpool.CONTENT_TYPE_PROMETHEUS}
        # What panels show of a pool under load; of some there is nothing while all is well.
        empty = {title for title, text in expressions() if not prometheus.ask("query", query=text)["result"]}
        assert empty == {"Circuit breakers that are not closed"}
    now = pool.snapshot()
    everywhere = {"negotiated": now["queries_succeeded"], "plain": now["queries_succeeded"]}
    until(lambda: prometheus.value('weir_queries_total{outcome="succeeded"}') == everywhere)
    below = sum(count for bound, count in now["query"]["buckets"].items() if bound <= 0.005)
    bucket = 'db_client_operation_duration_seconds_bucket{le="0.005",error_type=""}'
    assert prometheus.value(bucket) == {"negotiated": below, "plain": below}
    assert prometheus.value("db_client_connection_max") == {"negotiated": 3, "plain": 3}
    kinds = {name: kind["type"] for name, (kind, *_) in prometheus.ask("metadata").items()}
    assert kinds["db_client_connection_count"] == kinds["db_active_connections"] == "gauge"
    assert kinds["db_client_operation_duration_seconds"] == "histogram"
    assert kinds["weir_circuit_breaker_state"] in ("gauge", "stateset")  # one target each
    (series,) = prometheus.ask("query_exemplars", query=bucket.replace('le="0.005",', ""), start=0, end=4e9)[:1]
    assert series["exemplars"][0]["labels"] == {"trace_id": TRACE, "span_id": SPAN}
    assert series["seriesLabels"]["job"] == "negotiated"


def test_rules_are_loaded_and_one_fires(pg_url, prometheus):
    until(prometheus.answers)

    def rules():
        (group,) = prometheus.ask("rules")["groups"]
        return group["rules"]

    until(lambda: all(rule["health"] == "ok" for rule in rules()))
    assert not any(rule.get("lastError") for rule in rules())
    named = {rule["name"].removeprefix("Weirpool"): rule["labels"]["severity"] for rule in rules()}
    assert named.items() >= {
        "DatabaseUnhealthy": "critical",
        "CircuitBreakerOpen": "critical",
        "HighQueryFailureRate": "critical",
        "HighCheckoutFailureRate": "warning",
        "ConnectionLeaks": "warning",
        "HighPoolUsage": "warning",
        "SlowQueries": "warning",
        "SlowCheckouts": "warning",
    }.items()
    def firing():
        alerts = prometheus.ask("alerts")["alerts"]
        return [alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"]

    with shop(pg_url) as pool:
        until(lambda: len(prometheus.value("db_client_connection_max")) == 2)
        assert firing() == []
        pool.breaker.query.force_open()
        until(lambda: firing() == ["WeirpoolCircuitBreakerOpen"] * 2)
        pool.breaker.query.force_close()
        until(lambda: firing() == [])


def test_promtool_has_little_to_say(sqlite_url):
    rules = subprocess.run(["promtool", "check", "rules", SHIPPED / "alerts.yml"], capture_output=True, text=True)
    assert rules.returncode == 0, rules.stdout + rules.stderr
    with shop(sqlite_url) as pool:
        text = pool.metrics(names="standard")
    metrics = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True)
    count = 'db_client_connection_count non-histogram and non-summary metrics should not have "_count" suffix'
    assert metrics.stderr.splitlines() == [count]  # by OpenTelemetry's convention it has


def test_what_is_asked_for_is_served(sqlite_url):
    with shop(sqlite_url) as pool:
        served = set(re.findall(r"^(\w+)\{", pool.metrics(), re.MULTILINE))
    rules = re.findall(r"expr: (.*?)\n        \w", (SHIPPED / "alerts.yml").read_text(), re.DOTALL)
    asked = " ".join([*rules, *(text for _, text in expressions())])
    names = {name for name in re.findall(r"\b(?:weir|db)_\w+", re.sub(r"\{.*?\}", "", asked))}
    labels = {"db_client_connection_pool_name", "db_client_connection_state", "weir_circuit_breaker_state"}
    assert len(rules) == 13 and len(names - labels) > 15
    assert names - labels - served == set()
