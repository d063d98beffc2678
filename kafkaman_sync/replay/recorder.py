"""Records a daemon or a server into a capture: what its ring holds, or what happens from now on."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgpack

from kafkaman_server.watching import SOCKET
from kafkaman_sync.client.connection import close_streams, open_streams, read_messages
from kafkaman_sync.device import rpc
from kafkaman_sync.device.launch import Streams
from kafkaman_sync.device.paths import Home
from kafkaman_sync.errors import ControlError, ReplayError, WireError
from kafkaman_sync.model.limits import MESSAGE_BYTES_MAX
from kafkaman_sync.protocol.recording import Recorded, Sort, decode_recorded
from kafkaman_sync.replay.capture import MAGIC, CaptureWriter, Header
from kafkaman_sync.replay.redaction import Redaction

_BLOCK_BYTES_MAX: Final = MESSAGE_BYTES_MAX + 64 * 1024
_FLUSH_SECONDS: Final = 1.0
_SERVER_FILE: Final = "kafkaman.db"
_HOME_FILES: Final = ("daemon.lock", "device.json", "control.sock", "scratch.db")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to keep, and where; see `Redaction`."""

    path: Path
    values: bool = False
    names: bool = True
    force: bool = False


@dataclass(slots=True)
class Summary:
    """What was recorded."""

    path: Path
    seconds: float = 0.0
    bytes: int = 0
    records: dict[Sort, int] = field(default_factory=dict)
    lost: int = 0
    ended: str = ""
    """Why the recording ended by itself, for people."""

    @property
    def frames(self) -> int:
        """How many frames there are."""
        return self.records.get(Sort.UP, 0) + self.records.get(Sort.DOWN, 0)


@dataclass(frozen=True, slots=True)
class Target:
    """What can be recorded: a daemon by its home, or a server by its data folder."""

    home: Home | None = None
    data: Path | None = None

    @classmethod
    def find(cls, path: Path) -> Target:
        """Recognise a folder by what is in it. Raises ReplayError `replay.no_target`."""
        if (path / SOCKET).exists() or (path / _SERVER_FILE).is_file():
            return cls(data=path)
        home = Home.find(path)
        if home.socket.exists() or any((path / name).exists() for name in _HOME_FILES):
            return cls(home=home)
        raise ReplayError(
            f"{path} is neither a device's home nor a server's data folder.",
            code="replay.no_target",
            hint="Name the folder that KAFKAMAN_HOME names, or the server's --data.",
        )


async def record_last(home: Home, wanted: Wanted) -> Summary:
    """Write out what the ring of a running daemon holds."""
    streams = await open_streams(home, start=False)
    try:
        answer = await _call(streams, "record_last")
    finally:
        await close_streams(streams)
    with _writing(wanted, _header(wanted, "daemon", answer, last=True)) as (keep, summary):
        for record in map(_from_params, answer["records"]):
            keep(record)
    return summary


async def record(target: Target, wanted: Wanted, seconds: float | None) -> Summary:
    """Record for so many seconds; without, until the task is cancelled or the target ends."""
    source = _daemon(target.home) if target.home is not None else _server(target.data)
    async with aclosing(source) as stream:
        first = await anext(stream)
        assert isinstance(first, dict)
        what = "daemon" if target.home is not None else "server"
        with _writing(wanted, _header(wanted, what, first)) as (keep, summary):
            try:
                async with asyncio.timeout(seconds):
                    await _keep_all(stream, keep)
                summary.ended = f"The {what} has ended."
            except TimeoutError:
                pass
            except asyncio.CancelledError:
                pass  # Ctrl-C: how a recording is ended
            except ControlError as error:
                summary.ended = error.message
    return summary


Keep = Callable[[Recorded | None], None]
"""Takes each record; None, when there is none just now, brings what was taken into the file."""


async def _keep_all(stream: AsyncIterator[Any], keep: Keep) -> None:
    async for record in stream:
        keep(record)


@contextmanager
def _writing(wanted: Wanted, header: Header) -> Iterator[tuple[Keep, Summary]]:
    """Write a capture inside the block."""
    _check_output(wanted)
    summary = Summary(wanted.path)
    redaction = Redaction(values=wanted.values, names=wanted.names)
    began = time.monotonic()
    with CaptureWriter.create(wanted.path, header, force=wanted.force) as writer:

        def keep(record: Recorded | None) -> None:
            if record is None:
                writer.flush()
                return
            kept = redaction.record(record)
            writer.add(kept)
            summary.records[kept.sort] = summary.records.get(kept.sort, 0) + 1
            if kept.sort is Sort.LOST:
                summary.lost += int(kept.facts.get("records", 0))

        yield keep, summary
        summary.seconds = time.monotonic() - began
    summary.bytes = wanted.path.stat().st_size


