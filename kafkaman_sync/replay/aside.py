"""A workspace's state on the side, to decide changes on: in a temporary file that nobody else sees.

It gives `decide` the part of the state that a change touches, as the server's journal does, and
keeps in memory only what was touched lately.
"""

from __future__ import annotations

import sqlite3
import tempfile
from array import array
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from kafkaman_server.decide import Entry, World
from kafkaman_sync.faults import store_error
from kafkaman_sync.model.changes import Action, Change, Dispute
from kafkaman_sync.model.entities import ROOT, Entity
from kafkaman_sync.model.limits import MIB, TREE_DEPTH_MAX
from kafkaman_sync.protocol.records import (
    decode_dispute,
    decode_entity,
    encode_dispute,
    encode_entity,
)

_CACHE_KIB: Final = 16_000
_ENTRIES_MAX: Final = 5_000
_BYTES_MAX: Final = 24 * MIB

_TABLES: Final = """
PRAGMA journal_mode=OFF;
PRAGMA synchronous=OFF;
CREATE TABLE rows (
  id TEXT PRIMARY KEY, parent TEXT NOT NULL, deleted INTEGER NOT NULL, body BLOB NOT NULL,
  writer TEXT, foreign_version INTEGER
);
CREATE INDEX rows_by_parent ON rows(parent);
CREATE TABLE touched (id TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE disputes (seq INTEGER NOT NULL, body BLOB NOT NULL);
CREATE INDEX disputes_by_seq ON disputes(seq);
"""

Writers = Callable[[str], tuple[str, int]]
"""Gives, for an entity of the beginning, who wrote it last and the last seq of another device."""


class Scratch:
    """Rows of a workspace, to begin with those given, and a `World` of what is needed of them."""

    def __init__(self, workspace: str, head: int, rows: Iterable[Entity], writers: Writers) -> None:
        self.world = World(workspace, head)
        self._writers = writers
        self._dirty: set[str] = set()
        self._size = 0
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.executescript(_TABLES)
        self._database.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
        self._database.execute("BEGIN")
        for row in rows:
            self._run("INSERT INTO rows VALUES (?, ?, ?, ?, NULL, NULL)", _seed(row))

    def close(self) -> None:
        """Let go of the temporary file."""
        self._database.close()

    def load(self, change: Change) -> None:
        """Have in the world what it takes to decide a change."""
        self._trim()
        self.bring(change.entity)
        if change.place is not None:
            self.bring(change.place.parent)
        if change.action is Action.DELETE:
            self._bring_below(change.entity)

    def bring(self, entity: str) -> None:
        """Have an entity, and what it lies in, in the world, as far as it is there."""
        for _ in range(TREE_DEPTH_MAX + 1):
            if entity == ROOT or not self._bring_one(entity):
                return
            entity = self.world.entries[entity].entity.place.parent

    def has_below(self, entity: str) -> bool:
        """Tell whether anything lies right below an entity, deleted or not."""
        self._save()
        return self._children(entity, deleted_too=True) != []

    def touch(self, entity: str) -> None:
        """Note that an entity may end otherwise than it really did."""
        self._run("INSERT OR IGNORE INTO touched VALUES (?)", (entity,))

    def wrote(self, entity: str) -> None:
        """Note that the world's row of an entity is new."""
        self._dirty.add(entity)
        entry = self.world.entries.get(entity)
        self._size += _size(entry) if entry is not None else 0

    def touched(self) -> Iterator[tuple[str, Entity | None]]:
        """Yield each entity that was touched, in order of ids, as it is in the end."""
        self._save()
        for entity, body in self._run(
            "SELECT touched.id, body FROM touched LEFT JOIN rows USING (id) ORDER BY touched.id"
        ):
            yield entity, None if body is None else decode_entity(body)

    def keep_disputes(self, disputes: Iterable[Dispute], first: int) -> array[int]:
        """Have what was not accepted from `first` on at hand; return the seqs that have some."""
        for dispute in disputes:
            if dispute.seq >= first:
                row = (dispute.seq, encode_dispute(dispute))
                self._run("INSERT INTO disputes VALUES (?, ?)", row)
        seqs = self._run("SELECT DISTINCT seq FROM disputes ORDER BY seq")
        return array("q", (seq for (seq,) in seqs))

    def disputes(self, seq: int) -> list[Dispute]:
        """Return what was not accepted at a seq, or right after it."""
        found = self._run("SELECT body FROM disputes WHERE seq = ? ORDER BY rowid", (seq,))
        return [decode_dispute(body) for (body,) in found]

    def _run(self, sql: str, parameters: tuple[Any, ...] = ()) -> sqlite3.Cursor:
        try:
            return self._database.execute(sql, parameters)
        except sqlite3.Error as error:  # not the source's: this file's
            raise store_error(error, Path(tempfile.gettempdir())) from error

    def _bring_one(self, entity: str) -> bool:
        if entity in self.world.entries:
            return True
        if entity in self._dirty:
            return False  # purged
        row = self._run(
            "SELECT body, writer, foreign_version FROM rows WHERE id = ?", (entity,)
        ).fetchone()
        if row is None:
            return False
        body, writer, foreign_version = row
        if writer is None:
            writer, foreign_version = self._writers(entity)
        entry = Entry(decode_entity(body), writer, foreign_version)
        self.world.put(entry)
        self._size += _size(entry)
        return True

    def _bring_below(self, entity: str) -> None:
        self._save()
        waiting = [entity]
        while waiting:
            below = self._children(waiting.pop(), deleted_too=False)
            for child in below:
                self._bring_one(child)
            waiting += below

    def _children(self, entity: str, *, deleted_too: bool) -> list[str]:
        found = self._run(
            "SELECT id FROM rows WHERE parent = ? AND deleted <= ?", (entity, deleted_too)
        )
        return [child for (child,) in found]

    def _trim(self) -> None:
        world = self.world
        if len(world.entries) > _ENTRIES_MAX or self._size > _BYTES_MAX:
            self._save()
            self.world = World(world.workspace, world.head, world.digest)
            self._size = 0

    def _save(self) -> None:
        for entity in self._dirty:
            entry = self.world.entries.get(entity)
            if entry is None:
                self._run("DELETE FROM rows WHERE id = ?", (entity,))
                continue
            row = (*_seed(entry.entity), entry.writer, entry.foreign_version)
            self._run("INSERT OR REPLACE INTO rows VALUES (?, ?, ?, ?, ?, ?)", row)
        self._dirty.clear()


def _seed(entity: Entity) -> tuple[str, str, bool, bytes]:
    return entity.id, entity.place.parent, entity.deleted, encode_entity(entity)


def _size(entry: Entry) -> int:
    fields = entry.entity.fields
    return sum(len(held.value) for held in fields.values()) + 120 * len(fields) + 600
