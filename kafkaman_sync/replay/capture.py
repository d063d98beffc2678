"""The capture file: what was recorded, usable up to wherever the file ends.

    file   = MAGIC, version (two bytes), block of the header, blocks of records, block of the end
    block  = what it is (one byte), stored length, length unpacked, CRC-32 of what is stored (four
             bytes each), CRC-32 of the sixteen bytes before it, then what is stored: zlib

Each block is legible by itself. The header is a MessagePack map; a block of records holds an array
of them; the end counts them all. A file without its end was cut off: what is whole before the cut
counts. Numbers are written with their greatest byte first.
"""

from __future__ import annotations

import struct
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from kafkaman_sync.__about__ import __version__
from kafkaman_sync.errors import ReplayError, WireError
from kafkaman_sync.model.limits import MESSAGE_BYTES_MAX, MIB
from kafkaman_sync.protocol.recording import Recorded, Sort, decode_records, encode_records

MAGIC: Final = b"\x89kmcap\r\n"
"""As with PNG: no text begins so, and what changes line endings breaks it at once."""
VERSION: Final = 1
_VERSION: Final = struct.Struct(">H")
_HEAD: Final = struct.Struct(">BIIII")
_COUNT: Final = struct.Struct(">Q")
_HEADER, _RECORDS, _END = range(3)
# A block is written when it holds so much, or is so old: what a crash of the recorder may cost.
BLOCK_BYTES: Final = MIB // 4
BLOCK_SECONDS: Final = 1.0
# A block has at least one record, which may be of the largest message.
_BLOCK_BYTES_MAX: Final = BLOCK_BYTES + MESSAGE_BYTES_MAX + 64 * 1024
_LEVEL: Final = 6


