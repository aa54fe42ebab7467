"""COPY from and to what Python has: bytes, files, iterables. The steps themselves are the core's."""

from __future__ import annotations

import asyncio
import inspect
import io
import itertools
import os
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator
from typing import Any, Protocol, TypeAlias, Union

from . import _core
from .errors import Error, UndefinedTable


class SupportsRead(Protocol):
    """An open file; read() may have to be awaited in an asynchronous pool."""

    def read(self, size: int, /) -> object: ...


class SupportsWrite(Protocol):
    """An open file; write() may have to be awaited in an asynchronous pool."""

    def write(self, data: bytes, /) -> object: ...


CopyData: TypeAlias = Union[bytes, bytearray, memoryview, str]
CopySource: TypeAlias = Union[CopyData, "os.PathLike[str]", SupportsRead, Iterable[CopyData]]
CopyTarget: TypeAlias = Union[str, "os.PathLike[str]", SupportsWrite]

BLOCK = 65536


def _bytes(piece: Any) -> memoryview:
    if isinstance(piece, str):
        return memoryview(piece.encode())
    try:
        return memoryview(piece).cast("B")
    except TypeError:
        raise TypeError(f"a source of COPY gives bytes, not {type(piece).__name__}") from None


def _slices(piece: Any) -> Iterator[memoryview]:
    view = _bytes(piece)
    for at in range(0, len(view), BLOCK):
        yield view[at : at + BLOCK]


class _Gather:
    """Makes blocks worth sending out of small pieces."""

    def __init__(self) -> None:
        self.held = bytearray()

    def add(self, piece: Any) -> Iterator[Any]:
        view = _bytes(piece)
        if len(self.held) + len(view) < BLOCK:
            self.held += view
            return
        yield from self.rest()
        yield from _slices(view)

    def rest(self) -> Iterator[Any]:
        held, self.held = self.held, bytearray()
        if held:
            yield held


def _gathered(pieces: Iterable[Any]) -> Iterator[Any]:
    gather = _Gather()
    for piece in pieces:
        yield from gather.add(piece)
    yield from gather.rest()


async def _gathered_async(pieces: Any) -> AsyncIterator[Any]:
    gather = _Gather()
    async for piece in pieces:
        for block in gather.add(piece):
            yield block
    for block in gather.rest():
        yield block


def _read(block: Any) -> Any:
    if block is None:  # not the end: what came so far would be kept as all of it
        raise BlockingIOError("the file has nothing to read as yet: copy_in() wants one that waits")
    return block


def _blocks_of_file(file: Any) -> Iterator[Any]:
    while block := _read(file.read(BLOCK)):
        yield block


async def _blocks_of_file_async(file: Any) -> AsyncIterator[Any]:
    """The file is read in the loop's executor, unless reading it is to be awaited."""
    loop = asyncio.get_running_loop()
    awaited = inspect.iscoroutinefunction(file.read)
    while block := _read(await (file.read(BLOCK) if awaited else loop.run_in_executor(None, file.read, BLOCK))):
        yield block


def _is_text(source: Any) -> bool:
    return isinstance(source, (str, bytes, bytearray, memoryview))


def _is_file(source: Any) -> bool:
    return callable(getattr(source, "read", None))


def _refuse(source: Any) -> TypeError:
    wanted = "bytes, a str, a path, an open file, or an iterable of bytes"
    return TypeError(f"copy_in() takes {wanted}, not {type(source).__name__}")


def _check(source: Any, awaited: bool) -> None:
    known = _is_text(source) or isinstance(source, os.PathLike) or _is_file(source)
    if not (known or hasattr(source, "__iter__") or (awaited and hasattr(source, "__aiter__"))):
        raise _refuse(source)


def _blocks(source: Any) -> Iterator[Any]:
    if _is_text(source):
        return _slices(source)
    return _blocks_of_file(source) if _is_file(source) else _gathered(source)


async def _failure(connection: Any) -> Error | None:
    try:
        await connection._copy_watch()
    except Error as error:
        return error
    return None


