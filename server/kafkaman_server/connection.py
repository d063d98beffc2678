"""A connection from its first message: small calls by anybody, then a hello, then a session."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from kafkaman_server.greeting import Greeting, greet
from kafkaman_server.session import GOODBYE_SECONDS, Session, Shared
from kafkaman_sync.errors import StoreError, WireError
from kafkaman_sync.model.limits import MESSAGE_BYTES_MAX
from kafkaman_sync.protocol.codec import decode, encode
from kafkaman_sync.protocol.messages import Call, Goodbye, Hello

# How long a connection may be silent before its hello.
HELLO_SECONDS: Final = 10.0

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

    async def serve(self, connection: ServerConnection) -> None:
        """Serve one connection to its end; nothing that happens to it reaches another one."""
        self.open_connections += 1
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

    async def _serve(self, connection: ServerConnection) -> None:
        hello = await self._wait_for_hello(connection)
        if hello is None:
            return
        answer = await greet(
            self.shared.storage,
            hello,
            epoch=self.epoch,
            devices_max=self.devices_max,
            clock=self.clock,
        )
        if isinstance(answer, Goodbye):
            _log.info("hello refused", device=hello.device, code=answer.code)
            await _close(connection, answer)
            return
        await self._hold_session(connection, answer)

    async def _hold_session(self, connection: ServerConnection, greeting: Greeting) -> None:
        # Only who has signed in may send what needs more memory.
        connection.protocol.max_message_size = MESSAGE_BYTES_MAX
        session = Session(
            connection, self.shared, greeting.welcome, greeting.starts, greeting.confirmed_op
        )
        _log.info("device connected", device=session.device)
        await session.run()
        _log.info("device disconnected", device=session.device)

    async def _wait_for_hello(self, connection: ServerConnection) -> Hello | None:
        """Answer calls until a hello comes; None when none came in time."""
        while True:
            try:
                async with asyncio.timeout(HELLO_SECONDS):
                    data = await connection.recv()
            except TimeoutError:
                await _close(connection, Goodbye("protocol.violation", "No hello came in time."))
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
