"""A stepper over a log: an event at a time, in both directions, with the state that each changes.

Nothing of the log is held but what was looked at lately: each place is read when it is gone to, by
the source's indexes, so that the millionth event is as near as the first. What takes long (to look
for the next event of which an expression holds, to make the index of the tree) is done piece by
piece, so that whoever asks can stop between two.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kafkaman_sync.errors import ModelError, ReplayError
from kafkaman_sync.model.apply import apply_event
from kafkaman_sync.model.changes import Dispute
from kafkaman_sync.model.entities import Entity
from kafkaman_sync.model.limits import MIB
from kafkaman_sync.replay.branches import Branches
from kafkaman_sync.replay.reading import Entry, Gap, read_entries
from kafkaman_sync.replay.records import Log, Names
from kafkaman_sync.replay.selecting import Described, Selection, Selector
from kafkaman_sync.replay.source import Source
from kafkaman_sync.replay.state import check_seq, entity_at, seq_at
from kafkaman_sync.replay.terms import Moment
from kafkaman_sync.replay.tracking import Tracker

if TYPE_CHECKING:
    from kafkaman_sync.replay.expression import Expression

SEARCHED_AT_ONCE: Final = 5000
"""Events looked at for an expression before whoever asks has a say again."""

FOLLOWED_AT_ONCE: Final = 500
"""The same for an expression that asks for states, which have to be looked up."""

FILTERED_MAX: Final = 20_000
"""So far from a place a list looks for events of which the filter holds."""

_KEPT_MAX: Final = 256
_KEPT_BYTES_MAX: Final = 16 * MIB


@dataclass(frozen=True, slots=True)
class Step:
    """A place in the log, and what happened there.

    `entry` is None at the horizon, where nothing has happened yet, and where the log has a gap.
    `fault` says why the event cannot be applied. `lost` is the part of its change that was not
    accepted, `refused` what was decided right after it and became no event at all.
    """

    seq: int
    entry: Entry | None = None
    before: Entity | None = None
    after: Entity | None = None
    fault: str = ""
    lost: Dispute | None = None
    refused: tuple[Dispute, ...] = ()


@dataclass(frozen=True, slots=True)
class Listed:
    """A line of the list of events; `entry` is None where the log has a gap."""

    seq: int
    entry: Entry | None
    described: Described


class Matches:
    """The seqs of which an expression holds, as far as they were looked for around a place."""

    def __init__(self, stepper: Stepper, expression: Expression, seq: int) -> None:
        self._stepper = stepper
        self.expression = expression
        self._follows = expression.needs_state or expression.needs_kind
        self._at_once = FOLLOWED_AT_ONCE if self._follows else SEARCHED_AT_ONCE
        self._tracker = stepper.tracker()
        self._first, self._last = seq + 1, seq  # what has been looked at: nothing yet
        self._seqs: list[int] = []

    def covers(self, seq: int) -> bool:
        """Tell whether a place lies in, or next to, what has been looked at."""
        return self._first - 1 <= seq <= self._last

    def look(self, *, backward: bool) -> bool:
        """Look at some more events; return whether there are still more in this direction."""
        log = self._stepper.log
        if backward:
            first, last = max(self._first - self._at_once, log.horizon + 1), self._first - 1
            self._seqs[:0] = self._matching(first, last, self._stepper.tracker())
            self._first = first
            return first > log.horizon + 1
        first, last = self._last + 1, min(self._last + self._at_once, log.head)
        self._seqs += self._matching(first, last, self._tracker)
        self._last = last
        return last < log.head

    def _matching(self, first: int, last: int, tracker: Tracker) -> list[int]:
        found = []
        for each in self._stepper.entries(first, last):
            if isinstance(each, int) or each.logged is None:
                continue
            moment = Moment(each.logged, names=self._stepper.names)
            if self._follows:
                around = tracker.around(each.logged.event)
                moment = Moment(each.logged, *around, self._stepper.names)
            if self.expression.matches(moment):
                found.append(each.seq)
        return found

    def after(self, seq: int, most: int = 1) -> list[int]:
        """Return the next matches after a seq, of those that are known."""
        at = bisect_right(self._seqs, seq)
        return self._seqs[at : at + most]

    def before(self, seq: int, most: int = 1) -> list[int]:
        """Return the last matches before a seq, in order, of those that are known."""
        at = bisect_left(self._seqs, seq)
        return self._seqs[max(at - most, 0) : at]

    def looked(self, seq: int, *, backward: bool) -> int:
        """Return how many events on that side of a place have been looked at."""
        return seq - self._first if backward else self._last - seq


class Stepper:
    """Steps through one log. `at` is where it is: the state is that after the event of this seq."""

    def __init__(self, source: Source, log: Log, names: Names) -> None:
        self._source = source
        self.log = log
        self.names = names
        self.at = log.head
        self.branches = Branches(source, log)
        self._described = Selector(source, log, names, Selection())
        self._filter: Matches | None = None
        self._kept: OrderedDict[int, Step] = OrderedDict()
        self._kept_bytes = 0

    def close(self) -> None:
        """Let go of the index."""
        self.branches.close()

    @property
    def filtering(self) -> Expression | None:
        """What has to hold of the events that are listed and stepped through."""
        return None if self._filter is None else self._filter.expression

    def filter_by(self, expression: Expression | None) -> None:
        """List, and step through, only events of which an expression holds; None: all."""
        self._filter = None if expression is None else Matches(self, expression, self.at)

    def jump(self, seq: int) -> Step:
        """Go to a place. Raises ReplayError `replay.future` or `replay.purged`."""
        check_seq(self.log, seq)
        self.at = seq
        return self.here()

    def jump_to_time(self, at_ms: int) -> Step:
        """Go to the last event at or before a time, in milliseconds since 1970."""
        return self.jump(seq_at(self._source, self.log, at_ms))

    def steps(self, *, backward: bool) -> Iterator[Step | None]:
        """Go to the next event (of which the filter holds), or the one before.

        None is yielded after each piece of looking for it; the last that is yielded is the place.
        It stays where it is when there is none; going back ends before the first event.
        """
        if self._filter is None:
            following = self.at - 1 if backward else self.at + 1
            if self.log.horizon <= following <= self.log.head:
                self.at = following
        else:
            yield from self._search(self._matches(), backward=backward)
        yield self.here()

    def run(self, expression: Expression, *, backward: bool) -> Iterator[Step | None]:
        """Go to the next event of which an expression holds, or the one before; as `steps`."""
        yield from self._search(Matches(self, expression, self._edge(backward)), backward=backward)
        yield self.here()

    def here(self) -> Step:
        """Return the present place."""
        return self.step(self.at)

    def step(self, seq: int) -> Step:
        """Return a place."""
        known = self._kept.pop(seq, None)
        if known is None:
            known = self._read(seq)
            self._kept_bytes += _size(known)
        self._kept[seq] = known
        while len(self._kept) > _KEPT_MAX or self._kept_bytes > _KEPT_BYTES_MAX:
            _, gone = self._kept.popitem(last=False)
            self._kept_bytes -= _size(gone)
        return known

    def around(self, before: int, after: int) -> list[Listed]:
        """Return so many events around the present one, with it."""
        if self._filter is None:
            first, last = self.at - before, self.at + after
            return [self._list(each) for each in self.entries(first, last)]
        matches = self._matches()
        for backward, count in ((True, before + 1), (False, after)):
            while (
                len(
                    matches.before(self.at + 1, count)
                    if backward
                    else matches.after(self.at, count)
                )
                < count
                and matches.looked(self.at, backward=backward) < FILTERED_MAX
                and matches.look(backward=backward)
            ):
                pass
        seqs = [*matches.before(self.at + 1, before + 1), *matches.after(self.at, after)]
        return [self._list(each) for seq in seqs for each in self.entries(seq, seq)]

    def tracker(self) -> Tracker:
        """Return what follows states from any place on."""
        return Tracker(self._source, self.log)

    def _edge(self, backward: bool) -> int:
        return max(self.at - 1, self.log.horizon) if backward else self.at

    def _matches(self) -> Matches:
        assert self._filter is not None, "there is a filter"
        if not self._filter.covers(self.at):
            self._filter = Matches(self, self._filter.expression, self.at)
        return self._filter

    def _search(self, matches: Matches, *, backward: bool) -> Iterator[None]:
        while True:
            found = matches.before(self.at) if backward else matches.after(self.at)
            if found:
                self.at = found[0]
                return
            if not matches.look(backward=backward):
                found = matches.before(self.at) if backward else matches.after(self.at)
                self.at = found[0] if found else self.at
                return
            yield None

    def entries(self, first: int, last: int) -> Iterator[Entry | int]:
        """Yield what is at each place, the seq itself where the log has a gap."""
        first, last = max(first, self.log.horizon + 1), min(last, self.log.head)
        if first > last:
            return
        for each in read_entries(self._source, self.log, after=first - 1, upto=last):
            if isinstance(each, Gap):
                yield from range(each.first, each.last + 1)
            else:
                yield each

    def _list(self, each: Entry | int) -> Listed:
        if isinstance(each, int):
            return Listed(each, None, Described())
        logged = each.logged
        described = Described() if logged is None else self._described.describe(logged.event)
        return Listed(each.seq, each, described)

    def _read(self, seq: int) -> Step:
        entry = next((each for each in self.entries(seq, seq) if isinstance(each, Entry)), None)
        disputes = self._disputes(seq)
        if entry is None or entry.logged is None:
            missing = seq > self.log.horizon
            fault = "The log has no event here." if entry is None else entry.problem
            return Step(seq, entry, fault=fault if missing else "", refused=tuple(disputes))
        event = entry.logged.event
        lost = [each for each in disputes if (each.device, each.op) == (event.device, event.op)]
        refused = tuple(each for each in disputes if each not in lost)
        before, fault = None, entry.problem
        try:
            before = entity_at(self._source, self.log, event.entity, seq - 1)
            after = apply_event(before, event)
        except (ModelError, ReplayError) as error:
            after, fault = before, error.message
        return Step(seq, entry, before, after, fault, lost[0] if lost else None, refused)

    def _disputes(self, seq: int) -> list[Dispute]:
        with suppress(ReplayError):
            return self.branches.disputes(seq)
        return []


def _size(step: Step) -> int:
    size = 1000 + (len(step.entry.body) if step.entry is not None else 0)
    for entity in (step.before, step.after):
        if entity is not None:
            size += sum(len(held.value) + 120 for held in entity.fields.values())
    return size
