"""What each event of an entity's past changed, value by value. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kafkaman_sync.errors import WireError
from kafkaman_sync.model.entities import Entity, Place
from kafkaman_sync.model.values import REMOVED

Json = Mapping[str, Any]


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
    event: Json
    changes: tuple[FieldChange, ...]
    before: Place | None = None
    after: Place | None = None


def steps(entity: Entity | None, events: Sequence[Json]) -> list[Step]:
    """Return the steps of `events`, newest first as they come; `entity` is as it was before them.

    Raises WireError for events that are not complete.
    """
    values = entity.values if entity else {}
    place = entity.place if entity else None
    found: list[Step] = []
    for event in reversed(events):
        try:
            action, fields = str(event["action"]), dict(event["fields"])
            if action in ("create", "purge"):
                values, place = {}, None
            changes = tuple(
                FieldChange(name, values.get(name, REMOVED), fields[name])
                for name in sorted(fields)
                if values.get(name, REMOVED) != fields[name]
            )
            before, after = place, place
            if "parent" in event:
                after = Place(str(event["parent"]), str(event["position"]))
            moved = after if before != after else None
            found.append(
                Step(
                    seq=int(event["seq"]),
                    action=action,
                    event=event,
                    changes=changes,
                    before=before if moved else None,
                    after=moved,
                )
            )
        except (KeyError, TypeError, ValueError) as error:
            raise WireError("The server's history is not complete.") from error
        values = {**values, **fields}
        place = after
    return found[::-1]
