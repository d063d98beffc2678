"""Figures of a log: what was written when, by whom and to what, and what was not accepted.

A log is read once, twice where more entities were written than are counted at a time. What a log
cannot tell is left out and said: when a change was edited stands in no event.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from kafkaman_sync.errors import WireError
from kafkaman_sync.model.changes import Verdict
from kafkaman_sync.protocol.codec import decode
from kafkaman_sync.protocol.messages import Events, Hello, Message, Push, Verdicts
from kafkaman_sync.protocol.recording import Recorded, Sort
from kafkaman_sync.protocol.records import decode_change
from kafkaman_sync.replay.reading import Gap
from kafkaman_sync.replay.records import Log, Logged, Names
from kafkaman_sync.replay.selecting import Described, Selection, Selector
from kafkaman_sync.replay.source import Source

SLOTS: Final = 60
"""Into so many parts of equal length the time is divided."""
HOT_SHOWN: Final = 10
# So many entities are counted at a time; above, those that were written least are let go.
_COUNTED_MAX: Final = 50_000
# Changes that were sent and not yet answered, of one device.
_WAITING_MAX: Final = 100_000


@dataclass
class Amount:
    """A number of events, and their bytes."""

    events: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Spread:
    """Values in order: how many, and some of them."""

    count: int
    smallest: int
    median: int
    p95: int
    largest: int

    @classmethod
    def of(cls, values: array[int]) -> Spread | None:
        """Return the spread of values; None where there are none."""
        if not values:
            return None
        ordered = sorted(values)
        last = len(ordered) - 1
        return cls(
            len(ordered), ordered[0], ordered[last // 2], ordered[last * 95 // 100], ordered[-1]
        )


@dataclass(frozen=True, slots=True)
class Hot:
    """An entity that was written often."""

    entity: str
    events: int
    described: Described


@dataclass
class Statistics:
    """All figures of one log; times in milliseconds since 1970.

    `slots` counts events in parts of equal length from `first_at` to `last_at`. `behind` tells how
    many events of others and its own lay between what a writer had seen and what it wrote.
    """

    first_seq: int = 0
    last_seq: int = 0
    first_at: int = 0
    last_at: int = 0
    total: Amount = field(default_factory=Amount)
    slots: list[int] = field(default_factory=lambda: [0] * SLOTS)
    actions: dict[str, Amount] = field(default_factory=dict)
    kinds: dict[str, Amount] = field(default_factory=dict)
    devices: dict[str, Amount] = field(default_factory=dict)
    accounts: dict[str, Amount] = field(default_factory=dict)
    fields: Counter[str] = field(default_factory=Counter)
    sizes: Spread | None = None
    behind: Spread | None = None
    disputes: int = 0
    disputes_by_code: Counter[str] = field(default_factory=Counter)
    disputes_by_device: Counter[str] = field(default_factory=Counter)
    hot: list[Hot] = field(default_factory=list)
    unreadable: int = 0
    missing: int = 0


def statistics_of(
    source: Source, log: Log, names: Names, selection: Selection, *, top: int = HOT_SHOWN
) -> Statistics:
    """Count the events that were selected. Raises what the source raises."""
    found = Statistics()
    selector = Selector(source, log, names, selection)
    found.first_at, found.last_at = _times(source, log, names, selection)
    sizes, behind, hot = array("q"), array("q"), _Counted()
    for logged in _events(selector, found):
        _count(found, logged, selector.describe(logged.event))
        sizes.append(logged.size)
        if logged.basis is not None:
            behind.append(max(logged.event.seq - 1 - logged.basis.base, 0))
        hot.add(logged.event.entity)
    found.sizes, found.behind = Spread.of(sizes), Spread.of(behind)
    if hot.let_go:
        again = _events(Selector(source, log, names, selection), Statistics())
        hot.recount(again, top)
    found.hot = [
        Hot(entity, events, _described(selector, source, log, entity))
        for entity, events in hot.most(top)
    ]
    _count_disputes(found, source, log, selection)
    return found


def _described(selector: Selector, source: Source, log: Log, entity: str) -> Described:
    last = next(source.events(log, entity=entity, backward=True), None)
    return Described() if last is None else selector.describe(last.event)


def _times(source: Source, log: Log, names: Names, selection: Selection) -> tuple[int, int]:
    """Return the times of the first and the last event that are selected."""
    ends = []
    for backward in (False, True):
        found = Selector(source, log, names, selection).select(backward=backward)
        event = next(
            (each.logged.event for each in found if not isinstance(each, Gap) and each.logged), None
        )
        ends.append(0 if event is None else event.at)
    return min(ends), max(ends)


def _events(selector: Selector, found: Statistics) -> Iterator[Logged]:
    for each in selector.select():
        if isinstance(each, Gap):
            found.missing += each.last - each.first + 1
        elif each.logged is None:
            found.unreadable += 1
        else:
            yield each.logged


def _count(found: Statistics, logged: Logged, entity: Described) -> None:
    event = logged.event
    found.first_seq, found.last_seq = found.first_seq or event.seq, event.seq
    kind = "" if entity.kind is None else entity.kind.value
    for amounts, key in (
        (found.actions, event.action.value),
        (found.kinds, kind),
        (found.devices, event.device),
        (found.accounts, event.account),
    ):
        amount = amounts.setdefault(key, Amount())
        amount.events += 1
        amount.bytes += logged.size
    found.total.events += 1
    found.total.bytes += logged.size
    found.fields.update(event.fields.keys())
    span = found.last_at - found.first_at
    # The server's clock may have gone back or forth between: what lies outside counts at the ends.
    slot = 0 if span <= 0 else (event.at - found.first_at) * SLOTS // (span + 1)
    found.slots[min(max(slot, 0), SLOTS - 1)] += 1


def _count_disputes(found: Statistics, source: Source, log: Log, selection: Selection) -> None:
    upto = log.head if selection.upto is None else selection.upto
    for dispute in source.disputes(log, selection.entity):
        if not selection.after <= dispute.seq <= upto:
            continue
        found.disputes += 1
        found.disputes_by_device[dispute.device] += 1
        codes = {each.code.value for each in dispute.disagreements}
        if dispute.refusal is not None:
            codes.add(dispute.refusal.code)
        found.disputes_by_code.update(codes)


class _Counted:
    """The entities that were written most; as a rule exactly, else after a second reading.

    When there are too many, one is taken off each, as Misra and Gries do: who was written in more
    than one of `_COUNTED_MAX` events stays.
    """

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self.let_go = False

    def add(self, entity: str) -> None:
        counts = self._counts
        if entity in counts:
            counts[entity] += 1
        elif len(counts) < _COUNTED_MAX:
            counts[entity] = 1
        else:
            self.let_go = True
            self._counts = {name: number - 1 for name, number in counts.items() if number > 1}

    def most(self, top: int) -> list[tuple[str, int]]:
        return sorted(self._counts.items(), key=lambda pair: (-pair[1], pair[0]))[:top]

    def recount(self, events: Iterable[Logged], top: int) -> None:
        """Count those that may be among the first again, exactly."""
        counts = dict.fromkeys((entity for entity, _ in self.most(10 * top)), 0)
        for logged in events:
            if logged.event.entity in counts:
                counts[logged.event.entity] += 1
        self._counts = counts


@dataclass
class _Asker:
    """A device, or a connection of one that is not known: its changes that wait for an answer.

    `answered` is the last op that got one: what is sent again of those before was answered, too.
    """

    sent: dict[int, int] = field(default_factory=dict)
    answered: int = 0


def latency_of(records: Iterable[Recorded]) -> Spread | None:
    """Return how long the answers to changes took, in microseconds; None if none was answered.

    From when a change was first sent, maybe on an earlier connection of its device, until its
    verdict came, or the event in its place.
    """
    took = array("q")
    devices: dict[int, str] = {}
    askers: dict[str, _Asker] = {}
    for record in records:
        number = record.connection
        if record.sort is Sort.OPENED:
            devices[number] = str(record.facts.get("device") or number)
        elif record.sort is Sort.CLOSED:
            askers.pop(str(number), None)
            devices.pop(number, None)
        elif record.sort in (Sort.UP, Sort.DOWN):
            try:
                message = decode(record.data)
                if isinstance(message, Hello):
                    devices[number] = message.device
                asker = askers.setdefault(devices.get(number, str(number)), _Asker())
                _follow(message, record.at_us, asker, took)
            except WireError:
                continue  # it tells nothing of a change
    return Spread.of(took)


def _follow(message: Message, at_us: int, asker: _Asker, took: array[int]) -> None:
    sent = asker.sent
    if isinstance(message, Push):
        for change in map(decode_change, message.changes):
            if len(sent) < _WAITING_MAX and change.op > asker.answered:
                sent.setdefault(change.op, at_us)
        return
    items: Iterable[object] = ()
    if isinstance(message, Events):
        items = message.items
    elif isinstance(message, Verdicts):
        items = message.verdicts
    for item in items:
        if isinstance(item, Verdict) and item.op in sent:
            took.append(at_us - sent.pop(item.op))
            asker.answered = max(asker.answered, item.op)


def named(amounts: Mapping[str, Amount]) -> list[tuple[str, Amount]]:
    """Return amounts, the greatest first."""
    return sorted(amounts.items(), key=lambda pair: (-pair[1].events, pair[0]))
