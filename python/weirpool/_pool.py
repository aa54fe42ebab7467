"""Opening pools, and their methods that nobody calls often. The others are in the C module."""

import inspect

from . import _copy, _core, _hooks, _listen, _options, _run
from ._breaker import PoolBreaker, _take_predicates
from ._metrics import metrics
from .errors import Error, InterfaceError


class _Managed:
    """What asynchronous and blocking pools have alike."""

    __slots__ = ()

    @property
    def name(self):
        """The option `name`, or host:port/database."""
        return _core.pool_name(self)

    @property
    def url(self):
        """The URL without its password."""
        return _core.pool_url(self)

    @property
    def database_system(self):
        """ "postgresql" or "sqlite"."""
        return _core.pool_database_system(self)

    @property
    def options(self):
        """What each option is in this pool, wherever it has come from, as a dict.

        It is as the pool was opened: what resize() changes is in the snapshot.
        """
        return {row[0]: _core.pool_option(self, row[0]) for row in _options.rows(_core.option_table)}

    @property
    def min_size(self):
        """Connections that the pool keeps open."""
        return _core.pool_snapshot(self)["min_size"]

    @property
    def max_size(self):
        """Connections that the pool keeps at most, without max_overflow."""
        return _core.pool_snapshot(self)["max_size"]

    def resize(self, *, min_size=None, max_size=None):
        """Sets new bounds while the pool runs; one that is omitted stays as it is.

        More connections are opened at once, surplus ones close as they come free. OptionError for what
        create_pool() would refuse.
        """
        _core.pool_resize(self, min_size, max_size)

    def expire(self):
        """Has every connection made before this call replaced as it comes free; lent ones are not touched.

        For after a failover, or when credentials have changed.
        """
        _core.pool_expire(self)

    @property
    def breaker(self):
        """The pool's circuit breakers, a PoolBreaker: `connect` and `query`, each with its state and numbers."""
        return PoolBreaker(self)

    def snapshot(self):
        """The pool's numbers, all read at one instant: gauges, counters, and latencies in seconds."""
        return _core.pool_snapshot(self)

    def metrics(self, *, format="prometheus", names="both"):
        """The pool's metrics as text, for Prometheus: see help(weirpool.metrics)."""
        return metrics((self,), format=format, names=names)

    def holders(self, min_age=0.0):
        """Who has held a connection for at least min_age seconds, the oldest loan first; a dict each.

        file, function, line: where it was checked out; the first two are None where that is unknown. age: seconds
        since then.
        statement: the beginning of its last statement's text, never its parameters. stack: the caller's stack, of one
        in leak_stacks checkouts, or None. depth: transactions and savepoints that are open. busy: an operation runs.
        leaked: it was reported. backend: the server's process id; None for SQLite.
        """
        return self._holders(min_age)

    def health(self):
        """How the pool is, as it knows without asking the server, as a dict.

        status: "healthy", "degraded" (it serves, but something is wrong) or "unhealthy" (it cannot serve), for
            `status_age` seconds. reasons: why, a dict of codes and what they mean: closed, circuit_open, disconnected
            (an attempt to connect has failed, or lasts for longer than a second), checks_failing (three in a row) are
            unhealthy; check_failed, circuit_half_open, connect_failing, connections_lost (within a minute), exhausted
            (somebody waits for longer than a second), leaks, standby (a write was refused within a minute) degraded.
        last_check_age: seconds since a check ended; None before the first. latency: seconds, of the last that
            passed. passed, failed, failures_in_a_row: checks; those that waited in vain for a connection that others
            hold are in `failed` alone.
        last_failure, connect_failure: what the last check that failed has said, and the last attempt to connect,
            while they fail; or None.
        """
        return self._health()

    def health_history(self, after=0):
        """What has happened since the event of that number, of the last 64 events, oldest first: a list of dicts.

        number: 1, 2 …; a gap says that events are lost. at: seconds, as of time.monotonic().
        kind: "status" (it has changed, from `before`, for `reasons`), "passed" (a check; of several in a row the
            first), "failed" (a check; `text` says how), "expired" (the server takes no writes: all connections
            are made anew, for `text`).
        duration: seconds that a check took, or None.
        """
        return self._health_history(after)

    def on_alert(self, callback):
        """Has callback(alert) called when one of the pool's alerts fires, and again when it is resolved; gives it back.

        In a turn of the event loop, or, of a blocking pool, in a thread that has called the pool. What a coroutine
        function gives is run as a task of the loop's; blocking pools take plain functions only. What it raises is
        logged, and changes nothing. Any number of callbacks; also before the pool is open.

        The alert is a dict: type, severity ("critical", "warning"), message, resolved, and the numbers that caused it:
        value and threshold, count of total, window in seconds. The options alert_… are the rules.
        """
        if not callable(callback):
            raise TypeError(f"a function is wanted, not {callback!r}")
        if isinstance(self, SyncPool) and inspect.iscoroutinefunction(callback):
            raise TypeError(f"{callback!r}: a blocking pool takes plain functions")
        if self._on_alert is None:
            self._on_alert = []
        self._on_alert.append(callback)
        return callback

    def alerts(self, active=True):
        """The alerts that are not resolved, the oldest first; with active=False all of the last 1,000. A dict each."""
        return self._alerts(active)

    def alert_history(self):
        """The last 1,000 alerts, the oldest first, resolved or not."""
        return self._alerts(False)

    def slow_queries(self):
        """Statements that took longer than slow_query_threshold, answered or not, by their total time; a dict each.

        They are kept by their texts, with ? for each literal and never a parameter: statement, count, and the seconds
        total, max and last; at: when, as of time.monotonic(). At most slow_queries_kept, those with the largest totals.
        """
        return self._slow_queries()

    def history(self, metric, *, since=600.0, step=None):
        """How one of the snapshot's numbers went, the oldest first: a list of dicts.

        at: seconds, as of time.monotonic(). value: what the snapshot has had then. Of a latency instead what came since
        the point before: count, and in seconds sum, p50, p90, p99, p999. There is none for times at which nobody drove
        the pool.

        since: so many seconds ago and later; None is all that is kept.
        step: seconds between two points: 1 (kept for ten minutes), 10 (two hours) or 60 (a day); None is the shortest
            that reaches back so far.
        """
        return self._history(metric, since, step)

    def __repr__(self):
        kind = type(self).__name__
        if self.closed:
            return f"<{kind} closed>"
        try:
            numbers = _core.pool_snapshot(self)
            shown = " ".join(f"{name}={numbers[name]}" for name in ("size", "idle", "waiting"))
            return f"<{kind} {self.name} {shown}>"
        except InterfaceError:
            return f"<{kind} not open>"