async def _during(connection: Any, work: Coroutine[Any, Any, None]) -> None:
    """
    What awaits other things between the steps of the COPY: as a task of its own, which is cancelled when the COPY
    ends without it, of a deadline or an error of the server's.
    """
    task = asyncio.ensure_future(work)
    failed = asyncio.ensure_future(_failure(connection))
    try:
        await asyncio.wait((task, failed), return_when=asyncio.FIRST_COMPLETED)
        if not task.done() and (failure := failed.result()):
            raise failure
        await asyncio.wait((task,))  # it has put, or taken, the last of it
    finally:
        failed.cancel()
        if not task.done():
            task.cancel()
            await asyncio.wait((task,))
            if not task.cancelled():
                task.exception()  # of its own cleaning up: the COPY's failure is told
    task.result()


# ---- in


async def _put_awaited(connection: Any, source: Any) -> None:
    async for block in _blocks_of_file_async(source) if _is_file(source) else _gathered_async(source):
        for piece in _slices(block):
            await connection._copy_put(piece)


async def _put_all(connection: Any, source: Any) -> None:
    if hasattr(source, "__aiter__") or (_is_file(source) and not isinstance(source, io.BytesIO)):
        await _during(connection, _put_awaited(connection, source))
        return
    for number, block in enumerate(_blocks(source), 1):
        await connection._copy_put(block)
        if number % 16 == 0:
            await asyncio.sleep(0)  # a server that keeps up would give the loop no turn


async def copy_in(connection: Any, sql: str, source: Any, /, *, timeout: Any = ...) -> int:
    _check(source, True)
    if isinstance(source, os.PathLike):
        file = await asyncio.get_running_loop().run_in_executor(None, open, source, "rb")
        with file:
            return await copy_in(connection, sql, file, timeout=timeout)
    await connection._copy_in(sql, timeout=timeout)
    try:
        await _put_all(connection, source)
        rows: int = await connection._copy_end()
    except BaseException:
        connection._copy_abort()
        raise
    return rows


def copy_in_sync(connection: Any, sql: str, source: Any, /, *, timeout: Any = ...) -> int:
    _check(source, False)
    if isinstance(source, os.PathLike):
        with open(source, "rb") as file:
            return copy_in_sync(connection, sql, file, timeout=timeout)
    connection._copy_in(sql, timeout=timeout)
    try:
        for block in _blocks(source):
            for piece in _slices(block):
                connection._copy_put(piece)
        rows: int = connection._copy_end()
    except BaseException:
        connection._copy_abort()
        raise
    return rows


# ---- in, from values


def _quoted(name: Any, what: str) -> str:
    if not isinstance(name, str) or not name:
        raise TypeError(f"{what} must be a name, not {name!r}")
    return '"' + name.replace('"', '""') + '"'


