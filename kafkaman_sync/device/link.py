"""One WebSocket to the server: messages out, batches of messages in, and what faults mean.

A LinkError's code tells the state machine where to go: `network.*` means that no server was
reached, everything else that one was, and that something is wrong with it or with us.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Final
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidMessage,
    InvalidStatus,
    InvalidURI,
)
from websockets.typing import Subprotocol

from kafkaman_sync.__about__ import __version__
from kafkaman_sync.device.tape import Tape
from kafkaman_sync.errors import LinkError, RefusedError, UsageError, WireError
from kafkaman_sync.model.limits import MESSAGE_BYTES_MAX, MIB
from kafkaman_sync.protocol.codec import decode, encode
from kafkaman_sync.protocol.messages import SUBPROTOCOL, Call, Goodbye, Message, Reply

OPEN_SECONDS_MAX: Final = 10.0
CLOSE_SECONDS_MAX: Final = 2.0
CALL_SECONDS_MAX: Final = 30.0
# Together at most 30 seconds until a dead server is noticed.
SILENCE_SECONDS: Final = 20.0
PONG_SECONDS_MAX: Final = 9.0
# Frames taken from the socket and not yet applied; a transaction takes all of them.
WAITING_BYTES_MAX: Final = 4 * MIB


class Link:
    """An open connection; made by `Link.open` only."""

    def __init__(self, socket: ClientConnection, address: str, tape: Tape) -> None:
        self._socket = socket
        self._address = address
        self._tape = tape
        self._number = tape.opened()
        self._frames: deque[bytes] = deque()
        self._frames_bytes = 0
        self._arrived = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()
        self._heard = False
        self._closed: LinkError | None = None
        self._look_now = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, tape: Tape | None = None) -> AsyncIterator[Link]:
        """Connect to the server at `url` and keep watch over the connection inside the block.

        What passes is noted on `tape`.
        """
        tape = tape or Tape()
        socket = await _connect(url)
        link = cls(socket, address_of(url), tape)
        tasks = [asyncio.create_task(link._read()), asyncio.create_task(link._watch())]
        try:
            yield link
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            tape.closed(link._number, "" if link._closed is None else link._closed.code)
            with suppress(OSError):
                await socket.close()

    async def send(self, message: Message) -> None:
        """Send a message; returns when the socket has room for the next one."""
        frame = encode(message)
        self._tape.sent(self._number, message, frame)
        try:
            await self._socket.send(frame)
        except ConnectionClosed as error:
            raise self._why(error) from error

    async def receive(self) -> list[Message]:
        """Return every message that has arrived, at least one, in order.

        What arrived before the connection broke is returned before the error is raised.
        """
        while not self._frames:
            if self._closed is not None:
                raise self._closed
            self._arrived.clear()
            await self._arrived.wait()
        frames = list(self._frames)
        self._frames.clear()
        self._frames_bytes = 0
        self._drained.set()
        return [decode(frame) for frame in frames]

    def look(self) -> None:
        """Check now whether the server is still there: the network may have changed."""
        self._look_now.set()

    async def _read(self) -> None:
        try:
            async for frame in self._socket:
                self._heard = True
                if isinstance(frame, str):
                    self._closed = LinkError("The server sent text.", code="wire.invalid")
                    break
                self._tape.came(self._number, frame)
                self._frames.append(frame)
                self._frames_bytes += len(frame)
                self._arrived.set()
                if self._frames_bytes >= WAITING_BYTES_MAX:
                    self._drained.clear()
                    await self._drained.wait()
            self._closed = self._why(None)
        except ConnectionClosed as error:
            self._closed = self._why(error)
        finally:
            self._arrived.set()

    async def _watch(self) -> None:
        """Close the connection when the server has been silent and does not answer a ping.

        The library's own keepalive would also close it while we are busy applying, for its pongs
        queue behind the frames that we have not taken.
        """
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(SILENCE_SECONDS):
                    await self._look_now.wait()
            asked = self._look_now.is_set()
            self._look_now.clear()
            quiet = not self._heard and self._drained.is_set()
            self._heard = False
            if quiet or asked:
                await self._ping()

    async def _ping(self) -> None:
        try:
            async with asyncio.timeout(PONG_SECONDS_MAX):
                await (await self._socket.ping())
        except TimeoutError:
            if self._heard or not self._drained.is_set():
                return
            self._closed = LinkError(
                f"The server at {self._address} does not answer any more.", code="network.silent"
            )
            self._arrived.set()
            self._socket.transport.abort()
        except ConnectionClosed:
            pass  # the reader says why

    def _why(self, error: ConnectionClosed | None) -> LinkError:
        if self._closed is not None:
            return self._closed
        received = error.rcvd if error is not None else None
        reason = f" ({received.reason})" if received is not None and received.reason else ""
        return LinkError(
            f"The connection to {self._address} was closed{reason}.", code="network.dropped"
        )


async def ask(
    url: str, method: str, params: Mapping[str, Any], tape: Tape | None = None
) -> dict[str, Any]:
    """Make one call over a connection of its own, before any hello; return its result.

    Raises RefusedError for what the server answers, LinkError for everything on the way.
    """
    async with Link.open(url, tape) as link:
        try:
            async with asyncio.timeout(CALL_SECONDS_MAX):
                await link.send(Call(1, method, params))
                while True:
                    for message in await link.receive():
                        if isinstance(message, Reply) and message.id == 1:
                            return _result(message)
                        if isinstance(message, Goodbye):
                            raise RefusedError(
                                message.message,
                                code=message.code,
                                retry_after=message.retry_after,
                            )
        except TimeoutError:
            raise LinkError(
                f"The server at {address_of(url)} took longer than {CALL_SECONDS_MAX:g} s.",
                code="network.silent",
                hint="Try again.",
            ) from None
        except WireError as error:
            raise _foreign(address_of(url)) from error


def _result(reply: Reply) -> dict[str, Any]:
    if reply.error is not None:
        raise RefusedError.from_dict(dict(reply.error))
    return dict(reply.result or {})


def check_url(url: str) -> str:
    """Return a server's URL in one spelling; UsageError `server.invalid_url` for anything else."""
    text = url.strip()
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    usual = parts.scheme in ("ws", "wss") and parts.hostname
    if not usual or parts.username or parts.password or parts.query or parts.fragment or port == 0:
        raise UsageError(
            "The server's address is not one of the form ws://HOST:PORT or wss://HOST.",
            code="server.invalid_url",
            hint="Ask whoever runs the server for its address.",
        )
    return text if parts.path else f"{text}/"