def _check_output(wanted: Wanted) -> None:
    """Refuse to write over what is no capture, however it is asked for."""
    if not wanted.force or not wanted.path.is_file():
        return
    with wanted.path.open("rb") as file:
        start = file.read(len(MAGIC))
    if start and start != MAGIC:
        raise ReplayError(
            f"{wanted.path} is no capture, and is not written over.",
            code="replay.output_exists",
            hint="Choose another name with -o.",
        )


def _header(wanted: Wanted, what: str, facts: dict[str, Any], *, last: bool = False) -> Header:
    return Header(
        what=what,
        began_ms=time.time_ns() // 1_000_000,
        last=last,
        values=wanted.values,
        names=wanted.names,
        device=str(facts.get("device", "")),
        account=str(facts.get("account", "")),
    )


async def _call(streams: Streams, method: str) -> dict[str, Any]:
    reader, writer = streams
    writer.write(rpc.request(1, method, {}))
    await writer.drain()
    async for message in read_messages(reader):
        if message.get("error") is not None:
            raise rpc.read_failure(message["error"])
        if message.get("id") == 1:
            result: dict[str, Any] = message["result"]
            return result
    raise ControlError("The daemon has ended.", code="daemon.gone", hint="Run `kafkaman up`.")


async def _daemon(home: Home | None) -> AsyncGenerator[Any, None]:
    """Yield what the daemon says of itself, then its records, and None where nothing happens."""
    assert home is not None
    streams = await open_streams(home, start=False)
    try:
        answer = await _call(streams, "record")
        yield answer
        for params in answer["records"]:
            yield _from_params(params)
        async for message in _paced(read_messages(streams[0])):
            if message is None:
                yield None
            elif message.get("error") is not None:
                raise rpc.read_failure(message["error"])
            elif message.get("method") == "recorded":
                yield _from_params(message["params"])
    finally:
        await close_streams(streams)


async def _server(data: Path | None) -> AsyncGenerator[Any, None]:
    """Yield what the server says of itself, then its records, and None where nothing happens."""
    assert data is not None
    reader, writer = await _open_socket(data / SOCKET)
    try:
        header = msgpack.unpackb(await _block(reader) or b"\x80")
        if not isinstance(header, dict) or header.get("busy") or "server" not in header:
            raise ReplayError(
                "As many programs as may watch this server do so already.",
                code="replay.busy",
                hint="End one of the other recordings.",
            )
        yield header
        async for block in _paced(_blocks(reader)):
            yield None if block is None else _legible(block)
    finally:
        await close_streams((reader, writer))


async def _open_socket(path: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    try:
        return await asyncio.open_unix_connection(path)
    except OSError as error:
        raise ReplayError(
            f"No running server lets itself be watched at {path}.",
            code="replay.not_running",
            hint="Start it; its data folder's path may have about 90 characters, and only its own "
            "user can watch it.",
        ) from error


async def _blocks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while (block := await _block(reader)) is not None:
        yield block


async def _block(reader: asyncio.StreamReader) -> bytes | None:
    """Return the next block; None at the end."""
    try:
        size = int.from_bytes(await reader.readexactly(4), "big")
        return await reader.readexactly(size) if size <= _BLOCK_BYTES_MAX else None
    except (asyncio.IncompleteReadError, OSError):
        return None


def _legible(block: bytes) -> Recorded:
    try:
        return decode_recorded(block)
    except WireError as error:
        raise ReplayError(
            "What the server says of its conversations is not legible.",
            code="replay.foreign",
            hint="Use the release of `kafkaman` that the server has.",
        ) from error


async def _paced(items: AsyncIterator[Any]) -> AsyncIterator[Any]:
    """Yield each item, and None for each second in which none came."""
    following = asyncio.ensure_future(anext(items, _END))
    try:
        while True:
            done, _ = await asyncio.wait({following}, timeout=_FLUSH_SECONDS)
            if not done:
                yield None
                continue
            item = following.result()
            if item is _END:
                return
            yield item
            following = asyncio.ensure_future(anext(items, _END))
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


_END: Final = object()


def _from_params(params: dict[str, Any]) -> Recorded:
    try:
        return Recorded(
            Sort(params["sort"]),
            int(params["at_us"]),
            int(params["wall_ms"]),
            int(params["connection"]),
            base64.b64decode(params["data"], validate=True),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise ReplayError(
            "What the daemon says of its conversations is not legible.",
            code="replay.foreign",
            hint="`kafkaman down` ends it; the next command starts the one of this release.",
        ) from error
