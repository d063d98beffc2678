"""A connection from its first message: small calls by anybody, then a hello, then a session."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import structlog
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from kafkaman_server.greeting import greet
from kafkaman_server.session import GOODBYE_SECONDS, REPLACED, Session
from kafkaman_server.shared import Shared
from kafkaman_server.watching import Watchers
from kafkaman_sync.errors import StoreError, WireError
from kafkaman_sync.model.limits import MESSAGE_BYTES_MAX
from kafkaman_sync.protocol.codec import decode, encode
from kafkaman_sync.protocol.messages import Call, Goodbye, Hello

# How long a connection may be silent before its hello, and how often it may call.
HELLO_SECONDS: Final = 10.0
ANONYMOUS_CALLS_MAX: Final = 16

STOPPING: Final = Goodbye("server.stopping", "The server stops, and may be back soon.", 2.0)

_log = structlog.get_logger("connection")


@dataclass(slots=True)
class Door:
    """What a new connection meets."""

    shared: Shared
    epoch: str
    devices_max: int
    clock: Callable[[], int]
    address_of: Callable[[ServerConnection], str]
    open_connections: int = 0
    watchers: Watchers = field(default_factory=Watchers)

    async def serve(self, connection: ServerConnection) -> None:
        """Serve one connection to its end; nothing that happens to it reaches another one."""
        self.open_connections += 1
        self.watchers.meet(connection)
        try:
            await self._serve(connection)
        except ConnectionClosed:
            pass
        except WireError as error:
            await _close(connection, Goodbye("protocol.violation", error.message))
        except Exception as error:  # noqa: BLE001 - the edge: a fault in one session ends only that
            _log_fault(error)
            await _close(connection, Goodbye("server.failed", "The server failed.", 5.0))
        finally:
            self.open_connections -= 1
            self.watchers.part(connection)

    async def _serve(self, connection: ServerConnection) -> None:
        session = await self._greet(connection)
        if session is None:
            return
        if self.shared.hub.closed:
            await _close(connection, STOPPING)
            return
        # A connection may be idle for days: what only its start needed goes now.
        for handshake in (connection.request, connection.response):
            if handshake is not None:
                handshake.headers.clear()
        # Only who has signed in may send what needs more memory.
        connection.protocol.max_message_size = MESSAGE_BYTES_MAX
        _log.info("device connected", device=session.device)
        self.watchers.know(connection, session.device, session.account)
        await session.run()
        _log.info("device disconnected", device=session.device)

    async def _greet(self, connection: ServerConnection) -> Session | None:
        """Return the session of a device that may sync; None when there is none."""
        hello = await self._wait_for_hello(connection)
        if hello is None:
            return None
        answer = await greet(
            self.shared.storage,
            hello,
            epoch=self.epoch,
            devices_max=self.devices_max,
            clock=self.clock,
            replaced=self._replace,
        )
        if isinstance(answer, Goodbye):
            _log.info("hello refused", device=hello.device, code=answer.code)
            await _close(connection, answer)
            return None
        return Session(connection, self.shared, answer.welcome, answer.starts, answer.confirmed_op)

    def _replace(self, device: str) -> None:
        self.shared.hub.close_device(device, REPLACED)
        self.shared.journal.drop(device)

    async def _wait_for_hello(self, connection: ServerConnection) -> Hello | None:
        """Answer calls until a hello comes; None when none came in time."""
        for _ in range(ANONYMOUS_CALLS_MAX + 1):
            try:
                async with asyncio.timeout(HELLO_SECONDS):
                    data = await connection.recv()
            except TimeoutError:
                await _close(connection, Goodbye("network.slow", "No hello came in time."))
                return None
            if isinstance(data, str):
                raise WireError("Messages are binary, not text.")
            message = decode(data)
            if isinstance(message, Hello):
                return message
            if not isinstance(message, Call):
                raise WireError("The first message is a call or a hello.")
            address = self.address_of(connection)
            await connection.send(
                encode(await self.shared.calls.answer_anonymous(message, address))
            )
        raise WireError("Too many calls came before a hello.")


async def _close(connection: ServerConnection, goodbye: Goodbye) -> None:
    """Send a goodbye and close, whether the peer reads or not."""
    abort = asyncio.get_running_loop().call_later(GOODBYE_SECONDS, connection.transport.abort)
    try:
        await connection.send(encode(goodbye))
        await connection.close(reason=goodbye.code)
    except ConnectionClosed:
        pass
    finally:
        abort.cancel()


def _log_fault(error: Exception) -> None:
    """Log a fault of the disk in words, anything else with its place in the code."""
    cause: BaseException = error
    while isinstance(cause, BaseExceptionGroup) and len(cause.exceptions) == 1:
        cause = cause.exceptions[0]
    if isinstance(cause, StoreError):
        _log.error("session failed", code=cause.code, reason=cause.message, hint=cause.hint)
    else:
        _log.error("session failed", exc_info=cause)
