"""Three-way merge of field values. Pure."""

from __future__ import annotations

from kafkaman_sync.model.entities import Kind


def merge_field(
    kind: Kind | None, name: str, base: bytes, mine: bytes, theirs: bytes
) -> bytes | None:
    """Return the merged bytes of the field `name`; None when a person must decide.

    All three are canonical bytes, REMOVED for a field that is not there. `kind` is that of the
    entity, None when it is not known.
    """
    if mine in (theirs, base):
        return theirs
    if base == theirs:
        return mine
    return None
