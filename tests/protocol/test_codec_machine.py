"""Messages as plain maps: what the codec takes is what a table of predicates allows, no more."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgpack
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from kafkaman_sync.errors import WireError
from kafkaman_sync.model.limits import INTEGER_MAX, TEXT_BYTES_MAX
from kafkaman_sync.protocol.codec import decode, encode

Allowed = Callable[[Any], bool]
ABSENT = object()


def count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= INTEGER_MAX


def text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= TEXT_BYTES_MAX


def identifier(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{32}", value) is not None


def digest(value: Any) -> bool:
    return isinstance(value, bytes) and len(value) == 16


def rows(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(row, bytes) for row in value)


def flag(value: Any) -> bool:
    return isinstance(value, bool)


def seconds(value: Any) -> bool:
    return type(value) in (int, float) and bool(0 <= value < float("inf"))


def bases(value: Any) -> bool:
    return isinstance(value, dict) and all(map(count, value.values()))


def plain_map(value: Any) -> bool:
    return isinstance(value, dict) and plain(value)


def plain(value: Any) -> bool:
    if isinstance(value, float):
        return bool(abs(value) < float("inf"))  # no NaN either
    if isinstance(value, list):
        return all(map(plain, value))
    return all(map(plain, value.values())) if isinstance(value, dict) else True


def purges(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(entry, list) and len(entry) == 2 and identifier(entry[0]) and count(entry[1])
        for entry in value
    )


def nothing(value: Any) -> bool:
    return bool(value == [])


def missing_or(allowed: Allowed) -> Allowed:
    return lambda value: value is ABSENT or allowed(value)


def none_or(allowed: Allowed) -> Allowed:
    """Say that nil stands for a missing key here."""
    return lambda value: value is ABSENT or value is None or allowed(value)


TYPES: dict[str, dict[str, Allowed]] = {
    "call": {"id": count, "method": text, "params": missing_or(plain_map)},
    "hello": {
        "token": text, "device": identifier, "lease": text, "positions": missing_or(nothing),
        "confirmed_op": missing_or(count), "highest_base": missing_or(bases),
    },
    "push": {"changes": missing_or(rows), "confirmed_op": missing_or(count)},
    "entities": {
        "workspace": identifier, "rows": missing_or(rows), "mark": count,
        "full": missing_or(flag), "total": missing_or(count), "purged": missing_or(purges),
        "through": none_or(count),
    },
    "checkpoint": {"workspace": identifier, "seq": count, "digest": digest},
    "resend": {"op": count},
    "notice": {"code": text, "message": text, "details": missing_or(plain_map)},
    "goodbye": {"code": text, "message": text, "retry_after": missing_or(seconds)},
}  # fmt: skip
KEYS = sorted({key for keys in TYPES.values() for key in keys})

values = st.one_of(
    st.sampled_from([ABSENT, None, True, 0, -1, INTEGER_MAX, INTEGER_MAX + 1, 1.5, float("nan"),
                     float("inf"), "", "a", "0" * 32, "0" * 33, "x" * 5000, b"", bytes(16),
                     bytes(17), [], [b"row"], ["row"], [["0" * 32, 1]], [["0" * 32]], {},
                     {"a": 1}, {"a": -1}, {"a": {"b": [float("nan")]}}]),
    st.integers(-(2**63), 2**64 - 1),
    st.text("0123456789abcdef", min_size=31, max_size=33),
)  # fmt: skip


class CodecMachine(RuleBasedStateMachine):
    """A map that is changed key by key."""

    def __init__(self) -> None:
        super().__init__()
        self.type = ""
        self.map: dict[str, Any] = {}

    @initialize(type=st.sampled_from(sorted(TYPES)))
    def begin(self, type: str) -> None:  # noqa: A002  the word of the wire
        self.type = type

    @rule(data=st.data())
    def set_a_key_of_the_message(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(TYPES[self.type])))
        self.map[key] = data.draw(values)

    @rule(data=st.data())
    def set_it_to_what_is_allowed(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(TYPES[self.type])))
        self.map[key] = data.draw(values.filter(TYPES[self.type][key]))

    @rule(key=st.sampled_from([*KEYS, "colour"]), value=values)
    def set_another_key(self, key: str, value: Any) -> None:
        self.map[key] = value

    @rule()
    def complete(self) -> None:
        """Make what is wrong right."""
        legal: tuple[Any, ...] = (ABSENT, "0" * 32, 0, bytes(16))
        for key, allowed in TYPES[self.type].items():
            if not allowed(self.map.get(key, ABSENT)):
                self.map[key] = next(value for value in legal if allowed(value))

    @invariant()
    def the_codec_agrees_with_the_table(self) -> None:
        if not self.type:
            return
        record = {key: value for key, value in self.map.items() if value is not ABSENT}
        data = bytes(msgpack.packb({**record, "type": self.type}))
        if not all(allowed(self.map.get(key, ABSENT)) for key, allowed in TYPES[self.type].items()):
            with pytest.raises(WireError):
                decode(data)
            return
        message = decode(data)
        again = msgpack.unpackb(encode(message))
        known = {key: record[key] for key in TYPES[self.type] if record.get(key) is not None}
        if "retry_after" in known:
            known["retry_after"] = min(known["retry_after"], 600)
        assert {key: again[key] for key in known} == known
        assert again["type"] == self.type


TestCodec = CodecMachine.TestCase
