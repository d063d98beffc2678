"""The bare pipeline: websockets, msgpack and aiosqlite, durable, with group commit, and no logic.

    sender --ws--> server --ws--> receiver        each a process with a database of its own

- A put commits its records to the sender's outbox in one transaction, then sends them. What the
  server has acknowledged leaves the outbox with a later commit.
- The server commits the records of every message that waits in one transaction, then acknowledges
  them together and sends each message on. To a restorer it sends the rows of its table.
- The receiver commits what waits in one transaction.

A message holds SIZE records: one in the reference; many show what packing them alone would bring.
All commits are synced to the disk (WAL, synchronous=FULL). A record is a MessagePack map, which
each hop encodes and decodes once; a restore sends the encoding that the row holds. Nobody decides,
orders, checks, merges, proves or resumes anything.

Run as `python -m scripts.benchmark.bare ROLE FOLDER SIZE [URL]`; takes commands and answers as
JSON lines (see `processes`).
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from itertools import chain
from pathlib import Path
from typing import Any, Final

import aiosqlite
import msgpack
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve

from scripts.benchmark.processes import answer, commands
from scripts.benchmark.records import Record, creations, made, mixture

_WAITING_MESSAGES_MAX: Final = 8_000
_ROWS_AT_ONCE: Final = 500
_PRAGMAS: Final = ("journal_mode=WAL", "synchronous=FULL", "temp_store=MEMORY", "cache_size=-8000")
_TABLES: Final = """
    CREATE TABLE IF NOT EXISTS records (id TEXT PRIMARY KEY, record BLOB NOT NULL);
    CREATE TABLE IF NOT EXISTS outbox (op INTEGER PRIMARY KEY, record BLOB NOT NULL);
