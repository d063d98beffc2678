"""Take a resolution back, until the server has answered any of its changes.

What has a number may be on its way already, and its content never changes: so nothing leaves the
outbox. New edits bring back what the view would show without the resolution; they are built on the
resolution's own changes and inherit their base, so that the server judges them as one.
"""

from __future__ import annotations

from collections.abc import Sequence

from kafkaman_sync.database import Reader, Writer, json_list
from kafkaman_sync.errors import ModelError
from kafkaman_sync.model.changes import Action, Change
from kafkaman_sync.model.edits import Delete, Edit, Move, Restore, Update
from kafkaman_sync.model.values import REMOVED
from kafkaman_sync.model.view import ViewEntity, confirmed_view, lay_over
from kafkaman_sync.store.conflicts import OPEN, load_conflict
from kafkaman_sync.store.editing import edit
from kafkaman_sync.store.facts import ConflictRecord, EditResult
from kafkaman_sync.store.ledger import load_ledger
from kafkaman_sync.store.resolving import Pen
from kafkaman_sync.store.rows import Held, load_entities, load_workspace, own_change


async def reopen(writer: Writer, conflict: str, pen: Pen) -> EditResult:
    """Open a record, and those that were resolved with it, again; undo what was done about it."""
    record = await load_conflict(writer, conflict, closed=True)
    if record.state == OPEN:
        raise ModelError(
            "This conflict is open: there is no resolution to undo.",
            code="conflict.open",
            hint=f"See it with `kafkaman conflicts show {record.id[:8]}`.",
            conflict=record.id,
        )
    if record.state == "equal":
        raise ModelError(
            "This conflict ended by itself: both sides became equal.",
            code="conflict.equal",
            hint=f"See what was written with `kafkaman history {record.entity}`.",
            conflict=record.id,
        )
    record = await load_conflict(writer, record.head or record.id, closed=True)
    rows = await writer.fetch(
        "SELECT change FROM outbox WHERE resolves = ? AND verdict IS NULL ORDER BY op", (record.id,)
    )
    changes = [own_change(row[0]) for row in rows]
    if len(changes) != record.resolved_ops:
        raise _synced(record)
    result = EditResult([record.entity], 0)
    if changes:
        edits = await _undone(writer, record, changes)
        ledger = await load_ledger(writer)
        edited = await edit(
            writer, ledger, record.workspace, edits, local=pen.local, suffix=pen.suffix, at=pen.at
        )
        result = edited.result
    await writer.run("UPDATE outbox SET resolves = NULL WHERE resolves = ?", (record.id,))
    await writer.run(
        "UPDATE conflicts SET state = ?1, resolved_ops = 0 WHERE id = ?2"
        " OR (head = ?2 AND state = ?3)",
        (OPEN, record.id, record.state),
    )
    return result


def _synced(record: ConflictRecord) -> ModelError:
    return ModelError(
        "The resolution has reached the server, and cannot be taken back any more.",
        code="conflict.synced",
        hint=f"`kafkaman history {record.entity}` lists what was written, and"
        f" `kafkaman revert {record.entity} --to SEQ` goes back to it.",
        conflict=record.id,
        entity=record.entity,
    )


async def _undone(reader: Reader, record: ConflictRecord, changes: Sequence[Change]) -> list[Edit]:
    held = await load_workspace(reader, record.workspace)
    ids = {change.entity for change in changes}
    pending = [
        own_change(row[0])
        for row in await reader.fetch(
            "SELECT change FROM outbox WHERE workspace = ?1 AND (entity IN"
            " (SELECT value FROM json_each(?2)) OR parent IN (SELECT value FROM json_each(?2)))"
            " ORDER BY op",
            (held.id, json_list(ids)),
        )
    ]
    mine = {change.op for change in changes}
    for each in pending:
        if each.op > max(mine) and _touches(each, changes):
            raise ModelError(
                "You have edited it since you resolved the conflict.",
                code="conflict.edited_since",
                hint="Set what you want instead; the record keeps both values: "
                f"`kafkaman conflicts show {record.id[:8]}`.",
                conflict=record.id,
            )
    before = await _before(reader, held, ids, [each for each in pending if each.op < min(mine)])
    return [edit for change in reversed(changes) for edit in _inverse(change, before)]


def _touches(later: Change, changes: Sequence[Change]) -> bool:
    """Tell whether a later change is built on one of `changes`."""
    for change in changes:
        if later.place is not None and later.place.parent == change.entity:
            return True
        if later.entity == change.entity:
            both_write = later.action is change.action is Action.UPDATE
            if not both_write or later.fields.keys() & change.fields.keys():
                return True
    return False


async def _before(
    reader: Reader, held: Held, ids: set[str], pending: Sequence[Change]
) -> dict[str, ViewEntity]:
    """Return the entities as they would be shown now without the resolution."""
    rows = await load_entities(reader, held.copy, ids)
    shown = {each.id: confirmed_view(held.id, each) for each in rows.values()}
    for change in pending:
        laid = lay_over(shown.get(change.entity), change)
        if laid is not None:
            shown[change.entity] = laid
    return shown


def _inverse(change: Change, before: dict[str, ViewEntity]) -> list[Edit]:
    shown = before.get(change.entity)
    if change.action in (Action.CREATE, Action.RESTORE):
        return [Delete(change.entity)]
    if shown is None:
        return []
    if change.action is Action.UPDATE:
        values = {name: shown.fields.get(name, REMOVED) for name in change.fields}
        return [Update(change.entity, values)]
    if change.action is Action.DELETE:
        return [Restore(change.entity)]
    return [Move(change.entity, shown.parent)]
