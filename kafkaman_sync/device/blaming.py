"""Who last wrote each part of a value: each item of a list, key of a map, line of a text. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import Enum
from typing import Any, Final

from kafkaman_sync.model.values import REMOVED, Value, encode_value, read_value

_KEYS: Final = ("key", "name")


class Shape(Enum):
    """What the parts of a value are."""

    ITEMS = "items"
    KEYS = "keys"
    LINES = "lines"
    WHOLE = "whole"


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a value: its key, which of that key it is, and what it holds, as bytes."""

    label: str
    occurrence: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Version:
    """What one event made of a field; REMOVED where there was nothing."""

    seq: int
    before: bytes
    after: bytes


def blame(versions: Iterable[Version]) -> list[tuple[Part, int | None]]:
    """Return the parts of the newest version, each with the seq that made it what it is.

    `versions` come newest first, without a gap; no more of them are taken than are needed. None
    stands for a seq before the oldest.
    """
    parts: list[Part] = []
    found: list[int | None] = []
    # Where each part that nobody has been found for is in the version before.
    places: dict[int, int] = {}
    shape: Shape | None = None
    for version in versions:
        if shape is None:
            shape = shape_of(version.after)
            parts = parts_of(version.after, shape)
            found = [None] * len(parts)
            places = {index: index for index in range(len(parts))}
        kept = _kept(parts_of(version.before, shape), parts_of(version.after, shape), shape)
        for index, place in list(places.items()):
            if place in kept:
                places[index] = kept[place]
            else:
                found[index] = version.seq
                del places[index]
        if not places:
            break
    return list(zip(parts, found, strict=True))


def shape_of(data: bytes) -> Shape:
    """Tell what the parts of a value are."""
    value = None if data == REMOVED else read_value(data)
    if isinstance(value, dict) and value:
        return Shape.KEYS
    if isinstance(value, list) and value and all(_key_of(item) is not None for item in value):
        return Shape.ITEMS
    return Shape.LINES if isinstance(value, str) and "\n" in value else Shape.WHOLE


def parts_of(data: bytes, shape: Shape) -> list[Part]:
    """Return the parts of a value; one of another shape has none in common with any."""
    if data == REMOVED:
        return []
    value = read_value(data)
    if shape is Shape.KEYS:
        entries = value.items() if isinstance(value, dict) else ()
        return [Part(key, 0, encode_value(each)) for key, each in entries]
    if shape is Shape.LINES:
        lines = value.split("\n") if isinstance(value, str) else []
        return [Part("", 0, encode_value(line)) for line in lines]
    if shape is Shape.WHOLE:
        return [Part("", 0, data)]
    return _items(value)


def _items(value: Value) -> list[Part]:
    seen = Counter[str]()
    found: list[Part] = []
    for item in value if isinstance(value, list) else ():
        key = _key_of(item)
        if key is not None:
            found.append(Part(key, seen[key], encode_value(item)))
            seen[key] += 1
    return found


def _key_of(item: Any) -> str | None:
    keys = [item[name] for name in _KEYS if name in item] if isinstance(item, dict) else []
    return keys[0] if keys and isinstance(keys[0], str) else None


def _kept(before: Sequence[Part], after: Sequence[Part], shape: Shape) -> dict[int, int]:
    """Return where each part of `after` that was there before was then."""
    if shape is Shape.LINES:
        matcher = SequenceMatcher(None, before, after, autojunk=False)
        return {
            block.b + offset: block.a + offset
            for block in matcher.get_matching_blocks()
            for offset in range(block.size)
        }
    where = {part: index for index, part in enumerate(before)}
    return {index: where[part] for index, part in enumerate(after) if part in where}