class _Records:
    """The commands, and the bytes of the records; what is asked of the table comes first, as `like`."""

    def __init__(self, connection: Any, table: Any, columns: Any, schema: Any, timeout: Any) -> None:
        self.connection = connection
        if isinstance(columns, str):
            raise TypeError("columns must be a list of names, not a str")
        names = [] if columns is None else [_quoted(column, "a column") for column in columns]
        self.table = (_quoted(schema, "schema") + "." if schema is not None else "") + _quoted(table, "table")
        self.columns = f" ({', '.join(names)})" if names else ""
        self.like = f"select {', '.join(names) or '*'} from {self.table} where false"
        self.encoder: Any = None
        self.form = "binary"
        self.dotted = table.rpartition(".") if schema is None else ("", "", table)
        self.count = 100  # in the next block
        self._clock = None if timeout is ... else _core._Retry(0, timeout)  # type: ignore[attr-defined]

    def explain(self, error: Exception) -> None:
        """There may be no such table because the name is that of a schema's."""
        schema, dot, table = self.dotted
        if dot and isinstance(error, UndefinedTable):
            error.hint = f"a schema is given as such: copy_records({table!r}, …, schema={schema!r})"

    def timeout(self) -> Any:
        """What is left of it."""
        return self._clock.left() if self._clock else ...

    def seconds(self) -> float | None:
        """The same, for a wait of the loop's."""
        left: float | None = self._clock.left() if self._clock else None
        return left

    def encode(self, records: list[Any]) -> bytes:
        block: bytes
        block, self.form = self.connection._copy_encode(self.encoder, records)
        self.count = max(1, min(4 * self.count, self.count * BLOCK // (len(block) or 1)))
        return block

    def sql(self) -> str:
        return f"copy {self.table}{self.columns} from stdin (format {self.form})"

    def blocks(self, records: Iterator[Any]) -> Iterator[bytes]:
        while batch := list(itertools.islice(records, self.count)):
            yield self.encode(batch)

    def begun(self, records: Iterator[Any]) -> Iterator[bytes]:
        """The same, with the first one made already: it tells the format."""
        blocks = self.blocks(records)
        return itertools.chain((next(blocks, None) or self.encode([]),), blocks)

    async def blocks_async(self, records: AsyncIterator[Any]) -> AsyncIterator[bytes]:
        batch = []
        async for record in records:
            batch.append(record)
            if len(batch) >= self.count:
                yield self.encode(batch)
                batch = []
        if batch:
            yield self.encode(batch)


def _check_records(records: Any, awaited: bool) -> None:
    if _is_text(records) or not (hasattr(records, "__iter__") or (awaited and hasattr(records, "__aiter__"))):
        raise TypeError(f"copy_records() takes an iterable of rows, not {type(records).__name__}")


async def _copy_awaited(rows: _Records, records: AsyncIterator[Any]) -> int:
    blocks = rows.blocks_async(records)

    async def begin() -> bytes:
        return await anext(blocks, b"") or rows.encode([])

    async def source() -> AsyncIterator[bytes]:
        yield await first
        async for block in blocks:
            yield block

    first = asyncio.ensure_future(begin())
    try:
        await asyncio.wait((first,), timeout=rows.seconds())
        if first.done():
            first.result()
        return await copy_in(rows.connection, rows.sql(), source(), timeout=rows.timeout())
    finally:
        first.cancel()


async def copy_records(
    connection: Any,
    table: Any,
    records: Any,
    /,
    *,
    columns: Any = None,
    schema: Any = None,
    timeout: Any = ...,
) -> int:
    _check_records(records, True)
    rows = _Records(connection, table, columns, schema, timeout)
    try:
        rows.encoder = await connection._rows_like(rows.like, timeout=rows.timeout())
    except Error as error:
        rows.explain(error)
        raise
    if hasattr(records, "__aiter__"):
        return await _copy_awaited(rows, records.__aiter__())
    source = rows.begun(iter(records))
    return await copy_in(connection, rows.sql(), source, timeout=rows.timeout())


def copy_records_sync(
    connection: Any,
    table: Any,
    records: Any,
    /,
    *,
    columns: Any = None,
    schema: Any = None,
    timeout: Any = ...,
) -> int:
    _check_records(records, False)
    rows = _Records(connection, table, columns, schema, timeout)
    try:
        rows.encoder = connection._rows_like(rows.like, timeout=rows.timeout())
    except Error as error:
        rows.explain(error)
        raise
    source = rows.begun(iter(records))
    return copy_in_sync(connection, rows.sql(), source, timeout=rows.timeout())


# ---- out


class _Copy:
    """A COPY to the client that has begun, or is about to. `checkout` lends the connection, which goes back at the end."""

    __slots__ = ("__weakref__", "_begun", "_checkout", "_connection", "_lent", "_over", "_sql", "_timeout", "rows")
    rows: int | None
    """So many there were; None until the end."""

    def __init__(self, connection: object, sql: str, timeout: object, checkout: object) -> None:
        self._connection: Any = connection
        self._checkout: Any = checkout  # in the pool's stead; or None, also once it is entered
        self._sql = sql
        self._timeout = timeout
        self._begun = self._lent = self._over = False
        self.rows = None

    def _took(self, chunk: bytes | int) -> bytes | None:
        """The chunk; None: that was the end."""
        if isinstance(chunk, bytes):
            return chunk
        self.rows = chunk
        self._finish()
        return None

    def _finish(self) -> None:
        self._over = True
        if self._lent:
            self._connection.release()

    def close(self) -> None:
        """Ends the COPY, at once and without waiting. A second time does nothing."""
        if self._over:
            return
        if self._begun:
            self._connection._copy_abort()
        self._finish()

    def __del__(self) -> None:
        self.close()


class CopyOut(_Copy):
    """The chunks of a COPY TO STDOUT, in an asynchronous pool. Nothing is sent before the first is asked for."""

    __slots__ = ()

    def __aiter__(self) -> CopyOut:
        return self

    async def __anext__(self) -> bytes:
        if self._over:
            raise StopAsyncIteration
        try:
            if not self._begun:
                await self._begin()
            chunk = self._took(await self._connection._copy_take())
        except BaseException:
            self.close()
            raise
        if chunk is None:
            raise StopAsyncIteration
        return chunk

    async def _begin(self) -> None:
        if checkout := self._checkout:
            self._checkout = None
            connection = await checkout
            if self._over:  # closed meanwhile
                connection.release()
                raise StopAsyncIteration
            self._connection, self._lent = connection, True
        self._begun = True
        await self._connection._copy_out(self._sql, timeout=self._timeout)


    def close(self) -> None:
        if self._checkout:
            self._checkout.close()  # else it would complain that it was never awaited
        super().close()


class SyncCopyOut(_Copy):
    """The chunks of a COPY TO STDOUT, in a blocking pool. Nothing is sent before the first is asked for."""

    __slots__ = ()

    def __iter__(self) -> SyncCopyOut:
        return self

    def __next__(self) -> bytes:
        if self._over:
            raise StopIteration
        try:
            if not self._begun:
                self._begin()
            chunk = self._took(self._connection._copy_take())
        except BaseException:
            self.close()
            raise
        if chunk is None:
            raise StopIteration
        return chunk

    def _begin(self) -> None:
        if self._checkout:
            self._connection, self._lent = self._checkout.__enter__(), True
        self._begun = True
        self._connection._copy_out(self._sql, timeout=self._timeout)


def _check_target(to: Any) -> None:
    if not isinstance(to, (str, os.PathLike)) and not callable(getattr(to, "write", None)):
        raise TypeError(f"copy_out(to=…) takes a path or an open file, not {type(to).__name__}")


async def _write(chunks: CopyOut, to: Any) -> int:
    in_executor = asyncio.get_running_loop().run_in_executor
    if isinstance(to, (str, os.PathLike)):
        file = await in_executor(None, open, to, "wb")
        try:
            return await _write(chunks, file)
        finally:
            await in_executor(None, file.close)

    async def write() -> None:
        awaited = inspect.iscoroutinefunction(to.write)
        async for chunk in chunks:
            await (to.write(chunk) if awaited else in_executor(None, to.write, chunk))

    try:
        await chunks._begin()
        await _during(chunks._connection, write())
    finally:
        chunks.close()
    return chunks.rows or 0


def _write_sync(chunks: SyncCopyOut, to: Any) -> int:
    if isinstance(to, (str, os.PathLike)):
        with open(to, "wb") as file:
            return _write_sync(chunks, file)
    try:
        for chunk in chunks:
            to.write(chunk)
    finally:
        chunks.close()
    return chunks.rows or 0


def copy_out(
    connection: Any,
    sql: str,
    /,
    to: Any = None,
    *,
    timeout: Any = ...,
    checkout: Any = None,
) -> Any:
    chunks = CopyOut(connection, sql, timeout, checkout)
    if to is None:
        return chunks
    _check_target(to)
    rows = _write(chunks, to)
    owner = "Pool" if checkout else type(connection).__name__
    setattr(rows, "__qualname__", owner + ".copy_out")  # for Python's warning that it was never awaited
    return rows


def copy_out_sync(
    connection: Any,
    sql: str,
    /,
    to: Any = None,
    *,
    timeout: Any = ...,
    checkout: Any = None,
) -> Any:
    if to is None:
        return SyncCopyOut(connection, sql, timeout, checkout)
    _check_target(to)
    return _write_sync(SyncCopyOut(connection, sql, timeout, checkout), to)
