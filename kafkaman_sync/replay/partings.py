"""How the rows of two sides part, and after which event."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from kafkaman_sync.model.changes import Action, Event
from kafkaman_sync.model.entities import Entity
from kafkaman_sync.model.tagged import json_of
from kafkaman_sync.model.values import REMOVED
from kafkaman_sync.replay.differences import parts_of

if TYPE_CHECKING:
    from kafkaman_sync.replay.comparing import Side

PARTINGS_KEPT_MAX: Final = 20


@dataclass(frozen=True, slots=True)
class Parting:
    """One thing that differs: the `part` of an entity (empty: all of it).

    `seq` is the event after which they part (0: not known), `event` that event where a side has it.
    `versions` and `values` are those of both sides, None where a side has none.
    """

    entity: str
    part: str
    seq: int
    told: str
    versions: tuple[int | None, int | None] = (None, None)
    values: tuple[bytes | None, bytes | None] = (None, None)
    event: Event | None = None

    def as_dict(self) -> dict[str, Any]:
        """The parting as JSON has it."""
        facts: dict[str, Any] = {
            "seq": self.seq or None,
            "entity": self.entity,
            "part": self.part or None,
            "message": self.told,
            "versions": list(self.versions),
        }
        if self.values != (None, None):
            facts["values"] = [
                None if value is None or value == REMOVED else json_of(value)
                for value in self.values
            ]
        if self.event is not None:
            event = self.event
            facts["event"] = {
                "action": event.action.value,
                "account": event.account,
                "device": event.device,
                "op": event.op,
                "at": event.at,
            }
        return facts


class Partings:
    """The first partings in the order of the log, how many there are, and in how many entities."""

    def __init__(self) -> None:
        self.count = 0
        self.rows = 0
        self._last = ""
        self._kept: list[Parting] = []

    def add(self, parting: Parting) -> None:
        """Keep a parting if it is among the first ones."""
        self.count += 1
        self.rows += parting.entity != self._last
        self._last = parting.entity
        self._kept.append(parting)
        if len(self._kept) > 4 * PARTINGS_KEPT_MAX:
            self._cut()

    def kept(self) -> list[Parting]:
        """Return the first partings, in the order of the events after which they part."""
        self._cut()
        return list(self._kept)

    def _cut(self) -> None:
        order = sorted(self._kept, key=lambda each: (each.seq == 0, each.seq))
        self._kept = order[:PARTINGS_KEPT_MAX]


class Origins:
    """Finds the event after which two sides part, in the log of the side that has one."""

    def __init__(self, one: Side, two: Side) -> None:
        self._side = next((side for side in (one, two) if side.keeps_events), None)
        self.first_has_log = one.keeps_events
        self.heads = one.log.head, two.log.head
        self.horizon = 0 if self._side is None else self._side.log.horizon
        self.perhaps_purged = 0
        """Entities that only the side behind has: purged since, or lost; no event is left of it."""

    @property
    def has_log(self) -> bool:
        """Whether there is a log to look into."""
        return self._side is not None

    def at(self, seq: int) -> Event | None:
        """Return the event of a seq."""
        side = self._side
        if side is None or seq <= side.log.horizon:
            return None
        found = side.source.events(side.log, after=seq - 1, upto=seq)
        return next((each.event for each in found), None)

    def next_of(self, entity: str, part: str, after: int) -> Event | None:
        """Return the first event behind `after` that wrote a part (empty: any) of an entity."""
        side = self._side
        if side is None:
            return None
        for logged in side.source.events(side.log, entity=entity, after=after):
            if not part or _wrote(logged.event, part):
                return logged.event
        return None

    def purge_of(self, entity: str) -> Event | None:
        """Return the purge of an entity."""
        side = self._side
        if side is None:
            return None
        found = side.source.events(side.log, entity=entity, backward=True)
        return next((each.event for each in found if each.event.action is Action.PURGE), None)


def _wrote(event: Event, part: str) -> bool:
    if event.action in (Action.CREATE, Action.PURGE):
        return True
    if part == "place":
        return event.place is not None
    if part == "deleted":
        return event.action in (Action.DELETE, Action.RESTORE)
    return part in event.fields


def row_partings(
    mine: Entity | None, theirs: Entity | None, limit: int, origins: Origins
) -> Iterator[Parting]:
    """Yield how two rows part, as far as both sides have come to seq `limit`."""
    if mine is None or theirs is None:
        yield from _one_sided(mine, theirs, limit, origins)
        return
    if max(_oldest(mine), _oldest(theirs)) > limit:
        return  # made since, or once more after a purge, on the further side
    for part, (version, value), (other_version, other) in parts_of(mine, theirs):
        if version > limit or other_version > limit:
            older = min(version, other_version)
            if version != other_version and older <= limit:
                continue  # the further side has written it since
        if version == other_version and value == other:
            continue
        versions = (version, other_version)
        values = (
            (value if isinstance(value, bytes) else None),
            (other if isinstance(other, bytes) else None),
        )
        seq, told, event = _parted(mine.id, part, versions, origins)
        yield Parting(mine.id, part, seq, told, versions, values, event)


def _parted(
    entity: str, part: str, versions: tuple[int, int], origins: Origins
) -> tuple[int, str, Event | None]:
    """Return the seq after which a part differs, why, and its event."""
    one, two = versions
    if one == two:
        told = f"Both have {part} as event {one} wrote it, and not the same."
        return one, told, origins.at(one)
    if not origins.has_log:
        older, newer = ("first", "second") if one < two else ("second", "first")
        told = f"The {older} side lacks what event {max(versions)} wrote, which the {newer} has."
        return max(versions), told, None
    logged, stored = (one, two) if origins.first_has_log else (two, one)
    if logged > stored:
        event = origins.next_of(entity, part, stored)
        seq = event.seq if event is not None else logged
        return seq, f"The device lacks what event {seq} wrote to {part}.", event
    event = origins.at(stored)
    told = f"The device has {part} as of event {stored}, which in the log did not write it."
    return stored, told, event


def _oldest(entity: Entity) -> int:
    """Return the seq of what was written first of an entity as it is."""
    fields = (held.version for held in entity.fields.values())
    return min(entity.place_version, entity.deleted_version, *fields, entity.version)


def _one_sided(
    mine: Entity | None, theirs: Entity | None, limit: int, origins: Origins
) -> Iterator[Parting]:
    entity = mine or theirs
    assert entity is not None
    versions = (mine.version if mine else None, theirs.version if theirs else None)
    oldest = _oldest(entity)
    which = "first" if theirs is None else "second"
    has = mine is not None
    if origins.has_log and has is not origins.first_has_log:
        purge = origins.purge_of(entity.id)
        if purge is not None:
            told = f"Only the {which} side has it: event {purge.seq} removed it for good."
            yield Parting(entity.id, "", purge.seq, told, versions, event=purge)
        elif origins.horizon > limit:
            origins.perhaps_purged += 1  # folded at the horizon, with all that led to it
        elif entity.version <= limit:
            told = f"Only the {which} side has it: in the log it never was."
            event = origins.at(entity.version)
            yield Parting(entity.id, "", entity.version, told, versions, event=event)
        return
    if oldest > limit:
        return  # made since, on the further side
    behind = origins.heads[0] < origins.heads[1] if has else origins.heads[1] < origins.heads[0]
    if not origins.has_log and behind:
        origins.perhaps_purged += 1
        return
    created = origins.next_of(entity.id, "", 0)
    seq = created.seq if created is not None else oldest
    if seq > limit:
        return
    told = f"Only the {which} side has it."
    yield Parting(entity.id, "", seq, told, versions, event=created)
