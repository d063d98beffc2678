"""What a device asks for, what the server accepted, and what it answers.

The same classes are used in the outbox, on the wire, in the journal and in the log.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import field
from enum import StrEnum
from typing import Annotated, Final

from msgspec import Meta, Struct

from kafkaman_sync.model.entities import Count, FieldValue, Kind, Place
from kafkaman_sync.model.immutable import immutable
from kafkaman_sync.model.limits import ENTITY_FIELDS_MAX, FIELD_NAME_BYTES_MAX, TEXT_BYTES_MAX
from kafkaman_sync.model.values import hash_value


class Action(StrEnum):
    """What a change does to its entity; `purge` is the server's own and only in events."""

    CREATE = "create"
    UPDATE = "update"
    MOVE = "move"
    DELETE = "delete"
    RESTORE = "restore"
    PURGE = "purge"


HASH_BYTES: Final = 16


class FieldEdit(Struct, frozen=True, array_like=True, gc=False):
    """A new value for a field, and what the person saw when they wrote it.

    `value` is canonical bytes, REMOVED to remove the field. `base` is the cursor when the person
    edited (for an edit on top of an own pending edit: that edit's base). `prior` is hash_value() of
    the bytes they saw, REMOVED hashed like any value where there was no field.
    """

    value: FieldValue
    base: Count
    prior: Annotated[bytes, Meta(min_length=HASH_BYTES, max_length=HASH_BYTES)]


@immutable
class Change:
    """One op of a device: create, update, move, delete or restore of one entity.

    `op` counts up per device; `previous` is the op before it in the outbox (0: none). `base` is the
    cursor when the person edited. `kind` is set for create only, `place` for create and move, and
    for restore when it names a parent; `fields` for create and update. Its content never changes
    once it has a number.
    """

    op: int
    previous: int
    workspace: str
    action: Action
    entity: str
    base: int = 0
    kind: Kind | None = None
    place: Place | None = None
    fields: Mapping[str, FieldEdit] = field(default_factory=dict)


@immutable
class Event:
    """An accepted change at its place in the workspace's log; only accepted fields are in it.

    `account`, `device` and `op` say whose change it was. `at` is the server's clock in milliseconds
    since 1970, for people only: nothing is decided by it.
    """

    workspace: str
    seq: int
    action: Action
    entity: str
    account: str
    device: str
    op: int
    at: int
    kind: Kind | None = None
    place: Place | None = None
    fields: Mapping[str, bytes] = field(default_factory=dict)


class ConflictCode(StrEnum):
    """Why a part of a change conflicts."""

    FIELD = "field"  # both edited the field
    DELETED = "deleted"  # what was edited, or something above it, is deleted or gone
    CHANGED = "changed"  # what was deleted had been changed by another device
    PLACE = "place"  # a move or restore out of, into or under something deleted


_AcceptedName = Annotated[str, Meta(min_length=1, max_length=FIELD_NAME_BYTES_MAX)]


class Disagreement(Struct, frozen=True, gc=False):
    """One conflicting part of a change, as the server states it.

    For a field: its name, the confirmed bytes (`theirs`) and their version. For the others `field`
    and `theirs` are empty and `version` is that of the write that stands in the way (0: gone).
    """

    code: ConflictCode
    field: Annotated[str, Meta(max_length=FIELD_NAME_BYTES_MAX)] = ""
    theirs: FieldValue = b""
    version: Count = 0


class Refusal(Struct, frozen=True, gc=False):
    """Why a change was refused as a whole: a stable code and a sentence."""

    code: Annotated[str, Meta(max_length=TEXT_BYTES_MAX)]
    message: Annotated[str, Meta(max_length=TEXT_BYTES_MAX)]


class Verdict(Struct, frozen=True, gc=False, omit_defaults=True):
    """The server's answer to one op.

    `seq` is set when something was accepted: the state at `seq` includes it. `event` tells whether
    the op has an event of its own there (deleting the deleted is accepted without one). `accepted`
    names the accepted fields; an accepted create, move, delete or restore is accepted as a whole.
    """

    op: Count
    seq: Count | None = None
    event: bool = False
    at: Count = 0
    accepted: Annotated[tuple[_AcceptedName, ...], Meta(max_length=ENTITY_FIELDS_MAX)] = ()
    disagreements: Annotated[tuple[Disagreement, ...], Meta(max_length=ENTITY_FIELDS_MAX)] = ()
    refusal: Refusal | None = None


class Basis(Struct, frozen=True, array_like=True, gc=False):
    """What an accepted change was judged by, kept beside its event for who asks why.

    `previous` is the op before it in its outbox, `base` the cursor when the person edited, and
    `fields` the base and the prior of each accepted field of an update, in order of their names.
    A create has none: nobody had seen its fields before.
    """

    previous: Count
    base: Count
    fields: Annotated[tuple[tuple[Count, bytes], ...], Meta(max_length=ENTITY_FIELDS_MAX)] = ()


class LostEdit(Struct, frozen=True, array_like=True, gc=False):
    """A new value of a field that was not accepted: its hash_value(), its base and its prior."""

    value_hash: bytes
    base: Count
    prior: bytes


class Dispute(Struct, frozen=True, omit_defaults=True, gc=False):
    """A change, or the part of one, that the server did not accept, and why.

    It holds no value of a field: those stay on the device, in its conflict queue. `seq` is that of
    the event for the part that was accepted, else the head of the log when it was decided. `parent`
    and `kind` are set as they are in the change; `at` is the server's clock, for people only. Of
    the disagreements, `theirs` is left out.
    """

    seq: Count
    action: Action
    entity: str
    account: str
    device: str
    op: Count
    previous: Count
    base: Count
    at: Count
    kind: Kind | None = None
    parent: str | None = None
    fields: Annotated[dict[str, LostEdit], Meta(max_length=ENTITY_FIELDS_MAX)] = {}
    disagreements: Annotated[tuple[Disagreement, ...], Meta(max_length=ENTITY_FIELDS_MAX)] = ()
    refusal: Refusal | None = None


def basis_of(change: Change, accepted: Iterable[str]) -> Basis:
    """Return what `change` was judged by, for the fields that were accepted, in order of names."""
    if change.action is not Action.UPDATE:
        return Basis(change.previous, change.base)
    edits = change.fields
    judged = [(edits[name].base, edits[name].prior) for name in accepted]
    return Basis(change.previous, change.base, tuple(judged))


def dispute_of(
    change: Change, verdict: Verdict, *, account: str, device: str, head: int
) -> Dispute | None:
    """Return what `verdict` did not accept of `change`; None when it accepted all of it.

    `head` is the last seq of the log when it was decided.
    """
    if verdict.refusal is None and not verdict.disagreements:
        return None
    lost = sorted(change.fields.keys() - set(verdict.accepted))
    edits = change.fields
    return Dispute(
        seq=head if verdict.seq is None else verdict.seq,
        action=change.action,
        entity=change.entity,
        account=account,
        device=device,
        op=change.op,
        previous=change.previous,
        base=change.base,
        at=verdict.at,
        kind=change.kind,
        parent=None if change.place is None else change.place.parent,
        fields={
            name: LostEdit(hash_value(edits[name].value), edits[name].base, edits[name].prior)
            for name in lost
        },
        disagreements=tuple(
            Disagreement(each.code, each.field, version=each.version)
            for each in verdict.disagreements
        ),
        refusal=verdict.refusal,
    )


def hash_change(data: bytes) -> bytes:
    """Return the 16-byte fingerprint of a change's encoded bytes, for exactly-once."""
    return hashlib.blake2b(data, digest_size=HASH_BYTES).digest()
