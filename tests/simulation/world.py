"""A server and devices in one process: everything is real but the network and the passwords."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from kafkaman_server.config import Config
from kafkaman_server.connection import Door
from kafkaman_server.hub import Hub
from kafkaman_server.journal import Journal
from kafkaman_server.server import _shared
from kafkaman_server.storage.sqlite import SqliteStorage
from kafkaman_sync.database import Database, Writer
from kafkaman_sync.device.life import Life
from kafkaman_sync.device.link import Link
from kafkaman_sync.device.sync import Sync
from kafkaman_sync.engine.states import State
from kafkaman_sync.errors import LinkError, StoreError
from kafkaman_sync.model.edits import Edit
from kafkaman_sync.protocol.codec import decode, encode
from kafkaman_sync.protocol.messages import Call, Reply
from kafkaman_sync.store import Identity, Store
from tests.simulation.pipes import DeviceEnd, ServerEnd, Wire

SETTLE_SECONDS = 30.0


T = TypeVar("T")
Work = Callable[[Writer], Awaitable[T]]


class Killed(Exception):  # noqa: N818  what a test does to a process is no error
    """A process ends without a word."""


class Server:
    """One server's data, and its present run."""

    def __init__(self, folder: Path, random: Random, faulty: Callable[[Database], None]) -> None:
        self.faulty = faulty
        self.path = folder / "server.db"
        self.random = random
        self.wires: set[Wire] = set()
        self.storage: SqliteStorage
        self._config = Config(data=folder, replay_events_max=4, queue_bytes_max=6000)
        self._door: Door
        self._tasks: set[asyncio.Task[None]] = set()
        self._stack = AsyncExitStack()
        self._time = 0

    def clock(self) -> int:
        self._time += 1
        return self._time

    async def start(self) -> None:
        """Begin a run; its data is there when this returns."""
        self.storage = await self._stack.enter_async_context(SqliteStorage.open(self.path))
        self.faulty(self.storage._database)
        hub = Hub()
        epoch = self.random.randbytes(16).hex()
        journal = Journal(self.storage, hub, epoch=epoch, clock=self.clock)
        shared = _shared(self._config, self.storage, hub, journal)
        self._door = Door(shared, epoch, 3, self.clock, lambda connection: "nowhere")
        self._begin(asyncio.create_task(journal.run()))

    async def kill(self) -> None:
        """End it in the middle of whatever it does; a commit under way gets through unanswered."""
        for wire in list(self.wires):
            wire.cut(self.random)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._stack.aclose()
        self._stack = AsyncExitStack()

    def connect(self, device: str) -> Wire:
        wire = Wire(device)
        self.wires.add(wire)
        task = asyncio.create_task(self._door.serve(ServerEnd(wire).as_connection()))
        task.add_done_callback(lambda _: wire.close())
        self._begin(task)
        return wire

    def _begin(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def ask(self, method: str, **params: Any) -> dict[str, Any]:
        wire = self.connect("")
        await wire.up.put(encode(Call(1, method, params)))
        reply = decode(await wire.down.take())
        wire.close()
        assert isinstance(reply, Reply)
        assert reply.result is not None, reply.error
        return dict(reply.result)

    def backup(self, path: Path) -> None:
        with closing(sqlite3.connect(self.path)) as source, closing(sqlite3.connect(path)) as copy:
            source.backup(copy)

    async def restore(self, path: Path) -> None:
        """Start again with a backup, after a kill."""
        for name in ("server.db", "server.db-wal", "server.db-shm"):
            self.path.with_name(name).unlink(missing_ok=True)
        path.rename(self.path)
        await self.start()


class Device:
    """A store, and the sync that runs on it; `online` says whether it has a network."""

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.number = number
        self.online = True
        self.store: Store
        self.sync: Sync
        self.life: Life
        self.path = world.folder / f"{number}.db"
        self._running: asyncio.Task[Any]
        self._stack = AsyncExitStack()

    async def start(self, identity: Identity | None = None) -> None:
        self.store = await self._stack.enter_async_context(
            Store.open(self.path, entropy=self.world.random.randbytes)
        )
        if identity is not None:
            await self.store.save_identity(identity)
        identity = await self.store.identity()
        assert identity is not None
        self.world.faulty(self.store._database)
        self.life = Life()
        folder = self.world.folder
        self.sync = Sync(self.store, identity, self.life, reports=folder, changed=lambda _: None)
        self._running = asyncio.create_task(self.sync.run())

    async def stop(self, *, clean: bool = True) -> None:
        self._running.cancel()
        with suppress(asyncio.CancelledError):
            await self._running
        with suppress(Killed):
            del self.store._database.transact
            error = None if clean else Killed()
            await self._stack.__aexit__(type(error) if error else None, error, None)
        self._stack = AsyncExitStack()

    async def edit(self, *edits: Edit) -> None:
        result = await self.store.edit(self.world.workspace, edits)
        self.sync.edited(result.ops)

    def cut(self) -> None:
        for wire in self.world.server.wires:
            if wire.device == self.sync.identity.server_url:
                wire.cut(self.world.random)

    async def settled(self) -> None:
        """Wait until it claims to be in sync."""
        self.online = True
        async with asyncio.timeout(SETTLE_SECONDS):
            while self.life.state is not State.IN_SYNC:
                self.sync.retry()
                await self.life.until(lambda: self.life.state is State.IN_SYNC, 0.2)


class World:
    """A server and its devices, all of one account."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.random = Random(seed)
        self.server = Server(folder, self.random, self.faulty)
        self.faults = 0.0
        """How often a transaction meets a full disk."""
        self.devices: list[Device] = []
        self.workspace = ""
        self.running = False

    def faulty(self, database: Database) -> None:
        """Let transactions fail at their end, now and then, as on a full disk."""
        transact = database.transact

        async def transact_perhaps(work: Work[T], ended: Callable[[bool], None] | None = None) -> T:
            async def work_perhaps(writer: Writer) -> T:
                result = await work(writer)
                if self.random.random() < self.faults:
                    raise StoreError("The disk is full.", code="store.full")
                return result

            return await transact(work_perhaps, ended)

        database.transact = transact_perhaps  # type: ignore[method-assign]  # the fault's place

    @asynccontextmanager
    async def link(self, url: str) -> AsyncIterator[Link]:
        """Stand in for Link.open; a device's URL is its number."""
        device = self.devices[int(url)]
        if not (device.online and self.running):
            raise LinkError("There is no network.", code="network.unreachable")
        wire = self.server.connect(url)
        try:
            yield DeviceEnd(wire).as_link()
        finally:
            wire.close()
            self.server.wires.discard(wire)

    async def open(self, count: int) -> None:
        await self.server.start()
        self.running = True
        for number in range(count):
            device = Device(self, number)
            self.devices.append(device)
            password = {"password": "correct horse battery"}
            facts = (
                await self.server.ask("sign_in", user="ada", **password)
                if number
                else await self.server.ask(
                    "sign_up", email="a@example.org", username="ada", **password
                )
            )
            await device.start(Identity(f"{number}", device_name=f"{number}", **facts))
        for device in self.devices:
            await device.settled()
        self.workspace = (await self.devices[0].store.workspaces())[0].id

    async def head(self) -> tuple[int, bytes]:
        """Return the head and digest of the account's workspace on the server."""
        account = self.devices[0].sync.identity.account
        (found,) = await self.server.storage.read(lambda snapshot: snapshot.memberships(account))
        return found.head, found.digest

    async def restart(self, backup: Path | None = None) -> None:
        if self.running:
            await self.kill()
        await (self.server.start() if backup is None else self.server.restore(backup))
        self.running = True

    async def kill(self) -> None:
        self.running = False
        await self.server.kill()

    async def close(self) -> None:
        for device in self.devices:
            await device.stop()
        if self.running:
            await self.kill()
