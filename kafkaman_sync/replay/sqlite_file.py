"""A SQLite file read beside whoever writes it, or a copy of one; never written."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import chain
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Final

from kafkaman_sync.errors import ReplayError, StoreError
from kafkaman_sync.faults import illegible, store_error

_BUSY_SECONDS: Final = 5.0
# A row may have 16 MiB.
_CHUNK_ROWS: Final = 8
# SQLite tells nobody of a commit: who waits for one has to look.
_POLL_SECONDS: Final = 0.1
_CACHE_KIB: Final = 4_000
_SCAN_CACHE_KIB: Final = 300
_WITHOUT_ITS_LOG: Final = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
_FAULTS: Final = (sqlite3.Error, UnicodeDecodeError)


class SqliteFile:
    """One consistent snapshot of a database file."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self.path = path
        self._connection = connection
        self.version = int(self.one("PRAGMA user_version")[0])
        self.application_id = int(self.one("PRAGMA application_id")[0])

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator[SqliteFile]:
        """Open `path` for reading, and hold one snapshot of it inside the block.

        Raises StoreError for what SQLite says of the file: `store.damaged`, `store.locked`, ...
        """
        try:
            with closing(_connect(path)) as connection:
                yield cls(connection, path)
        except _FAULTS as error:
            raise _fault(error, path) from error

    def one(self, sql: str, parameters: Sequence[Any] = ()) -> tuple[Any, ...]:
        """Return the first row of a query that has one."""
        try:
            row: tuple[Any, ...] = self._connection.execute(sql, parameters).fetchone()
        except _FAULTS as error:
            raise _fault(error, self.path) from error
        return row

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a query; a few are held at a time."""
        return chain.from_iterable(self._chunks(sql, parameters))

    def _chunks(self, sql: str, parameters: Sequence[Any]) -> Iterator[list[tuple[Any, ...]]]:
        # Told here, not where it was opened: where two are read, the inner block hears of both.
        try:
            cursor = self._connection.execute(sql, parameters)
            while chunk := cursor.fetchmany(_CHUNK_ROWS):
                yield chunk
        except _FAULTS as error:
            raise _fault(error, self.path) from error

    def scan(self, sql: str, parameters: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a query that reads each page once.

        Few pages are kept from then on: they leave the processor's memory to other things.
        """
        self._connection.execute(f"PRAGMA cache_size=-{_SCAN_CACHE_KIB}")
        return self.rows(sql, parameters)

    def wait(self, seconds: float) -> bool:
        """Let go of the snapshot until somebody commits, or for so long; then hold a new one.

        Returns whether somebody has.

        Held meanwhile, it would keep the writer from clearing its log.
        """
        until = monotonic() + seconds
        before = self.one("PRAGMA data_version")
        self._connection.execute("COMMIT")
        while self.one("PRAGMA data_version") == before and monotonic() < until:
            sleep(_POLL_SECONDS)
        _begin(self._connection)
        return bool(self.one("PRAGMA data_version") != before)

    def tables(self) -> frozenset[str]:
        """Return the names of the tables."""
        return frozenset(
            name for (name,) in self.rows("SELECT name FROM sqlite_schema WHERE type = 'table'")
        )


def _fault(error: sqlite3.Error | UnicodeDecodeError, path: Path) -> StoreError:
    return store_error(illegible(error) if isinstance(error, UnicodeDecodeError) else error, path)


def _connect(path: Path) -> sqlite3.Connection:
    """Connect without ever writing: beside a writer as another reader, alone as it lies there."""
    uri = path.resolve().as_uri()
    connection = sqlite3.connect(
        f"{uri}?mode=ro", uri=True, isolation_level=None, timeout=_BUSY_SECONDS
    )
    try:
        _begin(connection)
    except sqlite3.OperationalError as error:
        connection.close()
        journal = path.with_name(f"{path.name}-journal")
        if journal.exists() and error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
            raise ReplayError(
                f"{path} was left in the middle of a write; what undoes it lies in {journal.name}.",
                code="replay.unfinished",
                hint="Copy both files, and open the copy once with what may write to it: sqlite3.",
            ) from error
        # A WAL database in a folder that cannot be written to: whole, if it has no log beside it,
        # and nobody is writing.
        log = path.with_name(f"{path.name}-wal")
        if log.exists() or error.sqlite_errorcode & 0xFF not in _WITHOUT_ITS_LOG:
            raise
        connection = sqlite3.connect(f"{uri}?immutable=1", uri=True, isolation_level=None)
        _begin(connection)
    return connection


def _begin(connection: sqlite3.Connection) -> None:
    connection.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
    connection.execute("BEGIN")
    connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()


def check_version(file: SqliteFile, known: int) -> None:
    """Raise ReplayError `store.newer` for a file of a schema that this release does not know."""
    if file.version > known:
        raise ReplayError(
            f"{file.path} was written by a newer release (schema {file.version}, this one knows "
            f"{known}).",
            code="store.newer",
            hint="Read it with that release's `kafkaman replay`.",
        )
