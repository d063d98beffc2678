"""Typed, bounded reading of decoded MessagePack maps; every fault is a WireError."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar

import msgpack

from kafkaman_sync.errors import WireError
from kafkaman_sync.model.limits import (
    FRAME_ITEMS_MAX,
    INTEGER_MAX,
    ITEMS_MAX,
    TEXT_BYTES_MAX,
)

T = TypeVar("T")

# A frame of so many bytes cannot hold enough of them to matter.
_UNCOUNTED_BYTES: Final = 64 * 1024
_PLAIN_DEPTH_MAX: Final = 16
_TEXT: Final = frozenset({str})


def unpack(data: bytes, what: str) -> Record:
    """Decode `data`, which must be exactly one map with text keys, none of them twice."""
    counted = _Counted(FRAME_ITEMS_MAX) if len(data) > _UNCOUNTED_BYTES else None
    try:
        value = msgpack.unpackb(
            data,
            object_pairs_hook=counted.pairs if counted else _unique,
            list_hook=counted.items if counted else None,
            ext_hook=_no_extension,
            max_array_len=ITEMS_MAX,
            max_map_len=ITEMS_MAX,
        )
    except WireError:
        raise
    except (ValueError, RecursionError, msgpack.UnpackException) as error:
        raise WireError(f"{what} is not legal MessagePack.") from error
    return Record(value, what)


class Record:
    """A decoded map, read key by key. Keys that nobody asks for are ignored."""

    __slots__ = ("_map", "_what")

    def __init__(self, value: object, what: str) -> None:
        if not isinstance(value, dict):
            raise WireError(f"{what} is not a map.")
        self._map: dict[str, Any] = value
        self._what = what

    @property
    def whole(self) -> dict[str, Any]:
        """The map itself."""
        return self._map

    def has(self, key: str) -> bool:
        """Tell whether the key is there and not nil."""
        return self._map.get(key) is not None

    def text(self, key: str, default: str | None = None, *, bytes_max: int = TEXT_BYTES_MAX) -> str:
        """Return a string of at most `bytes_max` bytes."""
        value = self._map.get(key, default)
        if not isinstance(value, str) or len(value) > bytes_max:
            raise self.fault(key, f"a string of at most {bytes_max} bytes")
        return value

    def integer(self, key: str, default: int | None = None) -> int:
        """Return an integer from 0 to INTEGER_MAX."""
        value = self._map.get(key, default)
        if type(value) is not int or not 0 <= value <= INTEGER_MAX:
            raise self.fault(key, f"an integer from 0 to {INTEGER_MAX}")
        return value

    def seconds(self, key: str) -> float:
        """Return a finite number that is not negative; 0 if it is missing."""
        value = self._map.get(key, 0)
        if type(value) not in (int, float) or not 0 <= value < math.inf:
            raise self.fault(key, "a number of seconds")
        return float(value)

    def flag(self, key: str) -> bool:
        """Return a boolean; false if it is missing."""
        value = self._map.get(key, False)
        if not isinstance(value, bool):
            raise self.fault(key, "a boolean")
        return value

    def raw(self, key: str, default: bytes | None = None, *, bytes_max: int) -> bytes:
        """Return a byte string of at most `bytes_max` bytes."""
        value = self._map.get(key, default)
        if not isinstance(value, bytes) or len(value) > bytes_max:
            raise self.fault(key, f"a byte string of at most {bytes_max} bytes")
        return value

    def items(self, key: str, read: Callable[[object], T], *, most: int) -> tuple[T, ...]:
        """Return an array of at most `most` items, each through `read`; empty if it is missing."""
        value = self._map.get(key, ())
        if not isinstance(value, list | tuple) or len(value) > most:
            raise self.fault(key, f"an array of at most {most} items")
        return tuple(map(read, value))

    def entries(self, key: str, *, most: int) -> Iterable[tuple[str, Any]]:
        """Return the entries of a nested map of at most `most` keys; none if it is missing."""
        value = self._map.get(key, {})
        if not isinstance(value, dict) or len(value) > most:
            raise self.fault(key, f"a map of at most {most} keys")
        return value.items()

    def plain(self, key: str) -> dict[str, Any]:
        """Return a nested map of JSON-like values (and bytes) of bounded depth."""
        value = self._map.get(key, {})
        if not isinstance(value, dict) or not _is_plain(value, 0):
            raise self.fault(key, "a map of plain values")
        return value

    def choice(self, key: str, known: Mapping[str, T]) -> T:
        """Return what a string stands for."""
        text = self.text(key)
        if text not in known:
            raise self.fault(key, "one of the known names", code="wire.unknown")
        return known[text]

    def fault(self, key: str, expected: str, code: str = "wire.invalid") -> WireError:
        """Return the error that says what the key should have been, without its value."""
        return WireError(f"{self._what}: {key!r} is not {expected}.", code=code)


class _Counted:
    """Counts what a frame holds as it is read, and stops the reading when it is too much."""

    __slots__ = ("_left",)

    def __init__(self, left: int) -> None:
        self._left = left

    def items(self, items: list[Any]) -> list[Any]:
        self._left -= 1 + len(items)
        if self._left < 0:
            raise WireError(f"A frame holds more than {FRAME_ITEMS_MAX:,} items.")
        return items

    def pairs(self, pairs: list[tuple[Any, Any]]) -> dict[str, Any]:
        self.items(pairs)
        return _unique(pairs)


def _unique(pairs: list[tuple[Any, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = dict(pairs)
    if len(result) != len(pairs):
        raise WireError("A map has the same key twice.")
    # Without a generator: this runs for every map that comes in.
    if not _TEXT.issuperset(map(type, result)):
        raise WireError("A map has a key that is not a string.")
    return result


def _no_extension(tag: int, data: bytes) -> object:
    raise WireError(f"MessagePack extension type {tag} is not part of the protocol.")


def _is_plain(value: object, depth: int) -> bool:
    if value is None or isinstance(value, bool | int | str | bytes):
        return True
    if isinstance(value, float):
        return math.isfinite(value)
    if depth >= _PLAIN_DEPTH_MAX:
        return False
    if isinstance(value, list):
        return all(_is_plain(item, depth + 1) for item in value)
    return isinstance(value, dict) and all(_is_plain(item, depth + 1) for item in value.values())
