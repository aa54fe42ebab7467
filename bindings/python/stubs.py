"""Writes the parts of python/weirpool that repeat the core's tables: types of options, errors and metrics.

stubs.py [--check]: with the built package on PYTHONPATH. --check writes nothing, and fails when a file is out
of date.
"""

import pathlib
import sys

from weirpool import _core

PACKAGE = pathlib.Path(__file__).parents[2] / "python" / "weirpool"
STATE = 'Literal["closed", "open", "half_open", "forced_open", "disabled", "metrics_only"]'
HEALTH = 'Literal["healthy", "degraded", "unhealthy"]'
HEADER = "# Written by bindings/python/stubs.py from the core's tables.\n"
PEP249 = [
    ("InterfaceError", "Error"),
    ("DatabaseError", "Error"),
    ("DataError", "DatabaseError"),
    ("OperationalError", "DatabaseError"),
    ("IntegrityError", "DatabaseError"),
    ("InternalError", "DatabaseError"),
    ("ProgrammingError", "DatabaseError"),
    ("NotSupportedError", "DatabaseError"),
]
ALSO = {"OutOfMemory": "MemoryError", "ArgumentError": "ValueError", "PoolTimeout": "TimeoutError"}
OPTION_TYPES = ["int", "float", "bool", "str", "float"]

POOL = """
from collections.abc import AsyncIterable, Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Literal, TypeVar, overload

from . import Parameter, _core
from ._breaker import PoolBreaker, _Item
from ._copy import CopyData, CopyOut, CopySource, CopyTarget, SyncCopyOut
from ._core import Connection, Session, SyncConnection, SyncSession
from ._listen import Listener, Notice, SyncListener
from ._types import Alert, Health, HealthEvent, HistoryPoint, Holder, SlowQuery, Snapshot
from ._values import Codec

_T = TypeVar("_T")
_OnAlert = TypeVar("_OnAlert", bound=Callable[[Alert], object])

class _Managed:
    @property
    def name(self) -> str: ...
    @property
    def url(self) -> str: ...
    @property
    def database_system(self) -> str: ...
    @property
    def options(self) -> dict[str, float | str | None]: ...
    @property
    def min_size(self) -> int: ...
    @property
    def max_size(self) -> int: ...
    def resize(self, *, min_size: int | None = None, max_size: int | None = None) -> None: ...
    def expire(self) -> None: ...
    @property
    def breaker(self) -> PoolBreaker: ...
    def snapshot(self) -> Snapshot: ...
    def metrics(
        self,
        *,
        format: Literal["prometheus", "openmetrics"] = "prometheus",
        names: Literal["seed", "standard", "both"] = "both",
    ) -> str: ...
    def holders(self, min_age: float = 0.0) -> list[Holder]: ...
    def health(self) -> Health: ...
    def health_history(self, after: int = 0) -> list[HealthEvent]: ...
    def on_alert(self, callback: _OnAlert) -> _OnAlert: ...
    def alerts(self, active: bool = True) -> list[Alert]: ...
    def alert_history(self) -> list[Alert]: ...
    def slow_queries(self) -> list[SlowQuery]: ...
    def history(
        self, metric: str, *, since: float | None = 600.0, step: float | None = None
    ) -> list[HistoryPoint]: ...

class Pool(_Managed, _core.Pool):
    async def run(
        self,
        fn: Callable[[Session], Awaitable[_T]],
        *,
        retries: int = 3,
        timeout: float | None = None,
        isolation: str | None = None,
        readonly: bool = False,
        deferrable: bool = False,
        checkout_timeout: float | None = ...,
    ) -> _T: ...

    def listen(
        self, *channels: str, max_queued: int = ..., heartbeat: float | None = ...
    ) -> Listener: ...
    async def copy_in(
        self, sql: str, source: CopySource | AsyncIterable[CopyData], /, *, timeout: float | None = ...
    ) -> int: ...
    async def copy_records(
        self,
        table: str,
        records: Iterable[Sequence[Parameter]] | AsyncIterable[Sequence[Parameter]],
        /,
        *,
        columns: Iterable[str] | None = None,
        schema: str | None = None,
        timeout: float | None = ...,
    ) -> int: ...
    @overload
    def copy_out(self, sql: str, /, to: None = None, *, timeout: float | None = ...) -> CopyOut: ...
    @overload
    def copy_out(
        self, sql: str, /, to: CopyTarget, *, timeout: float | None = ...
    ) -> Coroutine[object, None, int]: ...

class SyncPool(_Managed, _core.SyncPool):
    def run(
        self,
        fn: Callable[[SyncSession], _T],
        *,
        retries: int = 3,
        timeout: float | None = None,
        isolation: str | None = None,
        readonly: bool = False,
        deferrable: bool = False,
        checkout_timeout: float | None = ...,
    ) -> _T: ...
    def listen(
        self, *channels: str, max_queued: int = ..., heartbeat: float | None = ...
    ) -> SyncListener: ...
    def copy_in(self, sql: str, source: CopySource, /, *, timeout: float | None = ...) -> int: ...
    def copy_records(
        self,
        table: str,
        records: Iterable[Sequence[Parameter]],
        /,
        *,
        columns: Iterable[str] | None = None,
        schema: str | None = None,
        timeout: float | None = ...,
    ) -> int: ...
    @overload
    def copy_out(self, sql: str, /, to: None = None, *, timeout: float | None = ...) -> SyncCopyOut: ...
    @overload
    def copy_out(
        self, sql: str, /, to: CopyTarget, *, timeout: float | None = ...
    ) -> int: ...
    def __enter__(self) -> SyncPool: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...
"""

