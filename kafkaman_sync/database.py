"""One SQLite file through aiosqlite: the only way either side touches a database.

- One read-write connection per file; readers use a second, read-only one, so a read never sees a
  transaction that is under way.
- A transaction runs as a task of its own, shielded from the cancellation of whoever asked for it,
  and holds a lock from BEGIN to COMMIT: a half transaction can never be picked up by the next one.
- WAL with synchronous=FULL: a commit has reached the disk before it returns.
- A connection whose rollback failed may still be in its transaction: the next one gets a new one.
- Each call to aiosqlite is a trip to its thread and back, which is most of what a small transaction
  costs. What a transaction writes waits for its next read or its commit, and goes with that.
- Its log goes back into the file while nobody waits for that, see `database_rest`.
- Every fault of SQLite becomes a StoreError whose code says what to do.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import aiosqlite
from msgspec.json import Encoder

from kafkaman_sync.database_connection import (
    Query,
    Row,
    Trip,
    connect_reader,
    connect_writer,
    set_up,
)
from kafkaman_sync.database_file import make_file
from kafkaman_sync.database_rest import Rest
from kafkaman_sync.errors import StoreError
from kafkaman_sync.faults import store_error

__all__ = ["Database", "Query", "Reader", "Row", "Writer", "json_list", "store_error"]

T = TypeVar("T")
_write_json: Final = Encoder().encode


class Reader(Protocol):
    """What a read may do."""

    async def fetch(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Return all rows of a query."""
        ...

    async def fetch_all(self, *queries: Query) -> list[list[Row]]:
        """Return the rows of each query, for the price of one."""
        ...


