"""The rows of a log that is judged, as small as they can be held and as quick to hash.

A row's fields are kept as the bytes that the digest hashes, field by field, so that an update packs
what it writes and nothing else. What a rule looks at is unpacked when it is asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from msgspec import Raw, Struct
from msgspec.msgpack import Decoder, Encoder

from kafkaman_server.decide import Entry, World
from kafkaman_sync.model.changes import Action, Event
from kafkaman_sync.model.digest import hash_parts, row_head
from kafkaman_sync.model.entities import ROOT, Entity, Field, Kind, Place, unpack_fields
from kafkaman_sync.model.limits import ENTITY_FIELDS_MAX, TREE_DEPTH_MAX

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
    the judging began is not known, and `foreign_version` may be too great.
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
        if name in parts:
            parts[name] = _pack(name) + _pack((value, seq))
        else:
            parts[name] = _pack(name) + _pack((value, seq))
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


class Rows:
    """All rows of a workspace, and the part of it that one event touches as a World."""

    def __init__(self, workspace: str) -> None:
        self.workspace = workspace
        self.held: dict[str, Held] = {}
        self._children: dict[str, set[str]] = {}

    def put(self, entity: str, row: Held) -> None:
        """Add or replace a row."""
        known = self.held.get(entity)
        if known is not None and known.parent != row.parent:
            self._children[known.parent].discard(entity)
        self.held[entity] = row
        self._children.setdefault(row.parent, set()).add(entity)

    def take(self, entity: str) -> None:
        """Remove a row."""
        self._children[self.held.pop(entity).parent].discard(entity)

    def is_parent(self, entity: str) -> bool:
        """Tell whether something lies in an entity."""
        return bool(self._children.get(entity))

    def is_alive(self, entity: str) -> bool:
        """Tell whether an entity is there and not deleted, nor anything that it lies in."""
        for _ in range(TREE_DEPTH_MAX + 2):
            if entity == ROOT:
                return True
            row = self.held.get(entity)
            if row is None:
                # What is absent hides nothing, as in the rules.
                return True
            if row.deleted:
                return False
            entity = row.parent
        return True

    def world(self, event: Event) -> World:
        """Return what an event touches, as it is before it: the journal loads the same."""
        world = World(self.workspace, event.seq - 1)
        # Nothing but an update looks at fields, and nothing but a purge hashes them.
        self._add(world, event.entity, whole=event.action in (Action.UPDATE, Action.PURGE))
        row = self.held.get(event.entity)
        for parent in (row.parent if row else ROOT, event.place.parent if event.place else ROOT):
            self._add_path(world, parent)
        if event.action in (Action.DELETE, Action.PURGE):
            self._add_below(world, event.entity)
        return world

    def _add(self, world: World, entity: str, *, whole: bool) -> None:
        row = self.held.get(entity)
        if row is not None and entity not in world.entries:
            packed = row.packed() if whole else None
            world.put(Entry(row.entity(whole=whole), row.writer, row.foreign_version, packed))

    def _add_path(self, world: World, parent: str) -> None:
        for _ in range(TREE_DEPTH_MAX + 2):
            row = self.held.get(parent)
            if row is None:
                return
            self._add(world, parent, whole=False)
            parent = row.parent

    def _add_below(self, world: World, entity: str) -> None:
        waiting = [entity]
        while waiting:
            for child in self._children.get(waiting.pop(), ()):
                if child not in world.entries:
                    self._add(world, child, whole=False)
                    waiting.append(child)

    def __len__(self) -> int:
        return len(self.held)

    def items(self) -> Iterable[tuple[str, Held]]:
        """Return all rows, by id."""
        return self.held.items()

    def ids(self) -> Iterator[str]:
        """Return all ids."""
        return iter(self.held)
