"""Connections without a network: bytes on their way, which arrive when the schedule lets them.

Each end looks like the WebSocket that the real code talks to. A frame of which the last byte has
not arrived is not there; when the connection breaks in its middle, it never will be.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from random import Random
from types import SimpleNamespace
from typing import Final, cast

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosedError

# What a pipe holds before its sender must wait: little, so that senders do fall behind.
PIPE_BYTES_MAX: Final = 4096
# When the server's WebSocket notices that its peer is silent (PING_SECONDS and PONG_SECONDS).
SILENCE_SECONDS: Final = 50.0


class Pipe:
    """One direction."""

    def __init__(self, note: Callable[[bytes], None]) -> None:
        self.flying: deque[bytes] = deque()
        self.arrived: deque[bytes] = deque()
        # How much of the first flying frame has arrived.
        self.begun = 0
        # The sender has closed its end; the receiver notices behind the last frame.
        self.ended = False
        # It broke: nothing more will arrive.
        self.broken = False
        # The receiver has gone without a word.
        self.deaf = False
        # Nothing arrives at present.
        self.silent = False
        self._size = 0
        self._note = note
        self._news: asyncio.Event | None = None

    @property
    def size(self) -> int:
        return self._size

    @property
    def over(self) -> bool:
        """Whether the receiver knows that nothing will arrive any more."""
        ended = self.ended and not self.flying and not self.silent
        return self.broken or self.deaf or ended

    async def put(self, frame: bytes) -> None:
        while self._size > PIPE_BYTES_MAX and not (self.broken or self.ended):
            await self.news()
        if self.broken or self.ended:
            raise ConnectionClosedError(None, None)
        self._note(frame)
        self.flying.append(frame)
        self._size += len(frame)

    async def take(self) -> bytes:
        while not self.arrived:
            if self.over:
                raise ConnectionClosedError(None, None)
            await self.news()
        frame = self.arrived.popleft()
        self._size -= len(frame)
        self.tell()
        return frame

    def deliver(self, frames: int) -> None:
        """Let so many frames arrive."""
        for _ in range(min(frames, len(self.flying))):
            self.arrived.append(self.flying.popleft())
        self.begun = 0
        self.tell()

    def deliver_part(self, chance: Random) -> None:
        """Let some bytes of the first frame arrive, but not its last one."""
        if self.flying:
            self.begun = max(self.begun, chance.randrange(len(self.flying[0])))

    def end(self) -> None:
        self.ended = True
        self.tell()

    def tear(self) -> None:
        """Lose what is on its way; what has arrived may still be read."""
        self.flying.clear()
        self._size = sum(map(len, self.arrived))
        self.broken = True
        self.tell()

    async def news(self) -> None:
        if self._news is None:
            self._news = asyncio.Event()
        await self._news.wait()

    def tell(self) -> None:
        news, self._news = self._news, None
        if news is not None:
            news.set()


class Wire:
    """Both directions of one connection, between a device and the server."""

    def __init__(self, device: str, note: Callable[[bytes], None]) -> None:
        self.device = device
        self.up, self.down = Pipe(note), Pipe(note)

    @property
    def pipes(self) -> tuple[Pipe, Pipe]:
        return self.up, self.down

    @property
    def silent(self) -> bool:
        """Whether it carries nothing at present, and neither end is told."""
        return self.up.silent

    def fall_silent(self, silent: bool) -> None:
        for pipe in self.pipes:
            pipe.silent = silent
            pipe.tell()

    @property
    def gone(self) -> bool:
        """Whether nothing can arrive any more."""
        return all(pipe.over for pipe in self.pipes)

    def cut(self, chance: Random | None = None) -> bool:
        """Break it: of what is on its way some still arrives. Tell whether a frame was torn."""
        torn = False
        for pipe in self.pipes:
            if chance is not None and not self.silent and pipe.flying:
                pipe.deliver(chance.randint(0, len(pipe.flying)))
                pipe.deliver_part(chance)
            torn = torn or pipe.begun > 0
            pipe.tear()
        return torn


class _End:
    """What both ends share."""

    request = response = None

    def __init__(self, wire: Wire, outward: Pipe, inward: Pipe) -> None:
        self._wire = wire
        self._out = outward
        self._in = inward
        self.protocol = SimpleNamespace(max_message_size=0)
        self.transport = SimpleNamespace(abort=self._abort, get_write_buffer_size=self._backlog)

    async def send(self, data: bytes) -> None:
        await self._out.put(data)

    async def recv(self) -> bytes:
        return await self._in.take()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close; the other end answers by closing as well."""
        self._out.end()
        self._leave()

    async def wait_closed(self) -> None:
        while not self._in.over:
            await self._in.news()

    async def ping(self) -> asyncio.Future[float]:
        """Return what is done once the other end has answered: at once, or never."""
        answer: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        if self._in.over:
            raise ConnectionClosedError(None, None)
        if not self._wire.silent:
            answer.set_result(0.0)
        return answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            try:
                frame = await self.recv()
            except ConnectionClosedError:
                return
            yield frame

    def _abort(self) -> None:
        self._leave()
        if not self._wire.silent:
            self._out.tear()

    def _leave(self) -> None:
        """Hear no more; the other end learns of it unless the network is silent."""
        if self._wire.silent:
            self._in.deaf = True
            self._in.tell()
        else:
            self._in.tear()

    def _backlog(self) -> int:
        return self._out.size


def client_end(wire: Wire) -> ClientConnection:
    return cast(ClientConnection, _End(wire, wire.up, wire.down))


def server_end(wire: Wire) -> ServerConnection:
    return cast(ServerConnection, _End(wire, wire.down, wire.up))
