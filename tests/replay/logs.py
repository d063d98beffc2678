"""Logs to replay: a server's database as a server writes it, decided by the real rules, at once."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from kafkaman_server.decide import Author, Decision, World, decide, purge
from kafkaman_server.storage.schema import APPLICATION_ID, MIGRATIONS
from kafkaman_sync.model.apply import apply_event
from kafkaman_sync.model.changes import (
    Action,
    Basis,
    Change,
    Event,
    FieldEdit,
    basis_of,
    dispute_of,
)
from kafkaman_sync.model.entities import ROOT, Entity, Kind, Place, pack_fields
from kafkaman_sync.model.values import REMOVED, Value, encode_value, hash_value
from kafkaman_sync.protocol.records import (
    decode_event,
    encode_basis,
    encode_dispute,
    encode_entity,
    encode_event,
)

WORKSPACE = "7" * 32
ACCOUNT = "a" * 32
USERNAME = "ann"
BEGAN_AT = 1_700_000_000_000
"""When the first event is decided; each next one a second later."""


def id_of(number: int) -> str:
    """Return an id that differs from another number's in its first digits."""
    return f"{number:08x}" + f"{number:024x}"


@dataclass
class Writer:
    """A device of the account, and the last op that it gave."""

    author: Author
    name: str
    op: int = 0


