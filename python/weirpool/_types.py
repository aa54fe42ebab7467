# Written by bindings/python/stubs.py from the core's tables.
"""The shapes of the dicts that the package gives."""

from typing import Literal, TypedDict


class Latency(TypedDict):
    """A distribution of durations, in seconds."""

    count: int
    sum: float
    max: float
    p50: float
    p90: float
    p99: float
    p999: float
    buckets: dict[float, int]
    """How many lie above the bound before and at most at this one."""


class SessionInfo(TypedDict):
    """The state of a loan."""

    depth: int
    """Transactions and savepoints that are open."""
    in_transaction: bool
    failed: bool
    """The transaction can only be rolled back."""
    busy: bool
    """An operation runs."""
    backend: int | None
    """The server's process id; None for SQLite."""
    age: float
    """Seconds since it was lent."""


class BreakerEvent(TypedDict):
    """What has happened to a circuit breaker: see Breaker.events()."""

    number: int
    at: float
    kind: str
    before: Literal["closed", "open", "half_open", "forced_open", "disabled", "metrics_only"]
    state: Literal["closed", "open", "half_open", "forced_open", "disabled", "metrics_only"]
    reason: str
    duration: float | None


class Health(TypedDict):
    """How a pool is: see Pool.health()."""

    status: Literal["healthy", "degraded", "unhealthy"]
    reasons: dict[str, str]
    """Codes, and what they mean; empty when it is healthy."""
    status_age: float
    last_check_age: float | None
    latency: float | None
    passed: int
    failed: int
    failures_in_a_row: int
    last_failure: str | None
    connect_failure: str | None


class HealthEvent(TypedDict):
    """What has happened to a pool's health: see Pool.health_history()."""

    number: int
    at: float
    kind: Literal["status", "passed", "failed", "expired"]
    before: Literal["healthy", "degraded", "unhealthy"]
    status: Literal["healthy", "degraded", "unhealthy"]
    reasons: dict[str, str]
    duration: float | None
    text: str | None


class Holder(TypedDict):
    """Who holds a connection."""

    file: str | None
    function: str | None
    """Where it was checked out, the ends of longer names; None where that is unknown."""
    line: int
    age: float
    """Seconds since it was lent."""
    statement: str | None
    """The beginning of its last statement's text, never its parameters."""
    stack: str | None
    """The caller's stack, a frame a line, the innermost first, of one in leak_stacks checkouts."""
    depth: int
    """Transactions and savepoints that are open."""
    busy: bool
    """An operation runs."""
    leaked: bool
    """It has been held for longer than leak_threshold, and that was reported."""
    backend: int | None
    """The server's process id; None for SQLite."""


class Alert(TypedDict):
    """An alert of a pool's, with the numbers that caused it."""

    number: int
    type: Literal["database_unhealthy", "circuit_breaker_open", "high_query_failure_rate", "high_checkout_failure_rate", "connection_leaks", "high_pool_usage", "slow_queries", "slow_checkouts"]
    severity: Literal["critical", "warning"]
    message: str
    at: float
    """When it fired, in seconds as of time.monotonic()."""
    resolved_at: float | None
    resolved: bool
    value: float
    """A share of the calls or connections; seconds of slow ones; connections, breakers; 2 for unhealthy."""
    threshold: float
    count: int
    """So many failed, leaked, are in use, …"""
    total: int
    """… of so many."""
    window: float
    """Seconds that the numbers are of; 0: of that moment."""


class SlowQuery(TypedDict):
    """A statement that took longer than slow_query_threshold."""

    statement: str
    """The beginning of its text, with ? for each literal."""
    count: int
    total: float
    max: float
    last: float
    at: float
    """When it was too slow last, in seconds as of time.monotonic()."""


class _HistoryPoint(TypedDict):
    at: float
    """Seconds, as of time.monotonic()."""


class HistoryPoint(_HistoryPoint, total=False):
    """One of the snapshot's numbers as it was; of a latency, what came since the point before."""

    value: float
    """Of gauges and counters; of latencies what follows."""
    count: int
    sum: float
    p50: float
    p90: float
    p99: float
    p999: float