class Header(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a capture says of itself.

    `what` was recorded: `daemon` or `server`. `last`: its ring was written out, else it was
    recorded as it happened. `values` tells whether field values are there as they were, `names`
    whether names and addresses are; if not, hashes stand for them. `device` and `account` are a
    daemon's own ids, where somebody is signed in.
    """

    what: str
    began_ms: int
    last: bool = False
    values: bool = False
    names: bool = True
    device: str = ""
    account: str = ""
    release: str = __version__


@dataclass(slots=True)
class _Block:
    kind: int
    at: int
    data: bytes


class CaptureWriter:
    """Writes a capture; made by `CaptureWriter.create` only."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file = file
        self._path = path
        self._waiting: list[Recorded] = []
        self._bytes = 0
        self._since = 0.0
        self.count = 0

    @classmethod
    @contextmanager
    def create(cls, path: Path, header: Header, *, force: bool = False) -> Iterator[CaptureWriter]:
        """Write a new file inside the block, for its owner only; over an old one with `force`.

        Raises ReplayError `replay.output_exists` and `file.unwritable`.
        """
        try:
            file = path.open("wb" if force else "xb")
        except FileExistsError:
            raise ReplayError(
                f"There is a file {path} already.",
                code="replay.output_exists",
                hint="Choose another name, or write over it with --force.",
            ) from None
        except OSError as error:
            raise _unwritable(path, error) from error
        writer = cls(file, path)
        try:
            writer._begin(header)
            yield writer
            writer.flush()
            writer._write(_END, _COUNT.pack(writer.count))
        finally:
            writer._do(file.close)

    def add(self, record: Recorded) -> None:
        """Add a record; it is in the file at the latest a second, or a quarter MiB, later."""
        if not self._waiting:
            self._since = time.monotonic()
        self._waiting.append(record)
        self._bytes += len(record.data) + 32
        self.count += 1
        if self._bytes >= BLOCK_BYTES or time.monotonic() - self._since > BLOCK_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what was added."""
        if self._waiting:
            self._write(_RECORDS, encode_records(self._waiting))
        self._waiting, self._bytes = [], 0

    def _write(self, kind: int, data: bytes) -> None:
        stored = zlib.compress(data, _LEVEL)
        head = _HEAD.pack(kind, len(stored), len(data), zlib.crc32(stored), 0)[:-4]
        self._put(head + zlib.crc32(head).to_bytes(4, "big") + stored)

    def _begin(self, header: Header) -> None:
        self._do(lambda: self._path.chmod(0o600))
        self._put(MAGIC + _VERSION.pack(VERSION))
        self._write(_HEADER, msgspec.msgpack.encode(header))

    def _put(self, data: bytes) -> None:
        self._do(lambda: self._file.write(data))
        self._do(self._file.flush)

    def _do(self, work: Callable[[], object]) -> None:
        try:
            work()
        except OSError as error:
            raise _unwritable(self._path, error) from error


class Capture:
    """A capture file, open for reading; made by `Capture.open` only."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self.path = path
        self._file = file
        self.cut_off = False
        """Whether the file ends before its end; known once all records were read."""
        self.header = self._read_header()
        self._first = file.tell()

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator[Capture]:
        """Open a capture inside the block.

        Raises ReplayError: `replay.foreign`, `replay.capture_newer`, `replay.capture_damaged`,
        `replay.capture_cut` where not even the header is whole.
        """
        with ExitStack() as stack:
            try:
                file = stack.enter_context(path.open("rb"))
                capture = cls(file, path)
            except OSError as error:
                raise unreadable(path, error) from error
            yield capture

    def records(self) -> Iterator[Recorded]:
        """Yield every record from the first one on, up to where the file was cut off.

        Raises ReplayError `replay.capture_damaged`, naming the place, behind the last record that
        is whole before it.
        """
        self._file.seek(self._first)
        count = 0
        while True:
            block = self._read_block()
            if block is None:
                self.cut_off = True
                return
            if block.kind == _END:
                self._check_end(block, count)
                return
            if block.kind != _RECORDS:
                raise self._damaged(block.at, "is no block of records")
            try:
                records = decode_records(block.data)
            except WireError:
                raise self._damaged(block.at, "holds no legal records") from None
            yield from records
            count += len(records)

    def _check_end(self, block: _Block, count: int) -> None:
        if block.data != _COUNT.pack(count):
            raise self._damaged(block.at, f"counts other than the {count:,} records before it")
        if self._taken(1):
            raise self._damaged(block.at, "is the end, and something follows it")

    def _read_header(self) -> Header:
        start = self._taken(len(MAGIC))
        if not MAGIC.startswith(start) or not start:
            raise ReplayError(
                f"{self.path} is no capture.",
                code="replay.foreign",
                hint="`kafkaman replay record` writes them.",
            )
        version = self._taken(_VERSION.size)
        if len(version) < _VERSION.size:
            raise self._cut()
        (number,) = _VERSION.unpack(version)
        if number != VERSION:
            raise ReplayError(
                f"{self.path} is a capture of version {number}; this release reads {VERSION}.",
                code="replay.capture_newer",
                hint="Read it with the release that wrote it. If it should be of this one, its "
                f"byte {len(MAGIC)} is damaged.",
            )
        block = self._read_block()
        if block is None:
            raise self._cut()
        try:
            if block.kind != _HEADER:
                raise self._damaged(block.at, "is no header")
            return msgspec.msgpack.decode(block.data, type=Header)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise self._damaged(block.at, "is no legal header") from None

    def _read_block(self) -> _Block | None:
        """Return the next block; None where the file was cut off."""
        at = self._file.tell()
        head = self._taken(_HEAD.size)
        if len(head) < _HEAD.size:
            return None
        kind, size, unpacked, check, own_check = _HEAD.unpack(head)
        if zlib.crc32(head[:-4]) != own_check or max(size, unpacked) > _BLOCK_BYTES_MAX:
            raise self._damaged(at, "has a head that does not fit its checksum")
        stored = self._taken(size)
        if len(stored) < size:
            return None
        if zlib.crc32(stored) != check:
            raise self._damaged(at, "does not fit its checksum")
        return _Block(kind, at, self._unpacked(at, stored, unpacked))

    def _unpacked(self, at: int, stored: bytes, size: int) -> bytes:
        unpacker = zlib.decompressobj()
        try:
            data = unpacker.decompress(stored, size + 1)
        except zlib.error:
            raise self._damaged(at, "cannot be unpacked") from None
        if len(data) != size or not unpacker.eof:
            raise self._damaged(at, "unpacks to another size than it says")
        return data

    def _taken(self, size: int) -> bytes:
        """Return the next bytes of the file, so many at most."""
        try:
            return self._file.read(size)
        except OSError as error:
            raise unreadable(self.path, error) from error

    def _damaged(self, at: int, what: str) -> ReplayError:
        return ReplayError(
            f"{self.path} is damaged: the block at byte {at:,} {what}.",
            code="replay.capture_damaged",
            hint="What stands before it can be read once the file ends there, as "
            f"`head -c {at} FILE > COPY` makes it; get another copy for the rest.",
            byte=at,
        )

    def _cut(self) -> ReplayError:
        return ReplayError(
            f"{self.path} was cut off before its first record.",
            code="replay.capture_cut",
            hint="Get another copy, or record again.",
        )


def unreadable(path: Path, error: OSError) -> ReplayError:
    """Return the error for a file of which the system gives nothing."""
    return ReplayError(
        f"{path} cannot be read: {error.strerror}.",
        code="file.not_found" if isinstance(error, FileNotFoundError) else "file.unreadable",
        hint="Check the path and its permissions.",
    )


def _unwritable(path: Path, error: OSError) -> ReplayError:
    return ReplayError(
        f"The file {path} cannot be written: {error.strerror}.",
        code="file.unwritable",
        hint="Choose another place with -o.",
    )


FRAMES: Final = (Sort.UP, Sort.DOWN)
"""The sorts of which `data` is a message."""
