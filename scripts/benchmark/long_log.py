"""A long log to replay: a server's database of the real schema, decided by the real rules."""

from __future__ import annotations

import random
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from kafkaman_server.decide import Author, Entry, World, decide, purge
from kafkaman_server.storage.schema import APPLICATION_ID, MIGRATIONS
from kafkaman_sync.model.changes import Action, Change, FieldEdit, basis_of
from kafkaman_sync.model.entities import ROOT, Kind, Place, pack_fields
from kafkaman_sync.model.values import REMOVED, encode_value, hash_value
from kafkaman_sync.protocol.records import encode_basis, encode_event
from scripts.benchmark.records import record_fields, record_id

WORKSPACE: Final = record_id("workspace", 0)
_ACCOUNT: Final = record_id("account", 0)
_DEVICES: Final = tuple(record_id("device", number) for number in range(3))
_VALUES: Final = 2_000
_COMMIT_EVENTS: Final = 20
_FOLDERS: Final = 100
# How often each action comes among 1,000 changes of what is there; the rest are updates.
_MOVES, _DELETES, _PURGES = 30, 15, 3
# What an update writes: people rename seldom.
_WRITTEN: Final = (
    *("url", "body") * 6,
    *("headers", "description") * 3,
    "name",
    "method",
)
_BEGAN_AT: Final = 1_700_000_000_000
_EVERY_MS: Final = 700


@dataclass
class LongLog:
    """The log under way: the workspace in memory, and what chance and the clock come to.

    `entities` are at least as many as the folders twice, and much fewer than the events.
    """

    entities: int
    world: World = field(default_factory=lambda: World(WORKSPACE))
    chance: random.Random = field(default_factory=lambda: random.Random(7))  # noqa: S311 - filler
    ops: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_DEVICES, 0))
    folders: list[str] = field(default_factory=list)
    alive: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    made: int = 0

    def __post_init__(self) -> None:
        self._values: dict[str, list[bytes]] = {}
        for number in range(_VALUES):
            for name, value in record_fields(number, 1).items():
                self._values.setdefault(name, []).append(encode_value(value))

    def events(self, count: int) -> Iterator[tuple[int, str, bytes, bytes | None, bytes | None]]:
        """Yield the rows of `count` events: seq, entity, body, basis, digest where a commit ends.

        Half of the entities are there after a twentieth of the log, all of them after half.
        """
        while self.world.head < count:
            head = self.world.head
            wanted = self.entities * min(1.0, max(10 * head / count, 0.45 + head / count))
            if self.made < max(wanted, 2 * _FOLDERS) and self.made < self.entities:
                yield self._decided(*self._creation())
                continue
            draw = self.chance.randrange(1000)
            if draw < _PURGES and self.deleted:
                yield self._purged()
            elif draw < _DELETES and len(self.alive) > 1:
                yield self._decided(Action.DELETE, self._taken(self.alive, self.deleted))
            elif draw < 2 * _DELETES and self.deleted:
                yield self._decided(Action.RESTORE, self._taken(self.deleted, self.alive))
            elif draw < 2 * _DELETES + _MOVES:
                yield self._decided(
                    Action.MOVE, self.chance.choice(self.alive), None, self._place()
                )
            else:
                yield self._decided(
                    Action.UPDATE, self.chance.choice(self.alive), None, None, self._fields()
                )

    def _creation(self) -> tuple[Action, str, Kind, Place, dict[str, bytes]]:
        entity = record_id("long", self.made)
        self.made += 1
        if self.made <= _FOLDERS + 1:
            parent = self.folders[0] if self.folders else ROOT
            kind = Kind.FOLDER if self.folders else Kind.COLLECTION
            self.folders.append(entity)
            fields = {"name": encode_value(f"Part {self.made}")}
            return Action.CREATE, entity, kind, Place(parent, f"{self.made:04d}V"), fields
        self.alive.append(entity)
        fields = {name: self.chance.choice(values) for name, values in self._values.items()}
        fields["name"] = encode_value(f"Request {self.made}")
        return Action.CREATE, entity, Kind.REQUEST, self._place(), fields

    def _place(self) -> Place:
        return Place(self.chance.choice(self.folders), f"{self.chance.randrange(10**6):06d}V")

    def _fields(self) -> dict[str, bytes]:
        names = set(self.chance.choices(_WRITTEN, k=self.chance.choice((1, 1, 1, 2))))
        return {name: self.chance.choice(self._values[name]) for name in sorted(names)}

    def _taken(self, source: list[str], target: list[str]) -> str:
        index = self.chance.randrange(len(source))
        source[index], source[-1] = source[-1], source[index]
        target.append(source.pop())
        return target[-1]

    def _at(self) -> int:
        return _BEGAN_AT + _EVERY_MS * self.world.head

    def _digest(self) -> bytes | None:
        return None if self.world.head % _COMMIT_EVENTS else self.world.digest

    def _purged(self) -> tuple[int, str, bytes, bytes | None, bytes | None]:
        entity = self._taken(self.deleted, [])
        event = purge(self.world, entity, deleted_upto=self.world.head, at=self._at())
        assert event is not None
        return event.seq, entity, encode_event(event), None, self._digest()

    def _decided(
        self,
        action: Action,
        entity: str,
        kind: Kind | None = None,
        place: Place | None = None,
        fields: dict[str, bytes] | None = None,
    ) -> tuple[int, str, bytes, bytes | None, bytes | None]:
        device = self.chance.choice(_DEVICES)
        self.ops[device] += 1
        op, base = self.ops[device], self.world.head
        held = self.world.entries[entity].entity.fields if kind is None else {}
        edits = {
            name: FieldEdit(value, base, hash_value(held[name].value if name in held else REMOVED))
            for name, value in (fields or {}).items()
        }
        change = Change(op, op - 1, WORKSPACE, action, entity, base, kind, place, edits)
        decision = decide(self.world, change, Author(_ACCOUNT, device, "owner"), at=self._at())
        event = decision.event
        assert event is not None, decision.verdict
        basis = encode_basis(basis_of(change, decision.verdict.accepted))
        return event.seq, entity, encode_event(event), basis, self._digest()


