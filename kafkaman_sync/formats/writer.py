"""From values to a JSON file's bytes: tabs, UTF-8, a newline at the end (RFC 8259)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from decimal import Decimal
from json.encoder import encode_basestring
from typing import Final

from kafkaman_sync.errors import FormatError
from kafkaman_sync.formats.draft import Value

_PARTS_MAX: Final = 1 << 16
"""Pieces of text held before they become bytes: as text, 100 MB can take 400 MB."""

_OPEN: Final = {True: "{", False: "["}
_CLOSE: Final = {True: "}", False: "]"}


def write(value: Value) -> bytes:
    """Write a JSON document; nesting of any depth, as the stack is our own.

    Half a surrogate pair becomes an escape, bytes become a list of numbers. Raises FormatError
    (`format.invalid`) for a number that JSON cannot spell: NaN, infinity.
    """
    written = bytearray()
    parts: list[str] = []
    stack: list[tuple[Iterator[tuple[str, Value]], bool]] = [(iter([("", value)]), False)]
    comma = ""
    while stack:
        members, is_map = stack[-1]
        indent = "\n" + "\t" * (len(stack) - 1) if len(stack) > 1 else ""
        for lead, member in members:
            if isinstance(member, dict | list | bytes) and member:
                parts.append(f"{comma}{indent}{lead}{_OPEN[isinstance(member, dict)]}")
                stack.append((_members(member), isinstance(member, dict)))
                comma = ""
                break
            parts.append(f"{comma}{indent}{lead}{_scalar(member)}")
            comma = ","
        else:
            stack.pop()
            if stack:
                parts.append(indent[:-1] + _CLOSE[is_map])
                comma = ","
        if len(parts) > _PARTS_MAX:
            _flush(parts, written)
    parts.append("\n")
    _flush(parts, written)
    return bytes(written)


def _flush(parts: list[str], written: bytearray) -> None:
    # UTF-8 has no place for half a surrogate pair; `backslashreplace` spells it as JSON does.
    written += "".join(parts).encode("utf-8", "backslashreplace")
    parts.clear()


def _members(value: dict[str, Value] | list[Value] | bytes) -> Iterator[tuple[str, Value]]:
    if isinstance(value, dict):
        return ((f"{encode_basestring(key)}: ", member) for key, member in value.items())
    return (("", member) for member in value)


def _scalar(value: Value) -> str:
    if isinstance(value, str):
        return str(encode_basestring(value))
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        # Decimal, because Python refuses to spell integers of more than 4,300 digits.
        return int.__repr__(value) if value.bit_length() < 8192 else str(Decimal(value))
    if isinstance(value, dict):
        return "{}"
    if isinstance(value, list | bytes):
        return "[]"
    finite = value.is_finite() if isinstance(value, Decimal) else math.isfinite(value)
    if not finite:
        raise FormatError(
            f"The number {value} has no spelling in JSON.",
            code="format.invalid",
            hint="Replace it by null, a number or a string.",
        )
    if isinstance(value, float):
        return repr(value)
    return str(value)
