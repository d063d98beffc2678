"""Staged imports: any number of creates, kept aside until all of them become changes at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from kafkaman_sync.database import Writer
from kafkaman_sync.errors import ModelError
from kafkaman_sync.model.changes import Action, Change, FieldEdit
from kafkaman_sync.model.edits import Create
from kafkaman_sync.model.entities import ROOT, Kind, Place, is_id
from kafkaman_sync.model.ordering import positions_evenly
from kafkaman_sync.model.planning import Planned, Scene
from kafkaman_sync.model.rules import check_depth, check_fit, check_values, not_found
from kafkaman_sync.model.values import REMOVED, hash_value
from kafkaman_sync.model.view import ancestors, hiding
from kafkaman_sync.protocol.records import encode_change
from kafkaman_sync.store.editing import (
    Suffix,
    check_writable,
    confirm,
    load_chain,
)
from kafkaman_sync.store.rows import (
    Held,
    append_outbox,
    load_numbers,
    load_workspace,
    own_change,
    save_meta,
)

_CHUNK_ROWS: Final = 500


@dataclass(slots=True)
class _Parent:
    """Where staged entities lie: how deep, of which kind, and the last position given there."""

    kind: Kind | None
    depth: int
    end: str | None = None


@dataclass(slots=True)
class Stage:
    """A staged import; what it knows of its entities stays in memory, their fields do not."""

    id: int
    workspace: str
    suffix: str
    count: int = 0
    parents: dict[str, _Parent] = field(default_factory=dict)
    outside: set[str] = field(default_factory=set)


async def begin(writer: Writer, workspace: str, suffix: Suffix) -> Stage:
    """Begin a staged import."""
    held = await load_workspace(writer, workspace)
    check_writable(held)
    await writer.run("INSERT INTO stages (workspace) VALUES (?)", (workspace,))
    rows = await writer.fetch("SELECT max(id) FROM stages")
    return Stage(rows[0][0], workspace, suffix())


async def add(writer: Writer, stage: Stage, creates: Sequence[Create]) -> None:
    """Stage creates, parents before children; ModelError for one that breaks a rule."""
    held = await load_workspace(writer, stage.workspace)
    outside = {each.parent for each in creates} - stage.parents.keys()
    inside = {each.id for each in creates}
    await _load_outside(writer, held, stage, outside - inside)
    rows = []
    for create in creates:
        place = _place(stage, create)
        stage.count += 1
        fields = {
            name: FieldEdit(value, 0, hash_value(REMOVED))
            for name, value in create.fields.items()
            if value != REMOVED
        }
        change = Change(
            stage.count, 0, held.id, Action.CREATE, create.id, 0, create.kind, place, fields
        )
        rows.append((stage.id, stage.count, create.id, encode_change(change)))
    await writer.run_many("INSERT INTO staged VALUES (?, ?, ?, ?)", rows)


def _place(stage: Stage, create: Create) -> Place:
    """Judge a create, and give it the next place below its parent."""
    if not is_id(create.id) or create.id in stage.parents:
        raise ModelError(
            "An id is malformed, or stands twice in one import.",
            code="entity.exists",
            entity=create.id,
        )
    parent = stage.parents.get(create.parent)
    if parent is None:
        raise not_found(create.parent)
    check_fit(create.kind, parent.kind)
    check_depth(parent.depth)
    check_values(create.fields, {})
    stage.parents[create.id] = _Parent(create.kind, parent.depth + 1)
    (position,) = positions_evenly(1, stage.suffix, after=parent.end)
    parent.end = position
    return Place(create.parent, position)


async def _load_outside(writer: Writer, held: Held, stage: Stage, parents: set[str]) -> None:
    """Learn of parents that are not part of the import."""
    scene = Scene(held.id, held.cursor)
    inner = {each for each in parents if each != ROOT}
    await load_chain(writer, held, scene, inner, set(), parents=list(parents))
    for parent in parents:
        known = _Parent(None, 0, scene.ends.get(parent))
        if parent != ROOT:
            known.kind = _alive(scene, parent)
            known.depth = 1 + len(ancestors(scene.entities, parent))
        stage.parents[parent] = known
        stage.outside.add(parent)


def _alive(scene: Scene, parent: str) -> Kind:
    shown = scene.entities.get(parent)
    if shown is None or hiding(scene.entities, parent) is not None:
        raise not_found(parent)
    return shown.kind


async def commit(writer: Writer, stage: Stage, *, local: bool, at: int) -> int:
    """Make all staged creates changes of the person's, made `at` now; return how many they are."""
    held = await load_workspace(writer, stage.workspace)
    check_writable(held)
    scene = Scene(held.id, held.cursor)
    outside = {each for each in stage.outside if each != ROOT}
    await load_chain(writer, held, scene, outside, set())
    for parent in outside:
        _alive(scene, parent)
    await _check_new(writer, held, stage)
    last_op, previous = await load_numbers(writer)
    done = 0
    while rows := await writer.fetch(
        "SELECT number, change FROM staged WHERE stage = ? AND number > ? ORDER BY number LIMIT ?",
        (stage.id, done, _CHUNK_ROWS),
    ):
        planned: list[Planned] = []
        for number, data in rows:
            change = _numbered(own_change(data), last_op + number, previous, held.cursor)
            planned.append(Planned(change, {}))
            previous, done = change.op, number
        if local:
            await confirm(writer, held, [each.change for each in planned])
        else:
            await append_outbox(writer, planned, at=at)
    await save_meta(writer, "last_op", last_op + done)
    await drop(writer, stage)
    return done


def _numbered(change: Change, op: int, previous: int, base: int) -> Change:
    fields = {name: FieldEdit(edit.value, base, edit.prior) for name, edit in change.fields.items()}
    return replace(change, op=op, previous=previous, base=base, fields=fields)


async def _check_new(writer: Writer, held: Held, stage: Stage) -> None:
    rows = await writer.fetch(
        "SELECT entity FROM staged WHERE stage = ?1 AND (EXISTS"
        " (SELECT 1 FROM entities WHERE copy = ?2 AND id = staged.entity) OR EXISTS"
        " (SELECT 1 FROM outbox WHERE workspace = ?3 AND entity = staged.entity)) LIMIT 1",
        (stage.id, held.copy, held.id),
    )
    if rows:
        raise ModelError(
            "An entity of this id exists already.", code="entity.exists", entity=rows[0][0]
        )


async def drop(writer: Writer, stage: Stage) -> None:
    """Forget a staged import; nothing of it has been seen by anyone."""
    await writer.run("DELETE FROM stages WHERE id = ?", (stage.id,))
