"""Entities as they were: their events folded forward, or walked back from a point. Pure.

Both come to what the model's `apply_event` comes to; the tests hold them to it. They do without a
row for each event on the way, which is most of what applying a long log takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from typing import Final

from msgspec import DecodeError, Struct
from msgspec.msgpack import Decoder

from kafkaman_sync.errors import ReplayError
from kafkaman_sync.model.apply import apply_event
from kafkaman_sync.model.changes import Action, Event
from kafkaman_sync.model.entities import Entity, Field, Kind, Place
from kafkaman_sync.replay.stored import damaged


class _Written(Struct, gc=False):
    """What an event writes, without who wrote it: read in half the time of the whole."""

    action: Action
    kind: Kind | None = None
    parent: str | None = None
    position: str | None = None
    fields: dict[str, bytes] = {}


_DECODE: Final = Decoder(_Written).decode


class _Naming(Struct, gc=False):
    """The fields that a person's name for an entity is in."""

    name: bytes | None = None
    key: bytes | None = None


class _Renaming(Struct, gc=False):
    """What an event does, and how it names its entity: other fields are passed over, unread."""

    action: Action
    fields: _Naming | None = None


_DECODE_NAMES: Final = Decoder(_Renaming).decode
# What a field takes beside its value.
_FIELD_BYTES: Final = 150
_FLAGGING: Final = frozenset({Action.CREATE, Action.DELETE, Action.RESTORE})

Body = tuple[str, int, bytes]
"""An event as it is stored: its entity, its seq, its bytes."""


class _Parts:
    """What an entity is made of, while it is put together."""

    __slots__ = ("deleted", "deleted_version", "fields", "kind", "names", "place", "place_version")

    def __init__(self) -> None:
        self.kind: Kind | None = None
        self.place: Place | None = None
        self.place_version = 0
        self.deleted: bool | None = None
        self.deleted_version = 0
        self.fields: dict[str, Field] = {}
        self.names: frozenset[str] | None = None
        """The fields that there were, if that is known."""

    def fill(self, entity: Entity) -> None:
        """Take from an older state whatever has not been found yet."""
        if self.place is None:
            self.place, self.place_version = entity.place, entity.place_version
        if self.deleted is None:
            self.deleted, self.deleted_version = entity.deleted, entity.deleted_version
        self.kind = self.kind or entity.kind
        for name, field in entity.fields.items():
            self.fields.setdefault(name, field)

    @property
    def empty(self) -> bool:
        """Whether nothing has been found yet."""
        return self.place is None and self.deleted is None and not self.fields

    @property
    def newest(self) -> int:
        """The seq of the newest part."""
        versions = (self.place_version, self.deleted_version)
        return max(*versions, *(field.version for field in self.fields.values()), 0)

    def fill_from(self, record: _Written, seq: int, entity: str) -> int:
        """Take from an older event whatever has not been found yet; return the bytes it takes.

        Raises ReplayError `replay.log_broken` for a creation of nothing, or nowhere.
        """
        if record.action is Action.CREATE and (record.kind is None or record.parent is None):
            raise _broken(seq, entity)
        fields = self.fields
        size = 0
        for name, value in record.fields.items():
            if name not in fields:
                fields[name] = Field(value, seq)
                size += len(value) + _FIELD_BYTES
        action = record.action
        if action is Action.UPDATE:
            return size
        if self.place is None and record.parent is not None:
            self.place = Place(record.parent, record.position or "")
            self.place_version = seq
        if self.deleted is None and action in _FLAGGING:
            self.deleted, self.deleted_version = action is Action.DELETE, seq
        if action is Action.CREATE:
            self.kind = self.kind or record.kind
        return size

    def lacks(self, names: Set[str]) -> bool:
        """Tell whether the place, the flag or one of these fields has not been found yet."""
        return self.place is None or self.deleted is None or not names <= self.fields.keys()

    def entity(self, entity: str) -> Entity:
        """Return the entity; an entity's version is the newest of its parts'."""
        assert self.kind is not None
        assert self.place is not None
        assert self.deleted is not None
        return Entity(
            id=entity,
            kind=self.kind,
            place=self.place,
            place_version=self.place_version,
            deleted=self.deleted,
            deleted_version=self.deleted_version,
            version=self.newest,
            fields=self.fields,
        )