class Writer(Reader, Protocol):
    """What a transaction may do. Statements run in order, at the latest before the commit.

    A statement that fails may say so only then; the transaction fails as a whole either way.
    """

    async def run(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        """Run one statement."""
        ...

    async def run_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run one statement for each row."""
        ...


class Database:
    """An open database; made by `Database.open` only."""

    def __init__(
        self, path: Path, writer: aiosqlite.Connection, reader: aiosqlite.Connection
    ) -> None:
        self.path = path
        self._writer = writer
        self._reader = reader
        # Those on which a rollback failed: what they hold is not known.
        self._doubtful: set[aiosqlite.Connection] = set()
        self._write_lock = asyncio.Lock()
        self._read_lock = asyncio.Lock()
        self._closed = False
        self._rest = Rest(self._checkpoint)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, path: Path, *, application_id: int, migrations: Sequence[str]
    ) -> AsyncIterator[Database]:
        """Open `path`, create it if it is missing, and bring its schema up to date.

        `migrations` are SQL scripts; the number of those applied is the file's user_version.
        Raises StoreError: `store.foreign` for another program's database, `store.newer` for one
        that a later release wrote, else what SQLite's fault means.
        """
        await asyncio.to_thread(make_file, path)
        try:
            async with connect_writer(path) as db:
                await _prepare(db, path, application_id, migrations)
                database = cls(path, db, await connect_reader(path))
                try:
                    yield database
                finally:
                    await _shielded(database._close())
        except sqlite3.Error as error:
            raise store_error(error, path) from error

    async def transact(
        self, work: Callable[[Writer], Awaitable[T]], ended: Callable[[bool], None] | None = None
    ) -> T:
        """Run `work` in one transaction and return its result once that is on the disk.

        When `work` raises, nothing of it stays. A caller that is cancelled gets its cancellation
        only after the transaction has ended, one way or the other. `ended` is told whether it was
        committed, before another transaction begins.
        """
        return await _shielded(self._transact(work, ended or _ignore))

    async def read(self, work: Callable[[Reader], Awaitable[T]]) -> T:
        """Run `work` on one consistent snapshot and return its result."""
        return await _shielded(self._read(work))

    async def fetch(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Return all rows of one query, from the latest committed state."""
        return (await self.fetch_all((sql, parameters)))[0]

    async def fetch_all(self, *queries: Query) -> list[list[Row]]:
        """Return the rows of each query, from one consistent snapshot, for the price of one."""
        return await _shielded(self._fetch_all(queries))

    async def _transact(
        self, work: Callable[[Writer], Awaitable[T]], ended: Callable[[bool], None]
    ) -> T:
        async with self._write_lock:
            writer = _Statements(await self._sound_writer(), self.path)
            await writer.run("BEGIN IMMEDIATE")
            try:
                result = await work(writer)
                await writer.fetch("COMMIT")
            except BaseException:
                # Does nothing when there is no transaction: none was begun, or SQLite has rolled
                # back by itself already, after a full disk for instance.
                ended(False)
                await self._roll_back(writer)
                raise
            ended(True)
            self._rest.committed(self._writer.total_changes)
            return result

    async def _close(self) -> None:
        """End what is under way, refuse what waits, and close the connections.

        They may be others than the first. Who writes goes last, for only that one can bring the
        log back into the file.
        """
        self._closed = True
        try:
            async with self._write_lock, self._read_lock:
                try:
                    await self._reader.close()
                finally:
                    await self._writer.close()
        finally:
            await self._rest.end()

    async def _checkpoint(self) -> None:
        """Bring the log back into the file.

        When that fails nothing is lost: the log keeps it all, until it succeeds after more was
        written, or when the database is closed. SQLite passes over it in the same way inside
        commits.
        """
        async with self._write_lock:
            with suppress(sqlite3.Error, StoreError):
                writer = await self._sound_writer()
                await writer.execute_fetchall("PRAGMA wal_checkpoint(PASSIVE)")

    async def _roll_back(self, statements: _Statements) -> None:
        """End a transaction; a connection that cannot is replaced before it is used again."""
        try:
            await statements.roll_back()
        except StoreError as error:
            if error.code != "store.closed":
                self._doubtful.add(statements.connection)

    async def _sound_writer(self) -> aiosqlite.Connection:
        """Return the connection that writes; a new one when the last one cannot be trusted."""
        if self._closed:
            raise _closed()
        if self._writer in self._doubtful:
            self._writer = await self._replace(self._writer, connect_writer)
            self._doubtful.add(self._writer)  # until it is set up
            try:
                await set_up(self._writer)
            except sqlite3.Error as error:
                raise store_error(error, self.path) from error
            self._doubtful.discard(self._writer)
        return self._writer

    async def _sound_reader(self) -> aiosqlite.Connection:
        """Return the connection that reads; a new one when the last one cannot be trusted."""
        if self._closed:
            raise _closed()
        if self._reader in self._doubtful:
            self._reader = await self._replace(self._reader, connect_reader)
        return self._reader

    async def _replace(
        self, old: aiosqlite.Connection, connect: Callable[[Path], aiosqlite.Connection]
    ) -> aiosqlite.Connection:
        with suppress(sqlite3.Error):
            await old.close()  # nothing of it is wanted any more
        try:
            fresh = await connect(self.path)
        except sqlite3.Error as error:
            raise store_error(error, self.path) from error
        self._doubtful.discard(old)
        return fresh

    async def _fetch_all(self, queries: Sequence[Query]) -> list[list[Row]]:
        async with self._read_lock:
            reader = _Statements(await self._sound_reader(), self.path)
            await reader.run("BEGIN")
            try:
                return (await reader.fetch_all(*queries, ("COMMIT", ())))[:-1]
            except BaseException:
                await self._roll_back(reader)
                raise

    async def _read(self, work: Callable[[Reader], Awaitable[T]]) -> T:
        async with self._read_lock:
            reader = _Statements(await self._sound_reader(), self.path)
            await reader.run("BEGIN")
            try:
                return await work(reader)
            finally:
                await self._roll_back(reader)


def json_list(items: Iterable[object]) -> str:
    """Return ids, numbers or lists of them as the text that SQLite's json_each reads."""
    return _write_json(list(items)).decode()


def _ignore(_: bool) -> None:
    pass


class _Statements:
    """Runs statements on an aiosqlite connection and translates its faults."""

    def __init__(self, connection: aiosqlite.Connection, path: Path) -> None:
        self.connection = connection
        self._path = path
        self._waiting: list[tuple[str, list[Sequence[Any]]]] = []

    async def fetch(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        return (await self.fetch_all((sql, parameters)))[0]

    async def fetch_all(self, *queries: Query) -> list[list[Row]]:
        trip = Trip(self._waiting, queries)
        self._waiting = []
        try:
            answers: Any = await self.connection.execute_fetchall("", trip)
        except sqlite3.Error as error:
            raise store_error(error, self._path) from error
        except ValueError as error:  # how aiosqlite says that the connection was closed
            raise _closed() from error
        return list(answers)

    async def run(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        self._waiting.append((sql, [parameters]))

    async def run_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        batch = list(rows)
        if batch:
            self._waiting.append((sql, batch))

    async def roll_back(self) -> None:
        """End the transaction, if there is one, without its writes."""
        self._waiting = []
        try:
            await self.connection.rollback()
        except sqlite3.Error as error:
            raise store_error(error, self._path) from error
        except ValueError as error:
            raise _closed() from error


def _closed() -> StoreError:
    return StoreError(
        "The database has been closed meanwhile.", code="store.closed", hint="Try again."
    )


async def _shielded(work: Awaitable[T]) -> T:
    """Await `work` in a task of its own; pass a cancellation on only when it has ended."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            try:
                await asyncio.wait({task})
            except asyncio.CancelledError:
                continue
        if not task.cancelled():
            task.exception()  # the caller is gone; its cancellation wins
        raise


async def _prepare(
    db: aiosqlite.Connection, path: Path, application_id: int, migrations: Sequence[str]
) -> None:
    found_id = await _pragma(db, "application_id")
    version = await _pragma(db, "user_version")
    tables = await db.execute_fetchall("SELECT count(*) FROM sqlite_schema")
    empty = next(iter(tables))[0] == 0
    if found_id != application_id and not (empty and found_id == 0):
        raise StoreError(
            "This database belongs to another program, or to another part of this one.",
            code="store.foreign",
            hint="Name another file or folder.",
            path=str(path),
        )
    if version > len(migrations):
        raise StoreError(
            f"This database was written by a newer release (schema {version}, this one knows "
            f"{len(migrations)}).",
            code="store.newer",
            hint="Install the newer release again.",
            path=str(path),
        )
    await set_up(db)
    for number, script in enumerate(migrations[version:], start=version + 1):
        # A script and its number commit together: a crash between two migrations is no half one.
        await db.executescript(
            f"BEGIN IMMEDIATE; PRAGMA application_id={application_id:d};"
            f"{script}; PRAGMA user_version={number:d}; COMMIT;"
        )


async def _pragma(db: aiosqlite.Connection, name: str) -> int:
    rows = await db.execute_fetchall(f"PRAGMA {name}")
    return int(next(iter(rows))[0])
