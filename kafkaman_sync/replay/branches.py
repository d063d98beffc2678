"""The tree of entities at every seq of a log, in an index made once, in one pass over the log.

It is in a temporary file that nobody else sees. What lies where, and what it is called, changes
rarely: the index has a row for each time that it does, with the seqs for which it holds, and gives
what lies in an entity at any seq at once, however long the log is.
"""

# ruff: noqa: S608 - only names of ours are put into statements; values are parameters

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

from kafkaman_sync.errors import ReplayError
from kafkaman_sync.faults import store_error
from kafkaman_sync.model.changes import Action, Dispute, Event
from kafkaman_sync.model.entities import KINDS, ROOT, Entity, Kind
from kafkaman_sync.model.limits import INTEGER_MAX, TREE_DEPTH_MAX
from kafkaman_sync.model.values import REMOVED, read_value
from kafkaman_sync.protocol.records import decode_dispute, encode_dispute
from kafkaman_sync.replay.reading import Gap, read_entries
from kafkaman_sync.replay.records import Log
from kafkaman_sync.replay.source import Source

BELOW_MAX: Final = 1000
"""So many of what lies in one entity are listed."""

# Deeper than anybody opens by hand, and far from the depth that Python can recurse to.
_LEVELS_MAX: Final = 100
_CACHE_KIB: Final = 16_000
_NAME_CHARS_MAX: Final = 200
_KEYED: Final = frozenset({Kind.ENVIRONMENT_VARIABLE, Kind.GLOBAL_VARIABLE})
_NAMING: Final = ("name", "key")
_TABLES: Final = """
PRAGMA journal_mode=OFF;
PRAGMA synchronous=OFF;
CREATE TABLE nodes (
  entity TEXT NOT NULL, since INTEGER NOT NULL, until INTEGER NOT NULL, kind TEXT NOT NULL,
  parent TEXT NOT NULL, position TEXT NOT NULL, name TEXT NOT NULL, key TEXT NOT NULL,
  deleted INTEGER NOT NULL
);
CREATE INDEX nodes_by_entity ON nodes(entity, until);
CREATE INDEX nodes_by_parent ON nodes(parent, until);
CREATE TABLE disputes (seq INTEGER NOT NULL, body BLOB NOT NULL);
CREATE INDEX disputes_by_seq ON disputes(seq);
"""
_HERE: Final = "until > ?2 AND since <= ?2"
_COLUMNS: Final = "entity, kind, parent, position, name, key, deleted"


@dataclass(frozen=True, slots=True)
class Node:
    """An entity in the tree: what it is, where it lies, and what it is called (maybe nothing)."""

    id: str
    kind: Kind
    parent: str
    name: str
    deleted: bool


@dataclass(frozen=True, slots=True)
class Branch:
    """A line of the tree: a node, its level (0: topmost), and whether anything is in it."""

    node: Node
    level: int
    has_below: bool
    more: int = 0
    """How many of its siblings, after it, are not listed."""


