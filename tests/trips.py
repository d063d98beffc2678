"""Faults of the disk, one at a time: the n-th statement that goes to SQLite fails as it would.

`Trips` counts every statement on every connection that is opened while it is installed, whoever
sends it, and fails the one it is told to.
"""

from __future__ import annotations

import asyncio
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import pytest

from kafkaman_sync import database_connection
from kafkaman_sync.database import Database
from kafkaman_sync.database_connection import Answers, Connection, Trip
from kafkaman_sync.errors import StoreError

# More statements than any call has.
STATEMENTS_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class Fault:
    """A way to fail: SQLite's number, and the code of the StoreError that must come of it.

    `undoes`: SQLite has rolled back by itself. `stuck`: the rollback fails as well. `landed`: a
    commit has reached the disk, and its word is lost. `cancels`: nothing fails, but whoever asked
    does not want it any more.
    """

    name: str
    number: int = 0
    code: str = ""
    undoes: bool = False
    stuck: bool = False
    landed: bool = False
    cancels: bool = False


FAULTS: Final = (
    Fault("an I/O error", sqlite3.SQLITE_IOERR_WRITE, "store.io"),
    Fault("a full disk", sqlite3.SQLITE_FULL, "store.full", undoes=True),
    Fault("busy", sqlite3.SQLITE_BUSY, "store.locked"),
    Fault("an I/O error that cannot be undone", sqlite3.SQLITE_IOERR_READ, "store.io", stuck=True),
    Fault("an I/O error behind the commit", sqlite3.SQLITE_IOERR_FSYNC, "store.io", landed=True),
    Fault("cancelled", cancels=True),
)


class Trips:
    """Counts statements, and lets one fail."""

    def __init__(self) -> None:
        self.count = 0
        self.struck = False
        """Whether the fault has happened."""
        self._fault: Fault | None = None
        self._at = 0
        self._stuck = False
        self._cancel: tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]] | None = None

    def arm(self, fault: Fault | None, at: int, task: asyncio.Task[Any] | None = None) -> None:
        """Count from one again; let statement number `at` fail; `task` is who may be cancelled."""
        self.count, self.struck, self._stuck = 0, False, False
        self._fault, self._at = fault, at
        self._cancel = (asyncio.get_running_loop(), task) if task is not None else None

    def disarm(self) -> None:
        """Let nothing fail any more."""
        self._fault = None

    def pass_by(self, connection: sqlite3.Connection, sql: str) -> sqlite3.Error | None:
        """Count a statement; raise its fault, or return the one to raise when it has run."""
        self.count += 1
        fault = self._fault
        if fault is None:
            return None
        if self._stuck and sql == "ROLLBACK":
            self._stuck = False
            raise _error(fault)
        if self.count != self._at:
            return None
        self.struck = True
        if fault.cancels:
            assert self._cancel is not None
            loop, task = self._cancel
            loop.call_soon_threadsafe(task.cancel)
            return None
        if fault.landed and sql == "COMMIT":
            return _error(fault)
        if fault.undoes:
            sqlite3.Connection.rollback(connection)
        self._stuck = fault.stuck
        raise _error(fault)

    @contextmanager
    def installed(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trips]:
        """Stand between SQLite and every database that is opened meanwhile."""
        trips = self

        class Counted(Connection):
            def execute(self, sql: str, parameters: Any = (), /) -> Any:
                if not isinstance(parameters, Trip):
                    return self._counted(sql, sql, parameters)
                for statement in parameters.statements:
                    self._counted(statement[0], "", Trip([statement], ()))
                return Answers(
                    [
                        self._counted(query[0], "", Trip([], [query])).rows[0]
                        for query in parameters.queries
                    ]
                )

            def _counted(self, what: str, sql: str, parameters: Any) -> Any:
                later = trips.pass_by(self, what)
                result = super().execute(sql, parameters)
                if later is not None:
                    raise later
                return result

            def executescript(self, script: str, /) -> sqlite3.Cursor:
                trips.pass_by(self, "SCRIPT")
                return super().executescript(script)

            def rollback(self) -> None:
                trips.pass_by(self, "ROLLBACK")
                super().rollback()

        with monkeypatch.context() as patch:
            patch.setattr(database_connection, "Connection", Counted)
            yield self


S = TypeVar("S")


class Trial(ABC, Generic[S]):
    """One call on an open database, its statements failing one after the other.

    A call that is made `in_steps` is several transactions, of which the first ones may stay.
    """

    in_steps = False

    def __init__(self, trips: Trips) -> None:
        self.trips = trips
        self.succeeded = False
        """Whether the last try succeeded, for a fault may do no harm."""

    @abstractmethod
    def opened(self) -> AbstractAsyncContextManager[S]:
        """Open what the call is made on, the same each time."""

    @abstractmethod
    async def act(self, subject: S) -> None:
        """Make the call."""

    @abstractmethod
    def dump(self) -> dict[str, Any]:
        """Return all that the database holds."""

    @abstractmethod
    async def check_sound(self, subject: S) -> None:
        """Fail when what is held in memory does not fit the database."""

    async def clean(self) -> dict[str, Any]:
        """Return what a run without faults leaves."""
        async with self.opened() as subject:
            await self.act(subject)
            return self.dump()

    async def fail_in_turn(self, fault: Fault, after: dict[str, Any]) -> int:
        """Let one statement after the other fail; return how many there are.

        Each try goes on where the last one failed, so that it also is that one's second try.
        """
        at = 1
        while True:
            async with self.opened() as subject:
                before = self.dump()
                while await self._fail(subject, fault, at):
                    at += 1
                    assert at < STATEMENTS_MAX
                    await self.check_sound(subject)
                    if self.dump() != before and not self.in_steps:
                        assert fault.landed or fault.cancels or self.succeeded
                        assert self.dump() == after, "half of it is there"
                        break
                    assert not self.succeeded or self.dump() == after
                else:
                    assert self.dump() == after, "it does not succeed when it is tried again"
                    await self.check_sound(subject)
                    return at - 1

    async def _fail(self, subject: S, fault: Fault, at: int) -> bool:
        """Try with a fault; return whether it happened."""
        task = asyncio.create_task(self.act(subject))
        self.trips.arm(fault, at, task)
        self.succeeded = False
        try:
            await task
            self.succeeded = True
        except StoreError as error:
            assert error.code == fault.code, error  # noqa: PT017  whether it raises varies
        except asyncio.CancelledError:
            assert fault.cancels
        finally:
            self.trips.disarm()
        return self.trips.struck


def check_connections(database: Database) -> None:
    """Fail when a transaction was left open, on a connection that is to be used again."""
    for connection in (database._writer, database._reader):
        assert connection in database._doubtful or not connection.in_transaction


def _error(fault: Fault) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(f"planted: {fault.name}")
    error.sqlite_errorcode = fault.number
    return error


def dump(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Return every row of every table, as another program would find them."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        return {
            name: sorted(connection.execute(f'SELECT * FROM "{name}"'), key=repr)
            for (name,) in tables.fetchall()
        }
