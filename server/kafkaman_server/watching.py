"""Who watches the server's conversations: programs of its own user, over a socket in its data.

A watcher gets, from the moment it connects, every frame that comes and goes, without its secrets,
as `recording` spells records: each behind its length in four bytes, greatest first. The first block
is a map that says which server this is. Nothing is kept, and while nobody watches nothing is done.
A watcher that reads too slowly is told how much it has missed, and dropped.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any, Final

import structlog
from websockets.asyncio.server import ServerConnection
from websockets.typing import Data

from kafkaman_sync.__about__ import __version__
from kafkaman_sync.model.limits import MIB
from kafkaman_sync.protocol.recording import Recorded, Sort, encode_recorded, pack_facts
from kafkaman_sync.protocol.secrets import Veil

SOCKET: Final = "watch.sock"
"""The socket's name in the data directory."""
BACKLOG_BYTES_MAX: Final = 16 * MIB
WATCHERS_MAX: Final = 4
# How long a watcher that is dropped may take to read why.
FAREWELL_SECONDS: Final = 2.0

_log = structlog.get_logger("watching")


class _Watcher:
    """What one watcher has not taken yet."""

    def __init__(self) -> None:
        self._blocks: deque[bytes] = deque()
        self._bytes = 0
        self._more = asyncio.Event()
        self.missed = 0

    def add(self, data: bytes) -> None:
        """Queue a block; once it has fallen behind, only count."""
        if self.missed:
            self.missed += 1
            return
        block = len(data).to_bytes(4, "big") + data
        self._bytes += len(block)
        self._blocks.append(block)
        if self._bytes > BACKLOG_BYTES_MAX:
            self.missed = len(self._blocks)
            self._blocks.clear()
        self._more.set()

    async def take(self) -> bytes | None:
        """Return the next block; None once it has fallen behind."""
        while not self._blocks:
            if self.missed:
                return None
            self._more.clear()
            await self._more.wait()
        block = self._blocks.popleft()
        self._bytes -= len(block)
        return block


