"""What comes out of a what-if, beside what really came out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from kafkaman_sync.model.changes import (
    Action,
    ConflictCode,
    Disagreement,
    Dispute,
    Refusal,
    Verdict,
)
from kafkaman_sync.model.entities import Entity, Kind, Place
from kafkaman_sync.replay.naming import title_of
from kafkaman_sync.replay.order import Edit


class Word(StrEnum):
    """What became of a change, in a word."""

    ACCEPTED = "accepted"
    PARTLY = "partly"
    CONFLICT = "conflict"
    REFUSED = "refused"
    NOTHING = "nothing"  # accepted without an event: there was nothing left to do
    PURGED = "purged"
    KEPT = "kept"


@dataclass(frozen=True, slots=True)
class Obstacle:
    """What stands in the way of a change, or of its `field`.

    `seq` is that which the write in the way really has: 0 for what is gone, None for a write that
    really was not accepted.
    """

    code: ConflictCode
    field: str
    seq: int | None


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of a change; `accepted` names the accepted fields."""

    word: Word
    accepted: tuple[str, ...] = ()
    obstacles: tuple[Obstacle, ...] = ()
    refusal: Refusal | None = None


@dataclass(frozen=True, slots=True)
class Otherwise:
    """A change that comes out otherwise.

    `seq` is its event's, or for one that really became none the head when it was decided;
    `seq_then` is the seq that it gets, None without an event.
    """

    seq: int
    action: Action
    entity: str
    name: str
    account: str
    device: str
    op: int
    was: Judged
    then: Judged
    seq_then: int | None


@dataclass(frozen=True, slots=True)
class Shape:
    """Where an entity lies, and whether it is deleted."""

    place: Place
    deleted: bool


@dataclass(frozen=True, slots=True)
class FieldDifference:
    """A field at the end: its bytes as they are, and as they would be; None where there is none."""

    name: str
    was: bytes | None
    then: bytes | None


@dataclass(frozen=True, slots=True)
class EntityDifference:
    """An entity that would be otherwise at the end; a side is None where it is not there."""

    id: str
    kind: Kind
    name: str
    was: Shape | None
    then: Shape | None
    fields: tuple[FieldDifference, ...]


@dataclass(slots=True)
class Outcome:
    """What would have come out. Counts are of all, the lists hold DIFFERENCES_MAX at most."""

    edits: tuple[Edit, ...]
    first: int
    head: int
    head_then: int = 0
    decided: int = 0
    changes: list[Otherwise] = field(default_factory=list)
    changes_count: int = 0
    entities: list[EntityDifference] = field(default_factory=list)
    entities_count: int = 0
    notes: list[str] = field(default_factory=list)


def judged(verdict: Verdict, real: Callable[[int], int | None]) -> Judged:
    """Return a verdict in a word, with its parts; `real` tells which seq a version really has."""
    obstacles = obstacles_of(verdict.disagreements, real)
    if verdict.refusal is not None:
        return Judged(Word.REFUSED, refusal=verdict.refusal)
    if verdict.seq is None:
        return Judged(Word.CONFLICT, obstacles=obstacles)
    if not verdict.event:
        return Judged(Word.NOTHING)
    return Judged(Word.PARTLY if obstacles else Word.ACCEPTED, verdict.accepted, obstacles)


def disputed(dispute: Dispute, accepted: tuple[str, ...] = ()) -> Judged:
    """Return what really became of a change that was not, or not wholly, accepted."""
    if dispute.refusal is not None:
        return Judged(Word.REFUSED, refusal=dispute.refusal)
    obstacles = obstacles_of(dispute.disagreements, lambda seq: seq)
    return Judged(Word.PARTLY if accepted else Word.CONFLICT, accepted, obstacles)


def obstacles_of(
    disagreements: Iterable[Disagreement], real: Callable[[int], int | None]
) -> tuple[Obstacle, ...]:
    """Return disagreements without values, with the seqs that what is in the way really has."""
    return tuple(Obstacle(each.code, each.field, real(each.version)) for each in disagreements)


def name_of(entity: Entity | None) -> str:
    """Return what a person calls an entity; empty for none."""
    return "" if entity is None else title_of(entity.kind, entity.values)


def beside(
    real: Iterator[Entity], touched: Iterator[tuple[str, Entity | None]]
) -> Iterator[tuple[Entity | None, Entity | None]]:
    """Pair what was touched with the real rows; both come in order of ids."""
    row = next(real, None)
    for entity, then in touched:
        while row is not None and row.id < entity:
            row = next(real, None)
        yield (row if row is not None and row.id == entity else None), then


def difference(was: Entity | None, then: Entity | None) -> EntityDifference | None:
    """Return how an entity would differ, but for its versions; None if it would not."""
    known = then or was
    if known is None:
        return None
    sides = [each.values if each is not None else {} for each in (was, then)]
    fields = tuple(
        FieldDifference(name, sides[0].get(name), sides[1].get(name))
        for name in sorted(sides[0].keys() | sides[1].keys())
        if sides[0].get(name) != sides[1].get(name)
    )
    before, after = _shape(was), _shape(then)
    if not fields and before == after:
        return None
    # Its name may be a value that is not in the log: then it is called what it really is.
    name = name_of(then) or name_of(was)
    return EntityDifference(known.id, known.kind, name, before, after, fields)


def _shape(entity: Entity | None) -> Shape | None:
    return None if entity is None else Shape(entity.place, entity.deleted)
