"""What a database stores as bytes, read: events, rows, names; the same on either side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from msgspec import Struct
from msgspec.msgpack import Decoder

from kafkaman_sync.errors import KafkamanError, ModelError, ReplayError, WireError
from kafkaman_sync.model.entities import KINDS, Entity, Field, Place, unpack_fields
from kafkaman_sync.protocol.records import decode_basis, decode_event
from kafkaman_sync.replay.records import Logged

# SQLite keeps what it is given: one damaged bit makes text of bytes, which no decoder takes.
ROW: Final = (
    "CAST(id AS TEXT), CAST(kind AS TEXT), CAST(parent AS TEXT), CAST(position AS TEXT),"
    " CAST(place_version AS INTEGER), deleted, CAST(deleted_version AS INTEGER),"
    " CAST(version AS INTEGER), CAST(fields AS BLOB)"
)
"""The columns that `read_row` reads, each of its type whatever is stored."""


def text_of(value: object) -> str:
    """Return a name whatever is stored: one that is no text is no reason not to show a log."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def read_logged(seq: int, body: bytes, basis: bytes | None, digest: bytes | None) -> Logged:
    """Return an event of its stored bytes; ReplayError `replay.log_damaged` for no legal one."""
    try:
        return Logged(
            decode_event(body), None if basis is None else decode_basis(basis), digest, len(body)
        )
    except WireError as error:
        raise damaged(f"the event {seq}", error) from error


class _NameFields(Struct, gc=False):
    """The fields that a person's name for an entity is in; the others are not looked at."""

    name: Field | None = None
    key: Field | None = None


_NAMES: Final = Decoder(_NameFields)


def unpack_names(data: bytes) -> dict[str, Field]:
    """Return, of a row's fields, those that name its entity."""
    found = _NAMES.decode(data)
    fields = {} if found.name is None else {"name": found.name}
    if found.key is not None:
        fields["key"] = found.key
    return fields


def read_row(
    row: tuple[Any, ...], unpack: Callable[[bytes], dict[str, Field]] = unpack_fields
) -> Entity:
    """Return the entity of a stored row: id, kind, place, flag, versions and fields."""
    try:
        return Entity(
            id=row[0],
            kind=KINDS[row[1]],
            place=Place(row[2], row[3]),
            place_version=row[4],
            deleted=bool(row[5]),
            deleted_version=row[6],
            version=row[7],
            fields=unpack(row[8]),
        )
    except (KeyError, TypeError, ValueError, ModelError) as error:
        raise damaged(f"the row of the entity {row[0]}", error) from error


def damaged(what: str, error: Exception) -> ReplayError:
    """Return the error for something stored that is no legal record."""
    strange = "Its columns hold what no release writes."
    reason = error.message if isinstance(error, KafkamanError) else strange
    return ReplayError(
        f"Damage: {what} cannot be read. {reason}",
        code="replay.log_damaged",
        hint="Keep the file, and restore it from a backup; `replay verify` tells how far it is "
        "sound.",
    )
