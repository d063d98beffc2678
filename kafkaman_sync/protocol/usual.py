"""Records in their usual spelling: read and written in one step, a tenth of what `records` takes.

What we write ourselves is nearly all that we ever read. Each reader here returns None for anything
else: whatever is not legal, and whatever is legal but spelt otherwise. Writing a record again, and
getting the same bytes, proves the usual spelling: no key twice, none that is not known, none in
another order. `records` reads the rest, slowly, and names what is wrong with it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Final, TypeVar

from msgspec import DecodeError, Meta, Struct
from msgspec.msgpack import Decoder, Encoder

from kafkaman_sync.model.changes import Action, Change, Event, FieldEdit, Verdict
from kafkaman_sync.model.digest import DIGEST_BYTES
from kafkaman_sync.model.entities import (
    ROOT,
    Count,
    Entity,
    Field,
    FieldValue,
    Kind,
    Place,
    is_position,
)
from kafkaman_sync.model.limits import (
    ENTITY_BYTES_MAX,
    ENTITY_FIELDS_MAX,
    FIELD_NAME_BYTES_MAX,
    ID_BYTES,
    ITEMS_MAX,
    MESSAGE_BYTES_TARGET,
    TEXT_BYTES_MAX,
)

T = TypeVar("T", bound=Struct)

_Id = Annotated[str, Meta(min_length=ID_BYTES, max_length=ID_BYTES)]
_Text = Annotated[str, Meta(max_length=TEXT_BYTES_MAX)]
# Short enough to be within the limit, which counts bytes, in any script.
_Name = Annotated[str, Meta(min_length=1, max_length=FIELD_NAME_BYTES_MAX // 4)]
_few: Final = Meta(max_length=ENTITY_FIELDS_MAX)

_ARE_IDS: Final = re.compile(r"[0-9a-f]*").fullmatch
# A frame that is larger holds more than fits into small ones, or somebody's attempt at it.
_FRAME_BYTES_MAX: Final = 2 * MESSAGE_BYTES_TARGET

encode_usual: Final = Encoder().encode


class ChangeRecord(Struct, omit_defaults=True, gc=False):
    """A change as it is written."""

    op: Annotated[int, Meta(ge=1)]
    previous: Count
    workspace: _Id
    action: Action
    entity: _Id
    base: Count
    kind: Kind | None = None
    parent: str | None = None
    position: str | None = None
    fields: Annotated[Mapping[_Name, FieldEdit], _few] = {}


class EventRecord(Struct, omit_defaults=True, gc=False):
    """An event as it is written."""

    workspace: _Id
    seq: Count
    action: Action
    entity: _Id
    account: _Text
    device: _Text
    op: Count
    at: Count
    kind: Kind | None = None
    parent: str | None = None
    position: str | None = None
    fields: Annotated[Mapping[_Name, FieldValue], _few] = {}


class EntityRecord(Struct, gc=False):
    """An entity row as it is written."""

    id: _Id
    kind: Kind
    parent: str
    position: str
    place_version: Count
    deleted: bool
    deleted_version: Count
    version: Count
    fields: Annotated[Mapping[_Name, Field], _few]


class EventsRecord(Struct, tag_field="type", tag="events", omit_defaults=True, gc=False):
    """A message of events as it is written."""

    workspace: _Id
    items: Annotated[tuple[bytes | Verdict, ...], Meta(max_length=ITEMS_MAX)]
    digest: Annotated[bytes, Meta(min_length=DIGEST_BYTES, max_length=DIGEST_BYTES)] | None = None


_CHANGE: Final = Decoder(ChangeRecord)
_EVENT: Final = Decoder(EventRecord)
_ENTITY: Final = Decoder(EntityRecord)
_VERDICT: Final = Decoder(Verdict)
_EVENTS: Final = Decoder(EventsRecord)

# Whether each action has a kind and a place.
_PARTS: Final[Mapping[Action, tuple[tuple[bool, bool], ...]]] = {
    Action.CREATE: ((True, True),),
    Action.UPDATE: ((False, False),),
    Action.MOVE: ((False, True),),
    Action.DELETE: ((False, False),),
    Action.RESTORE: ((False, False), (False, True)),
    Action.PURGE: (),
}


def read_change(data: bytes) -> Change | None:
    """Return the change of usual bytes."""
    record = _read(_CHANGE, data)
    if record is None or len(data) > ENTITY_BYTES_MAX or record.previous >= record.op:
        return None
    kind, fields = record.kind, record.fields
    place, legal = _place(record.workspace + record.entity, record.parent, record.position)
    if not legal or (kind is not None, place is not None) not in _PARTS[record.action]:
        return None
    if record.action is not Action.CREATE and bool(fields) is not (record.action is Action.UPDATE):
        return None
    return Change(
        record.op,
        record.previous,
        record.workspace,
        record.action,
        record.entity,
        record.base,
        kind,
        place,
        fields,
    )


def write_change(change: Change) -> bytes:
    """Return the bytes of a change."""
    place = change.place
    return encode_usual(
        ChangeRecord(
            change.op,
            change.previous,
            change.workspace,
            change.action,
            change.entity,
            change.base,
            change.kind,
            None if place is None else place.parent,
            None if place is None else place.position,
            change.fields,
        )
    )


def read_event(data: bytes) -> Event | None:
    """Return the event of usual bytes."""
    record = _read(_EVENT, data)
    if record is None:
        return None
    place, legal = _place(record.workspace + record.entity, record.parent, record.position)
    if not legal:
        return None
    return Event(
        record.workspace,
        record.seq,
        record.action,
        record.entity,
        record.account,
        record.device,
        record.op,
        record.at,
        record.kind,
        place,
        record.fields,
    )


def write_event(event: Event) -> bytes:
    """Return the bytes of an event."""
    place = event.place
    return encode_usual(
        EventRecord(
            event.workspace,
            event.seq,
            event.action,
            event.entity,
            event.account,
            event.device,
            event.op,
            event.at,
            event.kind,
            None if place is None else place.parent,
            None if place is None else place.position,
            event.fields,
        )
    )


def read_entity(data: bytes) -> Entity | None:
    """Return the entity of a usual row."""
    record = _read(_ENTITY, data)
    if record is None:
        return None
    place, legal = _place(record.id, record.parent, record.position)
    if not legal or place is None:
        return None
    return Entity(
        record.id,
        record.kind,
        place,
        record.place_version,
        record.deleted,
        record.deleted_version,
        record.version,
        record.fields,
    )


def read_whole_verdict(data: bytes) -> Verdict | None:
    """Return the verdict of usual bytes."""
    verdict = _read(_VERDICT, data)
    return verdict if verdict is not None and _has_seq(verdict) else None


def read_events(frame: bytes) -> EventsRecord | None:
    """Return the events, as bytes, and the verdicts of a usual message."""
    if len(frame) > _FRAME_BYTES_MAX:
        return None
    record = _read(_EVENTS, frame)
    if record is None or _ARE_IDS(record.workspace) is None:
        return None
    stubs = [item for item in record.items if isinstance(item, Verdict)]
    return record if all(map(_has_seq, stubs)) else None


def _read(decoder: Decoder[T], data: bytes) -> T | None:
    try:
        record = decoder.decode(data)
        return record if encode_usual(record) == data else None
    except (DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _has_seq(verdict: Verdict) -> bool:
    return verdict.seq is not None or not verdict.event


def _place(ids: str, parent: str | None, position: str | None) -> tuple[Place | None, bool]:
    """Return the place, and whether that and the ids beside it are legal."""
    if parent is None:
        return None, position is None and _ARE_IDS(ids) is not None
    sized = parent == ROOT or len(parent) == ID_BYTES
    legal = sized and _ARE_IDS(ids + parent) is not None and is_position(position)
    return Place(parent, position or ""), legal