def write_long_log(path: Path, *, events: int, entities: int) -> None:
    """Write the database of a server with one workspace."""
    log = LongLog(entities)
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode=OFF")
        database.execute("PRAGMA synchronous=OFF")
        database.execute(f"PRAGMA application_id={APPLICATION_ID:d}")
        for script in MIGRATIONS:
            database.executescript(script)
        database.execute(f"PRAGMA user_version={len(MIGRATIONS):d}")
        database.execute("BEGIN")
        purged = []
        for row in log.events(events):
            database.execute(
                "INSERT INTO events (workspace, seq, entity, body, basis, digest)"
                " VALUES (1, ?, ?, ?, ?, ?)",
                row,
            )
            if row[3] is None:
                purged.append(row[:2])
        database.executemany("INSERT INTO purges (workspace, seq, entity) VALUES (1, ?, ?)", purged)
        _write_state(database, log)
        database.execute("COMMIT")
        # As a server's database lies there.
        database.execute("PRAGMA journal_mode=WAL")


def _write_state(database: sqlite3.Connection, log: LongLog) -> None:
    world = log.world
    database.execute(
        "INSERT INTO accounts VALUES (?1, ?2, ?2, 'ann', 'ann', '', 0)",
        (_ACCOUNT, "ann@example.com"),
    )
    database.executemany(
        "INSERT INTO devices (id, account, name, platform, token_hash, created_at, lease,"
        " next_lease, last_op) VALUES (?, ?, ?, 'Linux', ?, 0, '', '', ?)",
        [
            (device, _ACCOUNT, f"device {number}", b"", log.ops[device])
            for number, device in enumerate(_DEVICES)
        ],
    )
    database.execute(
        "INSERT INTO workspaces (number, id, name, kind, head, digest)"
        " VALUES (1, ?, 'Personal', 'personal', ?, ?)",
        (WORKSPACE, world.head, world.digest),
    )
    database.execute("INSERT INTO members VALUES (?, 1, 'owner')", (_ACCOUNT,))
    database.executemany(
        "INSERT INTO entities (workspace, id, kind, parent, position, place_version, deleted,"
        " deleted_version, version, writer, foreign_version, fields)"
        " VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        map(_row, world.entries.values()),
    )


def _row(entry: Entry) -> tuple[Any, ...]:
    row = entry.entity
    return (
        row.id,
        row.kind,
        row.place.parent,
        row.place.position,
        row.place_version,
        row.deleted,
        row.deleted_version,
        row.version,
        entry.writer,
        entry.foreign_version,
        pack_fields(row.fields),
    )


if __name__ == "__main__":
    write_long_log(Path(sys.argv[1]), events=int(sys.argv[2]), entities=int(sys.argv[3]))
