"""Disks whose files are real SQLite databases in memory, with faults where a schedule wants them.

What was committed stays through a crash; what was not is rolled back. A write excludes every read
of the same file, and each answer comes back a few turns late, so that what a reader holds may be
old by the time it goes on, as it is with a snapshot.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import coroutine
from typing import Any, Final, TypeVar

from kafkaman_sync.database import Query, Reader, Row, Writer, _shielded, store_error
from tests.simulation.loop import LANE, Lane, SimulationError

T = TypeVar("T")
Content = dict[str, list[Row]]
"""The rows of each table."""

FAULTS: Final = {
    "full": sqlite3.SQLITE_FULL,
    "io": sqlite3.SQLITE_IOERR,
    "readonly": sqlite3.SQLITE_READONLY,
    "locked": sqlite3.SQLITE_BUSY,
}
"""How a disk can fail, and what SQLite says then. All but `io` strike writes only."""

_BEGIN: Final = "BEGIN IMMEDIATE"
# One trip in so many takes a few turns more.
_LATE: Final = 0.12
_LATE_TURNS_MAX: Final = 6


class SimulatedError(sqlite3.OperationalError):
    """What SQLite raises when its disk fails."""

    def __init__(self, fault: str) -> None:
        super().__init__(fault)
        self.sqlite_errorcode = FAULTS[fault]


@dataclass(slots=True)
class File:
    """One database, whoever has it open."""

    migrations: Sequence[str]
    connection: sqlite3.Connection
    tables: tuple[str, ...]

    def dump(self) -> Content:
        """Return all that was committed."""
        self.roll_back()
        return {
            table: self.connection.execute(f"SELECT * FROM {table}").fetchall()
            for table in self.tables
        }

    def load(self, content: Content) -> None:
        """Replace all rows. The statements that SQLite has prepared stay prepared."""
        self.roll_back()
        execute = self.connection.execute
        execute("BEGIN")
        for table in reversed(self.tables):
            execute(f"DELETE FROM {table}")
        for table in self.tables:
            rows = content.get(table)
            if rows:
                places = ",".join("?" * len(rows[0]))
                self.connection.executemany(f"INSERT INTO {table} VALUES ({places})", rows)
        execute("COMMIT")

    def roll_back(self) -> None:
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")


class Pool:
    """Connections are made once and used by schedule after schedule: to prepare costs most."""

    def __init__(self) -> None:
        self._idle: dict[int, list[File]] = {}
        self._empty: dict[int, Content] = {}

    def take(self, migrations: Sequence[str]) -> File:
        """Return an empty database of this schema."""
        idle = self._idle.setdefault(id(migrations), [])
        if idle:
            file = idle.pop()
        else:
            file = _create(migrations)
            self._empty.setdefault(id(migrations), file.dump())
        file.load(self._empty[id(migrations)])
        return file

    def give_back(self, file: File) -> None:
        self._idle[id(file.migrations)].append(file)


def _create(migrations: Sequence[str]) -> File:
    connection = sqlite3.connect(":memory:", isolation_level=None, cached_statements=512)
    for pragma in ("foreign_keys=ON", "temp_store=MEMORY", "cache_size=-8000"):
        connection.execute(f"PRAGMA {pragma}")
    for script in migrations:
        connection.executescript(script)
    # In the order of their creation: what is referred to comes before what refers to it.
    names = connection.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        " ORDER BY rowid"
    )
    return File(migrations, connection, tuple(name for (name,) in names))


@dataclass(slots=True)
class Disk:
    """One machine's disk: files by path, and what is wrong with it."""

    pool: Pool
    files: dict[Path, File] = field(default_factory=dict)
    fault: str = ""
    """How it fails at present, empty while it does not."""
    crash: str = ""
    """Whether its machine's process dies "before" or "after" a commit that comes."""
    commits_until_crash: int = 0
    struck: Callable[[str], None] = lambda _: None
    """Is told of each fault that took effect."""

    def open(self, path: Path, migrations: Sequence[str]) -> File:
        file = self.files.get(path)
        if file is None or not path.exists():
            self.forget(path)
            file = self.files[path] = self.pool.take(migrations)
            path.touch()
        return file

    def forget(self, path: Path) -> None:
        """Let go of what was deleted."""
        file = self.files.pop(path, None)
        if file is not None:
            file.roll_back()
            self.pool.give_back(file)

    def power_off(self) -> None:
        """Roll back what was not committed."""
        self.crash = ""
        for file in self.files.values():
            file.roll_back()

    def close(self) -> None:
        for path in list(self.files):
            self.forget(path)

    def check(self, *, writes: bool) -> None:
        if self.fault and (writes or self.fault == "io"):
            self.struck(self.fault)
            raise SimulatedError(self.fault)

    def committing(self, when: str) -> bool:
        """Tell whether the process dies here."""
        if self.crash != when:
            return False
        self.commits_until_crash -= 1
        return self.commits_until_crash < 0


