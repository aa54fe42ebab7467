"""The parts of the benchmark, by the names that select them."""

from . import bulk, core, learning, lending, outage, point, protection, rows, sqlite, tail

PARTS = {
    "core": core.measure,
    "point": point.measure,
    "alone": point.alone,
    "readonly": point.readonly,
    "tokio": point.tokio,
    "pgbench": point.pgbench,
    "threads": point.threads,
    "session": lending.session,
    "checkout": lending.checkout,
    "site": lending.site,
    "rows": rows.measure,
    "bulk": bulk.measure,
    "sqlite": sqlite.measure,
    "tail": tail.measure,
    "learning": learning.learned,
    "adapting": learning.adapting,
    "grants": learning.grants,
    "outage": outage.measure,
    "protection": protection.measure,
}
