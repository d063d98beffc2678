"""The pages of a database file that SQLite itself cannot read any more.

Every leaf page is looked at for itself, whether a tree still leads to it or not, so that neither a
lost header nor a lost root hides what the other pages hold. For that reason a row found here may be
one that was deleted long ago. Format: https://www.sqlite.org/fileformat2.html
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

Value = None | int | float | str | bytes

PAGE_SIZES: Final = (8192, 4096)
"""The bytes of a page, as this release and the earlier ones write them."""

HEADER_BYTES: Final = 100
MAGIC: Final = b"SQLite format 3\x00"

_WAL_MAGIC: Final = (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83")
_WAL_HEADER_BYTES: Final = 32
_FRAME_HEADER_BYTES: Final = 24
_TABLE_LEAF: Final = 0x0D
_INDEX_LEAF: Final = 0x0A
# A value of 16 MiB takes 4,100 overflow pages.
_CHAIN_PAGES_MAX: Final = 16_384
_SIZES: Final = {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8, 7: 8, 8: 0, 9: 0}


class Row(NamedTuple):
    """A row as a leaf page holds it; `rowid` is None for tables without one."""

    rowid: int | None
    values: tuple[Value, ...]


class Pages:
    """The pages of a file, each of so many bytes, with those of its WAL over them."""

    def __init__(self, data: bytes, wal: bytes = b"", size: int = PAGE_SIZES[0]) -> None:
        self._data = data
        self._size = size
        self._over = dict(_frames(wal, size))

    @classmethod
    def read(cls, path: Path) -> Pages:
        """Read a database and its WAL. Raises OSError."""
        beside = path.with_name(path.name + "-wal")
        data, wal = path.read_bytes(), beside.read_bytes() if beside.is_file() else b""
        size = _named_size(data, wal)
        if size is not None:
            return cls(data, wal, size)
        # Nothing names it any more: it is the one by which the pages make most sense.
        return max((cls(data, wal, each) for each in PAGE_SIZES), key=Pages._count)

    def _count(self) -> int:
        return sum(1 for _ in self.rows(lambda _: True))

    def __len__(self) -> int:
        """Count the pages, a last one that is cut off left out."""
        return max(len(self._data) // self._size, *self._over, 0)

    def get(self, number: int) -> bytes:
        """Return a page by its number, from 1 on; nothing for one that is not there."""
        found = self._over.get(number)
        if found is None:
            found = self._data[(number - 1) * self._size : number * self._size]
        return found if len(found) == self._size else b""

    def flat(self, header: bytes) -> Iterator[bytes]:
        """Yield all pages as one file without a WAL; its header is `header` if it has none."""
        for number in range(1, len(self) + 1):
            page = bytearray(self.get(number) or bytes(self._size))
            if number == 1:
                if page[: len(MAGIC)] != MAGIC:
                    page[:HEADER_BYTES] = header[:HEADER_BYTES]
                page[16:18] = struct.pack(">H", self._size)
                page[18:20] = b"\x01\x01"  # a rollback journal: no WAL belongs to it
                page[28:32] = struct.pack(">I", len(self))
                page[24:28] = page[92:96]  # makes that count of pages the valid one
            yield bytes(page)

    def rows(self, wanted: Callable[[int], bool]) -> Iterator[Row]:
        """Yield each row of the leaf pages whose number of columns is `wanted`."""
        for number in range(1, len(self) + 1):
            page = self.get(number)
            start = HEADER_BYTES if number == 1 else 0
            if not page or page[start] not in (_TABLE_LEAF, _INDEX_LEAF):
                continue
            (count,) = struct.unpack_from(">H", page, start + 3)
            for index in range(min(count, self._size // 4)):
                row = self._cell(page, start, index, wanted)
                if row is not None:
                    yield row

    def _cell(
        self, page: bytes, start: int, index: int, wanted: Callable[[int], bool]
    ) -> Row | None:
        try:
            (at,) = struct.unpack_from(">H", page, start + 8 + 2 * index)
            size, at = _varint(page, at)
            rowid: int | None = None
            if page[start] == _TABLE_LEAF:
                rowid, at = _varint(page, at)
            local = _local_bytes(size, self._size, table=rowid is not None)
            types = _types(page[at : at + local])
            if not wanted(len(types)):
                return None
            payload = page[at : at + local]
            if local < size:
                payload += self._chain(page[at + local : at + local + 4], size - local)
            if len(payload) != size:
                return None
            return Row(rowid, tuple(_values(payload, types)))
        except (struct.error, IndexError, ValueError):
            return None  # not a cell any more

    def _chain(self, pointer: bytes, size: int) -> bytes:
        parts: list[bytes] = []
        (following,) = struct.unpack(">I", pointer)
        while size > 0 and following and len(parts) < _CHAIN_PAGES_MAX:
            page = self.get(following)
            (following,) = struct.unpack_from(">I", page)
            parts.append(page[4 : 4 + size])
            size -= len(parts[-1])
        return b"".join(parts)


def _named_size(data: bytes, wal: bytes) -> int | None:
    """Return the size of a page as the header of the file, or of its WAL, names it."""
    named = 0
    if data[: len(MAGIC)] == MAGIC and len(data) >= HEADER_BYTES:
        (named,) = struct.unpack_from(">H", data, 16)
    elif wal[:4] in _WAL_MAGIC and len(wal) >= _WAL_HEADER_BYTES:
        (named,) = struct.unpack_from(">I", wal, 8)
    return named if named in PAGE_SIZES else None


def _frames(wal: bytes, size: int) -> Mapping[int, bytes]:
    """Return the latest page of each number in a WAL; frames of an earlier round are left out."""
    found: dict[int, bytes] = {}
    salts = wal[16:24]
    step = _FRAME_HEADER_BYTES + size
    for at in range(_WAL_HEADER_BYTES, len(wal) - step + 1, step):
        (number,) = struct.unpack_from(">I", wal, at)
        if wal[at + 8 : at + 16] == salts and 0 < number <= len(wal) + (1 << 24):
            found[number] = wal[at + _FRAME_HEADER_BYTES : at + step]
    return found


def _local_bytes(size: int, page: int, *, table: bool) -> int:
    """Return how much of a payload lies on the leaf page itself, which has `page` bytes."""
    most = page - 35 if table else (page - 12) * 64 // 255 - 23
    if size <= most:
        return size
    least = (page - 12) * 32 // 255 - 23
    local = least + (size - least) % (page - 4)
    return local if local <= most else least


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for index in range(8):
        byte = data[at + index]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + index + 1
    value = value << 8 | data[at + 8]
    return (value - (1 << 64) if value >> 63 else value), at + 9


def _types(payload: bytes) -> list[int]:
    end, at = _varint(payload, 0)
    types: list[int] = []
    while at < end:
        kind, at = _varint(payload, at)
        types.append(kind)
    return types


def _values(payload: bytes, types: list[int]) -> Iterator[Value]:
    at, _ = _varint(payload, 0)
    for kind in types:
        size = _SIZES[kind] if kind < 10 else (kind - 12) // 2
        data = payload[at : at + size]
        if kind in (10, 11) or len(data) != size:
            raise ValueError("not a record")
        at += size
        yield _value(kind, data)


def _value(kind: int, data: bytes) -> Value:
    if kind == 0:
        return None
    if kind in (8, 9):
        return kind - 8
    if kind == 7:
        return float(struct.unpack(">d", data)[0])
    if kind < 7:
        return int.from_bytes(data, "big", signed=True)
    return data if kind % 2 == 0 else data.decode("utf-8")
