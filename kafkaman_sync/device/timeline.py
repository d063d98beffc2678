"""What each event of an entity's past changed, value by value. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kafkaman_sync.errors import WireError
from kafkaman_sync.model.entities import Entity, Place
from kafkaman_sync.model.limits import ENTITY_FIELDS_MAX
from kafkaman_sync.model.values import REMOVED
from kafkaman_sync.protocol.reading import Record


@dataclass(frozen=True, slots=True)
class FieldChange:
    """A field before and after an event; REMOVED where there was none."""

    name: str
    before: bytes
    after: bytes


@dataclass(frozen=True, slots=True)
class Step:
    """One event as the server tells it, with what it changed.

    `before` and `after` are the places, both None unless it gave the entity one.
    """

    seq: int
    action: str
    event: Record
    changes: tuple[FieldChange, ...]
    before: Place | None = None
    after: Place | None = None


def read_event(value: object) -> Record:
    """Return an event of a history, whose parts are read by name."""
    return Record(value, "An event of the history")


def steps(entity: Entity | None, events: Sequence[Record]) -> list[Step]:
    """Return the steps of `events`, newest first as they come; `entity` is as it was before them.

    Raises WireError for events that are not complete.
    """
    values = entity.values if entity else {}
    place = entity.place if entity else None
    found: list[Step] = []
    for event in reversed(events):
        action, fields = event.text("action"), _fields(event)
        if action in ("create", "purge"):
            values, place = {}, None
        changes = tuple(
            FieldChange(name, values.get(name, REMOVED), fields[name])
            for name in sorted(fields)
            if values.get(name, REMOVED) != fields[name]
        )
        after = place
        if event.has("parent"):
            after = Place(event.text("parent"), event.text("position"))
        moved = after != place
        found.append(
            Step(
                seq=event.integer("seq"),
                action=action,
                event=event,
                changes=changes,
                before=place if moved else None,
                after=after if moved else None,
            )
        )
        values = {**values, **fields}
        place = after
    return found[::-1]


def _fields(event: Record) -> dict[str, bytes]:
    fields: dict[str, bytes] = {}
    for name, value in event.entries("fields", most=ENTITY_FIELDS_MAX):
        if not isinstance(value, bytes):
            raise WireError("An event of the history has a field that is no byte string.")
        fields[name] = value
    return fields