class Snapshot(TypedDict):
    """The pool's numbers, all read at one instant."""

    size: int
    """Connections open, in use and idle."""
    idle: int
    """Connections ready to be lent."""
    active: int
    """Connections lent, or running a statement of the pool's own callers."""
    connecting: int
    """Connections being made."""
    cleaning: int
    """Connections being reset, cancelled, set up, checked or closed."""
    overflow: int
    """Connections above max_size."""
    waiting: int
    """Callers waiting for a connection."""
    min_size: int
    """Connections that the pool keeps open."""
    max_size: int
    """Connections that the pool keeps at most."""
    max_overflow: int
    """Further connections under load."""
    limit: int
    """Connections that are lent at a time at most, with adaptive_size as learnt."""
    overloaded: int
    """1 while callers are refused early by queue_target, else 0."""
    listeners: int
    """Listeners, each with a connection beside these."""
    pods: int
    """Processes that share the database, as pod_source tells; 0: unknown."""
    share: int
    """Connections that this one may have of connection_budget by now; -1: there is no budget."""
    alerts_active: int
    """Alerts that have fired and are not resolved."""
    probing: int
    """Attempts to find out whether the server is back."""
    circuit_connect: int
    """State of the breaker for connecting: 0 closed, 1 open, 2 half-open, 3 forced open, 4 disabled, 5 metrics only."""
    circuit_query: int
    """State of the breaker for statements, likewise."""
    health: int
    """Status of the pool's health: 0 healthy, 1 degraded, 2 unhealthy."""
    checkouts_started: int
    """Requests for a connection."""
    checkouts_granted: int
    """Requests that got one."""
    checkouts_timed_out: int
    """Requests that waited longer than checkout_timeout."""
    checkouts_cancelled: int
    """Requests that were cancelled while they waited."""
    checkouts_refused: int
    """Requests refused: queue full, database down, circuit breaker open, pool closed."""
    checkouts_shed: int
    """Requests of these that queue_target refused early."""
    overloads: int
    """Times that queue_target began to refuse."""
    checkouts_nested: int
    """Requests that had to wait, all connections taken, of who held one of them already."""
    leaks: int
    """Connections held for longer than leak_threshold."""
    leaks_reclaimed: int
    """Connections of these that were taken back from their holders."""
    transactions_idle: int
    """Transactions that were idle for longer than idle_in_transaction_timeout."""
    returned: int
    """Connections given back."""
    connections_started: int
    """Attempts to connect."""
    connections_created: int
    """Attempts that succeeded."""
    connections_failed: int
    """Attempts that failed."""
    connections_closed: int
    """Connections closed, for whatever reason."""
    connections_lost: int
    """Connections that died by themselves."""
    connections_recycled: int
    """Connections closed because of their age, or of a call of expire()."""
    queries_started: int
    """Statements sent."""
    queries_succeeded: int
    """Statements that succeeded."""
    queries_failed: int
    """Statements that failed, or that the pool ended."""
    queries_timed_out: int
    """Statements that took longer than their timeout, or their session's."""
    queries_cancelled: int
    """Statements whose caller went away."""
    notifications: int
    """Notifications that have come for listeners."""
    notifications_dropped: int
    """Notifications of these that found the listener's queue full."""
    listeners_reconnected: int
    """Connections of listeners that were lost and made anew."""
    circuit_refused: int
    """Requests and statements that a circuit breaker refused."""
    probes_started: int
    """Attempts to find out whether the server is back."""
    health_checks_passed: int
    """Health checks that passed."""
    health_checks_failed: int
    """Health checks that failed."""
    wait: Latency
    """From the request for a connection to its grant."""
    use: Latency
    """From the grant of a connection to its return."""
    connect: Latency
    """From the start of an attempt to connect to its success."""
    query: Latency
    """From the sending of a statement to its end, but of those whose caller went away."""
    query_failed: Latency
    """The same, of those statements alone that failed."""
    health_check: Latency
    """From the begin of a health check to its passing."""


class BreakerSnapshot(TypedDict):
    """The numbers of a circuit breaker, all read at one instant; times are in seconds."""

    state: Literal["closed", "open", "half_open", "forced_open", "disabled", "metrics_only"]
    last_failure: str | None
    consecutive_failures: int
    """Failures in a row."""
    window_calls: int
    """Calls in the window."""
    window_failures: int
    """Failures in the window."""
    window_slow: int
    """Slow calls in the window."""
    half_open_limit: int
    """Calls that are let in at once, half-open; else 0."""
    half_open_calls: int
    """Calls that are in, half-open; else 0."""
    openings: int
    """Openings since it was closed."""
    running: int
    """Calls that have not ended."""
    failure_rate: float
    """Failures in the window over calls in the window."""
    slow_call_rate: float
    """Slow calls in the window over calls in the window."""
    state_age: float | None
    """Since it has this state."""
    retry_after: float | None
    """Until calls are let in, when it is open."""
    last_failure_age: float | None
    """Since the last failure."""
    calls_permitted: int
    """Calls that were let in."""
    calls_refused: int
    """Calls that were refused; a pool's: requests and statements, by the one that refused."""
    calls_succeeded: int
    """Calls that succeeded."""
    calls_failed: int
    """Calls that failed."""
    calls_ignored: int
    """Calls whose end says nothing."""
    calls_cancelled: int
    """Calls that were cancelled."""
    calls_late: int
    """Calls that were let in in an earlier state, and counted nothing."""
    calls_slow: int
    """Calls that were slow, of those that succeeded or failed."""
    probes_succeeded: int
    """Probes that succeeded."""
    probes_failed: int
    """Probes that failed."""
    opened: int
    """Times that it opened."""
