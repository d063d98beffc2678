"""Open records that the confirmed state may fulfil, and so close."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kafkaman_sync.database import Writer
from kafkaman_sync.model.changes import ConflictCode
from kafkaman_sync.model.entities import Entity
from kafkaman_sync.model.values import REMOVED


@dataclass(slots=True)
class _Open:
    id: str
    workspace: str
    entity: str
    code: str
    field: str
    mine: bytes | None


class OpenRecords:
    """The open records of one transaction."""

    def __init__(self) -> None:
        self._open: list[_Open] = []
        self._closed: list[str] = []

    async def load(self, writer: Writer) -> None:
        """Read those whose wish can come true without a person."""
        rows = await writer.fetch(
            "SELECT id, workspace, entity, code, field, mine FROM conflicts"
            " WHERE state = 'open' AND code IN ('field', 'changed')"
        )
        self._open = [_Open(*row) for row in rows]

    async def entities(self, writer: Writer, workspace: str) -> set[str]:
        """Return the entities of a workspace that open records are about."""
        rows = await writer.fetch(
            "SELECT entity FROM conflicts WHERE state = 'open' AND workspace = ?", (workspace,)
        )
        return {row[0] for row in rows}

    def close_fulfilled(
        self, workspace: str, rows: Mapping[str, Entity | None], changed: Iterable[str]
    ) -> None:
        """Close the records whose wish the confirmed rows fulfil."""
        if not self._open:
            return
        touched = set(changed)
        left: list[_Open] = []
        for record in self._open:
            ours = record.workspace == workspace and record.entity in touched
            if ours and _fulfils(rows.get(record.entity), record):
                self._closed.append(record.id)
            else:
                left.append(record)
        self._open = left

    async def save(self, writer: Writer) -> bool:
        """Write which ones were closed; tell whether any was."""
        await writer.run_many(
            "UPDATE conflicts SET state = 'equal' WHERE id = ?", [(each,) for each in self._closed]
        )
        return bool(self._closed)


def _fulfils(row: Entity | None, record: _Open) -> bool:
    if row is None:
        return False
    if record.code == ConflictCode.CHANGED:
        return row.deleted
    held = row.fields.get(record.field)
    return (held.value if held else REMOVED) == record.mine
