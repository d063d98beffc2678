"""What changed in a workspace between two places in its log, entity by entity."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from kafkaman_sync.errors import UsageError
from kafkaman_sync.model.entities import Entity
from kafkaman_sync.replay.folding import changed_fields
from kafkaman_sync.replay.naming import name_of
from kafkaman_sync.replay.records import Log
from kafkaman_sync.replay.source import Indexed, Source
from kafkaman_sync.replay.state import State, indexed

# What it takes to look up one entity at a point, in events read one after the other.
_LOOK_UP: Final = 16


class What(StrEnum):
    """What became of an entity."""

    CREATED = "created"
    PURGED = "purged"
    DELETED = "deleted"
    RESTORED = "restored"
    MOVED = "moved"
    PLACED = "placed"  # elsewhere among its siblings
    RENAMED = "renamed"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Changed:
    """An entity that is not what it was; `before` or `after` is None where it was not there.

    `fields` names those whose bytes differ.
    """

    before: Entity | None
    after: Entity | None
    what: tuple[What, ...]
    fields: tuple[str, ...]

    @property
    def entity(self) -> Entity:
        """The entity as it is or, if it is gone, was."""
        found = self.after or self.before
        assert found is not None
        return found


@dataclass(frozen=True, slots=True)
class Span:
    """A workspace at two places in its log."""

    before: State
    after: State

    def changes(self) -> Iterator[Changed]:
        """Yield what is not the same at both, in order of ids."""
        for before, after in self._pairs():
            found = compare(before, after)
            if found is not None:
                yield found

    def change_of(self, entity: str) -> Changed | None:
        """Return what became of one entity; None if it is as it was."""
        return compare(self.before.get(entity), self.after.get(entity))

    def there(self, entity: str) -> Entity | None:
        """Return an entity as it was at the later place or, if it was gone by then, before."""
        return self.after.get(entity) or self.before.get(entity)

    def _pairs(self) -> Iterator[tuple[Entity | None, Entity | None]]:
        source, log = self.after.source, self.after.log
        index = indexed(source)
        if index is not None:
            touched = index.touched(log, self.before.seq, self.after.seq)
            if _few(index, log, len(touched), self):
                return ((self.before.get(each), self.after.get(each)) for each in touched)
        return paired(self.before.rows(), self.after.rows())


def span_of(source: Source, log: Log, first: int, last: int, *, from_log: bool = False) -> Span:
    """Return the workspace at `first` and at `last`.

    Raises UsageError `usage.range` for a range that goes backwards, and ReplayError for seqs that
    the log has not got.
    """
    if last < first:
        raise UsageError(
            f"The range goes backwards: {last} is before {first}.",
            code="usage.range",
            hint=f"Name {last} first.",
        )
    before = State(source, log, first, from_log=from_log)
    return Span(before, before.moved_to(last))


def compare(before: Entity | None, after: Entity | None) -> Changed | None:
    """Return how two states of an entity differ; None if only their versions do."""
    if before is None or after is None:
        return _one_sided(before, after)
    fields = tuple(changed_fields(before.fields, after.fields))
    what: list[What] = []
    if before.deleted is not after.deleted:
        what.append(What.DELETED if after.deleted else What.RESTORED)
    if before.place.parent != after.place.parent:
        what.append(What.MOVED)
    elif before.place != after.place:
        what.append(What.PLACED)
    named = {"name", "key"} if name_of(before) != name_of(after) else set[str]()
    if named:
        what.append(What.RENAMED)
    if set(fields) - named or before.kind is not after.kind:
        what.append(What.CHANGED)
    return Changed(before, after, tuple(what), fields) if what else None


def _one_sided(before: Entity | None, after: Entity | None) -> Changed | None:
    if after is not None:
        what = (What.CREATED, What.DELETED) if after.deleted else (What.CREATED,)
        return Changed(None, after, what, tuple(sorted(after.values)))
    if before is not None:
        return Changed(before, None, (What.PURGED,), ())
    return None


def _few(source: Indexed, log: Log, touched: int, span: Span) -> bool:
    """Tell whether looking up each entity at both places takes less than reading the log twice."""
    rows, _ = source.row_counts(log, span.after.seq)
    events = span.before.seq + span.after.seq - 2 * log.horizon
    return touched * (_LOOK_UP + events / max(rows, 1)) < events + rows


def paired(
    before: Iterator[Entity], after: Iterator[Entity]
) -> Iterator[tuple[Entity | None, Entity | None]]:
    """Pair two streams of rows in order of their ids; None where one has no such row."""
    one, two = next(before, None), next(after, None)
    while one is not None or two is not None:
        if two is None or (one is not None and one.id < two.id):
            yield one, None
            one = next(before, None)
        elif one is None or two.id < one.id:
            yield None, two
            two = next(after, None)
        else:
            yield one, two
            one, two = next(before, None), next(after, None)
