"""Bytes of the records that are encoded once and stored: changes, events, entity rows, verdicts."""

from __future__ import annotations

from typing import Any, Final, TypeVar

from msgpack import Unpacker
from msgspec import DecodeError, Raw, Struct
from msgspec.msgpack import Decoder

from kafkaman_sync.errors import ModelError, WireError
from kafkaman_sync.model.changes import (
    HASH_BYTES,
    Action,
    Basis,
    Change,
    ConflictCode,
    Disagreement,
    Dispute,
    Event,
    FieldEdit,
    Refusal,
    Verdict,
)
from kafkaman_sync.model.entities import (
    KINDS,
    ROOT,
    Entity,
    Field,
    Kind,
    Place,
    check_entity_size,
    check_field,
    is_id,
    is_position,
    pack_fields,
)
from kafkaman_sync.model.limits import (
    ENTITY_BYTES_MAX,
    ENTITY_FIELDS_MAX,
    FIELD_NAME_BYTES_MAX,
    FIELD_VALUE_BYTES_MAX,
    INTEGER_MAX,
    ROW_BYTES_MAX,
)
from kafkaman_sync.protocol.reading import Record, unpack
from kafkaman_sync.protocol.usual import (
    encode_usual,
    read_change,
    read_entity,
    read_event,
    read_whole_verdict,
    write_change,
    write_event,
)

EVENT_HEAD_BYTES: Final = 512
"""What of an event's bytes suffices for `decode_event_head`: ids, numbers and their names."""

_ACTIONS: Final = {action.value: action for action in Action}
_Stored = TypeVar("_Stored", bound=Struct)
_BASIS: Final = Decoder(Basis)
_DISPUTE: Final = Decoder(Dispute)
_CONFLICT_CODES: Final = {code.value: code for code in ConflictCode}


def encode_change(change: Change) -> bytes:
    """Return the bytes of a change, as the outbox keeps and the wire carries them."""
    return write_change(change)


def decode_change(data: bytes) -> Change:
    """Return the change of encoded bytes; WireError when they are not a legal one."""
    usual = read_change(data)
    if usual is not None:
        return usual
    _check_row_size(data)
    record = unpack(data, "A change")
    kind, place = _kind_and_place(record)
    change = Change(
        op=record.integer("op"),
        previous=record.integer("previous"),
        workspace=read_id(record, "workspace"),
        action=record.choice("action", _ACTIONS),
        entity=read_id(record, "entity"),
        base=record.integer("base"),
        kind=kind,
        place=place,
        fields=_field_edits(record),
    )
    _check_shape(change, record)
    # Names and values are within the record's bytes, and `entries` has counted them.
    if len(data) > ENTITY_BYTES_MAX:
        _check_size(change)
    return change


def encode_event(event: Event) -> bytes:
    """Return the bytes of an event, as the log keeps and the wire carries them.

    What `decode_event_head` reads comes first.
    """
    return write_event(event)


def decode_event(data: bytes) -> Event:
    """Return the event of encoded bytes; WireError when they are not a legal one."""
    usual = read_event(data)
    if usual is not None:
        return usual
    _check_row_size(data)
    record = unpack(data, "An event")
    kind, place = _kind_and_place(record)
    return Event(
        workspace=read_id(record, "workspace"),
        seq=record.integer("seq"),
        action=record.choice("action", _ACTIONS),
        entity=read_id(record, "entity"),
        account=record.text("account"),
        device=record.text("device"),
        op=record.integer("op"),
        at=record.integer("at"),
        kind=kind,
        place=place,
        fields=_values(record),
    )


def decode_event_head(data: bytes) -> Event:
    """Return the event of the first EVENT_HEAD_BYTES of its stored bytes, or of all of them.

    It has no place, kind or fields: for who asks whose it was.
    """
    unpacker = Unpacker()
    unpacker.feed(data)
    unpacker.read_map_header()
    head: dict[str, Any] = {}
    while "at" not in head:
        name = unpacker.unpack()
        head[name] = unpacker.unpack()
    return Event(**{**head, "action": _ACTIONS[head["action"]]})


def encode_entity(entity: Entity, packed: bytes | None = None) -> bytes:
    """Return the bytes of an entity row, as catch-up by state carries them.

    `packed` are its fields as bytes, for who has them; those of the entity are not read then.
    """
    place = entity.place
    return encode_usual(
        {
            "id": entity.id,
            "kind": entity.kind,
            "parent": place.parent,
            "position": place.position,
            "place_version": entity.place_version,
            "deleted": entity.deleted,
            "deleted_version": entity.deleted_version,
            "version": entity.version,
            "fields": Raw(pack_fields(entity.fields) if packed is None else packed),
        }
    )


def decode_entity(data: bytes) -> Entity:
    """Return the entity of encoded bytes; WireError when they are not a legal row."""
    usual = read_entity(data)
    if usual is not None:
        return usual
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
        fields=_versioned(record),
    )


