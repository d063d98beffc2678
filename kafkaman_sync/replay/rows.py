"""All rows of a log that is judged: in memory as far as there is room, else in a scratch file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Final

from msgspec import Struct
from msgspec.msgpack import Decoder, Encoder

from kafkaman_server.decide import Entry, World
from kafkaman_sync.model.changes import Action, Event
from kafkaman_sync.model.entities import ROOT
from kafkaman_sync.model.limits import MIB, TREE_DEPTH_MAX
from kafkaman_sync.replay.held import Held, parts_of_fields

HELD_BYTES_MAX: Final = 40 * MIB
"""What the rows in memory may take, about, in one process; two of them judge a long log."""

# What a row and each of its fields take beside their bytes.
_ROW_BYTES: Final = 800
_FIELD_BYTES: Final = 50
_SCRATCH_KIB: Final = 4_000
_HASH_BYTES: Final = 16

_SCRATCH: Final = """
CREATE TABLE held (entity TEXT PRIMARY KEY, parent TEXT NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX held_by_parent ON held (parent);
"""


class _Laid(Struct, array_like=True, gc=False):
    """A row as the scratch file has it."""

    head: bytes
    packed: bytes
    parent: str
    deleted: bool
    version: int
    writer: str
    foreign_version: int
    counted: bytes
    unsure: bool


_LAID: Final = Decoder(_Laid)
_pack: Final = Encoder().encode


class _Memory(dict[str, Held | None]):
    """The rows in memory; another one is looked for in the scratch file. None: there is none."""

    def __init__(self, rows: Rows) -> None:
        super().__init__()
        self._rows = rows

    def __missing__(self, entity: str) -> Held | None:
        return self._rows.fetch(entity)


class Rows:
    """The rows of a workspace, and the part of it that one event touches as a World.

    `held[entity]` is a row, None if there is none; what is changed in it is kept. Rows leave the
    memory only in `spill`, after which no row that was taken before may be changed.
    """

    def __init__(self, workspace: str, bytes_max: int | None = None) -> None:
        self.workspace = workspace
        self.count = 0
        self.held = _Memory(self)
        self._bytes = 0
        self._bytes_max = HELD_BYTES_MAX if bytes_max is None else bytes_max
        self._children: dict[str, set[str]] = {}
        self._scratch: sqlite3.Connection | None = None

    @property
    def full(self) -> bool:
        """Whether the memory is full, so that rows should be spilled."""
        return self._bytes > self._bytes_max

    def put(self, entity: str, row: Held) -> None:
        """Add or replace a row."""
        known = self.held[entity]
        if known is None:
            self.count += 1
        elif known.parent != row.parent:
            self._children[known.parent].discard(entity)
        self._keep(entity, row)

    def take(self, entity: str) -> None:
        """Remove a row."""
        row = self.held[entity]
        assert row is not None
        del self.held[entity]
        self._children[row.parent].discard(entity)
        self.count -= 1
        if self._scratch is not None:
            self._scratch.execute("DELETE FROM held WHERE entity = ?", (entity,))

    def peek(self, entity: str) -> Held | None:
        """Return a row for a look at it; it is not kept in memory for that."""
        row = self.held.get(entity)
        return self._read(entity) if row is None else row

    def ids(self) -> Iterator[str]:
        """Yield all ids, in no order."""
        yield from (entity for entity, row in self.held.items() if row is not None)
        if self._scratch is not None:
            for (entity,) in self._scratch.execute("SELECT entity FROM held"):
                if entity not in self.held:
                    yield entity

    def grow(self, size: int) -> None:
        """Count what was written to rows in memory."""
        self._bytes += size

    # The scratch file

    def spill(self) -> None:
        """Write all rows to the scratch file, and forget them."""
        if self._scratch is None:
            # Without a name it is a file of its own in the folder for temporary ones, gone at last.
            self._scratch = sqlite3.connect("", isolation_level=None)
            self._scratch.execute(f"PRAGMA cache_size = -{_SCRATCH_KIB}")
            self._scratch.execute("PRAGMA journal_mode = OFF")
            self._scratch.executescript(_SCRATCH)
        self._scratch.execute("BEGIN")
        self._scratch.executemany(
            "INSERT OR REPLACE INTO held VALUES (?, ?, ?)",
            (
                (entity, row.parent, _pack(_laid(row)))
                for entity, row in self.held.items()
                if row is not None
            ),
        )
        self._scratch.execute("COMMIT")
        self.held.clear()
        self._children.clear()
        self._bytes = 0

    def fetch(self, entity: str) -> Held | None:
        """Bring a row back into memory; None if there is none."""
        row = self._read(entity)
        if row is not None:
            self._keep(entity, row)
        return row

    def _keep(self, entity: str, row: Held) -> None:
        known = self.held.get(entity)
        if known is None:
            self._bytes += _ROW_BYTES + _FIELD_BYTES * len(row.parts)
        row.size = sum(map(len, row.parts.values()))
        self._bytes += row.size - (known.size if known is not None and known is not row else 0)
        self.held[entity] = row
        self._children.setdefault(row.parent, set()).add(entity)

    def _read(self, entity: str) -> Held | None:
        if self._scratch is None:
            return None
        found = self._scratch.execute(
            "SELECT body FROM held WHERE entity = ?", (entity,)
        ).fetchone()
        return None if found is None else _raised(_LAID.decode(found[0]))

    # What rules ask

    def children(self, entity: str) -> set[str]:
        """Return what lies directly in an entity."""
        found = set(self._children.get(entity, ()))
        if self._scratch is not None:
            for (child,) in self._scratch.execute(
                "SELECT entity FROM held WHERE parent = ?", (entity,)
            ):
                # What is in memory too may have moved since.
                if child not in self.held:
                    found.add(child)
        return found

    def is_alive(self, entity: str) -> bool:
        """Tell whether an entity is there and not deleted, nor anything that it lies in."""
        for _ in range(TREE_DEPTH_MAX + 2):
            row = self.held[entity] if entity != ROOT else None
            if row is None:
                return True  # what is absent hides nothing, as in the rules
            if row.deleted:
                return False
            entity = row.parent
        return True

    def world(self, event: Event) -> World:
        """Return what an event touches, as it is before it: the journal loads the same."""
        world = World(self.workspace, event.seq - 1)
        # Nothing but an update looks at fields, and nothing but a purge hashes them.
        self._add(world, event.entity, whole=event.action in (Action.UPDATE, Action.PURGE))
        row = self.held[event.entity]
        for parent in (row.parent if row else ROOT, event.place.parent if event.place else ROOT):
            self._add_path(world, parent)
        if event.action in (Action.DELETE, Action.PURGE):
            self._add_below(world, event.entity)
        return world

    def _add(self, world: World, entity: str, *, whole: bool) -> None:
        row = self.held[entity]
        if row is not None and entity not in world.entries:
            packed = row.packed() if whole else None
            world.put(Entry(row.entity(whole=whole), row.writer, row.foreign_version, packed))

    def _add_path(self, world: World, parent: str) -> None:
        for _ in range(TREE_DEPTH_MAX + 2):
            row = self.held[parent] if parent != ROOT else None
            if row is None:
                return
            self._add(world, parent, whole=False)
            parent = row.parent

    def _add_below(self, world: World, entity: str) -> None:
        waiting = [entity]
        while waiting:
            for child in self.children(waiting.pop()):
                if child not in world.entries:
                    self._add(world, child, whole=False)
                    waiting.append(child)


def _laid(row: Held) -> _Laid:
    return _Laid(
        row.head,
        row.packed(),
        row.parent,
        row.deleted,
        row.version,
        row.writer,
        row.foreign_version,
        row.counted.to_bytes(_HASH_BYTES, "big"),
        row.unsure,
    )


def _raised(laid: _Laid) -> Held:
    return Held(
        laid.head,
        parts_of_fields(laid.packed),
        laid.parent,
        laid.deleted,
        laid.version,
        laid.writer,
        laid.foreign_version,
        int.from_bytes(laid.counted, "big"),
        laid.unsure,
    )
