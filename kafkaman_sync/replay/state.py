"""A workspace, or one entity, as it was at a place in its log.

What a source stores for the head is nearly right for a place near the end: of each row, what was
not written since is taken as it is. What was written since is looked for in the log, from that
place back: entity by entity where these are few, else all at once. `from_log` believes no row, and
reads the log back to its beginning, which comes to the same. A source without an index is folded
from the beginning on, with all states held.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain
from operator import call
from typing import Final

from kafkaman_sync.errors import ReplayError
from kafkaman_sync.model.changes import Event
from kafkaman_sync.model.entities import Entity
from kafkaman_sync.replay.folding import (
    Body,
    Scan,
    applied,
    fold,
    walk_back,
)
from kafkaman_sync.replay.records import Log, Logged
from kafkaman_sync.replay.source import Indexed, Source, SourceKind

# What a fold may hold of a workspace; one that is larger is folded entity by entity.
_HELD_BYTES_MAX: Final = 64 * 2**20

# So many entities that were asked for one by one are held, for who asks again.
_FOUND_MAX: Final = 1_000

# What a walk costs before its first event, and how much more an event costs that it looks for,
# against one that is folded.
_WALK_START: Final = 8
_WALK_EVENT: Final = 1


class State:
    """A workspace as it was at `seq`.

    `from_log` keeps to the log (and the bases at its horizon): what is stored for the head is not
    believed. Raises ReplayError `replay.future` or `replay.purged` for a seq that is not there.
    """

    def __init__(self, source: Source, log: Log, seq: int, *, from_log: bool = False) -> None:
        check_seq(log, seq)
        self.source = source
        self.log = log
        self.seq = seq
        self._from_log = from_log
        self._index = indexed(source)
        self._held: dict[str, Entity] | None = None
        self._found: dict[str, Entity | None] = {}

    def get(self, entity: str) -> Entity | None:
        """Return an entity, deleted or not; None if it was not there."""
        if self._index is None:
            return self._states().get(entity)
        if entity not in self._found:
            if len(self._found) >= _FOUND_MAX:
                self._found.clear()
            self._found[entity] = _one(
                self._index, self.log, entity, self.seq, from_log=self._from_log
            )
        return self._found[entity]

    def rows(self) -> Iterator[Entity]:
        """Yield all entities, deleted ones with their flag, in order of their ids."""
        return self._all(outlines=False)

    def outlines(self) -> Iterator[Entity]:
        """Yield all entities as `rows` does, but of their fields only those that name them.

        Of these, too, other fields may be there; neither they nor the version are right.
        """
        return self._all(outlines=True)

    def _all(self, *, outlines: bool) -> Iterator[Entity]:
        index, log, seq = self._index, self.log, self.seq
        if index is None:
            states = self._states()
            return (states[entity] for entity in sorted(states))
        if self._from_log:
            return _read_back(index, log, seq, Scan(seq, _HELD_BYTES_MAX, outlines=outlines))
        return _looked_back(index, log, seq, outlines=outlines)

    def moved_to(self, seq: int) -> State:
        """Return the workspace at another seq; a later one goes on from what is held here."""
        other = State(self.source, self.log, seq, from_log=self._from_log)
        if self._held is not None and seq >= self.seq:
            other._held = dict(self._held)
            _fold_on(self.source, self.log, other._held, self.seq, seq)
        return other

    @property
    def _is_stored(self) -> bool:
        """Whether this is the state that a device's store has; it has no other."""
        return self.source.kind is SourceKind.STORE and self.seq == self.log.head

    def _states(self) -> dict[str, Entity]:
        if self._held is None and self._is_stored:
            self._held = {row.id: row for row in self.source.rows(self.log)}
        if self._held is None:
            states = {row.id: row for row in self.source.bases(self.log)}
            _fold_on(self.source, self.log, states, self.log.horizon, self.seq)
            self._held = states
        return self._held


def indexed(source: Source) -> Indexed | None:
    """Return a source that has an index as such; None for any other."""
    return source if isinstance(source, Indexed) and source.has_index() else None


def check_seq(log: Log, seq: int) -> None:
    """Raise ReplayError `replay.future` or `replay.purged` for a seq that the log has not got."""
    if seq > log.head:
        raise ReplayError(
            f"The log ends at {log.head}; {seq} has not been written yet.",
            code="replay.future",
            hint="Name a seq up to that.",
            head=log.head,
        )
    if seq < log.horizon:
        raise _purged(log)


def seq_at(source: Source, log: Log, at_ms: int) -> int:
    """Return the last seq written at or before a time in milliseconds since 1970, 0 for none.

    The server's clock is taken never to have gone back; where it has, the answer is one of the
    places at which it passed that time. Raises ReplayError `replay.purged`.
    """
    if log.horizon and at_ms < log.horizon_at:
        raise _purged(log)
    if indexed(source) is None:
        return _seq_by_reading(log, source.events(log), at_ms)
    low, high = log.horizon, log.head
    while low < high:
        middle = (low + high + 1) // 2
        found = next(source.events(log, after=middle - 1, upto=high), None)
        if found is not None and found.event.at <= at_ms:
            low = max(found.event.seq, middle)
        else:
            high = middle - 1
    return low


def entity_at(source: Source, log: Log, entity: str, seq: int) -> Entity | None:
    """Return one entity as it was at `seq`, deleted or not; None if it was not there."""
    check_seq(log, seq)
    index = indexed(source)
    if index is not None:
        return _one(index, log, entity, seq, from_log=False)
    state = next(source.bases(log, entity), None)
    for logged in source.events(log, upto=seq, entity=entity):
        state = applied(state, logged.event)
    return state