def read_verdict(value: object) -> Verdict:
    """Return the verdict of a decoded map; WireError when it is not a legal one."""
    record = Record(value, "A verdict")
    refusal: Refusal | None = None
    if record.has("refusal"):
        refused = Record(dict(record.entries("refusal", most=16)), "A refusal")
        refusal = Refusal(refused.text("code"), refused.text("message"))
    seq = record.integer("seq") if record.has("seq") else None
    event = record.flag("event")
    if event and seq is None:
        raise record.fault("event", "absent without a seq")
    return Verdict(
        op=record.integer("op"),
        seq=seq,
        event=event,
        at=record.integer("at", 0),
        accepted=record.items("accepted", _field_name, most=ENTITY_FIELDS_MAX),
        disagreements=record.items("disagreements", _disagreement, most=ENTITY_FIELDS_MAX),
        refusal=refusal,
    )


def encode_verdict(verdict: Verdict) -> bytes:
    """Return the bytes of a verdict, as the journal stores them."""
    return encode_usual(verdict)


def decode_verdict(data: bytes) -> Verdict:
    """Return the verdict of stored bytes; WireError when they are not a legal one."""
    usual = read_whole_verdict(data)
    return usual or read_verdict(unpack(data, "A verdict").whole)


def encode_basis(basis: Basis) -> bytes:
    """Return the bytes of a basis, as the log keeps them beside its event."""
    return encode_usual(basis)


def decode_basis(data: bytes) -> Basis:
    """Return the basis of stored bytes; WireError when they are not a legal one."""
    return _stored(_BASIS, data, "What a change was judged by")


def encode_dispute(dispute: Dispute) -> bytes:
    """Return the bytes of a dispute, as the log keeps them."""
    return encode_usual(dispute)


def decode_dispute(data: bytes) -> Dispute:
    """Return the dispute of stored bytes; WireError when they are not a legal one."""
    return _stored(_DISPUTE, data, "A dispute")


def _stored(decoder: Decoder[_Stored], data: bytes, what: str) -> _Stored:
    try:
        return decoder.decode(data)
    except (DecodeError, UnicodeDecodeError) as error:
        raise WireError(f"{what}: the bytes are not a legal record.") from error


def read_id(record: Record, key: str) -> str:
    """Return an id; WireError when it is not one."""
    text = record.text(key)
    if not is_id(text):
        raise record.fault(key, "an id")
    return text


def _kind_and_place(record: Record) -> tuple[Kind | None, Place | None]:
    kind = record.choice("kind", KINDS) if record.has("kind") else None
    if not record.has("parent"):
        return kind, None
    parent = record.text("parent")
    position = record.text("position")
    if parent != ROOT and not is_id(parent):
        raise record.fault("parent", "an id or empty")
    if not is_position(position):
        raise record.fault("position", "a position")
    return kind, Place(parent, position)


def _field_edits(record: Record) -> dict[str, FieldEdit]:
    edits: dict[str, FieldEdit] = {}
    for name, entry in record.entries("fields", most=ENTITY_FIELDS_MAX):
        if type(entry) is not list or len(entry) != 3:
            raise record.fault("fields", "a map of [value, base, prior]")
        value, base, prior = entry
        if type(base) is not int or not 0 <= base <= INTEGER_MAX:
            raise record.fault("fields", "a map with integer bases")
        if type(prior) is not bytes or len(prior) != HASH_BYTES:
            raise record.fault("fields", "a map with 16-byte priors")
        _check_value(record, name, value)
        edits[name] = FieldEdit(value, base, prior)
    return edits


def _versioned(record: Record) -> dict[str, Field]:
    fields: dict[str, Field] = {}
    for name, entry in record.entries("fields", most=ENTITY_FIELDS_MAX):
        if type(entry) is not list or len(entry) != 2:
            raise record.fault("fields", "a map of [value, version]")
        value, version = entry
        if type(version) is not int or not 0 <= version <= INTEGER_MAX:
            raise record.fault("fields", "a map with integer versions")
        _check_value(record, name, value)
        fields[name] = Field(value, version)
    return fields


def _values(record: Record) -> dict[str, bytes]:
    values = dict(record.entries("fields", most=ENTITY_FIELDS_MAX))
    for name, value in values.items():
        _check_value(record, name, value)
    return values


def _check_value(record: Record, name: str, value: object) -> None:
    if type(value) is not bytes:
        raise record.fault("fields", "a map of byte strings")
    try:
        check_field(name, value)
    except ModelError as error:
        raise WireError(error.message, code=error.code) from error


def _field_name(value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= FIELD_NAME_BYTES_MAX:
        raise WireError("A verdict: 'accepted' is not an array of field names.")
    return value


def _disagreement(value: object) -> Disagreement:
    record = Record(value, "A disagreement")
    return Disagreement(
        code=record.choice("code", _CONFLICT_CODES),
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


def _check_size(change: Change) -> None:
    try:
        check_entity_size([(name, len(edit.value)) for name, edit in change.fields.items()])
    except ModelError as error:
        raise WireError(error.message, code=error.code) from error
