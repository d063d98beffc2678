"""Entities: what syncs. Their kinds, where each kind may live, and their rows.

An entity's place, its deleted flag and each of its fields have a value and a version of their own;
a version is the seq of the event that last wrote it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import field
from enum import StrEnum
from typing import Annotated, Final

from msgspec import Meta, Struct
from msgspec.msgpack import Decoder, Encoder

from kafkaman_sync.errors import ModelError
from kafkaman_sync.model.immutable import immutable
from kafkaman_sync.model.limits import (
    ENTITY_BYTES_MAX,
    ENTITY_FIELDS_MAX,
    FIELD_NAME_BYTES_MAX,
    FIELD_VALUE_BYTES_MAX,
    ID_BYTES,
    INTEGER_MAX,
    POSITION_BYTES_MAX,
)
from kafkaman_sync.model.values import REMOVED

ROOT: Final = ""
"""The parent of what lies directly in a workspace."""


class Kind(StrEnum):
    """The nine kinds of entity."""

    COLLECTION = "collection"
    FOLDER = "folder"
    REQUEST = "request"
    RESPONSE = "response"
    HEADER_PRESET = "header_preset"
    ENVIRONMENT = "environment"
    ENVIRONMENT_VARIABLE = "environment_variable"
    GLOBAL_VARIABLE = "global_variable"
    COLLECTION_RUN = "collection_run"

    @property
    def phrase(self) -> str:
        """The kind with its article, as a sentence says it: "an environment variable"."""
        article = "an" if self.value[0] in "aeiou" else "a"
        return f"{article} {self.value.replace('_', ' ')}"


PARENT_KINDS: Final[Mapping[Kind, frozenset[Kind | None]]] = {
    Kind.COLLECTION: frozenset({None}),
    Kind.FOLDER: frozenset({Kind.COLLECTION, Kind.FOLDER}),
    Kind.REQUEST: frozenset({Kind.COLLECTION, Kind.FOLDER}),
    Kind.RESPONSE: frozenset({Kind.REQUEST}),
    Kind.HEADER_PRESET: frozenset({None}),
    Kind.ENVIRONMENT: frozenset({None}),
    Kind.ENVIRONMENT_VARIABLE: frozenset({Kind.ENVIRONMENT}),
    # A globals file with a name of its own is an environment of scope "globals".
    Kind.GLOBAL_VARIABLE: frozenset({None, Kind.ENVIRONMENT}),
    Kind.COLLECTION_RUN: frozenset({None, Kind.COLLECTION}),
}
"""The kinds that each kind may lie in; None is the workspace itself."""

KINDS: Final[Mapping[str, Kind]] = {kind.value: kind for kind in Kind}
"""The kinds by name; looking here takes a twentieth of asking Kind."""

_IS_ID: Final = re.compile(rf"[0-9a-f]{{{ID_BYTES}}}").fullmatch


def is_id(text: object) -> bool:
    """Tell whether `text` is an id: 32 lowercase hexadecimal digits."""
    return isinstance(text, str) and _IS_ID(text) is not None


def is_position(text: object) -> bool:
    """Tell whether `text` is a position: 1 to POSITION_BYTES_MAX base-62 digits, the last not 0."""
    return (
        isinstance(text, str)
        and 0 < len(text) <= POSITION_BYTES_MAX
        and text.isalnum()
        and text.isascii()
        and text[-1] != "0"
    )


def fits(kind: Kind, parent: Kind | None) -> bool:
    """Tell whether an entity of `kind` may lie in one of kind `parent` (None: the workspace)."""
    return parent in PARENT_KINDS[kind]


# What may stand in a record; msgspec holds to it what it reads.
FieldValue = Annotated[bytes, Meta(max_length=FIELD_VALUE_BYTES_MAX)]
Count = Annotated[int, Meta(ge=0, le=INTEGER_MAX)]


class Place(Struct, frozen=True, gc=False):
    """Where an entity lies: its parent's id (ROOT: the workspace) and its position there."""

    parent: str
    position: str


