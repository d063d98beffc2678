"""Who last wrote each part of an entity, or of one field's value, as it was at some place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from kafkaman_sync.device.blaming import Version, blame, parts_of, shape_of
from kafkaman_sync.model.changes import Action
from kafkaman_sync.model.entities import Entity
from kafkaman_sync.model.values import REMOVED
from kafkaman_sync.replay.state import State

PLACE: Final = "place"
DELETED: Final = "deleted"
FIELD: Final = "field"
ITEM: Final = "item"


@dataclass(frozen=True, slots=True)
class Written:
    """A part and the seq that made it what it is; None: older than the log.

    `sort` is PLACE, DELETED, FIELD or, for a part of a field's value, ITEM; `label` is the name of
    the field, or the key of an item, empty for a line of a text. `data` are the value's bytes,
    REMOVED for a field that was removed; of a place or a flag there are none.
    """

    sort: str
    label: str
    seq: int | None
    data: bytes | None = None


def blame_entity(state: State, entity: Entity) -> list[Written]:
    """Return who wrote the place, the flag and each field, removed ones too."""
    horizon = state.log.horizon

    def kept(version: int) -> int | None:
        return version if version > horizon else None

    return [
        Written(PLACE, "", kept(entity.place_version)),
        Written(DELETED, "", kept(entity.deleted_version)),
        *(
            Written(FIELD, name, kept(held.version), held.value)
            for name, held in sorted(entity.fields.items())
        ),
    ]


def blame_field(state: State, entity: Entity, field: str) -> list[Written]:
    """Return who wrote each item, key or line of a field's value; nothing for one without."""
    held = entity.fields.get(field)
    if held is None or held.value == REMOVED:
        return []
    parts = blame(_versions(state, entity.id, field))
    if not parts:
        # Nobody wrote it since the log begins.
        parts = [(part, None) for part in parts_of(held.value, shape_of(held.value))]
    return [Written(ITEM, part.label, seq, part.data) for part, seq in parts]


def _versions(state: State, entity: str, field: str) -> Iterator[Version]:
    """Yield what each event made of a field, the newest first, back to its creation."""
    source, log = state.source, state.log
    newer: tuple[int, bytes] | None = None
    for logged in source.events(log, upto=state.seq, entity=entity, backward=True):
        event = logged.event
        value = event.fields.get(field)
        if value is not None:
            if newer is not None:
                yield Version(newer[0], value, newer[1])
            newer = (event.seq, value)
        if event.action is Action.CREATE:
            if newer is not None:
                yield Version(newer[0], REMOVED, newer[1])
            return
    if newer is not None:
        base = next(source.bases(log, entity), None)
        held = base.fields.get(field) if base is not None else None
        yield Version(newer[0], REMOVED if held is None else held.value, newer[1])
