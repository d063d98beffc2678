"""Bytes of the records that are encoded once and stored: changes, events, entity rows, verdicts."""

from __future__ import annotations

from typing import Any, Final

import msgpack

from kafkaman_sync.errors import ModelError, WireError
from kafkaman_sync.model.changes import (
    Action,
    Change,
    ConflictCode,
    Disagreement,
    Event,
    FieldEdit,
    Refusal,
    Verdict,
)
from kafkaman_sync.model.entities import (
    ROOT,
    Entity,
    Field,
    Kind,
    Place,
    check_entity_size,
    check_field,
    is_id,
    is_position,
)
from kafkaman_sync.model.limits import (
    ENTITY_FIELDS_MAX,
    FIELD_NAME_BYTES_MAX,
    FIELD_VALUE_BYTES_MAX,
    INTEGER_MAX,
    ROW_BYTES_MAX,
)
from kafkaman_sync.protocol.reading import Record, unpack

_HASH_BYTES: Final = 16


def encode_change(change: Change) -> bytes:
    """Return the bytes of a change, as the outbox keeps and the wire carries them."""
    record: dict[str, Any] = {
        "op": change.op,
        "previous": change.previous,
        "workspace": change.workspace,
        "action": change.action.value,
        "entity": change.entity,
        "base": change.base,
    }
    _put_kind_and_place(record, change.kind, change.place)
    if change.fields:
        record["fields"] = {
            name: [edit.value, edit.base, edit.prior] for name, edit in change.fields.items()
        }
    return bytes(msgpack.packb(record))


def decode_change(data: bytes) -> Change:
    """Return the change of encoded bytes; WireError when they are not a legal one."""
    _check_row_size(data)
    record = unpack(data, "A change")
    action = record.choice("action", Action)
    kind, place = _kind_and_place(record)
    change = Change(
        op=record.integer("op"),
        previous=record.integer("previous"),
        workspace=read_id(record, "workspace"),
        action=action,
        entity=read_id(record, "entity"),
        base=record.integer("base"),
        kind=kind,
        place=place,
        fields={
            name: _field_edit(record, name, value)
            for name, value in record.entries("fields", most=ENTITY_FIELDS_MAX)
        },
    )
    _check_shape(change, record)
    return change


def encode_event(event: Event) -> bytes:
    """Return the bytes of an event, as the log keeps and the wire carries them."""
    record: dict[str, Any] = {
        "workspace": event.workspace,
        "seq": event.seq,
        "action": event.action.value,
        "entity": event.entity,
        "account": event.account,
        "device": event.device,
        "op": event.op,
        "at": event.at,
    }
    _put_kind_and_place(record, event.kind, event.place)
    if event.fields:
        record["fields"] = dict(event.fields)
    return bytes(msgpack.packb(record))


def decode_event(data: bytes) -> Event:
    """Return the event of encoded bytes; WireError when they are not a legal one."""
    _check_row_size(data)
    record = unpack(data, "An event")
    kind, place = _kind_and_place(record)
    return Event(
        workspace=read_id(record, "workspace"),
        seq=record.integer("seq"),
        action=record.choice("action", Action),
        entity=read_id(record, "entity"),
        account=record.text("account"),
        device=record.text("device"),
        op=record.integer("op"),
        at=record.integer("at"),
        kind=kind,
        place=place,
        fields={
            name: _value(record, name, value)
            for name, value in record.entries("fields", most=ENTITY_FIELDS_MAX)
        },
    )


def encode_entity(entity: Entity) -> bytes:
    """Return the bytes of an entity row, as catch-up by state carries them."""
    record: dict[str, Any] = {
        "id": entity.id,
        "place_version": entity.place_version,
        "deleted": entity.deleted,
        "deleted_version": entity.deleted_version,
        "version": entity.version,
        "fields": {name: [held.value, held.version] for name, held in entity.fields.items()},
    }
    _put_kind_and_place(record, entity.kind, entity.place)
    return bytes(msgpack.packb(record))


def decode_entity(data: bytes) -> Entity:
    """Return the entity of encoded bytes; WireError when they are not a legal row."""
    _check_row_size(data)
    record = unpack(data, "An entity row")
    kind, place = _kind_and_place(record)
    if kind is None or place is None:
        raise record.fault("kind", "there with a place")
    return Entity(
        id=read_id(record, "id"),
        kind=kind,
        place=place,
        place_version=record.integer("place_version"),
        deleted=record.flag("deleted"),
        deleted_version=record.integer("deleted_version"),
        version=record.integer("version"),
        fields={
            name: _versioned(record, name, value)
            for name, value in record.entries("fields", most=ENTITY_FIELDS_MAX)
        },
    )


