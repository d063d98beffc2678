"""Records of what could not be merged: kept, read, and resolved with mine or theirs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

import msgpack

from kafkaman_sync.database import Reader, Row, Writer
from kafkaman_sync.errors import ModelError
from kafkaman_sync.model.changes import Action, Change
from kafkaman_sync.model.edits import Create, Delete, Edit, Move, Restore, Update
from kafkaman_sync.model.planning import Scene
from kafkaman_sync.model.values import REMOVED, decode_value
from kafkaman_sync.model.view import ViewEntity, ancestors
from kafkaman_sync.protocol.records import decode_change, decode_entity, encode_change
from kafkaman_sync.store.editing import Suffix, edit, load_chain
from kafkaman_sync.store.facts import ConflictRecord, EditResult
from kafkaman_sync.store.ledger import load_ledger
from kafkaman_sync.store.rows import (
    load_entities,
    load_workspace,
    load_workspaces,
    pack_seen,
    unpack_seen,
)

REFUSED: Final = "refused"
_NAMES: Final = ("name", "key")
_COLUMNS: Final = (
    "id, workspace, entity, kind, code, field, base, mine, theirs, theirs_version, device, op,"
    " change, seen, path, refusal, message, state, snapshot"
)


def name_of(entity: ViewEntity) -> str:
    """Return what a person calls the entity; its id's beginning when it has no name."""
    for field in _NAMES:
        data = entity.fields.get(field, REMOVED)
        value = decode_value(data) if data != REMOVED else None
        if isinstance(value, str) and value:
            return value
    return entity.id[:8]


def entity_path(scene: Scene, change: Change) -> tuple[tuple[str, ...], str]:
    """Return the names from the workspace down to a change's entity, and its kind ("" unknown)."""
    shown = scene.entities.get(change.entity)
    if shown is None and change.kind is not None and change.place is not None:
        scene.add_pending(change)
        shown = scene.entities[change.entity]
    if shown is None:
        return (), ""
    above = ancestors(scene.entities, shown.id)
    return tuple(name_of(each) for each in [*reversed(above), shown]), shown.kind.value


async def insert_conflicts(writer: Writer, records: Iterable[ConflictRecord]) -> None:
    """Keep records; one that is there already stays as it is."""
    await writer.run_many(
        f"INSERT OR IGNORE INTO conflicts ({_COLUMNS})"  # noqa: S608 - names only
        f" VALUES ({', '.join('?' * 19)})",
        [
            (
                record.id,
                record.workspace,
                record.entity,
                record.kind,
                record.code,
                record.field,
                record.base,
                record.mine,
                record.theirs,
                record.theirs_version,
                record.device,
                record.op,
                encode_change(record.change),
                pack_seen(record.seen),
                msgpack.packb(record.path, unicode_errors="surrogatepass"),
                record.refusal,
                record.message,
                record.state,
                record.snapshot,
            )
            for record in records
        ],
    )


async def load_conflicts(reader: Reader, *, closed: bool = False) -> list[ConflictRecord]:
    """Return the open records in op order, with theirs as it is now; `closed` adds the others."""
    condition = "state IN ('open', 'theirs')" if closed else "state = 'open'"
    rows = await reader.fetch(
        f"SELECT {_COLUMNS} FROM conflicts WHERE {condition} ORDER BY op, field"  # noqa: S608 - names only
    )
    return await _follow(reader, [_record(row) for row in rows])


async def load_conflict(reader: Reader, conflict: str) -> ConflictRecord:
    """Return an open record; ModelError `conflict.not_found` if there is none."""
    rows = await reader.fetch(
        f"SELECT {_COLUMNS} FROM conflicts WHERE id = ? AND state = 'open'",  # noqa: S608 - names only
        (conflict,),
    )
    if not rows:
        raise ModelError(
            "There is no open conflict of this id.",
            code="conflict.not_found",
            hint="List them with `kafkaman conflicts`.",
            conflict=conflict,
        )
    return (await _follow(reader, [_record(rows[0])]))[0]