def address_of(url: str) -> str:
    """Return host and port for messages."""
    return urlsplit(url).netloc


async def _connect(url: str) -> ClientConnection:
    address = address_of(url)
    try:
        socket = await connect(
            url,
            subprotocols=[Subprotocol(SUBPROTOCOL)],
            compression=None,
            proxy=None,
            max_size=MESSAGE_BYTES_MAX,
            open_timeout=OPEN_SECONDS_MAX,
            close_timeout=CLOSE_SECONDS_MAX,
            ping_interval=None,
            user_agent_header=f"kafkaman-sync/{__version__}",
        )
    except TimeoutError as error:
        raise _unreachable(address, f"did not answer within {OPEN_SECONDS_MAX:g} s") from error
    except ssl.SSLError as error:
        raise LinkError(
            f"The certificate of {address} cannot be trusted: {error.reason}.",
            code="server.certificate",
            hint="Check the address and the server's certificate.",
        ) from error
    except OSError as error:
        raise _unreachable(address, _reason(error)) from error
    except InvalidURI as error:
        raise LinkError(
            "The server's address is not legal.",
            code="server.invalid_url",
            hint="Sign out and sign in again with the right address.",
        ) from error
    except InvalidStatus as error:
        raise _refused_http(address, error.response.status_code) from error
    except InvalidMessage as error:
        if isinstance(error.__cause__, EOFError):
            raise _unreachable(address, "closed the connection before answering") from error
        raise _foreign(address) from error
    except InvalidHandshake as error:
        raise _foreign(address) from error
    if socket.subprotocol != SUBPROTOCOL:
        await socket.close()
        raise LinkError(
            f"The server at {address} does not speak {SUBPROTOCOL}.",
            code="server.version",
            hint="Update kafkaman sync on this device or on the server.",
        )
    return socket


def _reason(error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "refused the connection"
    if isinstance(error, ConnectionResetError):
        return "closed the connection"
    # Several addresses of one name fail as one error, without a number of its own.
    text = error.strerror or str(error)
    return f"cannot be reached: {text}"


def _unreachable(address: str, what: str) -> LinkError:
    return LinkError(
        f"The server at {address} {what}.",
        code="network.unreachable",
        hint="Check the network and whether the server runs; `kafkaman retry` tries again now.",
    )


def _foreign(address: str) -> LinkError:
    return LinkError(
        f"What answers at {address} is not a kafkaman server.",
        code="server.foreign",
        hint="Check the server's address and port.",
    )


def _refused_http(address: str, status: int) -> LinkError:
    if status in (502, 503, 504, 429):
        return LinkError(
            f"The proxy at {address} cannot reach the server (HTTP status {status}).",
            code="server.unavailable",
            hint="Wait, or ask whoever runs the server.",
        )
    return _foreign(address)