FUNCTION = """
def {function}(
    url: str | None = None,
    *,
    init: Callable[[{connection}], {answer}] | None = None,
    setup: Callable[[{connection}], {answer}] | None = None,
    server_settings: dict[str, str] | None = None,
    codecs: Mapping[str | int, Codec] | None = None,
    on_notice: Callable[[Notice], object] | None = None,
{options}
) -> {pool}: ...
"""

# What the core's list of errors is in Python.
ITEMS = {"circuit_record", "circuit_ignore"}

BREAKER = """
from collections.abc import Awaitable, Callable, Iterable
from types import TracebackType
from typing import Literal, ParamSpec, Protocol, TypeAlias, TypeVar, overload

from . import Pool, SyncPool, _core
from ._types import BreakerEvent, BreakerSnapshot
from .errors import CircuitOpen

_P = ParamSpec("_P")
_T = TypeVar("_T")
_Item: TypeAlias = str | type[BaseException] | Callable[[Exception], object]

class _Decorator(Protocol):
    def __call__(self, function: Callable[_P, _T], /) -> Callable[_P, _T]: ...

class Breaker(_core.Breaker):
    @property
    def name(self) -> str | None: ...
    @property
    def state(self) -> {state}: ...
    def snapshot(self) -> BreakerSnapshot: ...
    def events(self, after: int = 0) -> list[BreakerEvent]: ...
    def force_open(self) -> None: ...
    def force_close(self) -> None: ...
    def disable(self) -> None: ...
    def metrics_only(self) -> None: ...
    def reset(self) -> None: ...

class CircuitBreaker(Breaker):
    def __new__(
        cls,
        name: str | None = None,
        *,
        record: _Item | Iterable[_Item] | None = None,
        ignore: _Item | Iterable[_Item] | None = None,
        fallback: Callable[[CircuitOpen], object] | None = None,
{options}
    ) -> CircuitBreaker: ...
    def __enter__(self) -> None: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...
    async def __aenter__(self) -> None: ...
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...
    @overload
    def __call__(
        self, function: Callable[_P, _T], /, *, fallback: Callable[[CircuitOpen], object] | None = None
    ) -> Callable[_P, _T]: ...
    @overload
    def __call__(
        self, function: None = None, /, *, fallback: Callable[[CircuitOpen], object] | None = None
    ) -> _Decorator: ...

class PoolBreaker:
    connect: Breaker
    query: Breaker
    def __init__(self, pool: Pool | SyncPool) -> None: ...
    @property
    def state(self) -> {state}: ...
    def snapshot(self) -> dict[Literal["connect", "query"], BreakerSnapshot]: ...
    def force_open(self) -> None: ...
    def force_close(self) -> None: ...
    def disable(self) -> None: ...
    def metrics_only(self) -> None: ...
    def reset(self) -> None: ...
    @overload
    def __call__(
        self, function: Callable[_P, Awaitable[_T]], /, *, fallback: Callable[[CircuitOpen], object]
    ) -> Callable[_P, Awaitable[_T]]: ...
    @overload
    def __call__(
        self, function: Callable[_P, _T], /, *, fallback: Callable[[CircuitOpen], object]
    ) -> Callable[_P, _T]: ...
    @overload
    def __call__(
        self, function: None = None, /, *, fallback: Callable[[CircuitOpen], object]
    ) -> _Decorator: ...
"""

