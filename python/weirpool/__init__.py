"""Weirpool: a database connection pool with a C core, for PostgreSQL and SQLite.

async with weirpool.create_pool("postgresql://app@db/app", max_size=10) as pool:
    rows = await pool.fetch("select * from t where id = $1", 7)
    async with pool.session() as session:  # commits, or rolls back on an exception
        await session.execute("update t set a = $1", 8)

with weirpool.create_pool_sync("sqlite:///demo.db") as pool:
    rows = pool.fetch("select * from t")
"""

import datetime as _datetime
import ipaddress as _ipaddress
from collections.abc import Coroutine as _Coroutine
from decimal import Decimal as _Decimal
from typing import Any as _Any
from typing import TypeAlias as _TypeAlias
from uuid import UUID as _UUID

from . import _core, errors
from ._breaker import Breaker, CircuitBreaker, PoolBreaker
from ._copy import CopyOut, SyncCopyOut
from ._core import (
    CONTENT_TYPE_OPENMETRICS,
    CONTENT_TYPE_PROMETHEUS,
    Connection,
    Record,
    Session,
    SyncConnection,
    SyncSession,
    fingerprint,
    libpq_version,
    sqlite_version,
)
from ._drain import drain_on_sigterm
from ._listen import Gap, Listener, Notice, Notification, SyncListener
from ._metrics import metrics
from ._pool import Pool, SyncPool, create_pool, create_pool_sync
from ._types import (
    Alert,
    BreakerEvent,
    BreakerSnapshot,
    Health,
    HealthEvent,
    HistoryPoint,
    Holder,
    Latency,
    SessionInfo,
    SlowQuery,
    Snapshot,
)
from ._values import Codec, Json, Range
from .errors import (
    ArgumentError,
    CheckoutTimeout,
    CircuitOpen,
    CommandTimeout,
    ConnectCircuitOpen,
    ConnectError,
    ConnectionLost,
    ConnectTimeout,
    DatabaseError,
    DataError,
    Error,
    ForkedError,
    IdleInTransactionTimeout,
    IntegrityError,
    InterfaceError,
    InternalError,
    LockTimeout,
    NotSupportedError,
    OperationalError,
    OptionError,
    OutcomeTimeout,
    OutcomeUnknown,
    Overloaded,
    PoolClosed,
    PoolTimeout,
    ProgrammingError,
    SessionBusy,
    SessionClosed,
    SessionReclaimed,
    SessionTimeout,
    TooManyWaiting,
    TransactionError,
    TransactionRolledBack,
    WrongLoop,
)

__version__ = _core.version()

_Time: _TypeAlias = _datetime.date | _datetime.time | _datetime.datetime | _datetime.timedelta
_Address: _TypeAlias = _ipaddress.IPv4Address | _ipaddress.IPv6Address
_Interface: _TypeAlias = _ipaddress.IPv4Interface | _ipaddress.IPv6Interface
_Network: _TypeAlias = _ipaddress.IPv4Network | _ipaddress.IPv6Network
_Scalar: _TypeAlias = (
    None | bool | int | float | _Decimal | str | bytes
    | _Time | _UUID | _Address | _Interface | _Network | Range
)
Value: _TypeAlias = _Scalar | list[_Any] | dict[str, _Any] | tuple[_Any, ...] | Record
"""What a cell of a row can be. date.max and .min, datetime.max and .min mean infinity, in parameters too;
timedelta.max and .min as well, on PostgreSQL 17 and newer."""
Parameter: _TypeAlias = (
    _Scalar | bytearray | memoryview | list[_Any] | tuple[_Any, ...] | dict[_Any, _Any] | Record | Json
)
"""What can be given for $1, $2 …, beside the classes that codecs are for."""

__all__ = [
    "CONTENT_TYPE_OPENMETRICS",
    "CONTENT_TYPE_PROMETHEUS",
    "Alert",
    "ArgumentError",
    "Breaker",
    "BreakerEvent",
    "BreakerSnapshot",
    "CheckoutTimeout",
    "CircuitBreaker",
    "CircuitOpen",
    "Codec",
    "CommandTimeout",
    "ConnectCircuitOpen",
    "ConnectError",
    "ConnectTimeout",
    "Connection",
    "ConnectionLost",
    "CopyOut",
    "DataError",
    "DatabaseError",
    "Error",
    "ForkedError",
    "Gap",
    "Health",
    "HealthEvent",
    "HistoryPoint",
    "Holder",
    "IdleInTransactionTimeout",
    "IntegrityError",
    "InterfaceError",
    "InternalError",
    "Json",
    "Latency",
    "Listener",
    "LockTimeout",
    "NotSupportedError",
    "Notice",
    "Notification",
    "OperationalError",
    "OptionError",
    "OutcomeTimeout",
    "OutcomeUnknown",
    "Overloaded",
    "Parameter",
    "Pool",
    "PoolBreaker",
    "PoolClosed",
    "PoolTimeout",
    "ProgrammingError",
    "Range",
    "Record",
    "Session",
    "SessionBusy",
    "SessionClosed",
    "SessionInfo",
    "SessionReclaimed",
    "SessionTimeout",
    "SlowQuery",
    "Snapshot",
    "SyncConnection",
    "SyncCopyOut",
    "SyncListener",
    "SyncPool",
    "SyncSession",
    "TooManyWaiting",
    "TransactionError",
    "TransactionRolledBack",
    "Value",
    "WrongLoop",
    "create_pool",
    "create_pool_sync",
    "drain_on_sigterm",
    "errors",
    "fingerprint",
    "libpq_version",
    "metrics",
    "sqlite_version",
]


def _adopt_sqlite() -> None:
    """Uses the copy of SQLite that Python's sqlite3 has: two in one process lose each other's file locks."""
    try:
        import _sqlite3
    except ImportError:
        return
    path = getattr(_sqlite3, "__file__", None)
    if path:
        _core.sqlite_adopt(path)


# asyncio.create_task() and its like want a coroutine, and this is what they look at.
_Coroutine.register(_core.Operation)
_adopt_sqlite()