class Watchers:
    """The watchers of a server, and what they are told."""

    def __init__(self) -> None:
        self._watchers: set[_Watcher] = set()
        self._numbers = count(1)
        self._veil = Veil(secrets.token_bytes(32))

    def __bool__(self) -> bool:
        return bool(self._watchers)

    def meet(self, connection: ServerConnection) -> None:
        """Take in a new connection."""
        if isinstance(connection, WatchedConnection):
            connection.number = next(self._numbers)
            connection.watchers = self
            self.tell(Sort.OPENED, connection, {})

    def know(self, connection: ServerConnection, device: str, account: str) -> None:
        """Take in that a device has been welcomed on a connection."""
        if isinstance(connection, WatchedConnection):
            connection.device, connection.account = device, account
            self.tell(Sort.STATE, connection, {"to": "connected", **connection.facts})

    def part(self, connection: ServerConnection) -> None:
        """Take in that a connection has ended."""
        if isinstance(connection, WatchedConnection):
            self.tell(Sort.CLOSED, connection, connection.facts)

    def tell(self, sort: Sort, connection: WatchedConnection, facts: dict[str, Any]) -> None:
        """Tell all watchers something that is no frame."""
        if self._watchers:
            self._add(sort, connection, pack_facts(facts))

    def pass_on(self, sort: Sort, connection: WatchedConnection, frame: Data) -> None:
        """Tell all watchers of a frame."""
        kept = self._veil.frame(frame) if isinstance(frame, bytes) else None
        if kept is None:
            side = "device" if sort is Sort.UP else "server"
            kept = pack_facts({"from": side, "bytes": len(frame)})
            sort = Sort.ILLEGIBLE
        self._add(sort, connection, kept)

    def _add(self, sort: Sort, connection: WatchedConnection, data: bytes) -> None:
        block = encode_recorded(_record(sort, connection.number, data))
        for watcher in self._watchers:
            watcher.add(block)

    @asynccontextmanager
    async def serve(
        self, data: Path, server: str, standing: Callable[[], Iterable[ServerConnection]]
    ) -> AsyncIterator[None]:
        """Let watchers in, through a socket in `data`, inside the block.

        `standing` are the connections that there are. Where the socket cannot be made, nobody can
        watch; the server works all the same.
        """
        path = data / SOCKET
        tasks: set[asyncio.Task[None]] = set()

        async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks.add(task)
            # A watcher says nothing: whatever comes from it is its end.
            ending = asyncio.create_task(reader.read(1))
            ending.add_done_callback(lambda _: task.cancel())
            try:
                await self._watch(writer, server, standing)
            except (OSError, asyncio.CancelledError):
                pass  # the watcher has gone, or the server stops
            finally:
                tasks.discard(task)
                ending.cancel()
                writer.close()

        try:
            listener = await asyncio.start_unix_server(meet, sock=_bind(path))
        except OSError as error:
            _log.info("nobody can watch", reason=error.strerror or str(error))
            yield
            return
        try:
            yield
        finally:
            listener.close()
            path.unlink(missing_ok=True)
            for task in list(tasks):
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(
        self,
        writer: asyncio.StreamWriter,
        server: str,
        standing: Callable[[], Iterable[ServerConnection]],
    ) -> None:
        watcher = _Watcher()
        if len(self._watchers) >= WATCHERS_MAX:
            watcher.add(pack_facts({"busy": True}))
            await _give(writer, watcher)
            return
        watcher.add(pack_facts({"server": server, "release": __version__}))
        for one in standing():
            if isinstance(one, WatchedConnection) and one.facts:
                facts = pack_facts({**one.facts, "already": True})
                watcher.add(encode_recorded(_record(Sort.OPENED, one.number, facts)))
        self._watchers.add(watcher)
        try:
            while await _give(writer, watcher):
                pass
        finally:
            self._watchers.discard(watcher)
        _log.info("watcher dropped", missed=watcher.missed)
        lost = pack_facts({"records": watcher.missed, "slow": True})
        last = _Watcher()
        last.add(encode_recorded(_record(Sort.LOST, 0, lost)))
        with suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL_SECONDS):
                await _give(writer, last)
        if writer.transport.get_write_buffer_size():
            await asyncio.sleep(FAREWELL_SECONDS)
            writer.transport.abort()


class WatchedConnection(ServerConnection):
    """A connection whose frames can be watched.

    What it adds has slots of its own: the library's connection has as many attributes as may share
    their names with the others of its class, and one more would cost each of them a kilobyte.
    """

    __slots__ = ("account", "device", "number", "watchers")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.watchers: Watchers | None = None
        self.number = 0
        self.device = self.account = ""

    @property
    def facts(self) -> dict[str, Any]:
        """Whose it is, once that is known."""
        return {"device": self.device, "account": self.account} if self.device else {}

    async def send(self, message: Any, *, text: bool | None = None) -> None:
        """Send a message."""
        if self.watchers:
            self.watchers.pass_on(Sort.DOWN, self, message)
        await super().send(message, text=text)

    async def recv(self, decode: bool | None = None) -> Any:
        """Receive a message."""
        message = await super().recv(decode)
        if self.watchers:
            self.watchers.pass_on(Sort.UP, self, message)
        return message


async def _give(writer: asyncio.StreamWriter, watcher: _Watcher) -> bool:
    """Send the next block; False once the watcher has fallen behind."""
    block = await watcher.take()
    if block is None:
        return False
    writer.write(block)
    await writer.drain()
    return True


def _bind(path: Path) -> socket.socket:
    """Return a socket at `path` that only our user can reach."""
    path.unlink(missing_ok=True)  # we hold the lock of the data: whoever made it is dead
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    usual = os.umask(0o177)
    try:
        bound.bind(str(path))
    except OSError:
        bound.close()
        raise
    finally:
        os.umask(usual)
    bound.setblocking(False)
    return bound


def _record(sort: Sort, connection: int, data: bytes) -> Recorded:
    return Recorded(
        sort,
        time.monotonic_ns() // 1000,
        max(0, time.time_ns() // 1_000_000),
        connection,
        data,
    )