class Branches:
    """The tree of one log, at the seqs up to `upto`; `read` makes them more."""

    def __init__(self, source: Source, log: Log) -> None:
        self._source = source
        self._log = log
        self.upto = log.horizon
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.executescript(_TABLES)
        self._database.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
        self._database.execute("BEGIN")
        self._begin()

    def close(self) -> None:
        """Let go of the temporary file."""
        self._database.close()

    def read(self, count: int) -> bool:
        """Take in so many more events; return whether there are still more."""
        upto = min(self.upto + count, self._log.head)
        for entry in read_entries(self._source, self._log, after=self.upto, upto=upto):
            if not isinstance(entry, Gap) and entry.logged is not None:
                self._take(entry.logged.event, entry.seq)
        self.upto = upto
        return upto < self._log.head

    def below(self, parent: str, seq: int, most: int = BELOW_MAX) -> list[Node]:
        """Return what lies right in an entity at a seq, in its order, deleted ones too."""
        rows = self._run(
            f"SELECT {_COLUMNS} FROM nodes WHERE parent = ?1 AND {_HERE}"
            " ORDER BY position, entity LIMIT ?3",
            (parent, seq, most),
        )
        return [_node(row) for row in rows]

    def node(self, entity: str, seq: int) -> Node | None:
        """Return an entity at a seq, None if it was not there."""
        row = self._run(
            f"SELECT {_COLUMNS} FROM nodes WHERE entity = ?1 AND {_HERE}",
            (entity, seq),
        ).fetchone()
        return None if row is None else _node(row)

    def path(self, entity: str, seq: int) -> list[Node]:
        """Return what an entity lies in, the outermost first, as far as that is there."""
        found: list[Node] = []
        node = self.node(entity, seq)
        while node is not None and node.parent != ROOT and len(found) < TREE_DEPTH_MAX:
            node = self.node(node.parent, seq)
            if node is not None:
                found.append(node)
        return found[::-1]

    def visible(self, seq: int, opened: set[str], most: int) -> list[Branch]:
        """Return the lines of the tree, of which what is `opened` shows what is in it."""
        return list(islice(self._lines(seq, ROOT, 0, opened), most))

    def disputes(self, seq: int) -> list[Dispute]:
        """Return what was not accepted at a seq, or right after it."""
        found = self._run("SELECT body FROM disputes WHERE seq = ? ORDER BY rowid", (seq,))
        return [decode_dispute(body) for (body,) in found]

    def _lines(self, seq: int, parent: str, level: int, opened: set[str]) -> Iterator[Branch]:
        nodes = self.below(parent, seq)
        for index, node in enumerate(nodes):
            last = index + 1 == len(nodes) == BELOW_MAX
            more = self._count(parent, seq) - BELOW_MAX if last else 0
            has_below = bool(self.below(node.id, seq, 1))
            yield Branch(node, level, has_below, more)
            if has_below and node.id in opened and level < _LEVELS_MAX:
                yield from self._lines(seq, node.id, level + 1, opened)

    def _count(self, parent: str, seq: int) -> int:
        sql = f"SELECT count(*) FROM nodes WHERE parent = ?1 AND {_HERE}"
        count: int = self._run(sql, (parent, seq)).fetchone()[0]
        return count

    def _begin(self) -> None:
        for base in self._source.bases(self._log):
            self._put(self._log.horizon, _row(base))
        try:
            for dispute in self._source.disputes(self._log):
                row = (dispute.seq, encode_dispute(dispute))
                self._run("INSERT INTO disputes VALUES (?, ?)", row)
        except ReplayError:
            pass  # damage there is no reason not to show the log

    def _take(self, event: Event, seq: int) -> None:
        if event.action is Action.UPDATE and not any(each in event.fields for each in _NAMING):
            return
        rows = list(
            self._run(
                f"SELECT {_COLUMNS} FROM nodes WHERE entity = ? AND until = {INTEGER_MAX}",
                (event.entity,),
            )
        )
        row = _after(rows[0] if rows else None, event)
        if rows and (row is None or row != rows[0]):
            self._run(
                f"UPDATE nodes SET until = ? WHERE entity = ? AND until = {INTEGER_MAX}",
                (seq, event.entity),
            )
        if row is not None and (not rows or row != rows[0]):
            self._put(seq, row)

    def _put(self, since: int, row: tuple[Any, ...]) -> None:
        self._run(
            f"INSERT INTO nodes (since, until, {_COLUMNS})"
            f" VALUES (?, {INTEGER_MAX}, ?, ?, ?, ?, ?, ?, ?)",
            (since, *row),
        )

    def _run(self, sql: str, parameters: tuple[Any, ...]) -> sqlite3.Cursor:
        try:
            return self._database.execute(sql, parameters)
        except sqlite3.Error as error:  # not the source's: this file's
            raise store_error(error, Path(tempfile.gettempdir())) from error


def _node(row: tuple[Any, ...]) -> Node:
    entity, kind, parent, _, name, key, deleted = row
    kind = KINDS[kind]
    title = (key or name) if kind in _KEYED else (name or key)
    return Node(entity, kind, parent, title, bool(deleted))


def _row(entity: Entity) -> tuple[Any, ...]:
    names = (_text(entity.values.get(each, REMOVED)) for each in _NAMING)
    place = entity.place
    return (entity.id, entity.kind, place.parent, place.position, *names, int(entity.deleted))


def _after(row: tuple[Any, ...] | None, event: Event) -> tuple[Any, ...] | None:
    """Return the row after an event; one that cannot be applied changes nothing."""
    if event.action is Action.PURGE:
        return None
    if row is None:
        if event.action is not Action.CREATE or event.kind is None or event.place is None:
            return None
        names = (_text(event.fields.get(each, REMOVED)) for each in _NAMING)
        return (event.entity, event.kind, event.place.parent, event.place.position, *names, 0)
    entity, kind, parent, position, name, key, deleted = row
    if event.action is Action.CREATE:
        return row
    if event.place is not None:
        parent, position = event.place.parent, event.place.position
    if event.action is Action.UPDATE:
        name, key = (
            _text(event.fields[each]) if each in event.fields else known
            for each, known in zip(_NAMING, (name, key), strict=True)
        )
    elif event.action in (Action.DELETE, Action.RESTORE):
        deleted = int(event.action is Action.DELETE)
    return (entity, kind, parent, position, name, key, deleted)


def _text(data: bytes) -> str:
    value = None if data == REMOVED else read_value(data)
    if not isinstance(value, str):
        return ""
    # Half a surrogate pair is no text that a database takes.
    return value[:_NAME_CHARS_MAX].encode("utf-8", "replace").decode("utf-8")