class SimulatedDatabase:
    """Stands in for kafkaman_sync.database.Database, with the same promises."""

    def __init__(self, path: Path, disk: Disk, file: File, lane: Lane) -> None:
        self.path = path
        self._disk = disk
        self._file = file
        self._lane = lane
        self._lock = asyncio.Lock()

    @classmethod
    @asynccontextmanager
    async def open(
        cls, path: Path, disk: Disk, migrations: Sequence[str]
    ) -> AsyncIterator[SimulatedDatabase]:
        await _turns(LANE.get().chance)
        try:
            disk.check(writes=True)
            yield cls(path, disk, disk.open(path, migrations), LANE.get())
        except sqlite3.Error as error:
            raise store_error(error, path) from error

    async def transact(
        self, work: Callable[[Writer], Awaitable[T]], ended: Callable[[bool], None] | None = None
    ) -> T:
        return await _shielded(self._transact(work, ended or _ignore))

    async def read(self, work: Callable[[Reader], Awaitable[T]]) -> T:
        return await _shielded(self._read(work))

    async def fetch(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        return (await self.fetch_all((sql, parameters)))[0]

    async def fetch_all(self, *queries: Query) -> list[list[Row]]:
        return await _shielded(self._fetch_all(queries))

    async def _transact(
        self, work: Callable[[Writer], Awaitable[T]], ended: Callable[[bool], None]
    ) -> T:
        async with self._lock:
            statements = self._statements()
            await statements.run(_BEGIN)
            try:
                result = await work(statements)
                await statements.commit()
            except BaseException:
                ended(False)
                statements.roll_back()
                raise
            ended(True)
        return result

    async def _read(self, work: Callable[[Reader], Awaitable[T]]) -> T:
        async with self._lock:
            result = await work(self._statements())
        await _turns(self._lane.chance)
        return result

    async def _fetch_all(self, queries: Sequence[Query]) -> list[list[Row]]:
        async with self._lock:
            rows = await self._statements().fetch_all(*queries)
        await _turns(self._lane.chance)
        return rows

    def _statements(self) -> _Statements:
        return _Statements(self._file.connection, self._disk, self._lane, self.path)


class _Statements:
    """Runs what waits with the next read or the commit, like its real counterpart."""

    def __init__(self, connection: sqlite3.Connection, disk: Disk, lane: Lane, path: Path) -> None:
        self._connection = connection
        self._disk = disk
        self._lane = lane
        self._path = path
        self._waiting: list[tuple[str, Sequence[Any] | list[Sequence[Any]], bool]] = []
        self._writes = False

    async def fetch(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        return (await self.fetch_all((sql, parameters)))[0]

    async def fetch_all(self, *queries: Query) -> list[list[Row]]:
        await _turns(self._lane.chance)
        try:
            self._flush()
            execute = self._connection.execute
            return [execute(*query).fetchall() for query in queries]
        except sqlite3.Error as error:
            raise store_error(error, self._path) from error

    async def run(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        self._waiting.append((sql, parameters, False))

    async def run_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        batch = list(rows)
        if batch:
            self._waiting.append((sql, batch, True))

    async def commit(self) -> None:
        await _turns(self._lane.chance)
        try:
            self._flush()
        except sqlite3.Error as error:
            raise store_error(error, self._path) from error
        disk = self._disk
        if disk.committing("before"):
            disk.struck("crash before commit")
            await _end(self._lane)
        self._connection.execute("COMMIT")
        if disk.committing("after"):
            disk.struck("crash after commit")
            await _end(self._lane)
        await _turns(self._lane.chance)

    def roll_back(self) -> None:
        self._waiting = []
        if self._lane.alive and self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def _flush(self) -> None:
        if not self._lane.alive:
            raise SimulatedError("io")
        self._writes = self._writes or any(sql != _BEGIN for sql, _, _ in self._waiting)
        self._disk.check(writes=self._writes)
        for sql, rows, many in self._waiting:
            if many:
                self._connection.executemany(sql, rows)
            else:
                self._connection.execute(sql, rows)
        self._waiting = []


async def _end(lane: Lane) -> None:
    """Die: nothing of this process goes on."""
    lane.kill()
    await asyncio.get_running_loop().create_future()
    raise SimulationError("a dead process goes on")


@coroutine
def _turns(chance: Any) -> Generator[None, None, None]:
    """Go on in a later turn, mostly the next one."""
    yield
    if chance.random() < _LATE:
        for _ in range(chance.randrange(_LATE_TURNS_MAX)):
            yield


def _ignore(_: bool) -> None:
    pass
