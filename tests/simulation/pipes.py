"""Connections without a network: a real session at one end, a real sync at the other."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from random import Random
from types import SimpleNamespace
from typing import cast

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosedError

from kafkaman_sync.device.link import Link
from kafkaman_sync.errors import LinkError
from kafkaman_sync.protocol.codec import decode, encode
from kafkaman_sync.protocol.messages import Message

# What a pipe holds before its sender must wait: little, so that senders do fall behind.
PIPE_BYTES_MAX = 4096


class Pipe:
    """One direction: frames in order, and perhaps an end."""

    def __init__(self) -> None:
        self.frames: deque[bytes] = deque()
        self.closed = False
        self._news = asyncio.Event()

    @property
    def size(self) -> int:
        return sum(map(len, self.frames))

    async def put(self, frame: bytes) -> None:
        while not self.closed and self.frames and self.size > PIPE_BYTES_MAX:
            await self._changed()
        if self.closed:
            raise ConnectionClosedError(None, None)
        self.frames.append(frame)
        self._tell()

    async def take(self) -> bytes:
        """Return the next frame; ConnectionClosedError behind the last one."""
        while not self.frames:
            if self.closed:
                raise ConnectionClosedError(None, None)
            await self._changed()
        frame = self.frames.popleft()
        self._tell()
        return frame

    def close(self, kept: int | None = None) -> None:
        """End it; only the first `kept` frames still arrive (None: all)."""
        self.closed = True
        while kept is not None and len(self.frames) > kept:
            self.frames.pop()
        self._tell()

    async def _changed(self) -> None:
        await self._news.wait()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


class Wire:
    """Both directions of one connection."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.up, self.down = Pipe(), Pipe()

    def close(self) -> None:
        self.up.close()
        self.down.close()

    def cut(self, random: Random) -> None:
        """Break it: of what is on its way, some still arrives."""
        for pipe in (self.up, self.down):
            pipe.close(random.randint(0, len(pipe.frames)))


class ServerEnd:
    """As much of websockets' ServerConnection as a session uses."""

    request = response = None

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.protocol = SimpleNamespace(max_message_size=0)
        self.transport = SimpleNamespace(
            abort=wire.close, get_write_buffer_size=lambda: wire.down.size
        )

    def as_connection(self) -> ServerConnection:
        return cast(ServerConnection, self)

    async def send(self, data: bytes) -> None:
        await self._wire.down.put(data)

    async def recv(self) -> bytes:
        return await self._wire.up.take()

    async def close(self, reason: str = "") -> None:
        self._wire.close()

    async def wait_closed(self) -> None:
        while not self._wire.up.closed:
            await self._wire.up._changed()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            try:
                frame = await self.recv()
            except ConnectionClosedError:
                return
            yield frame


class DeviceEnd:
    """As much of a Link as a conversation uses."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def as_link(self) -> Link:
        return cast(Link, self)

    async def send(self, message: Message) -> None:
        try:
            await self._wire.up.put(encode(message))
        except ConnectionClosedError:
            raise _dropped() from None

    async def receive(self) -> list[Message]:
        try:
            frames = [await self._wire.down.take()]
        except ConnectionClosedError:
            raise _dropped() from None
        while self._wire.down.frames:
            frames.append(await self._wire.down.take())
        return [decode(frame) for frame in frames]


def _dropped() -> LinkError:
    return LinkError("The connection broke.", code="network.dropped")
