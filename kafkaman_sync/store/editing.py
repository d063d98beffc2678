"""Edits into the outbox: load what they touch, plan, write. In one transaction of the store's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from kafkaman_sync.database import Reader, Row, Writer, json_list
from kafkaman_sync.errors import ModelError
from kafkaman_sync.model.apply import accepted_event, apply_event
from kafkaman_sync.model.changes import Change, Verdict
from kafkaman_sync.model.digest import update_digest
from kafkaman_sync.model.edits import Create, Delete, Edit, Move, Restore, Update
from kafkaman_sync.model.entities import ROOT, Entity, pack_fields
from kafkaman_sync.model.planning import CrowdedError, Planned, Scene, hidden_base, plan
from kafkaman_sync.model.view import confirmed_view
from kafkaman_sync.store.confirmed import Stored
from kafkaman_sync.store.facts import EditResult, ViewChange
from kafkaman_sync.store.ledger import Ledger
from kafkaman_sync.store.rows import (
    SKELETON_COLUMNS,
    Held,
    Pending,
    append_outbox,
    entity_from_row,
    known_workspace,
    load_entities,
    own_change,
    save_entities,
    save_meta,
    save_workspace,
)

# What is named, and every ancestor that the confirmed rows or any pending change give it: a
# superset of the ancestors in the view. UNION leaves out what it has, so cycles end. SQLite keeps
# no statistics here, and guesses wrong: CROSS JOIN and INDEXED BY say that the chain is short.
_CHAIN: Final = """
    WITH RECURSIVE chain (id) AS (
        SELECT value FROM json_each(?1)
        UNION SELECT entities.parent FROM chain CROSS JOIN entities
            ON entities.copy = ?2 AND entities.id = chain.id
        UNION SELECT outbox.parent FROM chain CROSS JOIN outbox INDEXED BY outbox_by_entity
            ON outbox.workspace = ?3 AND outbox.entity = chain.id AND outbox.covered_by IS NULL
            WHERE outbox.parent IS NOT NULL
    )
"""


def _rows(source: str, column: str) -> str:
    """Return the query of confirmed rows, then of pending changes, which have no id here.

    Both come with their parents. Fields are large, and only those of what is edited matter.
    """
    return (
        f"SELECT {SKELETON_COLUMNS}, CASE WHEN ?4 IS NULL"  # noqa: S608 - only constants go in
        " OR entities.id IN (SELECT value FROM json_each(?4)) THEN fields"
        f" ELSE x'{pack_fields({}).hex()}' END, entities.rowid"
        f" FROM {source} CROSS JOIN entities ON entities.copy = ?2 AND entities.id = {column}"
        " UNION ALL SELECT NULL, NULL, outbox.parent, NULL, NULL, NULL, NULL, NULL, change, op"
        f" FROM {source} CROSS JOIN outbox INDEXED BY outbox_by_entity ON outbox.workspace = ?3"
        f" AND outbox.entity = {column} AND outbox.covered_by IS NULL"
    )


CHAIN: Final = _CHAIN + _rows("chain", "chain.id")
# The chain costs more than the rows: many ids are asked for alone, then the few above them.
NAMED: Final = _rows("json_each(?1) named", "named.value")
_CHAINED_MAX: Final = 8

# Deleted and departed siblings count too: behind them is behind all that is shown.
_END: Final = """
    SELECT max(position) FROM (
        SELECT max(position) AS position FROM entities WHERE copy = ? AND parent = ?
        UNION ALL SELECT max(position) FROM outbox WHERE workspace = ? AND parent = ?
    )
