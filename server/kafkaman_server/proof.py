"""Proof that what is stored is what the log made: the digest, recomputed from all rows.

Chunk by chunk, each on a snapshot of its own, so that others read in between. A row that is written
meanwhile leaves its chunk for the end of the order of versions, so at the end, on one snapshot, a
chunk that has as many rows as before is as it was; the others are computed once more.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Final

from kafkaman_server.storage.interface import Snapshot, Storage
from kafkaman_server.storage.records import EntityChunk
from kafkaman_sync.model.digest import DIGEST_BYTES, row_hash
from kafkaman_sync.model.entities import Entity
from kafkaman_sync.model.limits import MESSAGE_BYTES_TARGET

_MODULUS: Final = 1 << (8 * DIGEST_BYTES)


@dataclass(frozen=True, slots=True)
class _Part:
    """The rows with versions from `after` (exclusive) to `upto`, and the sum of their hashes."""

    after: int
    upto: int
    rows: int
    total: int


async def is_sound(storage: Storage, workspace: str) -> bool:
    """Tell whether a workspace's rows give its stored digest. Raises StoreError."""
    parts: list[_Part] = []
    after = 0
    while True:
        chunk = await storage.read(partial(_chunk, workspace=workspace, after=after))
        if chunk.complete:
            return await storage.read(partial(_conclude, workspace=workspace, parts=parts))
        part = _part(workspace, after, chunk)
        parts.append(part)
        after = part.upto


async def _chunk(snapshot: Snapshot, *, workspace: str, after: int) -> EntityChunk:
    return await snapshot.entities_after(workspace, after, bytes_max=MESSAGE_BYTES_TARGET)


async def _conclude(snapshot: Snapshot, *, workspace: str, parts: list[_Part]) -> bool:
    total = after = 0
    for part in parts:
        after = part.upto
        rows = await snapshot.count_after(workspace, part.after, upto=part.upto)
        if rows == part.rows:
            total += part.total
        elif rows:
            chunk = await _chunk(snapshot, workspace=workspace, after=part.after)
            total += _sum(workspace, [row for row in chunk.rows if row[0].version <= part.upto])
    while True:
        chunk = await _chunk(snapshot, workspace=workspace, after=after)
        last = _part(workspace, after, chunk)
        total += last.total
        after = last.upto
        if chunk.complete:
            return (total % _MODULUS).to_bytes(DIGEST_BYTES, "big") == chunk.digest


def _part(workspace: str, after: int, chunk: EntityChunk) -> _Part:
    return _Part(
        after=after,
        upto=chunk.rows[-1][0].version if chunk.rows else after,
        rows=len(chunk.rows),
        total=_sum(workspace, chunk.rows),
    )


def _sum(workspace: str, rows: Iterable[tuple[Entity, bytes]]) -> int:
    return sum(row_hash(workspace, entity, packed) for entity, packed in rows)