class Pool(_Managed, _core.Pool):
    """A pool for asyncio and uvloop, made by create_pool().

    It belongs to the event loop in which it was opened; in another one, every call raises WrongLoop.
    Statements that are run on the pool itself are independent of each other, in autocommit, each on a
    connection of the pool's choice.
    """

    __slots__ = ()

    async def run(
        self,
        fn,
        *,
        retries=3,
        timeout=None,
        isolation=None,
        readonly=False,
        deferrable=False,
        checkout_timeout=...,
    ):
        """Awaits fn(session) in a transaction, commits, and gives what fn gave; begins again when that is safe.

        A whole transaction, with a fresh session, is repeated after a serialization failure (40001), a
        deadlock (40P01), when its connection was lost before COMMIT was sent, and when no connection could be
        made or a circuit breaker was open; after pauses that double from 10 ms, with full jitter. All other
        errors, fn's own too, are raised at once, and so is OutcomeUnknown: that COMMIT may have taken effect.
        What fn does beside the session is done anew with each attempt. An error after which run() has given
        up says so in its __notes__.

        fn: a coroutine function that takes the session; it leaves commit() to run().
        retries: how often at most.
        timeout: seconds over all attempts and pauses; None is without limit. What fn does beside the session
            is not broken off.
        isolation, readonly, deferrable, checkout_timeout: as session() has them.
        """
        options = {"isolation": isolation, "readonly": readonly, "deferrable": deferrable}
        options["checkout_timeout"] = checkout_timeout
        retry = _run.begin(fn, retries, timeout)
        while True:
            try:
                async with retry.checkout(self.session(**options), fn) as session:
                    retry.admit(session)
                    return await _run.awaitable(fn, fn(session))
            except Error as error:
                pause = _run.pause_after(retry, error)
                if pause is None:
                    raise
            await self._sleep(pause)

    def listen(self, *channels, max_queued=..., heartbeat=...):
        """Listens on channels: for `async for` over what NOTIFY sends, or its get().

        `async with pool.listen("channel") as listener: async for note in listener: …`
        They are Notification(channel, payload, pid), and Gap(reconnected, dropped) where some may be missing: the
        connection was lost and made anew, as it is by itself, with the pool's pauses, and on all channels; or more
        than max_queued were waiting. Who keeps a state by notifications reads it anew then.

        The connection is the listener's own, beside max_size, made as the pool's are, without init. PostgreSQL;
        NotSupportedError otherwise. Behind PgBouncer in transaction mode no notification arrives: give the pool
        of a listener the server's own URL.

        channels: names as the database has them, case and all, of 1 to 63 bytes; add() and remove() change them.
        max_queued: so many notifications are kept for the reader; 4096 when omitted.
        heartbeat: a server that was silent for so many seconds is asked for a sign of life, and given
            command_timeout for it; None never does, 30 when omitted.
        """
        return _listen.Listener(self, channels, max_queued, heartbeat)

    async def copy_in(self, sql, source, /, *, timeout=...):
        """As Connection.copy_in(), on a connection that is borrowed for it; timeout= is over the wait, too."""
        return await _hooks.through(self._borrow(timeout), "copy_in", (sql, source), {"timeout": timeout})

    async def copy_records(self, table, records, /, *, columns=None, schema=None, timeout=...):
        """As Connection.copy_records(), on a connection that is borrowed for it; timeout= is over the wait, too."""
        options = {"columns": columns, "schema": schema, "timeout": timeout}
        return await _hooks.through(self._borrow(timeout), "copy_records", (table, records), options)

    def copy_out(self, sql, /, to=None, *, timeout=...):
        """As Connection.copy_out(), on a connection that is borrowed until the end, or close()."""
        return _copy.copy_out(None, sql, to, timeout=timeout, checkout=self._borrow(timeout))


