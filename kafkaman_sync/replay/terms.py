"""The terms of the expression language: the names that it knows, and what each says of a moment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Final, NamedTuple

from kafkaman_sync.model.changes import Action
from kafkaman_sync.model.entities import KINDS, Entity, Kind
from kafkaman_sync.model.values import REMOVED, Value, read_value
from kafkaman_sync.replay.naming import title_of
from kafkaman_sync.replay.records import Logged, Names
from kafkaman_sync.replay.source import is_id_prefix


@dataclass(frozen=True, slots=True)
class Moment:
    """An event, and its entity before and after it.

    `before` and `after` are None where the entity is not there or states are not tracked; `kind` is
    its kind where only that is known.
    """

    logged: Logged
    before: Entity | None = None
    after: Entity | None = None
    names: Names = field(default_factory=Names)
    kind: Kind | None = None


class Sort(Enum):
    """What can be compared with what."""

    NUMBER = "a number"
    TIME = "a time"
    TEXT = "text"
    KNOWN = "an id or a name"
    ACTION = "an action"
    KIND = "a kind"
    WRITTEN = "names of fields"
    FLAG = "true or false"
    NULL = "null"
    ANY = "any value"


class Known(NamedTuple):
    """Somebody or something with an id and, if it is known, a name."""

    id: str
    label: str = ""

    def is_called(self, text: str) -> bool:
        """Tell whether it is the one of that id, beginning of an id, or name in any case."""
        if self.id == text or (is_id_prefix(text) and self.id.startswith(text)):
            return True
        return bool(self.label) and self.label.casefold() == text.casefold()


class Absent(Enum):
    """What a name says where there is nothing to say."""

    ABSENT = auto()


ABSENT: Final = Absent.ABSENT
CHOICES: Final[Mapping[Sort, frozenset[str]]] = {
    Sort.ACTION: frozenset(Action),
    Sort.KIND: frozenset(KINDS),
}
"""The words that a name of one of these sorts can be."""

Path = tuple[str, ...]
_Read = Callable[[Moment], Any]


@dataclass(frozen=True, slots=True)
class Term:
    """A name: its sort, how to read it, and whether that takes the state of the entity.

    `of_event` tells that it says something of the event, not only of what came of it.
    """

    sort: Sort
    read: _Read = field(repr=False, compare=False)
    needs_state: bool = False
    needs_kind: bool = False
    of_event: bool = False


def _kind(moment: Moment) -> Any:
    entity = moment.after or moment.before
    kind = moment.logged.event.kind or moment.kind or (entity.kind if entity is not None else None)
    return ABSENT if kind is None else kind.value


def _name(moment: Moment) -> Any:
    event, entity = moment.logged.event, moment.after or moment.before
    kind = event.kind or (entity.kind if entity is not None else moment.kind)
    values = dict(event.fields) if entity is None else entity.values
    return title_of(kind, values) or ABSENT


def _parent(moment: Moment) -> Any:
    if moment.logged.event.place is not None:
        return Known(moment.logged.event.place.parent)
    entity = moment.after or moment.before
    return ABSENT if entity is None else Known(entity.place.parent)


def _account(moment: Moment) -> Known:
    account = moment.logged.event.account
    return Known(account, moment.names.accounts.get(account, ""))


def _device(moment: Moment) -> Known:
    device = moment.logged.event.device
    return Known(device, moment.names.device_name(device))


def _deleted(moment: Moment) -> Any:
    if moment.after is None:
        return moment.logged.event.action is Action.PURGE or ABSENT
    return moment.after.deleted


def _base(moment: Moment) -> Any:
    return ABSENT if moment.logged.basis is None else moment.logged.basis.base


TERMS: Final[Mapping[str, Term]] = {
    "seq": Term(Sort.NUMBER, lambda moment: moment.logged.event.seq, of_event=True),
    "op": Term(Sort.NUMBER, lambda moment: moment.logged.event.op, of_event=True),
    "size": Term(Sort.NUMBER, lambda moment: moment.logged.size, of_event=True),
    "base": Term(Sort.NUMBER, _base, of_event=True),
    "at": Term(Sort.TIME, lambda moment: moment.logged.event.at, of_event=True),
    "action": Term(Sort.ACTION, lambda moment: moment.logged.event.action.value, of_event=True),
    "kind": Term(Sort.KIND, _kind, needs_kind=True),
    "entity": Term(Sort.KNOWN, lambda moment: Known(moment.logged.event.entity)),
    "parent": Term(Sort.KNOWN, _parent, needs_state=True),
    "account": Term(Sort.KNOWN, _account, of_event=True),
    "device": Term(Sort.KNOWN, _device, of_event=True),
    "name": Term(Sort.TEXT, _name, needs_state=True),
    "fields": Term(Sort.WRITTEN, lambda moment: sorted(moment.logged.event.fields), of_event=True),
    "deleted": Term(Sort.FLAG, _deleted, needs_state=True),
}
"""The names of one word."""


def _written(name: str, path: Path) -> _Read:
    def read(moment: Moment) -> Any:
        return _inside(moment.logged.event.fields.get(name, REMOVED), path)

    return read


def _held(side: str, name: str, path: Path) -> _Read:
    def read(moment: Moment) -> Any:
        entity: Entity | None = getattr(moment, side)
        held = entity.fields.get(name) if entity is not None else None
        return ABSENT if held is None else _inside(held.value, path)

    return read


def _inside(data: bytes, path: Path) -> Any:
    """Return what lies at a path of keys, and of numbers of items, in a field's value."""
    if data == REMOVED:
        return ABSENT
    value: Value = read_value(data)
    for step in path:
        if isinstance(value, dict) and step in value:
            value = value[step]
        elif isinstance(value, list) and step.isdecimal() and len(step) < 10:
            if int(step) >= len(value):
                return ABSENT
            value = value[int(step)]
        else:
            return ABSENT
    return value


def field_term(whose: str, name: str, path: Path) -> Term:
    """Return the term of a field's value: as written (`field`), `before` or `after` the event."""
    if whose == "field":
        return Term(Sort.ANY, _written(name, path), of_event=True)
    before = whose == "before"
    return Term(Sort.ANY, _held(whose, name, path), needs_state=True, of_event=before)
