"""Three-way merge of field values that knows HTTP. Pure. What merges how: docs/merge.md.

The result never depends on which side is mine: devices that come back in any order end with the
same bytes.
"""

from __future__ import annotations

from kafkaman_sync.errors import ModelError
from kafkaman_sync.model.entities import Kind
from kafkaman_sync.model.limits import FIELD_VALUE_BYTES_MAX, MERGE_BYTES_MAX
from kafkaman_sync.model.merge.fields import rule_of
from kafkaman_sync.model.merge.parts import ABSENT, ClashError, Manner, settle
from kafkaman_sync.model.values import REMOVED, decode_value, encode_value


def merge_field(
    kind: Kind | None, name: str, base: bytes, mine: bytes, theirs: bytes
) -> bytes | None:
    """Return the merged bytes of the field `name`; None when a person must decide.

    All three are canonical bytes, REMOVED for a field that is not there. `kind` is that of the
    entity, None when it is not known.
    """
    return _merge(kind, name, (base, mine, theirs), Manner())


def keep_both(
    kind: Kind | None, name: str, base: bytes, mine: bytes, theirs: bytes
) -> bytes | None:
    """Return bytes that hold what both sides did; None where the value has no room for both.

    What clashes is kept twice: list items theirs first, then mine; pieces of text likewise. What
    one side changed and the other removed stays, changed.
    """
    return _merge(kind, name, (base, mine, theirs), Manner(both=True))


def _merge(
    kind: Kind | None, name: str, values: tuple[bytes, bytes, bytes], manner: Manner
) -> bytes | None:
    base, mine, theirs = values
    if mine in (theirs, base):
        return theirs
    if base == theirs:
        return mine
    if max(map(len, values)) > MERGE_BYTES_MAX:
        return None
    try:
        parts = [ABSENT if data == REMOVED else decode_value(data) for data in values]
        merged = settle(rule_of(kind, name), manner, *parts)
        assert merged is not ABSENT
        data = encode_value(merged)
    except (ClashError, ModelError):
        return None
    return data if len(data) <= FIELD_VALUE_BYTES_MAX else None
