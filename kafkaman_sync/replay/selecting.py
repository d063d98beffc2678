"""Which events of a log are wanted, and what is known of each beside what it says."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from kafkaman_sync.errors import ModelError, ReplayError
from kafkaman_sync.model.apply import apply_event
from kafkaman_sync.model.changes import Action, Event
from kafkaman_sync.model.entities import Entity, Kind
from kafkaman_sync.replay.naming import find_id, title_of
from kafkaman_sync.replay.reading import Entry, Gap, read_entries
from kafkaman_sync.replay.records import Log, Names
from kafkaman_sync.replay.source import Source, is_id_prefix
from kafkaman_sync.replay.state import entity_at, head_rows
from kafkaman_sync.replay.terms import Known, Moment

if TYPE_CHECKING:
    from kafkaman_sync.replay.expression import Expression

# So many entities' kinds and names, and states, are held; of others they are looked up again.
_KNOWN_MAX: Final = 20_000
_STATES_MAX: Final = 2_000

_Found = TypeVar("_Found")


@dataclass(frozen=True, slots=True)
class Selection:
    """What is asked of an event; of several of one sort, one has to be met. Empty: everything.

    Seqs: `after` < seq <= `upto`. Devices and accounts are ids, beginnings of ids, or names.
    """

    after: int = 0
    upto: int | None = None
    entity: str | None = None
    actions: frozenset[Action] = frozenset()
    kinds: frozenset[Kind] = frozenset()
    devices: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()
    fields: frozenset[str] = frozenset()
    where: Expression | None = None


@dataclass(frozen=True, slots=True)
class Described:
    """An entity as far as it is known without a replay: its kind, and its name at the head."""

    kind: Kind | None = None
    name: str = ""


class Selector:
    """Selects the events of one log, in either direction."""

    def __init__(self, source: Source, log: Log, names: Names, selection: Selection) -> None:
        self._source = source
        self.log = log
        self._names = names
        self._selection = selection
        self._known: OrderedDict[str, Described] = OrderedDict()
        self._states: OrderedDict[str, Entity | None] = OrderedDict()

    def select(self, *, backward: bool = False) -> Iterator[Entry | Gap]:
        """Yield what was selected; also what cannot be read, for nobody knows what it was."""
        wanted = self._selection
        for each in read_entries(
            self._source,
            self.log,
            after=wanted.after,
            upto=wanted.upto,
            entity=wanted.entity,
            backward=backward,
        ):
            if isinstance(each, Gap) or each.logged is None or self._is_wanted(each, backward):
                yield each

    def describe(self, event: Event) -> Described:
        """Return the kind and the name of an event's entity."""
        found = self._known.get(event.entity)
        if found is None:
            found = self._look_up(event)
            self._known[event.entity] = found
            if len(self._known) > _KNOWN_MAX:
                self._known.popitem(last=False)
        return found

    def _look_up(self, event: Event) -> Described:
        row = _first(lambda: self._source.rows(self.log, event.entity))
        row = row or _first(lambda: self._source.bases(self.log, event.entity))
        if row is not None:
            return Described(row.kind, title_of(row.kind, row.values))
        if event.kind is None:
            # Purged since, or nobody stores rows: its first event is the one that created it.
            first = _first(lambda: self._source.events(self.log, entity=event.entity))
            event = event if first is None else first.event
        return Described(event.kind, title_of(event.kind, event.fields))

    def _is_wanted(self, entry: Entry, backward: bool) -> bool:
        logged, where = entry.logged, self._selection.where
        assert logged is not None, "what cannot be read is not asked"
        event = logged.event
        around = self._followed(event)
        if not self._passes(event):
            return False
        if where is None:
            return True
        kind = self.describe(event).kind if where.needs_kind else None
        if not where.needs_state:
            return where.matches(Moment(logged, names=self._names, kind=kind))
        if around is None:
            before = self._before(event)
            around = before, _after(before, event)
            if not backward:
                self._hold(event.entity, around[1])
        return where.matches(Moment(logged, *around, self._names, kind))

    def _before(self, event: Event) -> Entity | None:
        try:
            return entity_at(self._source, self.log, event.entity, event.seq - 1)
        except (ReplayError, ModelError):
            return None  # the log is broken before it, which `replay verify` tells

    def _passes(self, event: Event) -> bool:
        wanted, names = self._selection, self._names
        return (
            (not wanted.actions or event.action in wanted.actions)
            and (not wanted.fields or not wanted.fields.isdisjoint(event.fields))
            and (
                not wanted.devices
                or _is_one_of(event.device, names.device_name(event.device), wanted.devices)
            )
            and (
                not wanted.accounts
                or _is_one_of(event.account, names.accounts.get(event.account, ""), wanted.accounts)
            )
            and (not wanted.kinds or self.describe(event).kind in wanted.kinds)
        )

    def _followed(self, event: Event) -> tuple[Entity | None, Entity | None] | None:
        """Return the entity before and after an event, if it has been followed up to here."""
        if event.entity not in self._states:
            return None
        before = self._states.pop(event.entity)
        after = _after(before, event)
        self._hold(event.entity, after)
        return before, after

    def _hold(self, entity: str, state: Entity | None) -> None:
        self._states[entity] = state
        if len(self._states) > _STATES_MAX:
            self._states.popitem(last=False)


def _first(read: Callable[[], Iterator[_Found]]) -> _Found | None:
    """Return the first that is read; damage elsewhere is no reason not to show an event."""
    try:
        return next(read(), None)
    except ReplayError:
        return None


def _after(before: Entity | None, event: Event) -> Entity | None:
    try:
        return apply_event(before, event)
    except ModelError:
        return before  # the log is broken there, which `replay verify` tells


def _is_one_of(id: str, name: str, wanted: tuple[str, ...]) -> bool:
    known = Known(id, name)
    return any(known.is_called(each) for each in wanted)


def check_known(names: Names, selection: Selection) -> None:
    """Raise ReplayError for a device or account that no id and no name of the source can be."""
    for what, wanted, known in (
        ("device", selection.devices, [(each.id, each.name) for each in names.devices.values()]),
        ("account", selection.accounts, list(names.accounts.items())),
    ):
        for text in wanted:
            if not known or is_id_prefix(text):
                continue
            if not any(Known(id, name).is_called(text) for id, name in known):
                listed = ", ".join(sorted({name for _, name in known if name})[:20])
                raise ReplayError(
                    f"There is no {what} {text[:64]!r}.",
                    code=f"replay.{what}_unknown",
                    hint=f"Known by name are: {listed}. An id will do, or the beginning of one.",
                )


def find_entity(source: Source, log: Log, text: str) -> str:
    """Return the id of the entity that a person names, as names are at the head of the log.

    Raises ReplayError `entity.not_found`, also for an id of which the log knows nothing, and
    `entity.ambiguous`.
    """
    entity = find_id(lambda: head_rows(source, log), text)
    if (
        _first(lambda: source.events(log, entity=entity)) is None
        and _first(lambda: source.rows(log, entity)) is None
        and _first(lambda: source.bases(log, entity)) is None
    ):
        raise ReplayError(
            f"The log knows nothing of the entity {entity}.",
            code="entity.not_found",
            hint="Is it in another workspace? Name that with --workspace.",
        )
    return entity