class LogFile:
    """A workspace whose changes are decided one by one, each its own commit; `save` writes it."""

    def __init__(self, path: Path, *, workspace: str = WORKSPACE) -> None:
        self.path = path
        self.world = World(workspace)
        self.horizon = 0
        self.horizon_at = 0
        self.bases: dict[str, Entity | None] = {}
        self.writers: dict[str, Writer] = {}
        self.events: list[tuple[int, str, bytes, bytes | None, bytes]] = []
        self.disputes: list[tuple[int, str, bytes]] = []
        self._made = 0

    @property
    def head(self) -> int:
        return self.world.head

    @property
    def now(self) -> int:
        return BEGAN_AT + 1000 * self.head

    def writer(self, name: str) -> Writer:
        """Return the device of a name, registered when it is first asked for."""
        if name not in self.writers:
            device = f"{len(self.writers) + 1:x}" * 32
            self.writers[name] = Writer(Author(ACCOUNT, device[:32], "owner"), name)
        return self.writers[name]

    def push(
        self,
        action: Action,
        entity: str,
        *,
        by: str = "laptop",
        kind: Kind | None = None,
        place: Place | None = None,
        fields: dict[str, bytes] | None = None,
        priors: dict[str, bytes] | None = None,
        base: int | None = None,
    ) -> Decision:
        """Decide a change of bytes; `base` is the head unless told, `priors` what is there."""
        writer = self.writer(by)
        seen = self.world.head if base is None else base
        held = self.world.get(entity)
        known = {} if held is None else {name: each.value for name, each in held.fields.items()}
        known.update(priors or {})
        writer.op += 1
        change = Change(
            writer.op,
            writer.op - 1,
            self.world.workspace,
            action,
            entity,
            seen,
            kind,
            place,
            {
                name: FieldEdit(value, seen, hash_value(known.get(name, REMOVED)))
                for name, value in (fields or {}).items()
            },
        )
        head = self.world.head
        decision = decide(self.world, change, writer.author, at=self.now + 1000)
        if decision.event is not None:
            self._log(decision.event, basis_of(change, decision.verdict.accepted))
        dispute = dispute_of(
            change,
            decision.verdict,
            account=ACCOUNT,
            device=writer.author.device,
            head=decision.verdict.seq or head,
        )
        if dispute is not None:
            self.disputes.append((dispute.seq, entity, encode_dispute(dispute)))
        return decision

    def create(
        self,
        kind: Kind,
        fields: dict[str, Value],
        *,
        parent: str = ROOT,
        by: str = "laptop",
        position: str = "",
        entity: str = "",
    ) -> str:
        """Create an entity; return its id. Siblings come in the order of their creation."""
        self._made += 1
        entity = entity or id_of(self._made)
        place = Place(parent, position or f"{self._made:05d}V")
        encoded = {name: encode_value(value) for name, value in fields.items()}
        self._pushed(Action.CREATE, entity, by=by, kind=kind, place=place, fields=encoded)
        return entity

    def update(self, entity: str, fields: dict[str, Value], *, by: str = "laptop") -> int:
        """Write fields; return the seq."""
        encoded = {name: encode_value(value) for name, value in fields.items()}
        return self._pushed(Action.UPDATE, entity, by=by, fields=encoded)

    def remove_field(self, entity: str, name: str, *, by: str = "laptop") -> int:
        """Remove a field; return the seq."""
        return self._pushed(Action.UPDATE, entity, by=by, fields={name: REMOVED})

    def move(self, entity: str, parent: str, position: str = "V", *, by: str = "laptop") -> int:
        """Move an entity; return the seq."""
        return self._pushed(Action.MOVE, entity, by=by, place=Place(parent, position))

    def delete(self, entity: str, *, by: str = "laptop") -> int:
        """Delete an entity; return the seq."""
        return self._pushed(Action.DELETE, entity, by=by)

    def restore(self, entity: str, place: Place | None = None, *, by: str = "laptop") -> int:
        """Restore an entity; return the seq."""
        return self._pushed(Action.RESTORE, entity, by=by, place=place)

    def purge(self, entity: str) -> Event | None:
        """Purge what is deleted, or lies in what is; None when it may not be, or is not there."""
        if self.world.get(entity) is None or len(self.world.below(entity)) > 1:
            return None
        event = purge(self.world, entity, deleted_upto=self.head, at=self.now + 1000)
        if event is not None:
            self._log(event, None)
        return event

    def fold(self, upto: int) -> None:
        """Fold the events at or below `upto` into the bases, as retention does."""
        for _, entity, body, *_ in (row for row in self.events if row[0] <= upto):
            event = decode_event(body)
            self.bases[entity] = apply_event(self.bases.get(entity), event)
            self.horizon, self.horizon_at = event.seq, max(self.horizon_at, event.at)
        self.events = [row for row in self.events if row[0] > upto]

    def save(self) -> Path:
        """Write the database, the same whenever it is called at one head; return its path."""
        self.path.unlink(missing_ok=True)
        with closing(sqlite3.connect(self.path, isolation_level=None)) as database:
            database.execute(f"PRAGMA application_id={APPLICATION_ID:d}")
            for script in MIGRATIONS:
                database.executescript(script)
            database.execute(f"PRAGMA user_version={len(MIGRATIONS):d}")
            database.execute("BEGIN")
            self._write(database)
            database.execute("COMMIT")
        return self.path

    def _pushed(
        self,
        action: Action,
        entity: str,
        *,
        by: str,
        kind: Kind | None = None,
        place: Place | None = None,
        fields: dict[str, bytes] | None = None,
    ) -> int:
        decision = self.push(action, entity, by=by, kind=kind, place=place, fields=fields)
        assert decision.event is not None, decision.verdict
        return decision.event.seq

    def _log(self, event: Event, basis: Basis | None) -> None:
        stored = None if basis is None else encode_basis(basis)
        self.events.append(
            (event.seq, event.entity, encode_event(event), stored, self.world.digest)
        )

    def _write(self, database: sqlite3.Connection) -> None:
        world = self.world
        database.execute(
            "INSERT INTO accounts VALUES (?, 'ann@example.org', 'ann@example.org', ?, ?, '', 0)",
            (ACCOUNT, USERNAME, USERNAME),
        )
        database.executemany(
            "INSERT INTO devices (id, account, name, platform, token_hash, created_at, lease,"
            " next_lease, last_op) VALUES (?, ?, ?, 'test', ?, 0, '', '', ?)",
            [
                (each.author.device, ACCOUNT, each.name, b"", each.op)
                for each in self.writers.values()
            ],
        )
        database.execute(
            "INSERT INTO workspaces VALUES (1, ?, 'Personal', 'personal', ?, ?, ?, ?)",
            (world.workspace, world.head, world.digest, self.horizon, self.horizon_at),
        )
        database.execute("INSERT INTO members VALUES (?, 1, 'owner')", (ACCOUNT,))
        database.executemany(
            "INSERT INTO entities (workspace, id, kind, parent, position, place_version, deleted,"
            " deleted_version, version, writer, foreign_version, fields)"
            " VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    row.id, row.kind, row.place.parent, row.place.position, row.place_version,
                    row.deleted, row.deleted_version, row.version, entry.writer,
                    entry.foreign_version, pack_fields(row.fields),
                )
                for entry in world.entries.values()
                for row in [entry.entity]
            ],
        )  # fmt: skip
        database.executemany(
            "INSERT INTO events (workspace, seq, entity, body, basis, digest)"
            " VALUES (1, ?, ?, ?, ?, ?)",
            self.events,
        )
        database.executemany(
            "INSERT INTO purges (workspace, seq, entity) VALUES (1, ?, ?)",
            [
                (seq, entity)
                for seq, entity, body, *_ in self.events
                if decode_event(body).action is Action.PURGE
            ],
        )
        database.executemany(
            "INSERT INTO bases (workspace, entity, body) VALUES (1, ?, ?)",
            [(entity, encode_entity(base)) for entity, base in self.bases.items() if base],
        )
        database.executemany(
            "INSERT INTO disputes (workspace, seq, entity, body) VALUES (1, ?, ?, ?)",
            self.disputes,
        )
