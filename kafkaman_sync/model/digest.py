"""The digest: a 128-bit fingerprint of a workspace's confirmed state.

It is the sum modulo 2^128 of one keyed hash per row, so it can be kept up row by row, in the
transaction that changes the row, and does not depend on order. Deleted rows count, with their flag;
purged ones do not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from msgspec.msgpack import Encoder

from kafkaman_sync.model.entities import Entity, pack_fields

DIGEST_BYTES: Final = 16
EMPTY_DIGEST: Final = bytes(DIGEST_BYTES)
"""The digest of a workspace without rows."""

_MODULUS: Final = 1 << (8 * DIGEST_BYTES)

_pack: Final = Encoder().encode


def row_hash(workspace: str, entity: Entity, packed: bytes | None = None) -> int:
    """Return the hash of one row, keyed by its workspace.

    `packed` are its fields as bytes, for who has them; those of the entity are not read then.
    """
    place = entity.place
    row = (
        entity.id,
        entity.kind,
        place.parent,
        place.position,
        entity.place_version,
        entity.deleted,
        entity.deleted_version,
    )
    # MessagePack prefixes every part with its length, so no two rows share an encoding.
    data = _pack(row) + (pack_fields(entity.fields) if packed is None else packed)
    digest = keyed(workspace).copy()
    digest.update(data)
    return int.from_bytes(digest.digest(), "big")


def row_head(entity: Entity) -> bytes:
    """Return what `row_hash` hashes of a row before its fields, for who keeps rows as bytes."""
    place = entity.place
    return _pack(
        (
            entity.id,
            entity.kind,
            place.parent,
            place.position,
            entity.place_version,
            entity.deleted,
            entity.deleted_version,
        )
    )


def hash_packed(workspace: str, row: bytes | bytearray) -> int:
    """Return the hash of one row as bytes: its `row_head` and its packed fields."""
    digest = keyed(workspace).copy()
    digest.update(row)
    return int.from_bytes(digest.digest(), "big")


@lru_cache(maxsize=1024)
def keyed(workspace: str) -> hashlib.blake2b:
    """Return the hash of nothing, keyed by a workspace, to copy: a third of the work for a row."""
    return hashlib.blake2b(digest_size=DIGEST_BYTES, key=workspace.encode("utf-8"))


def update_digest(
    digest: bytes, workspace: str, before: Entity | None, after: Entity | None
) -> bytes:
    """Return `digest` after the row `before` (None: there was none) became `after`."""
    removed = 0 if before is None else row_hash(workspace, before)
    added = 0 if after is None else row_hash(workspace, after)
    return shift_digest(digest, removed, added)


def shift_digest(digest: bytes, removed: int, added: int) -> bytes:
    """Return `digest` without the row hash `removed` and with `added`; 0 stands for no row."""
    total = int.from_bytes(digest, "big") - removed + added
    return (total % _MODULUS).to_bytes(DIGEST_BYTES, "big")


def compute_digest(workspace: str, entities: Iterable[Entity]) -> bytes:
    """Return the digest of all rows of a workspace, in any order."""
    total = sum(row_hash(workspace, entity) for entity in entities)
    return (total % _MODULUS).to_bytes(DIGEST_BYTES, "big")
