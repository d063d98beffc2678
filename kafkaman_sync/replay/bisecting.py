"""The event that first made an expression true.

An expression that says nothing of the event itself, only of the entity after it, is one of the
state: true at a seq when it holds of any entity there is (or of the one that was named). Any other
is one of events, and true of each by itself.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from kafkaman_sync.model.changes import Action, Event
from kafkaman_sync.model.entities import Entity
from kafkaman_sync.replay.folding import applied
from kafkaman_sync.replay.records import Log, Logged, Names
from kafkaman_sync.replay.source import Source
from kafkaman_sync.replay.state import State, check_seq, entity_at, indexed
from kafkaman_sync.replay.terms import Moment

if TYPE_CHECKING:
    from kafkaman_sync.replay.expression import Expression

TURNS_KEPT_MAX: Final = 20
# So many entities' states are held; of others they are looked up again, where that is cheap.
_STATES_MAX: Final = 20_000
# A bracket of so many events is read; a larger one is halved by a look at the state in its middle.
_READ_EVENTS: Final = 20_000


@dataclass(frozen=True, slots=True)
class Turn:
    """A seq at which an expression became true, or false."""

    logged: Logged
    holds: bool


@dataclass(slots=True)
class Found:
    """What was found out about an expression between two places in a log.

    `of_state` tells what it is about. `before` is whether it was true before the first event looked
    at, `first` the event that made it true, None if there is none. `turns` are the first times at
    which it became true or false, of `turned` in all; for one of events, the first of which it
    holds (it is never noted as false then). `read` counts the events that were looked at.
    """

    of_state: bool
    after: int
    upto: int
    before: bool = False
    holds: bool = False
    first: Logged | None = None
    turns: list[Turn] = field(default_factory=list)
    turned: int = 0
    read: int = 0
    assumed: bool = False

    def turn(self, logged: Logged, holds: bool) -> None:
        """Note that it became true or false."""
        self.holds = holds
        self.turned += 1
        if holds and self.first is None:
            self.first = logged
        if len(self.turns) < TURNS_KEPT_MAX:
            self.turns.append(Turn(logged, holds))


class Bisection:
    """One question to one log."""

    def __init__(
        self, source: Source, log: Log, names: Names, where: Expression, entity: str | None = None
    ) -> None:
        self._source = source
        self._log = log
        self._names = names
        self._where = where
        self._entity = entity
        self._of_state = not where.needs_event
        self._follows = self._of_state or where.needs_state or where.needs_kind
        self._states: OrderedDict[str, Entity | None] = OrderedDict()
        self._held_max = None if indexed(source) is None else _STATES_MAX

    def scan(self, after: int, upto: int) -> Found:
        """Read all events up to `upto`, and tell when it turned among those behind `after`."""
        log = self._log
        check_seq(log, after)
        check_seq(log, upto)
        found = Found(self._of_state, after, upto)
        holding: set[str] = set()
        if self._follows:
            for base in self._source.bases(log, self._entity):
                self._hold(base.id, base)
                if self._of_state and self._holds_of(base):
                    holding.add(base.id)
        found.before = found.holds = bool(holding)
        begin = log.horizon if self._follows else after
        for logged in self._source.events(log, after=begin, upto=upto, entity=self._entity):
            found.read += 1
            before, now = self._follow(logged) if self._follows else (None, None)
            if self._of_state:
                self._take(found, holding, logged, now)
            elif logged.event.seq > after and self._asks(logged, before, now):
                found.turn(logged, True)
        return found

    def bisect(self, after: int, upto: int) -> Found:
        """Take it to become true once at most, and look at states in the middle.

        One that looks at events only is read up to the first of which it holds.
        """
        log = self._log
        check_seq(log, after)
        check_seq(log, upto)
        found = Found(self._of_state, after, upto, assumed=True)
        low, high = after, upto
        if self._of_state:
            found.before = self._holds_at(after)
            found.holds = found.before or self._holds_at(upto)
            if found.before or not found.holds:
                return found
            while high - low > _READ_EVENTS:
                middle = (low + high) // 2
                if self._holds_at(middle):
                    high = middle
                else:
                    low = middle
        if self._follows and indexed(self._source) is None:
            for row in State(self._source, log, low).rows():
                self._hold(row.id, row)
        for logged in self._source.events(log, after=low, upto=high, entity=self._entity):
            found.read += 1
            before, now = self._follow(logged) if self._follows else (None, None)
            if self._of_state and now is None:
                continue
            if self._asks(logged, before, now):
                found.turn(logged, True)
                break
        return found

    def _take(self, found: Found, holding: set[str], logged: Logged, now: Entity | None) -> None:
        """Ask of what an event made of its entity, and note whether that turns the whole."""
        event = logged.event
        if now is not None and self._holds_of(now):
            holding.add(event.entity)
        else:
            holding.discard(event.entity)
        holds = bool(holding)
        if event.seq <= found.after:
            found.before = found.holds = holds
        elif holds is not found.holds:
            found.turn(logged, holds)

    def _follow(self, logged: Logged) -> tuple[Entity | None, Entity | None]:
        """Return the entity before and after an event."""
        event = logged.event
        if event.entity in self._states:
            before = self._states.pop(event.entity)
        elif event.action is Action.CREATE or self._held_max is None:
            before = None
        else:
            before = self._looked_up(event)
        after = applied(before, event)
        self._hold(event.entity, after)
        return before, after

    def _looked_up(self, event: Event) -> Entity | None:
        return entity_at(self._source, self._log, event.entity, event.seq - 1)

    def _hold(self, entity: str, state: Entity | None) -> None:
        self._states[entity] = state
        if self._held_max is not None and len(self._states) > self._held_max:
            self._states.popitem(last=False)

    def _asks(self, logged: Logged, before: Entity | None, after: Entity | None) -> bool:
        entity = after or before
        kind = entity.kind if entity is not None else None
        return self._where.matches(Moment(logged, before, after, self._names, kind))

    def _holds_at(self, seq: int) -> bool:
        state = State(self._source, self._log, seq)
        rows: Iterable[Entity]
        if self._entity is None:
            rows = state.rows()
        else:
            one = state.get(self._entity)
            rows = () if one is None else (one,)
        return any(map(self._holds_of, rows))

    def _holds_of(self, row: Entity) -> bool:
        """Ask of a state; of the event that led to it nothing is asked."""
        event = Event(self._log.workspace, row.version, Action.UPDATE, row.id, "", "", 0, 0)
        return self._asks(Logged(event), row, row)