def verdict_record(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict as the map that stands in messages and, encoded, in storage."""
    record: dict[str, Any] = {"op": verdict.op, "at": verdict.at}
    if verdict.seq is not None:
        record["seq"] = verdict.seq
        record["event"] = verdict.event
    if verdict.accepted:
        record["accepted"] = list(verdict.accepted)
    if verdict.disagreements:
        record["disagreements"] = [
            {
                "code": part.code.value,
                "field": part.field,
                "theirs": part.theirs,
                "version": part.version,
            }
            for part in verdict.disagreements
        ]
    if verdict.refusal is not None:
        record["refusal"] = {"code": verdict.refusal.code, "message": verdict.refusal.message}
    return record


def read_verdict(value: object) -> Verdict:
    """Return the verdict of a decoded map; WireError when it is not a legal one."""
    record = Record(value, "A verdict")
    refusal: Refusal | None = None
    if record.has("refusal"):
        refused = Record(dict(record.entries("refusal", most=16)), "A refusal")
        refusal = Refusal(refused.text("code"), refused.text("message"))
    return Verdict(
        op=record.integer("op"),
        seq=record.integer("seq") if record.has("seq") else None,
        event=record.flag("event"),
        at=record.integer("at", 0),
        accepted=record.items("accepted", _field_name, most=ENTITY_FIELDS_MAX),
        disagreements=record.items("disagreements", _disagreement, most=ENTITY_FIELDS_MAX),
        refusal=refusal,
    )


def encode_verdict(verdict: Verdict) -> bytes:
    """Return the bytes of a verdict, as the journal stores them."""
    return bytes(msgpack.packb(verdict_record(verdict)))


def decode_verdict(data: bytes) -> Verdict:
    """Return the verdict of stored bytes; WireError when they are not a legal one."""
    return read_verdict(unpack(data, "A verdict").whole)


def read_id(record: Record, key: str) -> str:
    """Return an id; WireError when it is not one."""
    text = record.text(key)
    if not is_id(text):
        raise record.fault(key, "an id")
    return text


def _put_kind_and_place(record: dict[str, Any], kind: Kind | None, place: Place | None) -> None:
    if kind is not None:
        record["kind"] = kind.value
    if place is not None:
        record["parent"] = place.parent
        record["position"] = place.position


def _kind_and_place(record: Record) -> tuple[Kind | None, Place | None]:
    kind = record.choice("kind", Kind) if record.has("kind") else None
    if not record.has("parent"):
        return kind, None
    parent = record.text("parent")
    position = record.text("position")
    if parent != ROOT and not is_id(parent):
        raise record.fault("parent", "an id or empty")
    if not is_position(position):
        raise record.fault("position", "a position")
    return kind, Place(parent, position)


def _field_edit(record: Record, name: str, value: object) -> FieldEdit:
    if not isinstance(value, list) or len(value) != 3:
        raise record.fault("fields", "a map of [value, base, prior]")
    data, base, prior = value
    if type(base) is not int or not 0 <= base <= INTEGER_MAX:
        raise record.fault("fields", "a map with integer bases")
    if not isinstance(prior, bytes) or len(prior) != _HASH_BYTES:
        raise record.fault("fields", "a map with 16-byte priors")
    return FieldEdit(_value(record, name, data), base, prior)


def _versioned(record: Record, name: str, value: object) -> Field:
    if not isinstance(value, list) or len(value) != 2:
        raise record.fault("fields", "a map of [value, version]")
    data, version = value
    if type(version) is not int or not 0 <= version <= INTEGER_MAX:
        raise record.fault("fields", "a map with integer versions")
    return Field(_value(record, name, data), version)


def _value(record: Record, name: str, value: object) -> bytes:
    if not isinstance(value, bytes):
        raise record.fault("fields", "a map of byte strings")
    try:
        check_field(name, value)
    except ModelError as error:
        raise WireError(error.message, code=error.code) from error
    return value


def _field_name(value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= FIELD_NAME_BYTES_MAX:
        raise WireError("A verdict: 'accepted' is not an array of field names.")
    return value


def _disagreement(value: object) -> Disagreement:
    record = Record(value, "A disagreement")
    return Disagreement(
        code=record.choice("code", ConflictCode),
        field=record.text("field", "", bytes_max=FIELD_NAME_BYTES_MAX),
        theirs=record.raw("theirs", b"", bytes_max=FIELD_VALUE_BYTES_MAX),
        version=record.integer("version", 0),
    )


def _check_row_size(data: bytes) -> None:
    if len(data) > ROW_BYTES_MAX:
        raise WireError(f"A record has {len(data):,} bytes; allowed are {ROW_BYTES_MAX:,}.")


def _check_shape(change: Change, record: Record) -> None:
    """Each action has exactly the parts it needs."""
    action = change.action
    if action is Action.PURGE or change.op == 0 or change.previous >= change.op:
        raise record.fault("op", "a device's op after its previous one")
    if (change.kind is not None) != (action is Action.CREATE):
        raise record.fault("kind", "there exactly for create")
    if change.place is None and action in (Action.CREATE, Action.MOVE):
        raise record.fault("parent", "there for create and move")
    if change.place is not None and action in (Action.UPDATE, Action.DELETE):
        raise record.fault("parent", "absent for update and delete")
    if change.fields and action not in (Action.CREATE, Action.UPDATE):
        raise record.fault("fields", "absent but for create and update")
    if action is Action.UPDATE and not change.fields:
        raise record.fault("fields", "there for update")
    try:
        check_entity_size((name, len(edit.value)) for name, edit in change.fields.items())
    except ModelError as error:
        raise WireError(error.message, code=error.code) from error
