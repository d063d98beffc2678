"""How a conflict stands now: what is in the way, since when, and what depends on its outcome."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from kafkaman_sync.database import Reader
from kafkaman_sync.model.changes import Action, ConflictCode
from kafkaman_sync.model.entities import ROOT, Entity, Kind
from kafkaman_sync.model.planning import Scene
from kafkaman_sync.model.view import ViewEntity, ancestors, hiding
from kafkaman_sync.store.conflicts import REFUSED, load_group, name_of
from kafkaman_sync.store.editing import load_chain
from kafkaman_sync.store.facts import ConflictRecord
from kafkaman_sync.store.rows import (
    ENTITY_COLUMNS,
    Held,
    entity_from_row,
    load_entities,
    load_workspaces,
)

# What others wrote below something deleted: enough to judge by, however much it is.
FOREIGN_ROWS_MAX: Final = 20

_BELOW: Final = (
    "WITH RECURSIVE below (id) AS (VALUES (?1) UNION SELECT entities.id FROM below"  # noqa: S608 - only constants go in
    " JOIN entities ON entities.copy = ?2 AND entities.parent = below.id AND NOT entities.deleted)"
    f" SELECT {ENTITY_COLUMNS} FROM entities"
    " WHERE copy = ?2 AND id IN (SELECT id FROM below) AND version > ?3"
    " ORDER BY version DESC LIMIT ?4"
)


@dataclass(frozen=True, slots=True)
class Named:
    """An entity as a sentence names it."""

    id: str
    kind: Kind
    name: str


@dataclass(frozen=True, slots=True)
class ForeignWrite:
    """What others wrote to an entity: its path, the fields with their bytes, the seq."""

    entity: Named
    path: tuple[str, ...]
    fields: dict[str, bytes]
    seq: int


@dataclass(frozen=True, slots=True)
class Standing:
    """A record with what explains it.

    `present` tells whether the entity is there, deleted or not; `target` is the parent that the
    change names, None when that is gone or is the workspace. `obstacle` is what stands in the way
    now: the deleted entity that hides the one in question or what it was to lie in, or for a move
    into itself what was moved the other way. `seq` is that of the write that stands against mine
    (0: none, or gone); `version` changes whenever the other side does. `group` are the records that
    depend on this one, `foreign` what others wrote to something that this device deleted.
    """

    record: ConflictRecord
    workspace: str
    present: bool
    parent: Named | None
    target: Named | None
    obstacle: Named | None
    seq: int
    version: int
    group: Sequence[ConflictRecord] = ()
    foreign: Sequence[ForeignWrite] = field(default=())


async def load_standing(reader: Reader, records: Sequence[ConflictRecord]) -> list[Standing]:
    """Return how records stand, in their order."""
    found: dict[str, Standing] = {}
    workspaces = await load_workspaces(reader) if records else {}
    for held in workspaces.values():
        mine = [record for record in records if record.workspace == held.id]
        if not mine:
            continue
        scene = Scene(held.id, held.cursor)
        await load_chain(reader, held, scene, _ids(mine), None)
        obstacles = (_obstacle(scene, record) for record in mine)
        ids = {each.id for each in obstacles if each} | {each.entity for each in mine}
        rows = await load_entities(reader, held.copy, ids)
        for record in mine:
            found[record.id] = await _stand(reader, held, scene, record, rows)
    return [found[record.id] for record in records if record.id in found]


def _ids(records: Iterable[ConflictRecord]) -> set[str]:
    places = (record.change.place for record in records)
    return {record.entity for record in records} | {
        place.parent for place in places if place is not None and place.parent != ROOT
    }


def _obstacle(scene: Scene, record: ConflictRecord) -> ViewEntity | None:
    """Return the entity that stands in the way of a change, as the view is now."""
    if record.field or record.code == ConflictCode.CHANGED:
        return None
    entities, change = scene.entities, record.change
    place = change.place
    if place is not None and place.parent != ROOT:
        inner = between(entities, place.parent, record.entity)
        if inner is not None:
            return inner
        hidden = hiding(entities, place.parent)
        if hidden is not None:
            return hidden
    own = entities.get(record.entity)
    if change.action is Action.RESTORE and own is not None and own.parent in entities:
        return hiding(entities, own.parent)
    return hiding(entities, record.entity)


def between(entities: Mapping[str, ViewEntity], parent: str, entity: str) -> ViewEntity | None:
    """Return what lies in `entity` and is or holds `parent`; None when `parent` is outside."""
    path = [entities[parent]] if parent in entities else []
    path += ancestors(entities, parent)
    return next((inner for inner, outer in pairwise(path) if outer.id == entity), None)


async def _stand(
    reader: Reader,
    held: Held,
    scene: Scene,
    record: ConflictRecord,
    rows: dict[str, Entity],
) -> Standing:
    obstacle = _obstacle(scene, record)
    place, own = record.change.place, scene.entities.get(record.entity)
    target = scene.entities.get(place.parent) if place is not None else None
    above = scene.entities.get(own.parent) if own is not None else target
    standing = rows.get(obstacle.id) if obstacle is not None else None
    seq = record.theirs_version
    if standing is not None:
        moved = record.refusal == "move.cycle"
        seq = standing.place_version if moved else standing.deleted_version
    row = rows.get(record.entity)
    version = record.theirs_version if record.field else max(seq, row.version if row else 0)
    foreign = await _foreign(reader, held, scene, record)
    if foreign:
        version = seq = max(each.seq for each in foreign)
    return Standing(
        record=record,
        workspace=held.name,
        present=own is not None,
        parent=_named(above),
        target=_named(target),
        obstacle=_named(obstacle),
        seq=seq,
        version=version,
        group=(await load_group(reader, record))[1:] if record.code == REFUSED else [],
        foreign=foreign,
    )


async def _foreign(
    reader: Reader, held: Held, scene: Scene, record: ConflictRecord
) -> list[ForeignWrite]:
    if record.code != ConflictCode.CHANGED:
        return []
    base = record.change.base
    found = await reader.fetch(_BELOW, (record.entity, held.copy, base, FOREIGN_ROWS_MAX))
    entities = [entity_from_row(row) for row in found]
    await load_chain(reader, held, scene, {each.id for each in entities}, None)
    return [_written(scene, entity, base) for entity in entities]


def _written(scene: Scene, entity: Entity, base: int) -> ForeignWrite:
    shown = scene.entities[entity.id]
    above = ancestors(scene.entities, entity.id)
    return ForeignWrite(
        entity=Named(entity.id, entity.kind, name_of(shown)),
        path=tuple(name_of(each) for each in [*reversed(above), shown]),
        fields={name: each.value for name, each in entity.fields.items() if each.version > base},
        seq=entity.version,
    )


def _named(entity: ViewEntity | None) -> Named | None:
    return None if entity is None else Named(entity.id, entity.kind, name_of(entity))