def walk_back(
    entity: str,
    seq: int,
    row: Entity | None,
    bodies: Iterable[Body],
    base: Callable[[], Entity | None],
) -> Entity | None:
    """Return an entity as it was at `seq`, None if it was not there.

    `row` is how it is now (None: it was purged); what of it was not written after `seq` is right as
    it is, and only the rest is looked for. `bodies` are its own events up to `seq`, the newest
    first, of which no more are taken than are needed; `base` returns what was before all of them.
    Of a row with some of its fields, these are right in what is returned; the others and the
    version may not be.
    """
    parts, names = _Parts(), set[str]()
    known = row is not None and _keep(parts, row, seq)
    if known and row is not None:
        names = set(row.fields)
        if not parts.lacks(names):
            return parts.entity(entity)
    last = 0
    for _, at, body in bodies:
        record = _read(at, body)
        if record.action is Action.PURGE:
            if last or known:
                raise _broken(last or at, entity)
            return None
        parts.fill_from(record, at, entity)
        if record.action is Action.CREATE or (known and not parts.lacks(names)):
            return parts.entity(entity)
        last = at
    before = base()
    if before is not None:
        parts.fill(before)
        return parts.entity(entity)
    if last or known:
        raise _broken(last or seq, entity)
    return None


def _keep(parts: _Parts, row: Entity, seq: int) -> bool:
    """Take what of a row was not written after `seq`; False when that is nothing.

    Nothing: it was created after `seq`, perhaps once more after a purge.
    """
    if row.place_version <= seq:
        parts.place, parts.place_version = row.place, row.place_version
    if row.deleted_version <= seq:
        parts.deleted, parts.deleted_version = row.deleted, row.deleted_version
    parts.fields = {name: held for name, held in row.fields.items() if held.version <= seq}
    known = bool(parts.place or parts.fields) or parts.deleted is not None
    if known:
        parts.kind = row.kind
    return known


class Scan:
    """All entities as they were at `seq`, found by reading a log backward from there.

    `keep` and `expect` tell of what is stored for the head, if that is to be believed: once nothing
    more is missing, nothing more is read. All that is found is held. With `outlines` most of
    the fields that name nothing are passed by: neither they nor the versions are right then.
    """

    def __init__(self, seq: int, bytes_max: int, *, outlines: bool = False) -> None:
        self._seq = seq
        self._outlines = outlines
        self._room = bytes_max
        # What is found already, None for what was not there; parts of what is still looked for.
        self._found: dict[str, Entity | _Parts | None] = {}
        self._missing = 0
        self._believing = False

    def keep(self, row: Entity) -> None:
        """Take what of a row was not written after `seq`, and look for the rest."""
        self._believing = True
        self._room -= sum(map(_size, row.fields.values()))
        if self._found.pop(row.id, None) is not None:
            self._missing -= 1  # expected, and made once more after its purge
        if row.version <= self._seq:
            self._found[row.id] = row
            return
        parts = _Parts()
        known = _keep(parts, row, self._seq)
        if known and not parts.lacks(row.fields.keys()):
            self._found[row.id] = parts.entity(row.id)
            return
        parts.names = frozenset(row.fields) if known else None
        self._found[row.id] = parts
        self._missing += 1

    def expect(self, entity: str) -> None:
        """Look for an entity that was purged since."""
        self._believing = True
        self._found[entity] = _Parts()
        self._missing += 1

    @property
    def missing(self) -> int:
        """How many entities are still looked for."""
        return self._missing

    def read(self, bodies: Iterable[Body]) -> bool:
        """Read the log, the newest event first; False when the room does not suffice.

        Raises ReplayError `replay.log_broken` or `replay.log_damaged`, naming the seq.
        """
        found, get, unknown = self._found, self._found.get, _Parts()
        outlines = self._outlines
        for entity, seq, body in () if self._is_over() else bodies:
            if outlines and _is_beside_the_name(body):
                continue
            parts = get(entity, unknown)
            if parts.__class__ is not _Parts:
                continue
            record = _read(seq, body)
            if parts is unknown:
                found[entity] = parts = _Parts()
                self._missing += 1
            if record.action is Action.UPDATE:
                # What happens most is spelled out.
                fields, names = parts.fields, parts.names
                count = len(fields)
                for name, value in record.fields.items():
                    if name not in fields:
                        fields[name] = Field(value, seq)
                        self._room -= len(value) + _FIELD_BYTES
                if len(fields) == count:
                    continue
                if self._room >= 0 and (names is None or parts.lacks(names)):
                    continue
                found[entity] = parts.entity(entity) if self._room >= 0 else None
            elif not self._ends(entity, parts, record, seq):
                continue
            self._missing -= 1
            if self._is_over():
                break
        return self._room >= 0

    def _is_over(self) -> bool:
        """Tell whether nothing is missing any more, or there is no more room."""
        return self._room < 0 or (self._believing and not self._missing)

    def _ends(self, entity: str, parts: _Parts, record: _Written, seq: int) -> bool:
        """Take from an event what is still looked for; tell whether that was the last of it."""
        if record.action is Action.PURGE:
            if not parts.empty:
                raise _broken(parts.newest, entity)
            self._found[entity] = None
            return True
        self._room -= parts.fill_from(record, seq, entity)
        names = parts.names
        if record.action is not Action.CREATE and (names is None or parts.lacks(names)):
            return False
        self._found[entity] = parts.entity(entity)
        return True

    def entities(self, bases: Iterable[Entity]) -> Iterator[Entity]:
        """Yield what was there, in order of ids; `bases` are from before the log begins."""
        found = self._found
        for base in bases:
            parts = found.get(base.id)
            if isinstance(parts, _Parts):
                parts.fill(base)
                found[base.id] = parts.entity(base.id)
            elif not self._believing:
                found.setdefault(base.id, base)
        for entity in sorted(found):
            then = found.pop(entity)
            if isinstance(then, _Parts):
                if then.empty:
                    continue
                raise _broken(then.newest, entity)
            if then is not None:
                yield then


