"""All rows of a log that is judged: in memory as far as there is room, else in a scratch file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Final

from msgspec import Struct
from msgspec.msgpack import Decoder, Encoder

from kafkaman_server.decide import Entry, World
from kafkaman_sync.model.changes import Action, Event
from kafkaman_sync.model.entities import ROOT, Entity
from kafkaman_sync.model.limits import MIB, TREE_DEPTH_MAX
from kafkaman_sync.replay.held import Held, hold_parts, parts_of

HELD_BYTES_MAX: Final = 40 * MIB
"""What the rows in memory may take, about, in one process; two of them judge a long log."""

# What a row takes beside its bytes.
_ROW_BYTES: Final = 700
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
    """The rows of a workspace, and the same as a World for the rules.

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
        self._sight = Sight(self)

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
        before = len(known.row) if known is not None else -_ROW_BYTES
        self._bytes += len(row.row) - before
        self.held[entity] = row
        siblings = self._children.get(row.parent)
        if siblings is None:
            siblings = self._children[row.parent] = set()
        siblings.add(entity)

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
        found = self._children.get(entity) or set()
        if self._scratch is not None:
            found = found.copy()
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
        """Return the workspace as it is before an event, for the rules to look at until the next.

        Nothing but an update looks at fields.
        """
        sight = self._sight
        sight.head = event.seq - 1
        sight.whole = event.entity if event.action is Action.UPDATE else ""
        return sight

    def loaded(self, event: Event) -> World:
        """Return what a purge touches, to be changed by it."""
        world = World(self.workspace, event.seq - 1)
        row = self.held[event.entity]
        if row is not None:
            world.put(_entry(row, row.packed()))
            for parent in self.path(row.parent):
                world.put(_entry(parent))
            for child in self.children(event.entity):
                below = self.held[child]
                if below is not None and child not in world.entries:
                    world.put(_entry(below))
        return world

    def path(self, parent: str) -> Iterator[Held]:
        """Yield the parent and its ancestors, nearest first, as far as they are there."""
        for _ in range(TREE_DEPTH_MAX + 1):
            row = self.held[parent] if parent != ROOT else None
            if row is None:
                return
            yield row
            parent = row.parent


class Sight(World):
    """A workspace before the rules: what they ask for is taken from the rows when they ask.

    Of the rows on a path all is known but the version, which no rule asks for.
    """

    __slots__ = ("_rows", "whole")

    def __init__(self, rows: Rows) -> None:
        super().__init__(rows.workspace)
        self._rows = rows
        self.whole = ""

    def get(self, entity: str) -> Entity | None:
        """Return an entity; with its fields if it is the one that is whole."""
        row = self._rows.held[entity]
        return None if row is None else row.entity(whole=entity == self.whole)

    def children(self, entity: str) -> frozenset[str]:
        """Return the ids of what lies directly in an entity."""
        return frozenset(self._rows.children(entity))

    def below(self, entity: str) -> list[Entry]:
        """Return the entity and all that lies below it, but nothing below what is deleted."""
        held, found, waiting = self._rows.held, list[Entry](), [entity]
        while waiting:
            entity = waiting.pop()
            row = held[entity]
            if row is not None and not (found and row.deleted):
                found.append(_entry(row))
                waiting.extend(self._rows.children(entity))
        return found

    def path_to_root(self, parent: str) -> list[Entity]:
        """Return the parent and its ancestors, nearest first."""
        return [row.outlined() for row in self._rows.path(parent)]


def _entry(row: Held, packed: bytes | None = None) -> Entry:
    return Entry(row.entity(whole=False), row.writer, row.foreign_version, packed)


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
    row = hold_parts(
        laid.head,
        parts_of(laid.packed),
        parent=laid.parent,
        deleted=laid.deleted,
        version=laid.version,
        writer=laid.writer,
    )
    row.foreign_version, row.unsure = laid.foreign_version, laid.unsure
    row.counted = int.from_bytes(laid.counted, "big")
    return row
