"""The rows of a log that is judged, as small as they can be held and as quick to hash.

A row's fields are kept as the bytes that the digest hashes, field by field, so that an update packs
what it writes and nothing else. What a rule looks at is unpacked when it is asked.
"""

from __future__ import annotations

from typing import Any, Final

from msgspec import Raw, Struct
from msgspec.msgpack import Decoder, Encoder

from kafkaman_sync.model.digest import hash_parts, row_head
from kafkaman_sync.model.entities import Entity, Field, Kind, Place, unpack_fields
from kafkaman_sync.model.limits import ENTITY_FIELDS_MAX

_pack: Final = Encoder().encode
_HEAD: Final = Decoder(tuple[str, Kind, str, str, int, bool, int])
_FIELD: Final = Decoder(Field)
_PARTS: Final = Decoder(dict[str, Raw])


SIZES: Final = tuple(
    bytes((0x80 | count,)) if count < 16 else b"\xde" + count.to_bytes(2, "big")
    for count in range(ENTITY_FIELDS_MAX + 1)
)
"""How a packed map of so many fields begins."""


class Held(Struct, gc=False):
    """A row. `head` is all but its fields, `parts` each field's name and value as they are packed.

    `counted` is the hash that the sum of all holds for it; `unsure` tells that who wrote it before
    the judging began is not known, and `foreign_version` may be too great. `size` is that of its
    parts when they were last counted.
    """

    head: bytes
    parts: dict[str, bytes]
    parent: str
    deleted: bool
    version: int
    writer: str
    foreign_version: int = 0
    counted: int = 0
    unsure: bool = False
    size: int = 0

    def packed(self) -> bytes:
        """Return the fields as `pack_fields` packs them."""
        parts = self.parts
        return SIZES[len(parts)] + b"".join(parts.values())

    def field(self, name: str) -> Field | None:
        """Return a field."""
        part = self.parts.get(name)
        return None if part is None else _FIELD.decode(memoryview(part)[len(_pack(name)) :])

    def write(self, name: str, value: bytes, seq: int) -> None:
        """Write a field."""
        parts = self.parts
        is_new = name not in parts
        parts[name] = _pack(name) + _pack((value, seq))
        if is_new:
            self.parts = dict(sorted(parts.items()))

    def is_row(self, row: tuple[Any, ...]) -> bool:
        """Tell whether a stored row (id, kind, place, flag, versions, fields) is the same."""
        return row[8] == self.packed() and self.lies_as(row)

    def lies_as(self, row: tuple[Any, ...]) -> bool:
        """Tell whether a stored row is the same but for its fields, which are not looked at."""
        head = _pack((*row[:5], bool(row[5]), row[6]))
        return row[7] == self.version and head == self.head

    def changed_by_others(self, device: str) -> int:
        """Return the last version that a device other than `device` wrote; 0 if there is none."""
        return self.foreign_version if self.writer == device else self.version

    def hash(self, workspace: str) -> int:
        """Return the row hash."""
        return hash_parts(workspace, self.head, self.packed())

    def entity(self, *, whole: bool = True) -> Entity:
        """Return the row as others know it; without its fields unless it is to be `whole`."""
        entity, kind, parent, position, place_version, deleted, deleted_version = _HEAD.decode(
            self.head
        )
        return Entity(
            entity,
            kind,
            Place(parent, position),
            place_version,
            deleted,
            deleted_version,
            self.version,
            unpack_fields(self.packed()) if whole else {},
        )


def parts_of_fields(packed: bytes) -> dict[str, bytes]:
    """Return the parts of packed fields, in order of names."""
    return {name: _pack(name) + bytes(raw) for name, raw in _PARTS.decode(packed).items()}


def hold(entity: Entity, writer: str, foreign_version: int, parts: dict[str, bytes]) -> Held:
    """Return a row to hold; its fields are `parts`."""
    return Held(
        row_head(entity),
        parts,
        entity.place.parent,
        entity.deleted,
        entity.version,
        writer,
        foreign_version,
    )
