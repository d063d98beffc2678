"""Frames to attack with: legal ones made from a seed, and what is done to them.

A frame is cut into the spans of its MessagePack objects once; a mutation then is a splice of bytes,
so that it knows the structure and yet costs microseconds.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

import msgpack

from kafkaman_sync.model.limits import INTEGER_MAX


@dataclass(frozen=True, slots=True)
class Span:
    """One object of a frame: its bytes are `start` to `end`, of which `body` on without header."""

    start: int
    body: int
    end: int
    pairs: tuple[tuple[int, int, int], ...] = ()
    """Of a map, (start of the key, start of the value, end of the value) of each entry."""


@dataclass(frozen=True, slots=True)
class Frame:
    """Legal bytes and the spans in them, outermost first."""

    data: bytes
    spans: tuple[Span, ...] = field(repr=False)
    maps: tuple[Span, ...] = field(repr=False)


def frame_of(data: bytes) -> Frame:
    """Cut a legal frame into its spans."""
    spans: list[Span] = []
    assert _scan(data, 0, spans) == len(data)
    spans.sort(key=lambda span: (span.start, -span.end))
    return Frame(data, tuple(spans), tuple(span for span in spans if span.pairs))


_SIZES: Final = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
_FIXED: Final = {0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8} | {
    0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8
}  # fmt: skip
_ARRAYS: Final = {0xDC: 2, 0xDD: 4}
_MAPS: Final = {0xDE: 2, 0xDF: 4}


def _scan(data: bytes, start: int, spans: list[Span]) -> int:
    """Add the object at `start` and all inside it; return where it ends."""
    head = data[start]
    body = start + 1
    pairs: tuple[tuple[int, int, int], ...] = ()
    if 0x80 <= head <= 0x8F or head in _MAPS:
        body += _MAPS.get(head, 0)
        count = head & 0x0F if head <= 0x8F else int.from_bytes(data[start + 1 : body], "big")
        found, end = [], body
        for _ in range(count):
            value = _scan(data, end, spans)
            after = _scan(data, value, spans)
            found.append((end, value, after))
            end = after
        pairs = tuple(found)
    elif 0x90 <= head <= 0x9F or head in _ARRAYS:
        body += _ARRAYS.get(head, 0)
        count = head & 0x0F if head <= 0x9F else int.from_bytes(data[start + 1 : body], "big")
        end = body
        for _ in range(count):
            end = _scan(data, end, spans)
    elif head in _SIZES:
        body += _SIZES[head]
        end = body + int.from_bytes(data[start + 1 : body], "big")
    elif 0xA0 <= head <= 0xBF:
        end = body + (head & 0x1F)
    else:
        end = body + _FIXED.get(head, 0)
    spans.append(Span(start, body, end, pairs))
    return end


def _pack(value: Any) -> bytes:
    return bytes(msgpack.packb(value))


def _nested(opening: bytes, depth: int) -> bytes:
    return opening * depth + b"\xc0"


# Values that no place expects, or only just.
NASTY: Final[tuple[bytes, ...]] = (
    *map(
        _pack,
        (
            None, True, False, 0, 1, -1, 127, 128, 255, 256, 2**31, 2**32, 2**53 + 1,
            INTEGER_MAX, INTEGER_MAX - 1, INTEGER_MAX + 1, 2**64 - 1, -(2**63), -(2**31),
            0.0, -0.0, 1.5, 1e308, float("nan"), float("inf"), float("-inf"),
            "", "\x00", "0" * 32, "0" * 31, "f" * 33, "F" * 32, "g" * 32, "\U0001f600" * 32,
            "'; DROP TABLE devices; --", "a" * 4096, "a" * 4097, "../../etc/passwd", "nonsense",
            b"", b"\x00", bytes(16), bytes(15), bytes(17), b"\xff" * 33,
            [], [[]], [None] * 3, [1, 2], ["0" * 32, 1], {}, {"a": {}}, {1: 2}, {"": None},
            msgpack.ExtType(1, b"x"), msgpack.ExtType(127, b""), msgpack.Timestamp(1, 1),
        ),
    ),
    b"\xc1",  # never used
    b"\xa2\xff\xfe",  # a string that is no UTF-8
    b"\xa3\xed\xa0\x80",  # a surrogate
    b"\xa2\xc0\x80",  # NUL in two bytes
    b"\xd3" + struct.pack(">q", 7),  # an integer longer than it need be
    b"\xdb\x00\x00\x00\x01a",  # a length longer than it need be
    _nested(b"\x91", 20),
    _nested(b"\x91", 600),
    _nested(b"\x81\xa1a", 20),
    _nested(b"\x81\xa1a", 600),
    b"\x82\xa1a\x01\xa1a\x02",  # the same key twice
    b"\x81\xc4\x01a\x01",  # a key that is bytes
    b"\x81\xc0\x01",
    b"\x81\x90\x01",
)  # fmt: skip
# Headers that claim far more than there is.
CLAIMS: Final[tuple[bytes, ...]] = tuple(
    bytes([head]) + (2**bits - less).to_bytes(bits // 8, "big")
    for head, bits in {
        0xC4: 8, 0xC5: 16, 0xC6: 32, 0xD9: 8, 0xDA: 16, 0xDB: 32,
        0xDC: 16, 0xDD: 32, 0xDE: 16, 0xDF: 32, 0xC7: 8, 0xC8: 16, 0xC9: 32,
    }.items()
    for less in (1, 2, 2 ** (bits - 1))
)  # fmt: skip
_BYTES: Final = bytes((0, 1, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, *range(0xC0, 0xE0), 0xFF))

Mutation = Callable[[Random, bytes, Frame, Sequence[Frame]], bytes]


# Mutations that know the structure. `data` is the frame's own bytes here.


def _replace_value(random: Random, data: bytes, frame: Frame, _: Sequence[Frame]) -> bytes:
    span = random.choice(frame.spans)
    return data[: span.start] + random.choice(NASTY) + data[span.end :]


def _splice(random: Random, data: bytes, frame: Frame, others: Sequence[Frame]) -> bytes:
    span, other = random.choice(frame.spans), random.choice(others)
    taken = random.choice(other.spans)
    return data[: span.start] + other.data[taken.start : taken.end] + data[span.end :]


def _swap_values(random: Random, data: bytes, frame: Frame, _: Sequence[Frame]) -> bytes:
    one, two = sorted((random.choice(frame.spans), random.choice(frame.spans)), key=_start)
    if one.end > two.start:  # one lies within the other
        return data[: one.start] + data[two.start : two.end] + data[one.end :]
    return b"".join(
        (
            data[: one.start],
            data[two.start : two.end],
            data[one.end : two.start],
            data[one.start : one.end],
            data[two.end :],
        )
    )


def _start(span: Span) -> int:
    return span.start


def _drop_entry(random: Random, data: bytes, frame: Frame, _: Sequence[Frame]) -> bytes:
    span = random.choice(frame.maps)
    key, _value, end = random.choice(span.pairs)
    return _with_count(data, span, -1, data[span.body : key] + data[end : span.end])


def _repeat_entry(random: Random, data: bytes, frame: Frame, _: Sequence[Frame]) -> bytes:
    span = random.choice(frame.maps)
    key, _value, end = random.choice(span.pairs)
    return _with_count(data, span, 1, data[span.body : span.end] + data[key:end])


def _add_entry(random: Random, data: bytes, frame: Frame, _: Sequence[Frame]) -> bytes:
    span = random.choice(frame.maps)
    name = b"\xa5" + random.randbytes(5) if random.random() < 0.2 else b"\xa5other"
    entry = name + random.choice(NASTY)
    return _with_count(data, span, 1, entry + data[span.body : span.end])


def _with_count(data: bytes, span: Span, more: int, body: bytes) -> bytes:
    header = b"\xde" + (len(span.pairs) + more).to_bytes(2, "big")
    return data[: span.start] + header + body + data[span.end :]


def _rename_key(random: Random, data: bytes, frame: Frame, _: Sequence[Frame]) -> bytes:
    span = random.choice(frame.maps)
    key, value, _end = random.choice(span.pairs)
    other, after, _end = random.choice(span.pairs)
    name: bytes = random.choice(NASTY)
    if random.random() < 0.7:
        name = data[other:after]
    return data[:key] + name + data[value:]


def _claim(random: Random, data: bytes, frame: Frame, _: Sequence[Frame]) -> bytes:
    span = random.choice(frame.spans)
    return data[: span.start] + random.choice(CLAIMS) + data[span.body :]


def _nest(random: Random, data: bytes, frame: Frame, _: Sequence[Frame]) -> bytes:
    span = random.choice(frame.spans)
    opening = random.choice((b"\x91", b"\x81\xa1a", b"\xdd\x00\x00\x00\x01"))
    depth = random.choice((1, 2, 15, 16, 17, 18, 100, 2000))
    return data[: span.start] + opening * depth + data[span.start :]


# Mutations that do not: they take any bytes.


def _flip(random: Random, data: bytes, _: Frame, __: Sequence[Frame]) -> bytes:
    at = random.randrange(len(data) or 1)
    return (
        data[:at] + bytes([(data[at] if data else 0) ^ 1 << random.randrange(8)]) + data[at + 1 :]
    )


def _overwrite(random: Random, data: bytes, _: Frame, __: Sequence[Frame]) -> bytes:
    at = random.randrange(len(data) or 1)
    return data[:at] + bytes([random.choice(_BYTES)]) + data[at + 1 :]


def _cut(random: Random, data: bytes, _: Frame, __: Sequence[Frame]) -> bytes:
    at = random.randrange(len(data) or 1)
    return data[:at] + data[at + random.choice((1, 1, 2, 4, 16, 64)) :]


def _insert(random: Random, data: bytes, _: Frame, __: Sequence[Frame]) -> bytes:
    at = random.randrange(len(data) + 1)
    return data[:at] + random.randbytes(random.choice((1, 1, 2, 4, 16))) + data[at:]


def _repeat(random: Random, data: bytes, _: Frame, __: Sequence[Frame]) -> bytes:
    at = random.randrange(len(data) or 1)
    end = at + random.choice((1, 2, 8, 32))
    return data[:end] + data[at:end] * random.choice((1, 1, 3, 40)) + data[end:]


def _cut_short(random: Random, data: bytes, _: Frame, __: Sequence[Frame]) -> bytes:
    return data[: random.randrange(len(data) or 1)]


def _other_bytes(random: Random, data: bytes, _: Frame, __: Sequence[Frame]) -> bytes:
    return random.randbytes(random.choice((0, 1, 2, 5, 17, 64)))


SHAPELY: Final[tuple[Mutation, ...]] = (
    _replace_value, _replace_value, _splice, _swap_values, _drop_entry, _repeat_entry, _add_entry,
    _rename_key, _claim, _nest,
)  # fmt: skip
SHAPELESS: Final[tuple[Mutation, ...]] = (
    _flip, _overwrite, _cut, _insert, _repeat, _cut_short, _other_bytes,
)  # fmt: skip


def mutate(random: Random, frame: Frame, others: Sequence[Frame]) -> bytes:
    """Return the frame after one mutation that knows its structure, a few that do not, or both."""
    data = frame.data
    choice = random.random()
    if choice < 0.7:
        change = random.choice(SHAPELY)
        data = change(random, data, frame, others)
    if choice > 0.55:
        for _ in range(random.choice((1, 1, 1, 2, 4))):
            change = random.choice(SHAPELESS)
            data = change(random, data, frame, others)
    return data


def minimise(data: bytes, fails: Callable[[bytes], bool]) -> bytes:
    """Return a shorter frame that fails as well, by leaving out ever smaller parts."""
    size = len(data) // 2
    while size:
        at = 0
        while at < len(data):
            shorter = data[:at] + data[at + size :]
            if fails(shorter):
                data = shorter
            else:
                at += size
        size //= 2
    return data