def rows_at(source: Source, log: Log, seq: int, *, from_log: bool = False) -> Iterator[Entity]:
    """Yield all entities as they were at `seq`, deleted ones too, in order of their ids."""
    return State(source, log, seq, from_log=from_log).rows()


def head_rows(source: Source, log: Log) -> Iterator[Entity]:
    """Yield the rows at the head: those that the source stores, else those that its events make."""
    try:
        yield from source.rows(log)
    except ReplayError as error:
        if error.code != "replay.no_rows":
            raise
        yield from rows_at(source, log, log.head)


def _one(source: Indexed, log: Log, entity: str, seq: int, *, from_log: bool) -> Entity | None:
    row = None if from_log else next(source.rows(log, entity), None)
    if row is not None and row.version <= seq:
        return row
    return _back(source, log, seq, entity, row)


def _looked_back(source: Indexed, log: Log, seq: int, *, outlines: bool) -> Iterator[Entity]:
    """Return what the rows of the head tell, and the log of what was written since."""
    stored = source.outlines if outlines else source.rows
    rows, changed = source.row_counts(log, seq)
    changed += len(source.purged_after(log, seq))
    events = seq - log.horizon
    walk = _WALK_START + _WALK_EVENT * events / max(rows, 1)
    if changed * walk < events or source.row_bytes(log) > _HELD_BYTES_MAX:
        return _walked(source, log, seq, stored(log))
    scan = Scan(seq, _HELD_BYTES_MAX, outlines=outlines)
    for entity in source.purged_after(log, seq):
        scan.expect(entity)
    for row in stored(log):
        scan.keep(row)
    # What was written since may be nothing that is asked for.
    if scan.missing * walk < events:
        return _walked(source, log, seq, stored(log))
    return _read_back(source, log, seq, scan)


def _read_back(source: Indexed, log: Log, seq: int, scan: Scan) -> Iterator[Entity]:
    """Return what the log tells from `seq` back."""
    if source.event_count(log, seq) != seq - log.horizon:
        _check_gapless(log, source.events(log, upto=seq), seq)
    if source.row_bytes(log) > _HELD_BYTES_MAX or not scan.read(source.bodies_back(log, seq)):
        return _by_entity(source, log, seq)
    return scan.entities(source.bases(log))


def _walked(source: Indexed, log: Log, seq: int, rows: Iterable[Entity]) -> Iterator[Entity]:
    """Yield the rows of the head, each as it was at `seq`, and those purged since."""
    gone = deque(source.purged_after(log, seq))
    for row in rows:
        while gone and gone[0] <= row.id:
            entity = gone.popleft()
            # A purged id that was created once more has a row.
            if entity != row.id:
                yield from _there(_back(source, log, seq, entity, None))
        if row.version <= seq:
            yield row
        else:
            yield from _there(_back(source, log, seq, row.id, row))
    for entity in gone:
        yield from _there(_back(source, log, seq, entity, None))


def _there(entity: Entity | None) -> tuple[Entity, ...]:
    return () if entity is None else (entity,)


def _back(source: Indexed, log: Log, seq: int, entity: str, row: Entity | None) -> Entity | None:
    return walk_back(
        entity,
        seq,
        row,
        _later(lambda: source.bodies_back(log, seq, entity)),
        lambda: next(source.bases(log, entity), None),
    )


def _later(found: Callable[[], Iterator[Body]]) -> Iterator[Body]:
    """Ask only when the first is taken: most rows need none."""
    # A generator would close a query that was left in the middle, perhaps after its database.
    return chain.from_iterable(map(call, (found,)))


def _by_entity(source: Indexed, log: Log, seq: int) -> Iterator[Entity]:
    """Yield what the log makes of the bases; slower, but only one of them is held at a time."""
    bases = source.bases(log)
    base = next(bases, None)
    for entity in source.entities(log, seq):
        while base is not None and base.id < entity:
            yield base
            base = next(bases, None)
        before = None
        if base is not None and base.id == entity:
            before, base = base, next(bases, None)
        bodies = source.bodies_back(log, seq, entity)
        yield from _there(walk_back(entity, seq, None, bodies, partial(_same, before)))
    while base is not None:
        yield base
        base = next(bases, None)


def _same(entity: Entity | None) -> Entity | None:
    return entity


def _fold_on(source: Source, log: Log, states: dict[str, Entity], after: int, upto: int) -> None:
    found = gapless(log, source.events(log, after=after, upto=upto), after, upto)
    fold(states, _events(found))


def _events(found: Iterable[Logged]) -> Iterator[Event]:
    return (logged.event for logged in found)


def _check_gapless(log: Log, events: Iterable[Logged], seq: int) -> None:
    for _ in gapless(log, events, log.horizon, seq):
        pass


def gapless(log: Log, events: Iterable[Logged], after: int, upto: int) -> Iterator[Logged]:
    """Yield events; ReplayError `replay.gap` names the first that is not there."""
    last = after
    for logged in events:
        if logged.event.seq != last + 1:
            break
        last += 1
        yield logged
    if last != upto:
        raise ReplayError(
            f"The log has no event {last + 1}: what was after {last} cannot be told from it.",
            code="replay.gap",
            hint="`replay verify` tells what else is missing.",
            seq=last + 1,
        )


def _seq_by_reading(log: Log, events: Iterable[Logged], at_ms: int) -> int:
    seq = log.horizon
    for logged in events:
        if logged.event.at > at_ms:
            break
        seq = logged.event.seq
    return seq


def _purged(log: Log) -> ReplayError:
    return ReplayError(
        f"The log is kept from {log.horizon} on; what was before has been removed.",
        code="replay.purged",
        hint=f"Name {log.horizon} or a later seq, or a later time; or read a backup of then.",
        horizon=log.horizon,
        horizon_at=log.horizon_at,
    )