"""
_PUT: Final = (
    "INSERT INTO records VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET record=excluded.record"
)
_OPTIONS: Final[dict[str, Any]] = {"compression": None, "max_size": 2**24}


class Table:
    """One database file: groups of rows in, each group on the disk when `commit` returns."""

    def __init__(self, database: aiosqlite.Connection) -> None:
        self._database = database

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path) -> AsyncIterator[Table]:
        """Open the file, or make it."""
        async with aiosqlite.connect(path, isolation_level=None) as database:
            for pragma in _PRAGMAS:
                await database.execute_fetchall(f"PRAGMA {pragma}")
            await database.executescript(_TABLES)
            yield cls(database)

    async def commit(self, *writes: tuple[str, Iterable[Sequence[Any]]]) -> None:
        """Run each statement for each of its rows, all in one transaction."""
        await self._database.execute("BEGIN IMMEDIATE")
        for statement, rows in writes:
            await self._database.executemany(statement, rows)
        await self._database.execute("COMMIT")

    async def after(self, last: int) -> list[tuple[int, bytes]]:
        """Return the number and bytes of the next records, in order of arrival."""
        rows = await self._database.execute_fetchall(
            "SELECT rowid, record FROM records WHERE rowid > ? ORDER BY rowid LIMIT ?",
            (last, _ROWS_AT_ONCE),
        )
        return [(number, record) for number, record in rows]


def messages(encoded: Sequence[bytes], size: int) -> Iterator[bytes]:
    """Yield the messages that carry encoded records, `size` in each."""
    for first in range(0, len(encoded), size):
        yield msgpack.packb(encoded[first : first + size])


def rows_in(message: bytes) -> list[tuple[str, bytes]]:
    """Return the id and bytes of each record of a message."""
    return [(msgpack.unpackb(record)["id"], record) for record in msgpack.unpackb(message)]


def rows_anew(message: bytes) -> list[tuple[str, bytes]]:
    """Return the same, each record encoded for its next hop."""
    records = map(msgpack.unpackb, msgpack.unpackb(message))
    return [(record["id"], msgpack.packb(record)) for record in records]


class Server:
    """Commits what senders push, then acknowledges it and passes it on to the receivers."""

    def __init__(self, table: Table, size: int) -> None:
        self._table = table
        self._size = size
        self._receivers: set[ServerConnection] = set()
        self._waiting: asyncio.Queue[tuple[bytes, ServerConnection]] = asyncio.Queue(
            _WAITING_MESSAGES_MAX
        )

    async def connected(self, connection: ServerConnection) -> None:
        """Serve one connection; its first message says what it is."""
        role = await connection.recv()
        if role == "restorer":
            await self._send_all(connection)
        elif role == "receiver":
            self._receivers.add(connection)
            await connection.wait_closed()
            self._receivers.discard(connection)
        else:
            async for message in connection:
                assert isinstance(message, bytes)
                await self._waiting.put((message, connection))

    async def write(self) -> None:
        """Commit group after group, for ever."""
        while True:
            group = [await self._waiting.get()]
            while not self._waiting.empty():
                group.append(self._waiting.get_nowait())
            batches = [rows_anew(message) for message, _ in group]
            await self._table.commit((_PUT, chain(*batches)))
            pushed = Counter[ServerConnection]()
            for (_, sender), batch in zip(group, batches, strict=True):
                pushed[sender] += len(batch)
            for sender, count in pushed.items():
                await sender.send(msgpack.packb(count))
            for batch in batches:
                message = msgpack.packb([record for _, record in batch])
                for receiver in self._receivers:
                    await receiver.send(message)

    async def _send_all(self, connection: ServerConnection) -> None:
        last = 0
        while rows := await self._table.after(last):
            last = rows[-1][0]
            for message in messages([record for _, record in rows], self._size):
                await connection.send(message)
        await connection.send(msgpack.packb([]))
        await connection.wait_closed()


class Sender:
    """Puts records into its outbox and sends them."""

    def __init__(self, table: Table, connection: ClientConnection, size: int) -> None:
        self._table = table
        self._connection = connection
        self._size = size
        self._op = 0
        self._acknowledged = 0

    async def put(self, records: Sequence[Record]) -> None:
        """Return when the records are on the disk here and on their way."""
        encoded = [msgpack.packb({"id": record.id, **record.fields}) for record in records]
        first = self._op + 1
        self._op += len(encoded)
        await self._table.commit(
            ("DELETE FROM outbox WHERE op <= ?", [(self._acknowledged,)]),
            ("INSERT INTO outbox VALUES (?, ?)", enumerate(encoded, first)),
        )
        for message in messages(encoded, self._size):
            await self._connection.send(message)

    async def hear(self) -> None:
        """Take the acknowledgements, until the connection ends."""
        async for message in self._connection:
            assert isinstance(message, bytes)
            self._acknowledged += msgpack.unpackb(message)


class Receiver:
    """Commits what arrives, and remembers when how many records were readable."""

    def __init__(self, table: Table, connection: ClientConnection) -> None:
        self._table = table
        self._connection = connection
        self._waiting: asyncio.Queue[bytes] = asyncio.Queue(_WAITING_MESSAGES_MAX)
        self._count = 0
        self._arrivals: list[tuple[float, int]] = []
        self._progress = asyncio.Event()
        self.complete = False

    async def hear(self) -> None:
        """Take what arrives, until the connection ends."""
        async for message in self._connection:
            assert isinstance(message, bytes)
            await self._waiting.put(message)

    async def write(self) -> None:
        """Commit what waits, until the end of a restore."""
        while not self.complete:
            group = [await self._waiting.get()]
            while not self._waiting.empty():
                group.append(self._waiting.get_nowait())
            batches = [rows_in(message) for message in group]
            await self._table.commit((_PUT, chain(*batches)))
            self.complete = not batches[-1]
            self._count += sum(map(len, batches))
            self._arrivals.append((time.monotonic(), self._count))
            self._progress.set()

    async def arrivals(self, count: int) -> list[tuple[float, int]]:
        """Return [when, how many by then] of each commit, once `count` records are there."""
        while self._count < count:
            self._progress.clear()
            await self._progress.wait()
        arrivals, self._arrivals, self._count = self._arrivals, [], 0
        return arrivals


async def run_server(folder: Path, size: int) -> None:
    """Serve on a free port of the loopback until the commands end."""
    async with Table.open(folder / "server.db") as table:
        server = Server(table, size)
        async with serve(server.connected, "127.0.0.1", 0, **_OPTIONS) as listening:
            writing = asyncio.create_task(server.write())
            answer({"port": listening.sockets[0].getsockname()[1]})
            async for _ in commands():
                pass
            writing.cancel()


async def run_sender(folder: Path, size: int, url: str) -> None:
    """Put what the commands say; answer when each put was called."""
    async with (
        Table.open(folder / "sender.db") as table,
        connect(url, proxy=None, **_OPTIONS) as connection,
    ):
        await connection.send("sender")
        sender = Sender(table, connection, size)
        hearing = asyncio.create_task(sender.hear())
        answer({})
        async for command in commands():
            records = made(_records(**command["records"]))
            at_once, pause = command["at_once"], command["pause"]
            calls = []
            began = time.monotonic()
            for number, first in enumerate(range(0, len(records), at_once)):
                await asyncio.sleep(max(0.0, began + number * pause - time.monotonic()))
                calls.append(time.monotonic())
                await sender.put(records[first : first + at_once])
            answer({"calls": calls})
        hearing.cancel()


def _records(kind: str, run: str, first: int, count: int, revision: int) -> Iterable[Record]:
    if kind == "creations":
        return creations(run, first, count)
    return mixture(run, first, count, revision)


async def run_receiver(folder: Path, _: int, url: str) -> None:
    """Store what arrives; answer each command's count with the arrivals."""
    async with (
        Table.open(folder / "receiver.db") as table,
        connect(url, proxy=None, **_OPTIONS) as connection,
    ):
        await connection.send("receiver")
        receiver = Receiver(table, connection)
        tasks = [asyncio.create_task(receiver.hear()), asyncio.create_task(receiver.write())]
        answer({})
        async for command in commands():
            answer({"arrivals": await receiver.arrivals(command["count"])})
        for task in tasks:
            task.cancel()


async def run_restorer(folder: Path, _: int, url: str) -> None:
    """For each command fetch all records into a new file of the given name."""
    answer({})
    async for command in commands():
        began = time.monotonic()
        async with (
            Table.open(folder / command["file"]) as table,
            connect(url, proxy=None, **_OPTIONS) as connection,
        ):
            await connection.send("restorer")
            receiver = Receiver(table, connection)
            hearing = asyncio.create_task(receiver.hear())
            await receiver.write()
            ended = time.monotonic()
            hearing.cancel()
            count = (await receiver.arrivals(0))[-1][1]
        answer({"seconds": ended - began, "count": count})


def main() -> None:
    """Run the role that the command line names."""
    role, folder, size, *url = sys.argv[1:]
    roles: dict[str, Callable[..., Coroutine[Any, Any, None]]] = {
        "server": run_server,
        "sender": run_sender,
        "receiver": run_receiver,
        "restorer": run_restorer,
    }
    asyncio.run(roles[role](Path(folder), int(size), *url))


if __name__ == "__main__":
    main()