ERRORS = """
import builtins

class Warning(Exception): ...

class Error(Exception):
    message: str
    sqlstate: str | None
    retryable: bool
    severity: str | None
    detail: str | None
    hint: str | None
    position: int | None
    schema: str | None
    table: str | None
    column: str | None
    constraint: str | None
    context: str | None
    retry_after: float | None
    xid: int | None
    def __init__(
        self,
        message: str = "",
        *,
        sqlstate: str | None = None,
        retryable: bool | None = None,
        severity: str | None = None,
        detail: str | None = None,
        hint: str | None = None,
        position: int | None = None,
        schema: str | None = None,
        table: str | None = None,
        column: str | None = None,
        constraint: str | None = None,
        context: str | None = None,
        retry_after: float | None = None,
        xid: int | None = None,
    ) -> None: ...

"""

TYPES = '''
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
    before: {state}
    state: {state}
    reason: str
    duration: float | None


class Health(TypedDict):
    """How a pool is: see Pool.health()."""

    status: {health}
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
    before: {health}
    status: {health}
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
    type: {alerts}
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

'''
BREAKER_TYPE = '''

class BreakerSnapshot(TypedDict):
    """The numbers of a circuit breaker, all read at one instant; times are in seconds."""

    state: {state}
    last_failure: str | None
'''


def rows(table):
    row = 0
    while (entry := table(row)) is not None:
        yield entry
        row += 1


def option(name, kind, nullable, initial, _least, _most, choices, _text):
    type_name = OPTION_TYPES[kind]
    if choices:
        type_name = "Literal[" + ", ".join(f'"{choice}"' for choice in choices.split("|")) + "]"
    if name in ITEMS:
        type_name = "_Item | Iterable[_Item]"
    type_name += " | None" if nullable or initial is None else ""
    default = '"' + initial + '"' if isinstance(initial, str) else repr(initial)
    return f"    {name}: {type_name} = {default},"


def pool_stub():
    options = "\n".join(option(*row) for row in rows(_core.option_table))
    text = HEADER + POOL.lstrip("\n")
    text += FUNCTION.format(
        function="create_pool",
        connection="Connection",
        answer="Awaitable[object]",
        options=options,
        pool="Pool",
    )
    text += FUNCTION.format(
        function="create_pool_sync",
        connection="SyncConnection",
        answer="object",
        options=options,
        pool="SyncPool",
    ).lstrip("\n")
    return text


def error_stub():
    classes = dict(PEP249)
    for _, _, name, parent, second in rows(_core.error_table):
        classes.setdefault(name, f"{parent}, {second}" if second else parent)
    lines = []
    for name, parent in classes.items():
        also = f", builtins.{ALSO[name]}" if name in ALSO else ""
        lines.append(f"class {name}({parent}{also}): ...")
    names = "".join(f"    {name!r},\n".replace("'", '"') for name in ["Error", "Warning", *classes])
    return HEADER + ERRORS.lstrip("\n") + "\n".join(lines) + f"\n\n__all__ = [\n{names}]\n"


def breaker_stub():
    own = {"name", "record", "ignore"}
    options = [option(*row) for row in rows(_core.breaker_option_table) if row[0] not in own]
    text = "\n".join("    " + line for line in options)
    return HEADER + BREAKER.lstrip("\n").replace("{options}", text).replace("{state}", STATE)


def fields(table):
    kinds = ["int", "int", "Latency", "float", "float | None"]
    lines = [f'    {name}: {kinds[kind]}\n    """{text[0].upper()}{text[1:]}."""' for name, kind, text in rows(table)]
    return "\n".join(lines) + "\n"


def type_module():
    text = HEADER + TYPES.lstrip("\n") + fields(_core.metric_table)
    text += BREAKER_TYPE + fields(_core.breaker_metric_table)
    alerts = ", ".join(f'"{row}"' for row in rows(_core.alert_name))
    text = text.replace("{state}", STATE).replace("{health}", HEALTH)
    return text.replace("{alerts}", f"Literal[{alerts}]")


def main(arguments):
    files = {
        "_breaker.pyi": breaker_stub(),
        "_pool.pyi": pool_stub(),
        "errors.pyi": error_stub(),
        "_types.py": type_module(),
    }
    stale = []
    for name, text in files.items():
        path = PACKAGE / name
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if "--check" not in arguments:
            path.write_text(text, encoding="utf-8")
    if stale and "--check" in arguments:
        sys.exit("out of date, run bindings/python/stubs.py: " + ", ".join(stale))


if __name__ == "__main__":
    main(sys.argv[1:])
