"""Storage in one SQLite file."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from kafkaman_server.storage.interface import Snapshot, Transaction
from kafkaman_server.storage.schema import APPLICATION_ID, MIGRATIONS
from kafkaman_server.storage.sqlite_reads import SqliteSnapshot
from kafkaman_server.storage.sqlite_writes import SqliteTransaction
from kafkaman_sync.database import Database

T = TypeVar("T")


class SqliteStorage:
    """An open storage; made by `SqliteStorage.open` only."""

    def __init__(self, database: Database, server: str) -> None:
        self.server = server
        self._database = database

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path) -> AsyncIterator[SqliteStorage]:
        """Open or create the file. Raises StoreError."""
        async with Database.open(
            path, application_id=APPLICATION_ID, migrations=MIGRATIONS
        ) as database:
            rows = await database.fetch("SELECT id FROM server")
            yield cls(database, rows[0][0])

    async def read(self, work: Callable[[Snapshot], Awaitable[T]]) -> T:
        """Run `work` on a snapshot."""
        return await self._database.read(lambda reader: work(SqliteSnapshot(reader)))

    async def transact(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run `work` in a transaction."""
        return await self._database.transact(lambda writer: work(SqliteTransaction(writer)))
