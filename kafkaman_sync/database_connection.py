"""The connections to a database file: how they are opened and set up, and what one trip runs."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import aiosqlite

from kafkaman_sync.faults import illegible

Row = tuple[Any, ...]
Query = tuple[str, Sequence[Any]]
"""A query and its parameters."""

PRAGMAS: Final = (
    # Of a database that is new; others keep the 4 KB that earlier releases gave them. Rows of about
    # 1 KB cost a tenth less in pages of this size: there are fewer of them to write.
    "PRAGMA page_size=8192",
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    "PRAGMA temp_store=MEMORY",
    "PRAGMA cache_size=-8000",
    "PRAGMA journal_size_limit=67108864",
    # Some builds zero each page that gets free, which writes it once more for nothing.
    "PRAGMA secure_delete=FAST",
    # Where there is no rest for it, the log goes back into the file after 64 MB, not after 4: many
    # commits write the same pages.
    "PRAGMA wal_autocheckpoint=8000",
)
BUSY_SECONDS: Final = 5.0


def connect_writer(path: Path) -> aiosqlite.Connection:
    """Return the connection that reads and writes, once it is awaited."""
    return aiosqlite.connect(path, isolation_level=None, timeout=BUSY_SECONDS, factory=Connection)


def connect_reader(path: Path) -> aiosqlite.Connection:
    """Return one that can only read, once it is awaited."""
    uri = f"{path.resolve().as_uri()}?mode=ro"
    return aiosqlite.connect(
        uri, uri=True, isolation_level=None, timeout=BUSY_SECONDS, factory=Connection
    )


class Trip(NamedTuple):
    """Statements, each with its rows, and the queries behind them."""

    statements: list[tuple[str, list[Sequence[Any]]]]
    queries: Sequence[Query]


class Answers(NamedTuple):
    """The rows of each query of a trip, in the shape of a cursor."""

    rows: list[list[Row]]

    def fetchall(self) -> list[list[Row]]:
        """Return all of them."""
        return self.rows


class Connection(sqlite3.Connection):
    """A connection that runs all of a trip in one call of `execute`.

    A damaged file can make SQLite say what is no text: that is damage too, and not a bug of ours.
    """

    def execute(self, sql: str, parameters: Any = (), /) -> Any:
        """Run a statement, or a trip when `parameters` is one."""
        try:
            return self._execute(sql, parameters)
        except UnicodeDecodeError as error:
            raise illegible(error) from error

    def _execute(self, sql: str, parameters: Any) -> Any:
        if not isinstance(parameters, Trip):
            return super().execute(sql, parameters)
        for statement, rows in parameters.statements:
            if len(rows) == 1:
                super().execute(statement, rows[0])
            else:
                super().executemany(statement, rows)
        run = super().execute
        return Answers([run(*query).fetchall() for query in parameters.queries])


async def set_up(db: aiosqlite.Connection) -> None:
    """Give a connection that writes its settings."""
    for pragma in PRAGMAS:
        await db.execute_fetchall(pragma)