def _record(row: Row) -> ConflictRecord:
    facts: dict[str, Any] = dict(zip(_COLUMNS.split(", "), row, strict=True))
    facts["change"] = decode_change(facts["change"])
    facts["seen"] = unpack_seen(facts["seen"])
    facts["path"] = tuple(msgpack.unpackb(facts["path"], unicode_errors="surrogatepass"))
    return ConflictRecord(**facts)


async def _follow(reader: Reader, records: list[ConflictRecord]) -> list[ConflictRecord]:
    """Return the records with the confirmed value, where it is newer, as theirs."""
    entities: dict[tuple[str, str], dict[str, tuple[bytes, int]]] = {}
    workspaces = await load_workspaces(reader) if records else {}
    for held in workspaces.values():
        ids = {each.entity for each in records if each.workspace == held.id and each.field}
        for entity in (await load_entities(reader, held.copy, ids)).values():
            entities[held.id, entity.id] = {
                name: (each.value, each.version) for name, each in entity.fields.items()
            }
    followed: list[ConflictRecord] = []
    for record in records:
        now = entities.get((record.workspace, record.entity), {}).get(record.field)
        if now is not None and now[1] > record.theirs_version:
            record = replace(record, theirs=now[0], theirs_version=now[1])  # noqa: PLW2901
        followed.append(record)
    return followed


async def resolve(
    writer: Writer, conflict: str, *, mine: bool, local: bool, suffix: Suffix
) -> EditResult:
    """Close a record; with `mine` its change is made again, based on what is shown now."""
    record = await load_conflict(writer, conflict)
    result = EditResult([record.entity], 0)
    if mine:
        edits = await _again(writer, record)
        ledger = await load_ledger(writer)
        result, _ = await edit(writer, ledger, record.workspace, edits, local=local, suffix=suffix)
    await writer.run(
        "UPDATE conflicts SET state = ? WHERE id = ?", ("mine" if mine else "theirs", conflict)
    )
    return result


async def _again(reader: Reader, record: ConflictRecord) -> list[Edit]:
    """Return the edits that make a record's change again."""
    change = record.change
    held = await load_workspace(reader, record.workspace)
    scene = Scene(held.id, held.cursor)
    ids = {change.entity}
    if change.place is not None and change.place.parent:
        ids.add(change.place.parent)
    snapshot = decode_entity(record.snapshot) if record.snapshot else None
    if snapshot is not None and snapshot.place.parent:
        ids.add(snapshot.place.parent)
    await load_chain(reader, held, scene, ids, set())
    here = scene.entities.get(change.entity)
    if here is None:
        if change.action is Action.DELETE:
            return []
        if change.action is Action.CREATE:
            assert change.kind is not None
            assert change.place is not None
            values = {name: each.value for name, each in change.fields.items()}
            return [Create(change.entity, change.kind, change.place.parent, values)]
        return _created_again(record)
    if change.action is Action.DELETE:
        return [Delete(change.entity)]
    edits: list[Edit] = _revived(scene, change.entity)
    if change.fields:
        values = {name: each.value for name, each in change.fields.items()}
        if record.field:
            values = {record.field: values[record.field]}
        edits.append(Update(change.entity, values))
    if change.place is not None and change.action is not Action.CREATE:
        edits.extend(_revived(scene, change.place.parent))
        edits.append(Move(change.entity, change.place.parent))
    return edits


def _revived(scene: Scene, entity: str) -> list[Edit]:
    """Return what restores an entity and all above it that is deleted, from the top down."""
    own = scene.entities.get(entity)
    chain = [own, *ancestors(scene.entities, entity)] if own else []
    return [Restore(each.id) for each in reversed(chain) if each.deleted]


def _created_again(record: ConflictRecord) -> list[Edit]:
    """Return what creates an entity that is gone anew, with what was known of it."""
    if record.snapshot is None:
        raise ModelError(
            "The entity is gone, and nothing of it was kept but this change.",
            code="conflict.entity_gone",
            hint="Resolve the conflict of its creation first, or drop this one with --theirs.",
            conflict=record.id,
        )
    known = decode_entity(record.snapshot)
    change = record.change
    values = {**known.values, **{name: each.value for name, each in change.fields.items()}}
    kept = {name: value for name, value in values.items() if value != REMOVED}
    parent = change.place.parent if change.place else known.place.parent
    return [Create(known.id, known.kind, parent, kept)]