"""

Suffix = Callable[[], str]


@dataclass(frozen=True, slots=True)
class Edited:
    """What an edit came to: its result, the new outbox rows, and the confirmed rows of these."""

    result: EditResult
    queued: list[Pending]
    copy: int
    read: dict[str, Stored | None]


async def edit(
    writer: Writer,
    ledger: Ledger,
    workspace: str,
    edits: Sequence[Edit],
    *,
    local: bool,
    suffix: Suffix,
    at: int,
) -> Edited:
    """Plan edits and keep them: in the outbox, or in a local store as confirmed at once.

    `at` is the clock in milliseconds.
    """
    held = known_workspace(ledger.workspaces, workspace)
    check_writable(held)
    crowded: set[str] = set()
    while True:
        read: dict[str, Stored | None] = {}
        scene = await load_scene(writer, held, edits, crowded, read)
        try:
            planned = plan(
                scene, edits, last_op=ledger.last_op, previous=ledger.waiting, suffix=suffix
            )
        except CrowdedError as error:
            crowded.add(error.parent)
            continue
        queued = await keep(writer, held, planned, ledger, local=local, at=at)
        changes = _changes(scene, planned)
        result = EditResult([each.id for each in edits], len(planned), changes)
        # Only what waits for a verdict is let go of by one.
        waiting = {each.entity: read[each.entity] for each in queued if each.entity in read}
        return Edited(result, queued, held.copy, waiting)


def check_writable(held: Held) -> None:
    """Raise ModelError when the person may only read this workspace."""
    if held.role not in ("owner", "editor"):
        raise ModelError(
            f"You may not change the workspace {held.name!r}.",
            code="permission.denied",
            hint="Ask its owner for the role of an editor.",
            workspace=held.id,
        )


async def keep(
    writer: Writer,
    held: Held,
    planned: Sequence[Planned],
    ledger: Ledger,
    *,
    local: bool,
    at: int,
) -> list[Pending]:
    """Write planned changes; return the new rows of the outbox."""
    if not planned:
        return []
    await save_meta(writer, "last_op", ledger.last_op + len(planned))
    if local:
        await confirm(writer, held, [each.change for each in planned])
        ledger.last_op += len(planned)
        return []
    ledger.queue(len(planned))
    return await append_outbox(writer, planned, at=at)


async def confirm(writer: Writer, held: Held, changes: Sequence[Change]) -> None:
    """Apply changes at once, as the log of a workspace that has no server."""
    ids = {change.entity for change in changes}
    rows: dict[str, Entity | None] = {**await load_entities(writer, held.copy, ids)}
    for change in changes:
        held.cursor += 1
        verdict = Verdict(
            change.op, seq=held.cursor, event=True, accepted=tuple(sorted(change.fields))
        )
        event = accepted_event(change, verdict, account="", device="")
        assert event is not None
        before = rows.get(change.entity)
        rows[change.entity] = after = apply_event(before, event)
        held.digest = update_digest(held.digest, held.id, before, after)
    await save_entities(writer, held.copy, rows)
    await save_workspace(writer, held)


async def load_scene(
    reader: Reader,
    held: Held,
    edits: Sequence[Edit],
    crowded: Iterable[str],
    read: dict[str, Stored | None],
) -> Scene:
    """Return the part of the view that `edits` touch, with all children of `crowded`.

    The confirmed rows of what is updated and created are added to `read`.
    """
    scene = Scene(held.id, held.cursor)
    parents = {each.parent for each in edits if isinstance(each, Create | Move | Restore)}
    ids = {each.id for each in edits} | {parent for parent in parents if parent}
    for each in edits:
        if isinstance(each, Create | Move):
            ids.update(beside for beside in (each.before, each.after) if beside)
    for full in crowded:
        ids.update(await child_ids(reader, held, full))
        scene.complete.add(full)
    if any(isinstance(each, Delete) for each in edits):
        await _load_hiding(reader, held, scene, ids)
    rows = await load_chain(
        reader,
        held,
        scene,
        ids,
        {each.id for each in edits if isinstance(each, Update)},
        parents=[parent for parent in parents if parent is not None],
    )
    for each in edits:
        if isinstance(each, Update | Create):
            read[each.id] = rows.get(each.id)
    return scene


async def load_chain(
    reader: Reader,
    held: Held,
    scene: Scene,
    ids: set[str],
    whole: set[str] | None,
    *,
    parents: Sequence[str] = (),
) -> dict[str, Stored]:
    """Add `ids` and all their ancestors to the scene; those in `whole` (None: all) with fields.

    Of each of `parents` it learns the last position that any child has. Returns the confirmed rows.
    """
    beside = (held.copy, held.id, None if whole is None else json_list(whole))
    rows, *ends = await reader.fetch_all(
        (CHAIN if len(ids) <= _CHAINED_MAX else NAMED, (json_list(ids), *beside)),
        *((_END, (held.copy, parent, held.id, parent)) for parent in parents),
    )
    for parent, ((position,),) in zip(parents, ends, strict=True):
        if position is not None:
            scene.ends[parent] = position
    above = {row[2] for row in rows} - {row[0] for row in rows} - ids - {ROOT, None}
    if above:
        rows += await reader.fetch(CHAIN, (json_list(above), *beside))
    return lay_chain(scene, rows)


def lay_chain(scene: Scene, rows: Iterable[Row]) -> dict[str, Stored]:
    """Add what CHAIN found to the scene, each row once; return the confirmed rows."""
    found: dict[str, Stored] = {}
    pending: dict[int, bytes] = {}
    for row in rows:
        if row[0] is None:
            pending[row[9]] = row[8]
        elif row[0] not in found:
            entity = entity_from_row(row)
            scene.entities[entity.id] = confirmed_view(scene.workspace, entity)
            found[entity.id] = Stored(entity, row[8], row[9])
    for _, data in sorted(pending.items()):
        scene.add_pending(own_change(data))
    return found


async def child_ids(reader: Reader, held: Held, parent: str) -> list[str]:
    """Return what lies, has lain or is to lie directly in `parent`: a superset of the view's."""
    rows = await reader.fetch(
        "SELECT id FROM entities WHERE copy = ? AND parent = ?"
        " UNION SELECT entity FROM outbox WHERE workspace = ? AND parent = ?",
        (held.copy, parent, held.id, parent),
    )
    return [row[0] for row in rows]


async def _load_hiding(reader: Reader, held: Held, scene: Scene, ids: set[str]) -> None:
    """Find pending edits that hide newer values; a delete above them is based no later."""
    rows = await reader.fetch(
        "SELECT DISTINCT outbox.entity FROM outbox JOIN entities"
        " ON entities.copy = ? AND entities.id = outbox.entity"
        " WHERE outbox.workspace = ? AND entities.version > outbox.lowest_base",
        (held.copy, held.id),
    )
    candidates = [row[0] for row in rows]
    if not candidates:
        return
    changes: dict[str, list[Change]] = {}
    for (data,) in await reader.fetch(
        "SELECT change FROM outbox WHERE workspace = ?"
        " AND entity IN (SELECT value FROM json_each(?)) ORDER BY op",
        (held.id, json_list(candidates)),
    ):
        change = own_change(data)
        changes.setdefault(change.entity, []).append(change)
    for entity in (await load_entities(reader, held.copy, candidates)).values():
        base = hidden_base(entity, changes[entity.id])
        if base is not None:
            scene.hiding[entity.id] = base
            ids.add(entity.id)


def _changes(scene: Scene, planned: Sequence[Planned]) -> list[ViewChange]:
    return [
        ViewChange(
            workspace=scene.workspace,
            entity=each.change.entity,
            kind=each.change.kind or scene.entities[each.change.entity].kind,
            action=each.change.action,
            fields=tuple(sorted(each.change.fields)),
            device="",
            op=each.change.op,
            seq=0,
        )
        for each in planned
    ]