def _size(field: Field) -> int:
    return len(field.value) + _FIELD_BYTES


def fold(states: dict[str, Entity], events: Iterable[Event]) -> None:
    """Apply events, in seq order, to the states by id; what was purged leaves them.

    Raises ReplayError `replay.log_broken`, naming the seq, for an event that has nothing to change.
    """
    for event in events:
        after = applied(states.get(event.entity), event)
        if after is None:
            states.pop(event.entity, None)
        else:
            states[event.entity] = after


def applied(entity: Entity | None, event: Event) -> Entity | None:
    """Return an entity after an event, None after a purge; ReplayError `replay.log_broken`."""
    created = event.action is Action.CREATE
    if (entity is None and not created and event.action is not Action.PURGE) or (
        created and (event.kind is None or event.place is None)
    ):
        raise _broken(event.seq, event.entity)
    return apply_event(entity, event)


def changed_fields(before: Mapping[str, Field], after: Mapping[str, Field]) -> list[str]:
    """Return the names of the fields whose bytes differ, in order."""
    names = sorted(before.keys() | after.keys())
    nothing = Field(b"", 0)
    return [
        name for name in names if before.get(name, nothing).value != after.get(name, nothing).value
    ]


def _is_beside_the_name(body: bytes) -> bool:
    """Tell whether a stored event is an update that writes no field that names its entity."""
    try:
        record = _DECODE_NAMES(body)
    except DecodeError:
        return False  # who reads the whole of it tells what is wrong
    fields = record.fields
    return record.action is Action.UPDATE and (
        fields is None or (fields.name is None and fields.key is None)
    )


def _read(seq: int, body: bytes) -> _Written:
    try:
        return _DECODE(body)
    except DecodeError as error:
        raise damaged(f"the event {seq}", error) from error


def _broken(seq: int, entity: str) -> ReplayError:
    return ReplayError(
        f"The event {seq} changes the entity {entity}, which was not there then.",
        code="replay.log_broken",
        hint="The log lacks events, or this one is forged; `replay verify` names the first that is "
        "wrong.",
        seq=seq,
        entity=entity,
    )
