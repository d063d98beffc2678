"""Real servers and real daemons for the device's tests, all in this process and on one loop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from argon2 import PasswordHasher

from kafkaman_server import passwords
from kafkaman_server.config import Config
from kafkaman_server.server import RunningServer, run_server
from kafkaman_sync import Client
from kafkaman_sync.device.daemon import Daemon
from kafkaman_sync.device.paths import Home

PASSWORD = "correct horse battery"
SECONDS = 20.0
_CLOCKS = {"clock", "running"}
# As strong as it must be for people, hashing would be most of what the tests do.
CHEAP_HASHER = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Running:
    """Something that runs in a task of its own until it is stopped."""

    def __init__(self) -> None:
        self._stop = asyncio.Event()
        self._ready = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        assert self._task is None
        self._stop.clear()
        self._ready.clear()
        self._task = asyncio.create_task(self._run())
        ready = asyncio.create_task(self._ready.wait())
        await asyncio.wait({self._task, ready}, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if self._task.done():
            self._task.result()

    async def stop(self) -> None:
        task, self._task = self._task, None
        self._stop.set()
        if task is not None:
            await task

    async def _run(self) -> None:
        raise NotImplementedError


class Server(Running):
    """A server on one port and one data folder; may be stopped and started again."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        super().__init__()
        self.data = folder
        self.port = free_port()
        self.insides: RunningServer
        self._clocks = {name: settings.pop(name) for name in _CLOCKS & settings.keys()}
        self._config = Config(port=self.port, data=folder, **settings)

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    async def _run(self) -> None:
        async with run_server(self._config, **self._clocks) as self.insides:
            self._ready.set()
            await self._stop.wait()


class Device(Running):
    """A daemon in one home; `client` while it runs."""

    def __init__(self, home: Path) -> None:
        super().__init__()
        self.home = Home.find(home)
        self.daemon: Daemon
        self._client: Client | None = None

    @property
    def client(self) -> Client:
        assert self._client is not None, "the device runs"
        return self._client

    async def _run(self) -> None:
        self.home.create()
        self.daemon = daemon = Daemon(self.home)
        serving = asyncio.create_task(daemon.serve())
        try:
            while not self.home.socket.exists() and not serving.done():  # noqa: ASYNC110
                await asyncio.sleep(0.001)  # a socket file has no event
            if serving.done():
                serving.result()
            async with Client.open(self.home.root, start=False) as client:
                self._client = client
                self._ready.set()
                await self._stop.wait()
        finally:
            self._client = None
            daemon.stop()
            await serving

    async def sign_up(self, server: Server, user: str = "anna") -> None:
        await self.client.sign_up(
            server=server.url,
            email=f"{user}@example.com",
            username=user,
            password=PASSWORD,
            device_name=self.home.root.name,
        )
        await self.client.wait("in-sync", SECONDS)

    async def sign_in(self, server: Server, user: str = "anna", **more: str) -> None:
        await self.client.sign_in(
            server=server.url,
            user=user,
            password=PASSWORD,
            device_name=self.home.root.name,
            **more,
        )
        await self.client.wait("in-sync", SECONDS)

    async def names(self) -> list[str]:
        return [entity.name for entity in await self.client.ls()]

    async def reconnected(self) -> None:
        """Wait until it is in sync, without waiting for the backoff."""
        await self.client.retry()
        await self.client.wait("in-sync", SECONDS)

    def content(self) -> bytes:
        """Every byte of the home but the log's."""
        files = [path for path in self.home.root.rglob("*") if path.is_file()]
        return b"".join(path.read_bytes() for path in files if path.suffix != ".log")


class World:
    """One server and any number of devices in a temporary folder."""

    def __init__(self, folder: Path, stack: AsyncExitStack) -> None:
        self.folder = folder
        self._stack = stack

    async def server(self, name: str = "server", **settings: Any) -> Server:
        server = Server(self.folder / name, **settings)
        await server.start()
        self._stack.push_async_callback(server.stop)
        return server

    async def device(self, name: str) -> Device:
        device = Device(self.folder / name)
        await device.start()
        self._stack.push_async_callback(device.stop)
        return device

    async def pair(self, **settings: Any) -> tuple[Server, Device, Device]:
        """A server and two devices of one account, in sync."""
        server = await self.server(**settings)
        laptop, desktop = await self.device("laptop"), await self.device("desktop")
        await laptop.sign_up(server)
        await desktop.sign_in(server)
        return server, laptop, desktop


@asynccontextmanager
async def open_world(folder: Path) -> AsyncIterator[World]:
    original, passwords.HASHER = passwords.HASHER, CHEAP_HASHER
    try:
        async with AsyncExitStack() as stack:
            yield World(folder, stack)
    finally:
        passwords.HASHER = original
