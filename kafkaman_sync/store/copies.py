"""The rows that a batch touches: read once, and hashed as the bytes that the disk has or gets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from kafkaman_sync.database import Writer, json_list
from kafkaman_sync.model.digest import row_hash, shift_digest
from kafkaman_sync.model.entities import Entity, differ_in_fields, pack_fields
from kafkaman_sync.store.confirmed import Confirmed, Stored
from kafkaman_sync.store.rows import ENTITY_COLUMNS, entity_from_row, write_entities

_LOAD: Final = (
    f"SELECT {ENTITY_COLUMNS}, rowid FROM entities"  # noqa: S608 - only constants go in
    " WHERE copy = ? AND id IN (SELECT value FROM json_each(?))"
)


@dataclass(slots=True)
class _Copy:
    """One copy of a workspace's rows: what it has now, and what the disk has."""

    rows: dict[str, Entity | None] = field(default_factory=dict)
    packed: dict[str, bytes] = field(default_factory=dict)
    stored: dict[str, Stored] = field(default_factory=dict)
    changed: set[str] = field(default_factory=set)
    # The hashes that joined the digest, less those that left it, since it was last asked for.
    shift: int = 0


class Copies:
    """The rows of one transaction, by the number of their copy."""

    def __init__(self, confirmed: Confirmed) -> None:
        self._confirmed = confirmed
        self._copies: defaultdict[int, _Copy] = defaultdict(_Copy)

    def rows(self, copy: int) -> dict[str, Entity | None]:
        """Return the rows of a copy that are known, as they are now; None for one that is gone."""
        return self._copies[copy].rows

    async def load(self, writer: Writer, copy: int, ids: Collection[str]) -> None:
        """Read those of `ids` that the copy has, as far as they are not known."""
        found, unknown = self._confirmed.rows(copy, ids)
        if unknown:
            for row in await writer.fetch(_LOAD, (copy, json_list(unknown))):
                found[row[0]] = Stored(entity_from_row(row), row[8], row[9])
        held = self._copies[copy]
        held.stored |= found
        for entity, stored in found.items():
            held.rows[entity] = stored.entity
            held.packed[entity] = stored.packed

    def put(self, copy: int, workspace: str, entity: str, after: Entity | None) -> None:
        """Replace a row (None: it goes)."""
        held = self._copies[copy]
        before = held.rows.get(entity)
        if before is not None:
            held.shift -= row_hash(workspace, before, held.packed[entity])
        if after is not None:
            packed = held.packed[entity] = pack_fields(after.fields)
            held.shift += row_hash(workspace, after, packed)
        held.rows[entity] = after
        held.changed.add(entity)

    def digest(self, copy: int, before: bytes) -> bytes:
        """Return the digest of a copy that was `before` when this was last asked."""
        held = self._copies[copy]
        shift, held.shift = held.shift, 0
        return shift_digest(before, 0, shift)

    async def save(self, writer: Writer) -> None:
        """Write what was replaced."""
        for number, copy in self._copies.items():
            values: list[tuple[int, bytes, int]] = []
            whole: list[tuple[Entity, bytes]] = []
            gone: list[tuple[int, str]] = []
            for entity in copy.changed:
                after = copy.rows[entity]
                if after is None:
                    gone.append((number, entity))
                    continue
                packed = copy.packed[entity]
                stored = copy.stored.get(entity)
                if stored is not None and differ_in_fields(stored.entity, after):
                    values.append((after.version, packed, stored.rowid))
                else:
                    whole.append((after, packed))
            await write_entities(writer, number, whole)
            # Nothing that is in an index: most changes do no more.
            await writer.run_many(
                "UPDATE entities SET version = ?, fields = ? WHERE rowid = ?", values
            )
            await writer.run_many("DELETE FROM entities WHERE copy = ? AND id = ?", gone)
