"""A device for tests: a real store on a real file, and the link's part played by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import astuple, replace
from pathlib import Path
from random import Random
from typing import Any

from kafkaman_sync.model.edits import Create, Edit, Update
from kafkaman_sync.model.entities import ROOT, Kind
from kafkaman_sync.model.values import Value, decode_value, encode_value
from kafkaman_sync.protocol.records import decode_change
from kafkaman_sync.store import EditResult, Identity, Received, Store
from kafkaman_sync.store.confirmed import Stored
from kafkaman_sync.store.ledger import load_ledger
from kafkaman_sync.store.rows import ENTITY_COLUMNS, entity_from_row
from tests.store.authority import WORKSPACE, Authority, Connection


def identity_of(device: str) -> Identity:
    return Identity(
        server_url="ws://127.0.0.1:1",
        server="",
        account="account",
        username="ada",
        email="ada@example.org",
        device=device,
        device_name=f"device {device[0]}",
        token="a token",
    )


def values(**fields: Value) -> dict[str, bytes]:
    return {name: encode_value(value) for name, value in fields.items()}


class Device:
    """One device of the account; `sync` does what the daemon's link does, but only when told."""

    def __init__(self, path: Path, device: str, authority: Authority, seed: int = 0) -> None:
        self.path = path
        self.device = device
        self.authority = authority
        self.random = Random(f"{seed} {device}")
        self.clock: Callable[[], float] = lambda: 0.0
        self.store: Store
        self.connection: Connection | None = None
        self.ready = False
        self.sent = 0
        self.received: list[Received] = []
        self._stack = AsyncExitStack()

    async def open(self) -> None:
        self.store = await self._stack.enter_async_context(
            Store.open(self.path, entropy=self.random.randbytes, clock=self.clock)
        )
        if await self.store.identity() is None:
            await self.store.save_identity(identity_of(self.device))

    async def close(self) -> None:
        self.disconnect()
        await self._stack.aclose()
        self._stack = AsyncExitStack()

    async def reopen(self) -> None:
        await self.close()
        await self.open()

    def disconnect(self) -> None:
        if self.connection is not None:
            self.authority.connections.pop(self.device, None)
        self.connection, self.ready = None, False

    @property
    def connected(self) -> bool:
        return self.connection is not None and self.connection is self.authority.connections.get(
            self.device
        )

    async def connect(self, *, role: str = "owner") -> None:
        self.disconnect()
        await self.store.welcome(self.authority.welcome(self.device, role=role))
        self.connection = self.authority.connect(self.device, await self.store.hello(), role=role)
        self.sent = 0

    async def deliver(self, count: int | None = None) -> Received | None:
        """Apply what the server has sent, or the first few messages of it."""
        if not self.connected or self.connection is None:
            return None
        messages = self.connection.take(count)
        if not messages:
            return None
        received = await self.store.receive(messages)
        self.ready = self.ready or bool(received.checkpoints)
        self.received.append(received)
        assert all(equal for _, _, equal in received.checkpoints)
        assert received.diverged == []
        return received

    async def check_books(self) -> None:
        """Compare what the store knows by heart with its file."""
        books, database = self.store._books, self.store._database
        said = await database.read(load_ledger)
        assert books.ledger in (None, said)
        rows = await database.fetch(
            "SELECT op, workspace, entity, change, seen, verdict, at FROM outbox ORDER BY op"
        )
        held = {row[0]: row for row in rows}
        for op, known in books.recent._changes.items():
            assert held[op] == (op, *astuple(replace(known, made=None))[1:-1])
            assert known.made == decode_change(known.data)
        for entity, (copy, stored) in books.confirmed._rows.items():
            found = await database.fetch(
                f"SELECT {ENTITY_COLUMNS}, rowid FROM entities WHERE copy = ? AND id = ?",
                (copy, entity),
            )
            read = [Stored(entity_from_row(row), row[8], row[9]) for row in found]
            assert read == ([] if stored is None else [stored])
        waiting = [(row[0], row[3]) for row in rows if row[-2] is None]
        for op in (0, *held):
            recent = books.recent.after(op, changes_max=3, bytes_max=1 << 20)
            if recent is not None:
                assert recent == [each for each in waiting if each[0] > op][: len(recent)]
                assert recent or not [each for each in waiting if each[0] > op]

    async def push(self, count: int = 500) -> int:
        if not self.connected or not self.ready or self.connection is None:
            return 0
        changes = await self.store.outbox_after(self.sent, changes_max=count, bytes_max=1 << 20)
        if changes:
            self.sent = changes[-1][0]
            self.authority.push(self.connection, [data for _, data in changes])
            if self.random.random() < 0.3:
                # As in a rush of edits, of what was accepted. To the store it is the same.
                self.store.let_go(self.random.randint(changes[0][0], self.sent))
        return len(changes)

    async def sync(self) -> None:
        """Connect if need be, and go on until nothing is left to send or to apply."""
        if not self.connected:
            await self.connect()
        while await self.deliver() or await self.push():
            pass

    # A person's work

    async def edit(self, *edits: Edit) -> EditResult:
        return await self.store.edit(WORKSPACE, edits)

    async def create(self, kind: Kind, parent: str = ROOT, /, **fields: Value) -> str:
        entity = self.random.randbytes(16).hex()
        await self.edit(Create(entity, kind, parent, values(**fields)))
        return entity

    async def set(self, entity: str, **fields: Value) -> None:
        await self.edit(Update(entity, values(**fields)))

    async def read(self, entity: str) -> dict[str, Any]:
        shown = await self.store.show(WORKSPACE, entity)
        return {name: decode_value(data) for name, data in shown.fields.items()}

    async def names(self, parent: str = ROOT) -> list[Value]:
        children = await self.store.children(WORKSPACE, parent, with_fields=True)
        return [decode_value(each.fields["name"]) for each in children]


@asynccontextmanager
async def devices(
    folder: Path, authority: Authority, count: int = 2, seed: int = 0
) -> AsyncIterator[list[Device]]:
    """Open that many devices of one account."""
    async with AsyncExitStack() as stack:
        found = []
        for number in range(1, count + 1):
            device = Device(folder / f"{number}.db", f"{number}" * 32, authority, seed)
            await device.open()
            stack.push_async_callback(device.close)
            found.append(device)
        yield found
