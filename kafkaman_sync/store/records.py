"""Open records that the confirmed state may fulfil, and so close.

While an own change waits that writes the same thing, the confirmed state is not the last word: a
resolution that was taken back is such a case.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from kafkaman_sync.database import Writer
from kafkaman_sync.model.changes import Action, Change, ConflictCode
from kafkaman_sync.model.entities import Entity
from kafkaman_sync.model.values import REMOVED
from kafkaman_sync.store.rows import own_change


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
        self._pending: dict[tuple[str, str], list[Change]] = {}

    async def load(self, writer: Writer) -> None:
        """Read those whose wish can come true without a person."""
        rows = await writer.fetch(
            "SELECT id, workspace, entity, code, field, mine FROM conflicts"
            " WHERE state = 'open' AND code IN ('field', 'changed')"
        )
        self._open = [_Open(*row) for row in rows]
        pending = await writer.fetch(
            "SELECT outbox.change FROM conflicts CROSS JOIN outbox INDEXED BY outbox_by_entity"
            " ON outbox.workspace = conflicts.workspace AND outbox.entity = conflicts.entity"
            " WHERE conflicts.state = 'open' AND conflicts.code IN ('field', 'changed')"
        )
        for (data,) in pending:
            change = own_change(data)
            self._pending.setdefault((change.workspace, change.entity), []).append(change)

    async def entities(self, writer: Writer, workspace: str) -> set[str]:
        """Return the entities of a workspace that open records are about."""
        rows = await writer.fetch(
            "SELECT entity FROM conflicts WHERE state = 'open' AND workspace = ?", (workspace,)
        )
        return {row[0] for row in rows}

    def close_fulfilled(
        self,
        workspace: str,
        rows: Mapping[str, Entity | None],
        changed: Iterable[str],
        finished: Collection[int],
    ) -> None:
        """Close the records whose wish the confirmed rows fulfil; `finished` ops wait no more."""
        if not self._open:
            return
        touched = set(changed)
        left: list[_Open] = []
        for record in self._open:
            ours = record.workspace == workspace and record.entity in touched
            fulfilled = ours and _fulfils(rows.get(record.entity), record)
            if fulfilled and not self._rewritten(record, finished):
                self._closed.append(record.id)
            else:
                left.append(record)
        self._open = left

    def _rewritten(self, record: _Open, finished: Collection[int]) -> bool:
        """Tell whether an own change that still waits writes what the record is about."""
        return any(
            change.op not in finished
            and (record.field in change.fields if record.field else change.action is Action.RESTORE)
            for change in self._pending.get((record.workspace, record.entity), ())
        )

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
