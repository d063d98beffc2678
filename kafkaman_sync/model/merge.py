"""Three-way merge of field values. Pure."""

from __future__ import annotations


def merge_values(base: bytes, mine: bytes, theirs: bytes) -> bytes | None:
    """Return the merged bytes of a field; None when a person must decide.

    All three are canonical bytes, REMOVED for a field that is not there.
    """
    if mine in (theirs, base):
        return theirs
    if base == theirs:
        return mine
    return None
