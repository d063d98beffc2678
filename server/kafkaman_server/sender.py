"""Sends on a connection, and cuts it when its peer takes nothing any more.

A ping cannot tell: it would wait behind what the peer does not take.
"""

from __future__ import annotations

import asyncio
from typing import Final

from websockets.asyncio.server import ServerConnection

# However slow a link is, some bytes pass in this time.
STALL_SECONDS: Final = 30.0


class Sender:
    """Sends one message at a time."""

    __slots__ = ("_connection",)

    def __init__(self, connection: ServerConnection) -> None:
        self._connection = connection

    async def send(self, data: bytes) -> None:
        """Send a message; returns when the transport has room for more."""
        watch = _Watch(self._connection.transport)
        try:
            await self._connection.send(data)
        finally:
            watch.stop()


class _Watch:
    """Aborts a transport whose backlog has not shrunk between two looks."""

    __slots__ = ("_backlog", "_timer", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._backlog: int | None = None
        self._timer = self._later()

    def stop(self) -> None:
        """Watch no more."""
        self._timer.cancel()

    def _later(self) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(STALL_SECONDS, self._look)

    def _look(self) -> None:
        backlog = self._transport.get_write_buffer_size()
        if self._backlog is not None and backlog >= self._backlog:
            self._transport.abort()
            return
        self._backlog = backlog
        self._timer = self._later()
