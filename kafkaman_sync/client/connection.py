"""A connection to the daemon's control socket: calls with answers, and one subscription's stream.

Calls may overlap; each gets its own answer. A subscription has a connection of its own, so that a
slow reader holds up nobody but itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import count
from typing import Any

from kafkaman_sync.device import rpc
from kafkaman_sync.device.launch import Streams, connect, connect_or_start
from kafkaman_sync.device.paths import Home
from kafkaman_sync.errors import ControlError

Json = dict[str, Any]


class Connection:
    """An open connection; made by `Connection.open` only."""

    def __init__(self, streams: Streams) -> None:
        self._reader, self._writer = streams
        self._numbers = count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}

    @classmethod
    @asynccontextmanager
    async def open(cls, home: Home, *, start: bool) -> AsyncIterator[Connection]:
        """Connect to the daemon of `home`; with `start`, start it if it does not run."""
        streams = await open_streams(home, start=start)
        connection = cls(streams)
        reading = asyncio.create_task(connection._read())
        try:
            yield connection
        finally:
            reading.cancel()
            with suppress(asyncio.CancelledError):
                await reading
            await close_streams(streams)

    async def call(self, method: str, **params: Any) -> Any:
        """Return the result of a call, or raise its error; None parameters are left out."""
        number = next(self._numbers)
        given = {name: value for name, value in params.items() if value is not None}
        line = rpc.request(number, method, given)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            self._writer.write(line)
            await self._writer.drain()
            return await answer
        except OSError as error:
            if answer.done():
                answer.exception()  # the reader has noticed it too
            raise _gone() from error
        finally:
            self._waiting.pop(number, None)

    async def _read(self) -> None:
        error = _gone()
        try:
            async for message in read_messages(self._reader):
                self._settle(message)
        except ControlError as broken:
            error = broken
        finally:
            # From here on nobody would answer: those who wait, and whoever writes next, must know.
            self._writer.close()
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(error)

    def _settle(self, message: Json) -> None:
        answer = self._waiting.get(message.get("id") or 0)
        if answer is None or answer.done():
            return
        if message.get("error") is not None:
            answer.set_exception(rpc.read_failure(message["error"]))
        else:
            answer.set_result(message.get("result"))


async def subscribe(
    home: Home, method: str, params: Json, *, start: bool
) -> AsyncGenerator[tuple[str, Json], None]:
    """Yield (method, parameters) of each notification that the call `method` asks for.

    Raises ControlError `daemon.gone` when the daemon ends, and what it says when it ends the
    stream (`control.slow_watcher`).
    """
    streams = await open_streams(home, start=start)
    reader, writer = streams
    try:
        writer.write(rpc.request(1, method, params))
        await writer.drain()
        async for message in read_messages(reader):
            if message.get("error") is not None:
                raise rpc.read_failure(message["error"])
            if "method" in message:
                yield message["method"], message.get("params", {})
        raise _gone()
    finally:
        await close_streams(streams)


async def open_streams(home: Home, *, start: bool) -> Streams:
    """Return a connection to the daemon; ControlError `daemon.not_running` when there is none."""
    streams = await (connect_or_start(home) if start else connect(home))
    if streams is None:
        raise ControlError(
            "The daemon is not running.", code="daemon.not_running", hint="Run `kafkaman up`."
        )
    return streams


async def close_streams(streams: Streams) -> None:
    """Close a connection; that the other side was faster is no error."""
    _, writer = streams
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


async def read_messages(reader: asyncio.StreamReader) -> AsyncIterator[Json]:
    """Yield each message until the other side closes."""
    while True:
        try:
            line = await reader.readuntil(b"\n")
        except (asyncio.IncompleteReadError, OSError):
            return
        except asyncio.LimitOverrunError as error:
            raise ControlError(
                "A message of the daemon is too long.", code="control.too_large"
            ) from error
        yield rpc.load_line(line)


def _gone() -> ControlError:
    return ControlError(
        "The daemon has ended.", code="daemon.gone", hint="Run the command again, or `kafkaman up`."
    )
