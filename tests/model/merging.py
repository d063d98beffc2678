"""Merging said shortly: values in, the value or None out, in both directions."""

from __future__ import annotations

import json
from typing import Any

from kafkaman_sync.model.entities import Kind
from kafkaman_sync.model.merge import keep_both, merge_field
from kafkaman_sync.model.values import REMOVED, Value, decode_value, encode_value

GONE: Any = object()
"""In the place of a value: the field is not there."""

CLASH: Any = object()
"""In the place of a result: a person must decide."""


def encode(value: Any) -> bytes:
    return REMOVED if value is GONE else encode_value(value)


def merged(name: str, base: Any, mine: Any, theirs: Any, kind: Kind = Kind.REQUEST) -> Any:
    """Merge, check that the sides can be exchanged, and return the value, GONE or CLASH."""
    values = [encode(each) for each in (base, mine, theirs)]
    found = merge_field(kind, name, *values)
    assert found == merge_field(kind, name, values[0], values[2], values[1])
    return _decode(found)


def conflicts(name: str, base: Any, mine: Any, theirs: Any, kind: Kind = Kind.REQUEST) -> bool:
    return merged(name, base, mine, theirs, kind) is CLASH


def both(name: str, base: Any, mine: Any, theirs: Any, kind: Kind = Kind.REQUEST) -> Any:
    return _decode(keep_both(kind, name, encode(base), encode(mine), encode(theirs)))


def _decode(data: bytes | None) -> Any:
    if data is None:
        return CLASH
    return decode_value(data) if data else GONE


def entry(text: str, **others: Value) -> dict[str, Value]:
    """A header, parameter or variable written as "Name: value"."""
    key, _, value = text.partition(": ")
    return {"key": key, "value": value, **others}


def entries(*texts: str) -> list[Value]:
    return [entry(text) for text in texts]


def shown(values: Any) -> list[str]:
    """The entries as texts."""
    return [f"{each['key']}: {each['value']}" for each in values]


def raw(text: str, language: str = "json") -> dict[str, Value]:
    return {"mode": "raw", "raw": text, "options": {"raw": {"language": language}}}


def pretty(value: Any, indent: int = 4) -> str:
    return json.dumps(value, indent=indent)
