"""The control socket: JSON-RPC 2.0, one JSON text per line, for this user's programs only.

Each connection has its own tasks and its own bounds, so that a broken, slow or greedy client hurts
nobody else. Requests of one connection may overlap; answers carry the request's id.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import structlog

from kafkaman_sync.device import rpc
from kafkaman_sync.device.feed import Subscription
from kafkaman_sync.device.params import Params
from kafkaman_sync.device.spare import give_back
from kafkaman_sync.errors import ControlError, KafkamanError
from kafkaman_sync.model.limits import MIB

_log: Final = structlog.get_logger(__name__)

# Requests of one connection under way at once; more wait in the socket.
REQUESTS_MAX: Final = 64
CONNECTIONS_MAX: Final = 256
# How long a client that is dropped may take to read why.
FAREWELL_SECONDS: Final = 5.0
# After answers of this size together, a connection's memory is worth giving back.
LARGE_BYTES: Final = 4 * MIB

Method = Callable[["Peer", Params], Awaitable[Any]]


class Peer:
    """One connection's side: what it holds, and how it is spoken to.

    `closing` runs when the connection ends: what a client leaves unfinished goes with it.
    """

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.closing = AsyncExitStack()
        self.stages: dict[int, Any] = {}
        self.pages: dict[int, Any] = {}
        self._writer = writer
        self._tasks: set[asyncio.Task[None]] = set()
        self._said_bytes = 0

    def begin(self, work: Awaitable[None]) -> None:
        """Run `work` until it or the connection ends."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def say(self, line: bytes) -> None:
        """Send a line; waits while the client does not read."""
        self._said_bytes += len(line)
        self._writer.write(line)
        await self._writer.drain()

    async def follow(self, subscription: Subscription) -> None:
        """Send a subscription's lines until the connection ends, or the client falls behind."""
        try:
            async for line in subscription.lines():
                await self.say(line)
        except ControlError as error:
            self._writer.write(rpc.failure(None, error))
            self._writer.close()
            _log.info("watcher dropped", code=error.code)
            await asyncio.sleep(FAREWELL_SECONDS)
            self._writer.transport.abort()
        except OSError:
            pass  # the client is gone; its reader ends the connection

    async def end(self) -> None:
        """Stop everything this connection had begun."""
        for task in list(self._tasks):
            task.cancel()
        try:
            await asyncio.gather(*self._tasks, return_exceptions=True)
        finally:
            await self.closing.aclose()
        self.pages.clear()
        if self._said_bytes > LARGE_BYTES:
            give_back()


class Control:
    """Answers requests from a table of methods."""

    def __init__(self, methods: Mapping[str, Method]) -> None:
        self._methods = methods
        self._peers: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def serve(self, path: Path) -> AsyncIterator[None]:
        """Listen at `path` inside the block; the socket is removed at its end."""
        with suppress(FileNotFoundError):
            path.unlink()  # we hold the lock: whoever made it is dead
        server = await asyncio.start_unix_server(self._meet, path, limit=rpc.LINE_BYTES_MAX)
        path.chmod(0o600)
        try:
            yield
        finally:
            with suppress(FileNotFoundError):
                path.unlink()
            server.close()
            for peer in list(self._peers):
                peer.cancel()
            await asyncio.gather(*self._peers, return_exceptions=True)

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._peers.add(task)
        peer = Peer(writer)
        try:
            await self._read(peer, reader)
        except asyncio.CancelledError:
            pass  # the daemon ends
        except OSError:
            pass  # the client is gone
        finally:
            with suppress(asyncio.CancelledError):
                await peer.end()
            self._peers.discard(task)  # only now: who closes waits for what it had begun
            writer.close()

    async def _read(self, peer: Peer, reader: asyncio.StreamReader) -> None:
        if len(self._peers) > CONNECTIONS_MAX:
            error = ControlError("Too many programs use the daemon.", code="control.busy")
            await peer.say(rpc.failure(None, error))
            return
        free = asyncio.Semaphore(REQUESTS_MAX)
        while True:
            try:
                line = await reader.readuntil(b"\n")
            except asyncio.IncompleteReadError:
                return
            except asyncio.LimitOverrunError:
                error = ControlError(
                    f"A request is longer than {rpc.LINE_BYTES_MAX >> 20} MiB.",
                    code="control.too_large",
                    hint="Split it into smaller ones.",
                )
                await peer.say(rpc.failure(None, error))
                return
            await free.acquire()
            peer.begin(self._answer(peer, line, free))

    async def _answer(self, peer: Peer, line: bytes, free: asyncio.Semaphore) -> None:
        number: object = None
        try:
            message = rpc.load_line(line)
            number = message.get("id")
            answer = rpc.answer(number, await self._call(peer, message))
        except KafkamanError as error:
            answer = rpc.failure(number, error)
        except Exception as error:  # noqa: BLE001 - one client's fault must not end the daemon for all
            _log.exception("request failed", error=type(error).__name__)
            answer = rpc.failure(
                number,
                KafkamanError(
                    f"An internal error ({type(error).__name__}) occurred.",
                    hint="Look into daemon.log.",
                ),
            )
        finally:
            free.release()
        with suppress(OSError):
            await peer.say(answer)

    async def _call(self, peer: Peer, message: dict[str, Any]) -> Any:
        name = message.get("method")
        if not isinstance(name, str) or message.get("jsonrpc") != "2.0":
            raise ControlError(
                "This is not a JSON-RPC 2.0 request.", code="control.invalid_request"
            )
        method = self._methods.get(name)
        if method is None:
            raise ControlError(
                f"The daemon has no method {name[:100]!r}.",
                code="control.unknown_method",
                hint="Is the daemon older than this program? `kafkaman down` ends it; the next "
                "command starts the new one.",
            )
        return await method(peer, Params(message.get("params", {}), name))