class Field(Struct, frozen=True, array_like=True, gc=False):
    """A field's canonical bytes (REMOVED if it was removed) and the seq that last wrote them."""

    value: FieldValue
    version: Count


@immutable
class Entity:
    """A confirmed row: what the log says of one entity up to some seq.

    `fields` includes removed ones, whose versions still count. `version` is the seq of the last
    event that wrote anything here. An Entity is never changed in place.
    """

    id: str
    kind: Kind
    place: Place
    place_version: int
    deleted: bool
    deleted_version: int
    version: int
    fields: Mapping[str, Field] = field(default_factory=dict)

    @property
    def values(self) -> dict[str, bytes]:
        """The bytes of the fields that exist."""
        return {name: held.value for name, held in self.fields.items() if held.value != REMOVED}


def differ_in_fields(before: Entity, after: Entity) -> bool:
    """Tell whether two rows of an entity have all in common but their version and fields."""
    return (
        before.place == after.place
        and before.place_version == after.place_version
        and before.deleted == after.deleted
        and before.deleted_version == after.deleted_version
        and before.kind is after.kind
    )


_PACK: Final = Encoder(order="deterministic")
_UNPACK: Final = Decoder(dict[str, Field])


def pack_fields(fields: Mapping[str, Field]) -> bytes:
    """Return fields as bytes: a map of name to [value, version] in order of names."""
    return _PACK.encode(fields)


def unpack_fields(data: bytes) -> dict[str, Field]:
    """Return the fields that `pack_fields` wrote."""
    return _UNPACK.decode(data)


def check_field(name: str, value: bytes) -> None:
    """Raise ModelError when a field's name or bytes are over a limit."""
    try:
        size = len(name) if name.isascii() else len(name.encode("utf-8"))
    except UnicodeEncodeError:
        raise ModelError(
            "A field name is not Unicode text: it holds half of a surrogate pair.",
            code="limit.field_name",
            hint="Use another name.",
        ) from None
    if not 0 < size <= FIELD_NAME_BYTES_MAX:
        raise ModelError(
            f"A field name has {size} bytes; allowed are 1 to {FIELD_NAME_BYTES_MAX}.",
            code="limit.field_name",
            hint="Use a shorter name.",
        )
    if len(value) > FIELD_VALUE_BYTES_MAX:
        raise ModelError(
            f"The field {name!r} has {len(value):,} bytes; allowed are {FIELD_VALUE_BYTES_MAX:,}.",
            code="limit.field",
            hint="Shorten it, or keep it in a file.",
            field=name,
        )


def check_entity_size(sizes: Iterable[tuple[str, int]]) -> None:
    """Raise ModelError when (name, bytes) of all fields of one entity are over a limit."""
    count = total = 0
    for name, size in sizes:
        count += 1
        total += len(name) + size
    _check_size(count, total)


def check_entity_values(fields: Mapping[str, bytes]) -> None:
    """Raise ModelError when the values of all fields of one entity are over a limit."""
    _check_size(len(fields), sum(map(len, fields)) + sum(map(len, fields.values())))


def _check_size(count: int, total: int) -> None:
    if count > ENTITY_FIELDS_MAX:
        raise ModelError(
            f"An entity would have {count:,} fields; allowed are {ENTITY_FIELDS_MAX:,}.",
            code="limit.fields",
            hint="Split it into several entities.",
        )
    if total > ENTITY_BYTES_MAX:
        raise ModelError(
            f"An entity would have {total:,} bytes; allowed are {ENTITY_BYTES_MAX:,}.",
            code="limit.entity",
            hint="Shorten it, or split it into several entities.",
        )


def check_sequence(number: int) -> None:
    """Raise ModelError when a seq or op number is not between 0 and INTEGER_MAX."""
    if not 0 <= number <= INTEGER_MAX:
        raise ModelError(f"{number} is not a sequence number.", code="model.invalid")