class SyncPool(_Managed, _core.SyncPool):
    """A pool whose calls block, made by create_pool_sync(); any number of threads may use it.

    Statements that are run on the pool itself are independent of each other, in autocommit.
    """

    __slots__ = ()

    def run(
        self,
        fn,
        *,
        retries=3,
        timeout=None,
        isolation=None,
        readonly=False,
        deferrable=False,
        checkout_timeout=...,
    ):
        """Calls fn(session) in a transaction, commits, and gives what fn gave; begins again when that is safe.

        As Pool.run(), but fn is a plain function.
        """
        options = {"isolation": isolation, "readonly": readonly, "deferrable": deferrable}
        options["checkout_timeout"] = checkout_timeout
        retry = _run.begin(fn, retries, timeout)
        while True:
            try:
                with retry.checkout(self.session(**options), fn) as session:
                    retry.admit(session)
                    return _run.plain(fn, fn(session))
            except Error as error:
                pause = _run.pause_after(retry, error)
                if pause is None:
                    raise
            self._sleep(pause)

    def listen(self, *channels, max_queued=..., heartbeat=...):
        """Listens on channels: for `for` over what NOTIFY sends, or its get().

        `with pool.listen("channel") as listener: for note in listener: …`
        As Pool.listen(); it reads while a thread waits in get(), or in any other call of the pool.
        """
        return _listen.SyncListener(self, channels, max_queued, heartbeat)

    def copy_in(self, sql, source, /, *, timeout=...):
        """As SyncConnection.copy_in(), on a connection that is borrowed for it; timeout= is over the wait, too."""
        return _hooks.through_sync(self._borrow(timeout), "copy_in", (sql, source), {"timeout": timeout})

    def copy_records(self, table, records, /, *, columns=None, schema=None, timeout=...):
        """As SyncConnection.copy_records(), on a connection that is borrowed; timeout= is over the wait, too."""
        options = {"columns": columns, "schema": schema, "timeout": timeout}
        return _hooks.through_sync(self._borrow(timeout), "copy_records", (table, records), options)

    def copy_out(self, sql, /, to=None, *, timeout=...):
        """As SyncConnection.copy_out(), on a connection that is borrowed until the end, or close()."""
        return _copy.copy_out_sync(None, sql, to, timeout=timeout, checkout=self._borrow(timeout))

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()


