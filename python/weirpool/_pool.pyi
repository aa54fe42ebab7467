# Written by bindings/python/stubs.py from the core's tables.
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

def create_pool(
    url: str | None = None,
    *,
    init: Callable[[Connection], Awaitable[object]] | None = None,
    setup: Callable[[Connection], Awaitable[object]] | None = None,
    server_settings: dict[str, str] | None = None,
    codecs: Mapping[str | int, Codec] | None = None,
    on_notice: Callable[[Notice], object] | None = None,
    min_size: int = 5,
    max_size: int = 20,
    max_overflow: int = 0,
    pod_count: int | None = None,
    connections_per_pod: int = 10,
    connection_budget: int | None = None,
    connection_reserve: int = 0,
    pod_source: Literal["static", "dns", "database"] = "static",
    pod_service: str | None = None,
    fleet: str | None = None,
    pod_surge: int | None = None,
    pod_refresh: float = 10.0,
    pod_dead_after: float = 30.0,
    max_waiting: int | None = None,
    lifo: bool = True,
    pre_ping: bool = True,
    require: bool = False,
    max_lifetime: float | None = 3600.0,
    idle_timeout: float | None = 300.0,
    connect_timeout: float | None = 10.0,
    checkout_timeout: float | None = 30.0,
    command_timeout: float | None = 30.0,
    lock_timeout: float | None = 5.0,
    idle_in_transaction_timeout: float | None = None,
    leak_threshold: float | None = 300.0,
    leak_action: Literal["report", "cancel", "close", "replace"] = "report",
    leak_stacks: int = 1000,
    close_timeout: float | None = 10.0,
    retry_min: float = 0.1,
    retry_max: float = 5.0,
    background_thread: bool = False,
    circuit_breaker: bool = True,
    circuit_probe_interval: float = 0.25,
    health_check_interval: float | None = 60.0,
    health_check_query: str = "SELECT 1",
    health_check_timeout: float | None = 5.0,
    validate_after: float | None = 120.0,
    pipeline: bool = True,
    pipeline_max_wait: float = 0.005,
    queue_target: float | None = None,
    queue_interval: float = 1.0,
    adaptive_size: bool = False,
    readonly: bool = False,
    commit_xid: bool = True,
    statement_cache_size: int = 100,
    reset: str = "auto",
    reset_functions: str | None = None,
    sqlite_begin: Literal["immediate", "deferred", "exclusive"] = "immediate",
    sqlite_types: Literal["stored", "declared"] = "stored",
    metrics_shared: str | None = None,
    environment: bool = True,
    name: str | None = None,
    circuit_failure_threshold: int | None = 5,
    circuit_failure_rate: float | None = 0.5,
    circuit_slow_call_rate: float | None = None,
    circuit_slow_call_duration: float = 5.0,
    circuit_window: Literal["count", "time"] = "count",
    circuit_window_calls: int = 100,
    circuit_window_time: float = 60.0,
    circuit_minimum_calls: int = 20,
    circuit_recovery_timeout: float = 60.0,
    circuit_recovery_timeout_max: float = 600.0,
    circuit_recovery_jitter: float = 0.1,
    circuit_slow_start: int = 4,
    circuit_half_open_timeout: float = 30.0,
    circuit_call_events: bool = False,
    circuit_record: _Item | Iterable[_Item] | None = None,
    circuit_ignore: _Item | Iterable[_Item] | None = None,
    monitoring: bool = True,
    monitoring_interval: float = 1.0,
    alert_window: float = 60.0,
    alert_after: int = 3,
    alert_cooldown: float | None = 900.0,
    alert_hysteresis: float = 0.2,
    alert_minimum_calls: int = 10,
    alert_query_failure_rate: float | None = 0.05,
    alert_checkout_failure_rate: float | None = 0.1,
    alert_query_time: float | None = 10.0,
    alert_checkout_time: float | None = 5.0,
    alert_pool_usage: float | None = 0.8,
    alert_leaks: int | None = 5,
    slow_query_threshold: float | None = 5.0,
    slow_queries_kept: int = 100,
    echo: bool = False,
) -> Pool: ...
def create_pool_sync(
    url: str | None = None,
    *,
    init: Callable[[SyncConnection], object] | None = None,
    setup: Callable[[SyncConnection], object] | None = None,
    server_settings: dict[str, str] | None = None,
    codecs: Mapping[str | int, Codec] | None = None,
    on_notice: Callable[[Notice], object] | None = None,
    min_size: int = 5,
    max_size: int = 20,
    max_overflow: int = 0,
    pod_count: int | None = None,
    connections_per_pod: int = 10,
    connection_budget: int | None = None,
    connection_reserve: int = 0,
    pod_source: Literal["static", "dns", "database"] = "static",
    pod_service: str | None = None,
    fleet: str | None = None,
    pod_surge: int | None = None,
    pod_refresh: float = 10.0,
    pod_dead_after: float = 30.0,
    max_waiting: int | None = None,
    lifo: bool = True,
    pre_ping: bool = True,
    require: bool = False,
    max_lifetime: float | None = 3600.0,
    idle_timeout: float | None = 300.0,
    connect_timeout: float | None = 10.0,
    checkout_timeout: float | None = 30.0,
    command_timeout: float | None = 30.0,
    lock_timeout: float | None = 5.0,
    idle_in_transaction_timeout: float | None = None,
    leak_threshold: float | None = 300.0,
    leak_action: Literal["report", "cancel", "close", "replace"] = "report",
    leak_stacks: int = 1000,
    close_timeout: float | None = 10.0,
    retry_min: float = 0.1,
    retry_max: float = 5.0,
    background_thread: bool = False,
    circuit_breaker: bool = True,
    circuit_probe_interval: float = 0.25,
    health_check_interval: float | None = 60.0,
    health_check_query: str = "SELECT 1",
    health_check_timeout: float | None = 5.0,
    validate_after: float | None = 120.0,
    pipeline: bool = True,
    pipeline_max_wait: float = 0.005,
    queue_target: float | None = None,
    queue_interval: float = 1.0,
    adaptive_size: bool = False,
    readonly: bool = False,
    commit_xid: bool = True,
    statement_cache_size: int = 100,
    reset: str = "auto",
    reset_functions: str | None = None,
    sqlite_begin: Literal["immediate", "deferred", "exclusive"] = "immediate",
    sqlite_types: Literal["stored", "declared"] = "stored",
    metrics_shared: str | None = None,
    environment: bool = True,
    name: str | None = None,
    circuit_failure_threshold: int | None = 5,
    circuit_failure_rate: float | None = 0.5,
    circuit_slow_call_rate: float | None = None,
    circuit_slow_call_duration: float = 5.0,
    circuit_window: Literal["count", "time"] = "count",
    circuit_window_calls: int = 100,
    circuit_window_time: float = 60.0,
    circuit_minimum_calls: int = 20,
    circuit_recovery_timeout: float = 60.0,
    circuit_recovery_timeout_max: float = 600.0,
    circuit_recovery_jitter: float = 0.1,
    circuit_slow_start: int = 4,
    circuit_half_open_timeout: float = 30.0,
    circuit_call_events: bool = False,
    circuit_record: _Item | Iterable[_Item] | None = None,
    circuit_ignore: _Item | Iterable[_Item] | None = None,
    monitoring: bool = True,
    monitoring_interval: float = 1.0,
    alert_window: float = 60.0,
    alert_after: int = 3,
    alert_cooldown: float | None = 900.0,
    alert_hysteresis: float = 0.2,
    alert_minimum_calls: int = 10,
    alert_query_failure_rate: float | None = 0.05,
    alert_checkout_failure_rate: float | None = 0.1,
    alert_query_time: float | None = 10.0,
    alert_checkout_time: float | None = 5.0,
    alert_pool_usage: float | None = 0.8,
    alert_leaks: int | None = 5,
    slow_query_threshold: float | None = 5.0,
    slow_queries_kept: int = 100,
    echo: bool = False,
) -> SyncPool: ...
