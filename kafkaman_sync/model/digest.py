"""The digest: a 128-bit fingerprint of a workspace's confirmed state.

It is the sum modulo 2^128 of one keyed hash per row, so it can be kept up row by row, in the
transaction that changes the row, and does not depend on order. Deleted rows count, with their flag;
purged ones do not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

import msgpack

from kafkaman_sync.model.entities import Entity

DIGEST_BYTES: Final = 16
EMPTY_DIGEST: Final = bytes(DIGEST_BYTES)
"""The digest of a workspace without rows."""

_MODULUS: Final = 1 << (8 * DIGEST_BYTES)


def row_hash(workspace: str, entity: Entity) -> int:
    """Return the hash of one row, keyed by its workspace."""
    row = [
        entity.id,
        entity.kind.value,
        entity.place.parent,
        entity.place.position,
        entity.place_version,
        entity.deleted,
        entity.deleted_version,
        [
            [name, entity.fields[name].version, entity.fields[name].value]
            for name in sorted(entity.fields)
        ],
    ]
    # MessagePack prefixes every part with its length, so no two rows share an encoding.
    packed = msgpack.packb(row)
    digest = hashlib.blake2b(packed, digest_size=DIGEST_BYTES, key=workspace.encode("utf-8"))
    return int.from_bytes(digest.digest(), "big")


def update_digest(
    digest: bytes, workspace: str, before: Entity | None, after: Entity | None
) -> bytes:
    """Return `digest` after the row `before` (None: there was none) became `after`."""
    total = int.from_bytes(digest, "big")
    if before is not None:
        total -= row_hash(workspace, before)
    if after is not None:
        total += row_hash(workspace, after)
    return (total % _MODULUS).to_bytes(DIGEST_BYTES, "big")


def compute_digest(workspace: str, entities: Iterable[Entity]) -> bytes:
    """Return the digest of all rows of a workspace, in any order."""
    total = sum(row_hash(workspace, entity) for entity in entities)
    return (total % _MODULUS).to_bytes(DIGEST_BYTES, "big")