def create_pool(
    url=None, *, init=None, setup=None, server_settings=None, codecs=None, on_notice=None, **options
):
    judge = _take_predicates(options)
    return Pool(url, options, server_settings, init, setup, codecs, on_notice, judge)


def create_pool_sync(
    url=None, *, init=None, setup=None, server_settings=None, codecs=None, on_notice=None, **options
):
    judge = _take_predicates(options)
    pool = SyncPool(url, options, server_settings, init, setup, codecs, on_notice, judge)
    pool._open()
    return pool


_DOC = """{title}

{how}

url: postgresql://user:password@host:port/database, sqlite:///file.db (sqlite:////absolute/file.db), sqlite:// or
    :memory: (one database in memory for the pool); when it is omitted, the environment variable {url}.
init: {kind} that gets each new connection before anyone else does, and again whenever what a borrower left
    behind could only be undone together with what init had set; when it fails the connection is closed.
setup: {kind} that gets the session at each checkout, within the checkout's time{setup}; when it fails, or is
    late, the connection is closed and the exception is raised. pool.fetch() and its like then check a connection
    out for each statement, and their time-out is over the setup, too.
server_settings: a dict of settings that each connection starts with, such as {{"search_path": "app"}}.
codecs: a dict of how values of PostgreSQL's types are read and written, by the types' names ("schema.type",
    or as the search path finds them) or numbers: {{"public.shape": weirpool.Codec(…)}}; see help(weirpool.Codec).
on_notice: a function that gets each Notice(severity, sqlstate, message, detail, hint, where) of the server's, such as
    RAISE NOTICE makes, {turn}; what it raises is logged. Without
    one notices are log lines of level debug.
circuit_record, circuit_ignore: what counts as failure with the breaker for statements, and what does not count at all,
    which beats it whatever form either has, as with CircuitBreaker. Each is a str (see below), a class of exceptions, a
    plain function that gets the exception, as the statement's caller does and in his thread, and gives True or False,
    or an iterable of these. What a function raises is logged; then the strs judge alone. So they do of what no caller gets
    to see (attempts to connect, probes, health checks, answers that nobody takes) and of a session's own time-out.

Options; an option given here beats the same one in the URL's query, that beats the environment variable that is
named with it (the first of them that is set, and not empty), and that the default. They are read while the pool
opens. Times are in seconds, variables' too, and None, in URLs and variables "none", is without limit:

{options}

OptionError for an unknown or impossible option. Opening fails only for what trying again cannot cure (a
ConnectError: a wrong password, a database that does not exist, a setting that the server refuses), or, with
require=True, when the database cannot be reached."""


def _describe(function, result, title, how, kind, setup, turn):
    """Gives the function the signature and the docstring that the core's table of options makes."""
    parameter, only = inspect.Parameter, inspect.Parameter.KEYWORD_ONLY
    signature = [parameter("url", parameter.POSITIONAL_OR_KEYWORD, default=None)]
    hooks = ("init", "setup", "server_settings", "codecs", "on_notice")
    signature += [parameter(name, only, default=None) for name in hooks]
    rows = list(_options.rows(_core.option_table))
    function.__signature__ = inspect.Signature(signature + [_options.parameter(row) for row in rows])
    lines = "\n".join(map(_options.line, rows))
    url = " or ".join(_options.variables("url"))
    function.__doc__ = _DOC.format(
        title=title, how=how, kind=kind, setup=setup, turn=turn, url=url, options=lines
    )


_describe(
    create_pool,
    Pool,
    "Makes a pool of connections for asyncio or uvloop.",
    "`async with create_pool(…) as pool` opens and closes it; `pool = await create_pool(…)` opens it, and\n"
    "`await pool.close()` is yours.",
    "a coroutine function",
    ", as a task of its own",
    "in a turn of the event loop",
)
_describe(
    create_pool_sync,
    SyncPool,
    "Makes a pool of connections whose calls block, and opens it.",
    "`with create_pool_sync(…) as pool` closes it; otherwise `pool.close()` is yours. The pool has no thread of its own:\n"
    "what falls due while nobody calls it (idle connections, the floor, healing) is done at the next call.",
    "a function",
    "",
    "in a thread that has called the pool",
)
