"""A whole server without a socket, and peers that say to it whatever they like."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, cast

import pytest
import structlog
from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK

from kafkaman_server import passwords
from kafkaman_server import server as server_module
from kafkaman_server.config import Config
from kafkaman_server.server import RunningServer, run_server
from kafkaman_sync.model.limits import MESSAGE_BYTES_ANONYMOUS_MAX
from kafkaman_sync.protocol.codec import decode, encode
from kafkaman_sync.protocol.messages import Call, Goodbye, Message, Reply
from tests.server.conftest import CHEAP_HASHER

# Nothing takes so long; who waits longer has found something that is never answered.
PATIENCE_SECONDS: Final = 60.0

Serve = Callable[[ServerConnection], Any]


@dataclass(frozen=True, slots=True)
class Site:
    """A server that runs, and the way in: what it does with a new connection."""

    server: RunningServer
    serve: Serve


class Peer:
    """As much of websockets' ServerConnection as the server uses; `frames` is its other end.

    An item of `frames` is a frame to send; the server's answers are in `said`.
    """

    remote_address = ("192.0.2.1", 1)
    response = None

    def __init__(self, site: Site) -> None:
        self._site = site
        self.request = SimpleNamespace(headers=Headers())
        self.protocol = SimpleNamespace(max_message_size=MESSAGE_BYTES_ANONYMOUS_MAX)
        self.transport = SimpleNamespace(abort=self._end, get_write_buffer_size=lambda: 0)
        self.said: list[Message] = []
        self.closed = False
        self.frames: AsyncIterator[bytes | str]
        self._news = asyncio.Event()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until the server has said something that fulfils a condition, or has closed."""
        while not self.closed and not condition():
            self._news.clear()
            await self._news.wait()

    async def ask(self, call: Call) -> dict[str, Any]:
        """Be somebody who makes one call, and return its result."""

        async def frames() -> AsyncIterator[bytes]:
            yield encode(call)
            await self.until(lambda: bool(self.said))

        await self.run(frames())
        reply = self.said[0]
        assert isinstance(reply, Reply)
        assert reply.result is not None, reply.error
        return dict(reply.result)

    async def run(self, frames: AsyncIterator[bytes | str]) -> None:
        """Say all of these; returns when the server has done with the connection."""
        self.frames = frames
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self._site.serve(cast(ServerConnection, self))
        assert self.closed

    @property
    def goodbye(self) -> Goodbye | None:
        """The server's last words, if it has closed with some."""
        last = self.said[-1] if self.said else None
        return last if isinstance(last, Goodbye) else None

    def _end(self) -> None:
        self.closed = True
        self._news.set()

    # What the server calls.

    async def recv(self) -> bytes | str:
        await asyncio.sleep(0)  # a socket would let others have their turn as well
        if self.closed:
            raise ConnectionClosedOK(None, None)
        frame = await anext(self.frames, None)
        if frame is None or self.closed:
            self._end()
            raise ConnectionClosedOK(None, None)
        if len(frame) > self.protocol.max_message_size:
            self._end()
            raise ConnectionClosedError(None, None)
        return frame

    async def __aiter__(self) -> AsyncIterator[bytes | str]:
        while True:
            try:
                frame = await self.recv()
            except ConnectionClosedOK:
                return
            yield frame

    async def send(self, data: bytes) -> None:
        await asyncio.sleep(0)
        if self.closed:
            raise ConnectionClosedOK(None, None)
        self.said.append(decode(data))
        self._news.set()

    async def close(self, reason: str = "") -> None:
        self._end()

    async def wait_closed(self) -> None:
        await self.until(lambda: False)


@asynccontextmanager
async def server_without_socket(
    data: Path, monkeypatch: pytest.MonkeyPatch, **settings: Any
) -> AsyncIterator[Site]:
    """Run a server; all of it is real but its listening socket and the cost of passwords."""
    monkeypatch.setattr(passwords, "HASHER", CHEAP_HASHER)

    doors: list[Serve] = []

    async def listen(serve: Serve, *_: Any, **__: Any) -> Any:
        doors.append(serve)

        async def wait_closed() -> None:
            pass

        socket = SimpleNamespace(getsockname=lambda: ("nowhere", 0))
        return SimpleNamespace(sockets=[socket], close=lambda: None, wait_closed=wait_closed)

    monkeypatch.setattr(server_module, "serve", listen)
    settings.setdefault("sign_in_attempts_per_minute", 10**6)
    settings.setdefault("address_attempts_per_minute", 10**6)
    with quiet():
        async with run_server(Config(data=data, port=0, **settings)) as server:
            yield Site(server, doors[0])


@contextmanager
def quiet() -> Iterator[None]:
    """Log errors only: what a raid makes a server say is megabytes."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    try:
        yield
    finally:
        structlog.configure(**before)
