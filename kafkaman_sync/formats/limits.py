"""Every limit of an import, with its reason, and the pass that checks a file against them."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Final

from kafkaman_sync.errors import FormatError
from kafkaman_sync.formats.draft import CHILDREN_KEY, Draft, Value
from kafkaman_sync.model.limits import (
    ENTITY_BYTES_MAX,
    FIELD_VALUE_BYTES_MAX,
    TREE_DEPTH_MAX,
    VALUE_DEPTH_MAX,
)

FILE_BYTES_MAX: Final = 256 * 1024 * 1024
"""Largest file: a parsed file takes several times its size in memory."""

CHUNK_BYTES: Final = 1024 * 1024
"""Encoded size at which a run's list goes on in a further field: one push carries 1 MiB."""

ENTITY_LEVELS_MAX: Final = TREE_DEPTH_MAX - 1
"""Deepest item or response below its collection, which itself counts as one of the tree."""

JSON_LEVELS_MAX: Final = 2 * TREE_DEPTH_MAX + VALUE_DEPTH_MAX + 16
"""Deepest JSON nesting: a folder takes two levels (object and list), the rest is for wrappers."""

WARNINGS_MAX: Final = 20
"""Most warnings that an import spells out: a person reads a few, and the rest is counted."""

_TOO_DEEP: Final = -1


def encoded_bytes(value: Value, levels: int = VALUE_DEPTH_MAX) -> int:
    """Estimate the MessagePack size of a value, in bytes; at most a few per cent too high.

    Answers a negative number when the value nests deeper than `levels`.
    """
    if isinstance(value, str):
        return 5 + (len(value) if value.isascii() else len(value.encode("utf-8", "surrogatepass")))
    if isinstance(value, dict | list):
        if levels == 0:
            return _TOO_DEEP
        total = 5
        members = value
        if isinstance(value, dict):
            members = list(value.values())
            total += sum(encoded_bytes(key) for key in value)
        for member in members:
            size = encoded_bytes(member, levels - 1)
            if size < 0:
                return _TOO_DEEP
            total += size
        return total
    if isinstance(value, bytes):
        return 5 + len(value)
    if isinstance(value, Decimal):
        return 32 + len(value.as_tuple().digits)
    if isinstance(value, int):
        return _integer_bytes(value)
    return 9


def _integer_bytes(value: int) -> int:
    if -32 <= value < 128:
        return 1
    bits = value.bit_length() + (value < 0)
    for size in (8, 16, 32, 64):
        if bits <= size:
            return 1 + size // 8
    return 32 + bits // 3


def check(root: Draft) -> dict[str, int]:
    """Count the entities of each kind, and raise FormatError where one is over a limit."""
    counts: Counter[str] = Counter()
    pending: list[tuple[Draft, _Place]] = [(root, ())]
    while pending:
        draft, place = pending.pop()
        counts[draft.kind] += 1
        _check_one(draft, place)
        pending.extend((child, (place, index)) for index, child in enumerate(draft.children))
        # A place is a chain of (place of the parent, index): the text is made only for an error.
    return dict(sorted(counts.items()))


_Place = tuple[()] | tuple["_Place", int]


def _check_one(draft: Draft, place: _Place) -> None:
    total = 0
    for name, value in draft.fields.items():
        size = encoded_bytes(value)
        if size < 0:
            raise FormatError(
                f"The field {name} of {_path(draft, place)} nests deeper than"
                f" {VALUE_DEPTH_MAX} levels.",
                code="format.too_deep",
                hint="Flatten that value, or keep it as text.",
                path=_path(draft, place),
            )
        if size > FIELD_VALUE_BYTES_MAX:
            raise _too_large(
                f"The field {name} of {_path(draft, place)}", size, FIELD_VALUE_BYTES_MAX
            )
        total += len(name) + size
    if total > ENTITY_BYTES_MAX:
        raise _too_large(f"The {draft.kind} at {_path(draft, place)}", total, ENTITY_BYTES_MAX)


def _too_large(what: str, size: int, limit: int) -> FormatError:
    return FormatError(
        f"{what} takes about {size / 1e6:.1f} MB; the limit is {limit / 1e6:.1f} MB.",
        code="format.too_large",
        hint="Shorten it (a saved response body is the usual cause), then import again.",
        size=size,
        limit=limit,
    )


def _path(draft: Draft, place: _Place) -> str:
    indexes: list[int] = []
    while place:
        place, index = place
        indexes.append(index)
    if not indexes:
        return f"the {draft.kind} itself"
    last = CHILDREN_KEY[{"response": "request"}.get(draft.kind, "collection")]
    if draft.kind.endswith("variable"):
        last = CHILDREN_KEY["environment"]
    keys = ["item"] * (len(indexes) - 1) + [last]
    steps = [f"{key}[{index}]" for key, index in zip(keys, reversed(indexes), strict=True)]
    return ".".join(steps if len(steps) <= 12 else [*steps[:3], "..", *steps[-9:]])
