"""The rows of a log that is judged, as small as they can be held and as quick to hash.

A row is kept in one piece, as the bytes that the digest hashes: there are many rows, each event
writes to another one, and each piece of memory that has to be fetched for that takes its time. What
a rule looks at is unpacked when it is asked.
"""

from __future__ import annotations

from typing import Any, Final

from msgspec import Raw, Struct
from msgspec.msgpack import Decoder, Encoder

from kafkaman_sync.model.changes import Action
from kafkaman_sync.model.digest import hash_packed, row_head
from kafkaman_sync.model.entities import Entity, Field, Kind, Place, unpack_fields
from kafkaman_sync.model.limits import ENTITY_FIELDS_MAX

_SHAPES_MAX: Final = 4096

_pack: Final = Encoder().encode
_HEAD: Final = Decoder(tuple[str, Kind, str, str, int, bool, int])
_FIELD: Final = Decoder(Field)
_PARTS: Final = Decoder(dict[str, Raw])
_SIZES: Final = tuple(
    bytes((0x80 | count,)) if count < 16 else b"\xde" + count.to_bytes(2, "big")
    for count in range(ENTITY_FIELDS_MAX + 1)
)
"""How a packed map of so many fields begins."""

_shapes: Final[dict[tuple[str, ...], dict[str, int]]] = {}
NO_FIELDS: Final = _SIZES[0]
"""No fields, as they are packed."""


class Held(Struct, gc=False):
    """A row. `row` is all of it as it is packed, its first `head_size` bytes all but the fields,
    of which the first one begins at `fields_at`.

    `shape` has the index of each field, in order of names, and is shared by all rows with such
    fields; `sizes` is how long each one's name and value are. `counted` is the hash that the sum of
    all holds for the row; `unsure` tells that who wrote it before the judging began is not known,
    and `foreign_version` may be too great. `outline` is the row without its fields, once somebody
    asked for it; the version in it is that of then.
    """

    row: bytearray
    head_size: int
    fields_at: int
    shape: dict[str, int]
    sizes: list[int]
    parent: str
    deleted: bool
    version: int
    writer: str
    foreign_version: int = 0
    counted: int = 0
    unsure: bool = False
    outline: Entity | None = None

    @property
    def head(self) -> bytes:
        """All but the fields, as it is packed."""
        return bytes(self.row[: self.head_size])

    def outlined(self) -> Entity:
        """Return the row without its fields; of what it is, the version may be an earlier one."""
        if self.outline is None:
            self.outline = self.entity(whole=False)
        return self.outline

    def packed(self) -> bytes:
        """Return the fields as `pack_fields` packs them."""
        return bytes(self.row[self.head_size :])

    def field(self, name: str) -> Field | None:
        """Return a field."""
        index = self.shape.get(name)
        if index is None:
            return None
        start = self.fields_at + sum(self.sizes[:index])
        return _FIELD.decode(self.row[start + len(_pack(name)) : start + self.sizes[index]])

    def write(self, name: str, part: bytes) -> int:
        """Write a field; return by how much the row has grown.

        `part` are its name and its value with the version, as they are packed.
        """
        row, sizes, index = self.row, self.sizes, self.shape.get(name)
        if index is None:
            parts = self._parts()
            parts[name] = part
            made = _rowed(self.head, dict(sorted(parts.items())))
            self.row, self.fields_at, self.shape, self.sizes = made
            return len(self.row) - len(row)
        start = self.fields_at + sum(sizes[:index])
        end = start + sizes[index]
        sizes[index] = len(part)
        before = len(row)
        row[start:end] = part
        return len(row) - before

    def _parts(self) -> dict[str, bytes]:
        parts, start = {}, self.fields_at
        for name, size in zip(self.shape, self.sizes, strict=True):
            parts[name] = bytes(self.row[start : start + size])
            start += size
        return parts

    def moved(self, action: Action, place: Place | None, seq: int) -> Held:
        """Return the row as `apply_event` leaves it after a move, a delete or a restore.

        Who wrote it is not taken down.
        """
        entity, kind, parent, position, placed, deleted, flagged = _HEAD.decode(self.head)
        if place is not None:
            parent, position, placed = place.parent, place.position, seq
        if action is not Action.MOVE:
            deleted, flagged = action is Action.DELETE, seq
        head = _pack((entity, kind, parent, position, placed, deleted, flagged))
        return Held(
            bytearray(head) + self.row[self.head_size :],
            len(head),
            self.fields_at + len(head) - self.head_size,
            self.shape,
            self.sizes,
            parent,
            deleted,
            self.version,
            self.writer,
            self.foreign_version,
            self.counted,
            self.unsure,
        )

    def wrote(self, device: str, seq: int) -> None:
        """Take down that a device wrote it."""
        if self.writer != device:
            # Who wrote last is known now; who did before, only if that is known.
            self.unsure = self.unsure and not self.writer
            self.foreign_version, self.writer = self.version, device
        self.version = seq

    def is_row(self, row: tuple[Any, ...]) -> bool:
        """Tell whether a stored row (id, kind, place, flag, versions, fields) is the same."""
        if row[7] != self.version or row[8] != self.packed():
            return False
        return _pack((*row[:5], bool(row[5]), row[6])) == self.head

    def changed_by_others(self, device: str) -> int:
        """Return the last version that a device other than `device` wrote; 0 if there is none."""
        return self.foreign_version if self.writer == device else self.version

    def hash(self, workspace: str) -> int:
        """Return the row hash."""
        return hash_packed(workspace, self.row)

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


def _rowed(
    head: bytes, parts: dict[str, bytes]
) -> tuple[bytearray, int, dict[str, int], list[int]]:
    """Return `row`, `fields_at`, `shape` and `sizes` of a row of parts in order of names."""
    names = tuple(parts)
    shape = _shapes.get(names)
    if shape is None:
        if len(_shapes) >= _SHAPES_MAX:
            _shapes.clear()
        shape = _shapes[names] = {name: index for index, name in enumerate(names)}
    row = bytearray(head + _SIZES[len(parts)])
    begin = len(row)
    row += b"".join(parts.values())
    return row, begin, shape, [*map(len, parts.values())]


def hold_parts(
    head: bytes,
    parts: dict[str, bytes],
    *,
    parent: str,
    deleted: bool,
    version: int,
    writer: str,
) -> Held:
    """Return a row to hold; `parts` are each field's name and value, packed, in order of names."""
    row, fields_at, shape, sizes = _rowed(head, parts)
    return Held(row, len(head), fields_at, shape, sizes, parent, deleted, version, writer)


def parts_of(packed: bytes) -> dict[str, bytes]:
    """Return the parts of packed fields."""
    return {name: _pack(name) + bytes(raw) for name, raw in _PARTS.decode(packed).items()}


def hold(entity: Entity, writer: str, foreign_version: int, packed: bytes) -> Held:
    """Return a row to hold; its fields are `packed`, those of the entity are not looked at."""
    row = hold_parts(
        row_head(entity),
        parts_of(packed),
        parent=entity.place.parent,
        deleted=entity.deleted,
        version=entity.version,
        writer=writer,
    )
    row.foreign_version = foreign_version
    return row
