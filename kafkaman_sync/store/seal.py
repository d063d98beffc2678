"""Seal unacknowledged work: what an archive says of each change and conflict."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final

from kafkaman_sync.database import Reader
from kafkaman_sync.model.changes import Action, Change, FieldEdit
from kafkaman_sync.model.entities import ROOT, Place
from kafkaman_sync.model.planning import Scene
from kafkaman_sync.model.tagged import json_of
from kafkaman_sync.model.values import REMOVED
from kafkaman_sync.model.view import ViewEntity, ancestors, confirmed_view
from kafkaman_sync.protocol.records import decode_entity
from kafkaman_sync.store.archive import Json, Sealable, plain_values
from kafkaman_sync.store.conflicts import entity_path, load_conflicts, name_of
from kafkaman_sync.store.editing import load_chain
from kafkaman_sync.store.facts import ConflictRecord
from kafkaman_sync.store.forks import load_newer
from kafkaman_sync.store.graves import lay_graves
from kafkaman_sync.store.reads import subtree
from kafkaman_sync.store.rescue import Rescued
from kafkaman_sync.store.rows import Held, load_workspaces, own_change, unpack_seen

_CHUNK_ROWS: Final = 200


async def collect(
    reader: Reader, only: Collection[str] | None = None, *, whole: bool = False
) -> Sealable:
    """Return the outbox, the open conflicts and the losing values that are still kept.

    `only` names the workspaces to look into; all if it is None. `whole` adds everything that a
    person sees there, for when the server may not have it any more. Of a server that was set back
    it is known what it has not: that is added until it is in the outbox.
    """
    workspaces = await load_workspaces(reader)
    chosen = {key: held for key, held in workspaces.items() if only is None or key in only}
    changes: list[Json] = []
    last = 0
    while rows := await reader.fetch(
        "SELECT op, change, seen FROM outbox WHERE op > ? ORDER BY op LIMIT ?", (last, _CHUNK_ROWS)
    ):
        pending = [(own_change(data), unpack_seen(seen)) for _, data, seen in rows]
        last = rows[-1][0]
        for held in chosen.values():
            mine = [each for each in pending if each[0].workspace == held.id]
            scene = Scene(held.id, held.cursor)
            ids = {each.entity for each, _ in mine}
            await load_chain(reader, held, scene, ids, whole=None)
            await lay_graves(reader, scene, ids)
            changes += describe(scene, mine, held.name)
    changes.sort(key=lambda each: int(each["op"]))
    if whole:
        for held in chosen.values():
            shown = await subtree(reader, held.id, ROOT, with_fields=True)
            changes += _confirmed(Scene(held.id, held.cursor), shown, held.name)
    for held in chosen.values():
        if held.fork is not None:
            changes += await _forgotten(reader, held, held.fork, alive=not whole)
    records = await load_conflicts(reader, closed=True)
    conflicts = [
        _conflict(record, chosen[record.workspace].name)
        for record in records
        if record.workspace in chosen
    ]
    return Sealable(changes, conflicts)


def describe_rescued(rescued: Rescued, *, requeued: bool) -> Sealable:
    """Return what an archive says of what was rescued from a damaged store."""
    changes: list[Json] = []
    for workspace, name in rescued.names().items():
        scene = rescued.scene(workspace)
        for ops, extra in ((rescued.outbox, {}), (rescued.old, {"old": True})):
            mine = [(op.change, op.seen) for op in ops if op.change.workspace == workspace]
            changes += [record | extra for record in describe(scene, mine, name)]
    changes.sort(key=lambda each: int(each["op"]))
    names = rescued.names()
    records = [record for record, _ in rescued.conflicts if record.state in ("open", "theirs")]
    conflicts = [_conflict(record, names[record.workspace]) for record in records]
    return Sealable(changes, conflicts, requeued=requeued)


def describe(
    scene: Scene, pending: Iterable[tuple[Change, Mapping[str, bytes]]], workspace_name: str
) -> list[Json]:
    """Return a record of each change, with what `scene` knows of its entity and what is above."""
    found = []
    for change, seen in pending:
        path, kind = entity_path(scene, change)
        record = _change(change, seen, workspace_name, path, kind)
        shown = scene.entities.get(change.entity)
        if shown is not None:
            record["entity_values"] = plain_values(shown.without_removed().fields)
            record["above"] = [
                {"id": each.id, "kind": each.kind.value, "name": name_of(each)}
                for each in reversed(ancestors(scene.entities, shown.id))
            ]
        found.append(record)
    return found


def _confirmed(scene: Scene, shown: Sequence[ViewEntity], workspace_name: str) -> Iterator[Json]:
    """Describe what is shown, parents first, as creations that had been acknowledged."""
    scene.entities.update((each.id, each) for each in shown)
    for each in shown:
        fields = {name: FieldEdit(value, 0, b"") for name, value in each.fields.items()}
        place = Place(each.parent, each.position)
        change = Change(
            0,
            0,
            scene.workspace,
            Action.CREATE,
            each.id,
            kind=each.kind,
            place=place,
            fields=fields,
        )
        (record,) = describe(scene, [(change, {})], workspace_name)
        yield record | {"confirmed": True}


async def _forgotten(reader: Reader, held: Held, fork: int, *, alive: bool) -> list[Json]:
    """Describe what a server that was set back had acknowledged; only deletions without `alive`."""
    newer = await load_newer(reader, held.copy, fork)
    gone = [each.id for each in newer.values() if each.deleted]
    scene = Scene(held.id, held.cursor)
    await load_chain(reader, held, scene, set(newer), whole=None)
    shown = [scene.entities[each.id] for each in newer.values() if alive and not each.deleted]
    found = list(_confirmed(scene, shown, held.name))
    deletes = [Change(0, 0, held.id, Action.DELETE, each) for each in gone]
    described = describe(scene, ((each, {}) for each in deletes), held.name)
    return found + [each | {"confirmed": True} for each in described]


def _change(
    change: Change,
    seen: Mapping[str, bytes],
    workspace_name: str,
    path: tuple[str, ...],
    kind: str,
) -> Json:
    record: Json = {
        "op": change.op,
        "workspace": {"id": change.workspace, "name": workspace_name},
        "action": change.action.value,
        "entity": change.entity,
        "kind": kind,
        "path": list(path),
        "base": change.base,
    }
    if change.place is not None:
        record["parent"] = change.place.parent
        record["position"] = change.place.position
    values = {name: edit.value for name, edit in change.fields.items()}
    if values:
        record["fields"] = plain_values(values)
        record["removed"] = sorted(name for name, value in values.items() if value == REMOVED)
    if seen:
        record["seen"] = plain_values(seen)
    return record


def _conflict(record: ConflictRecord, workspace_name: str) -> Json:
    change = _change(record.change, record.seen, workspace_name, record.path, record.kind)
    found: Json = {
        "id": record.id,
        "state": record.state,
        "code": record.code,
        "refusal": record.refusal,
        "message": record.message,
        "field": record.field,
        "change": change,
    }
    for name, data in (("base", record.base), ("mine", record.mine), ("theirs", record.theirs)):
        if data is not None and data != REMOVED:
            found[name] = json_of(data)
    if record.snapshot is not None:
        entity = decode_entity(record.snapshot)
        shown = confirmed_view(record.workspace, entity).without_removed()
        found["entity"] = {
            "id": entity.id,
            "kind": entity.kind.value,
            "parent": entity.place.parent,
            "position": entity.place.position,
            "fields": plain_values(shown.fields),
        }
    return found
