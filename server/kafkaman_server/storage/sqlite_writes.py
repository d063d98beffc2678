"""Writes of the SQLite storage, and the journal's reads inside its transaction.

Each statement costs a change of threads, so every one works on many rows.
"""

# ruff: noqa: S608 - only names of ours are put into statements; values are parameters

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from kafkaman_server.decide import Entry, World
from kafkaman_server.storage.records import (
    Account,
    Commit,
    Device,
    StoredVerdict,
    TooLargeError,
    Touched,
)
from kafkaman_server.storage.sqlite_past import PastWrites
from kafkaman_server.storage.sqlite_reads import ENTITY_COLUMNS, SqliteSnapshot, entity_of
from kafkaman_sync.database import Query, Row, Writer, json_list
from kafkaman_sync.model.digest import EMPTY_DIGEST
from kafkaman_sync.model.entities import ROOT, Entity, differ_in_fields
from kafkaman_sync.model.limits import INTEGER_MAX

# SQLite keeps no statistics here; CROSS JOIN says that what is asked for is the short side.
_WHOLE: Final = f"""
SELECT {ENTITY_COLUMNS}, CASE WHEN length(e.fields) <= ?3 THEN e.fields END, e.writer,
    e.foreign_version, e.workspace, e.number, length(e.fields)
  FROM json_each(?2) j CROSS JOIN entities e ON e.workspace = ?1 AND e.id = j.value
"""
_LARGE: Final = (
    "SELECT number, fields FROM entities WHERE number IN (SELECT value FROM json_each(?))"
)
_ABOVE: Final = f"""
WITH RECURSIVE above(id) AS (
  SELECT value FROM json_each(?2)
  UNION
  SELECT e.parent FROM above a
    CROSS JOIN entities e ON e.workspace = ?1 AND e.id = a.id WHERE e.parent <> ''
)
SELECT {ENTITY_COLUMNS}, NULL, e.writer, e.foreign_version, e.workspace
  FROM above a CROSS JOIN entities e ON e.workspace = ?1 AND e.id = a.id
"""
_BELOW: Final = f"""
WITH RECURSIVE below(workspace, id) AS (
  SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(?)
  UNION
  SELECT e.workspace, e.id FROM below b
    JOIN entities e ON e.workspace = b.workspace AND e.parent = b.id
)
SELECT {ENTITY_COLUMNS}, NULL, e.writer, e.foreign_version, e.workspace
  FROM below b JOIN entities e ON e.workspace = b.workspace AND e.id = b.id
"""
_UPSERT: Final = """
INSERT INTO entities (workspace, id, kind, parent, position, place_version, deleted,
    deleted_version, version, writer, foreign_version, fields)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
  ON CONFLICT (workspace, id) DO UPDATE SET
    parent = excluded.parent, position = excluded.position,
    place_version = excluded.place_version, deleted = excluded.deleted,
    deleted_version = excluded.deleted_version, version = excluded.version,
    writer = excluded.writer, foreign_version = excluded.foreign_version,
    fields = excluded.fields
"""
# Nothing that is in an index but the version: most changes do no more.
_UPDATE: Final = """
UPDATE entities SET version = ?, writer = ?, foreign_version = ?, fields = ? WHERE number = ?
"""

_TARGETS_FEW: Final = 8

DISPUTES_KEPT_MAX: Final = 10_000
"""How many changes that were not accepted are remembered in one workspace, the latest."""


class SqliteTransaction(SqliteSnapshot, PastWrites):
    """A transaction under way."""

    def __init__(self, writer: Writer) -> None:
        super().__init__(writer)
        # The integer keys of the workspaces that `worlds` met.
        self._numbers: dict[str, int] = {}
        # The integer key and the state of the entities that were loaded whole, by their ids.
        self._stored: dict[tuple[int, str], tuple[int, Entity]] = {}

    async def add_account(self, account: Account, workspace: str, at: int) -> bool:
        """Add an account and its personal workspace; False when e-mail or username are taken."""
        added = await self._writer.fetch(
            "INSERT INTO accounts (id, email, email_key, username, username_key, password,"
            " created_at) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING id",
            (
                account.id,
                account.email,
                account.email.casefold(),
                account.username,
                account.username.casefold(),
                account.password,
                at,
            ),
        )
        if not added:
            return False
        await self._writer.run(
            "INSERT INTO workspaces (id, name, kind, head, digest)"
            " VALUES (?, 'Personal', 'personal', 0, ?)",
            (workspace, EMPTY_DIGEST),
        )
        await self._writer.run(
            "INSERT INTO members SELECT ?, number, 'owner' FROM workspaces WHERE id = ?",
            (account.id, workspace),
        )
        return True

    async def add_device(self, device: Device) -> None:
        """Add a device."""
        await self._writer.run(
            "INSERT INTO devices (id, account, name, platform, token_hash, created_at, lease,"
            " next_lease, last_op) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                device.id,
                device.account,
                device.name,
                device.platform,
                device.token_hash,
                device.created_at,
                device.lease,
                device.next_lease,
                device.last_op,
            ),
        )

    async def update_device(self, device: Device) -> None:
        """Store a device's leases, times and state; never its ops."""
        await self._writer.run(
            "UPDATE devices SET lease = ?, next_lease = ?, seen_at = ?, revoked_at = ?,"
            " replaced_by = ? WHERE id = ?",
            (
                device.lease,
                device.next_lease,
                device.seen_at,
                device.revoked_at,
                device.replaced_by,
                device.id,
            ),
        )

    async def begin_epoch(self, epoch: str, account: str) -> None:
        """Record that `epoch` goes on behind the heads of all workspaces of the account."""
        await self._writer.run(
            "INSERT INTO epochs (workspace, epoch, first_seq)"
            " SELECT w.number, ?, w.head + 1 FROM members m"
            " JOIN workspaces w ON w.number = m.workspace WHERE m.account = ?"
            " ON CONFLICT DO NOTHING",
            (epoch, account),
        )

    async def roles(self, wanted: Collection[tuple[str, str]]) -> Mapping[tuple[str, str], str]:
        """Return the roles of (account, workspace) pairs; a pair without a role is absent."""
        rows = await self._writer.fetch(
            "SELECT m.account, w.id, m.role FROM json_each(?) j"
            " JOIN workspaces w ON w.id = json_extract(j.value, '$[1]')"
            " JOIN members m ON m.account = json_extract(j.value, '$[0]')"
            " AND m.workspace = w.number",
            (json_list(wanted),),
        )
        return {(account, workspace): role for account, workspace, role in rows}

    async def worlds(
        self, touched: Mapping[str, Touched], *, bytes_max: int = INTEGER_MAX
    ) -> dict[str, World]:
        """Return what is there of the touched parts; a workspace that is not there is absent.

        Raises TooLargeError when several targets have more bytes of fields than `bytes_max`.
        """
        rows = await self._writer.fetch(
            "SELECT number, id, head, digest FROM workspaces"
            " WHERE id IN (SELECT value FROM json_each(?))",
            (json_list(touched),),
        )
        by_number: dict[int, World] = {}
        for number, workspace, head, digest in rows:
            by_number[number] = World(workspace, head, digest)
            self._numbers[workspace] = number
        below = self._wanted({name: part.subtrees for name, part in touched.items()})
        if below:
            _fill(by_number, await self._writer.fetch(_BELOW, (json_list(below),)))
        parts = {number: touched[world.workspace] for number, world in by_number.items()}
        await self._load_targets(by_number, parts, bytes_max)
        return {world.workspace: world for world in by_number.values()}

    async def _load_targets(
        self, worlds: Mapping[int, World], parts: Mapping[int, Touched], bytes_max: int
    ) -> None:
        """Add targets whole, and the outlines of what lies above them and above `parents`."""
        queries: list[Query] = []
        # So small that all together cannot be too large: most are, and are read at once.
        small = bytes_max // max(1, sum(len(part.targets) for part in parts.values()))
        for number, part in parts.items():
            # Of many the outlines would cost as much again: what they lie in is read behind them.
            few = part.targets if len(part.targets) <= _TARGETS_FEW else set()
            queries.append((_ABOVE, (number, json_list(part.parents | few))))
            queries.append((_WHOLE, (number, json_list(part.targets), small)))
        answers = await self._writer.fetch_all(*queries)
        whole = [row for rows in answers[1::2] for row in rows]
        if len(whole) > 1 and sum([row[13] for row in whole]) > bytes_max:
            raise TooLargeError
        large = [row[12] for row in whole if row[8] is None]
        if large:
            fields: dict[int, bytes] = dict(await self._writer.fetch(_LARGE, (json_list(large),)))
            whole = [(*row[:8], fields.get(row[12], row[8]), *row[9:]) for row in whole]
        for rows in (*answers[::2], whole):
            _fill(worlds, rows)
        for row in whole:
            self._stored[row[11], row[0]] = row[12], worlds[row[11]].entries[row[0]].entity
        for number, world in worlds.items():
            held = {row[2] for row in whole if row[11] == number}
            if missing := held - world.entries.keys() - {ROOT}:
                _fill(worlds, await self._writer.fetch(_ABOVE, (number, json_list(missing))))

    def _wanted(self, ids: Mapping[str, set[str]]) -> list[tuple[int, str]]:
        return [
            (self._numbers[workspace], entity)
            for workspace, entities in ids.items()
            if workspace in self._numbers
            for entity in entities
            if entity != ROOT
        ]

    async def stored_verdicts(
        self, wanted: Collection[tuple[str, int]]
    ) -> dict[tuple[str, int], StoredVerdict]:
        """Return the verdicts of (device, op) pairs that are stored."""
        rows = await self._writer.fetch(
            "SELECT v.device, v.op, v.change_hash, v.body FROM json_each(?) j"
            " JOIN verdicts v ON v.device = json_extract(j.value, '$[0]')"
            " AND v.op = json_extract(j.value, '$[1]')",
            (json_list(wanted),),
        )
        return {(row[0], row[1]): StoredVerdict(*row) for row in rows}

    async def write(self, commit: Commit) -> None:
        """Write a commit of the journal."""
        await self._write_log(commit)
        await self._write_disputes(commit)
        await self._writer.run_many(
            "INSERT INTO verdicts (device, op, change_hash, body) VALUES (?, ?, ?, ?)",
            [
                (stored.device, stored.op, stored.change_hash, stored.body)
                for stored in commit.verdicts
            ],
        )
        # A push shows that the device stored the lease of its welcome: older ones are stale now.
        await self._writer.run_many(
            "UPDATE devices SET last_op = ?,"
            " lease = CASE next_lease WHEN ? THEN next_lease ELSE lease END WHERE id = ?",
            [(op, commit.leases[device], device) for device, op in commit.last_ops.items()],
        )
        await self._writer.run_many(
            "DELETE FROM verdicts WHERE device = ? AND op <= ?",
            list(commit.confirmed_ops.items()),
        )

    async def _write_disputes(self, commit: Commit) -> None:
        await self._writer.run_many(
            "INSERT INTO disputes (workspace, seq, entity, body) VALUES (?, ?, ?, ?)",
            [(self._numbers[workspace], *rest) for workspace, *rest in commit.disputes],
        )
        # A device that asks for what is refused again and again must not fill the disk.
        await self._writer.run_many(
            "DELETE FROM disputes WHERE workspace = ?1 AND number <= (SELECT number FROM disputes"
            " WHERE workspace = ?1 ORDER BY number DESC LIMIT 1 OFFSET ?2)",
            [
                (self._numbers[workspace], DISPUTES_KEPT_MAX)
                for workspace in {workspace for workspace, *_ in commit.disputes}
            ],
        )

    async def _write_log(self, commit: Commit) -> None:
        if not commit.events:
            return
        numbers = self._numbers
        digests = {(workspace, seq): digest for workspace, (seq, digest) in commit.heads.items()}
        await self._writer.run_many(
            "INSERT INTO epochs (workspace, epoch, first_seq) SELECT number, ?, head + 1"
            " FROM workspaces WHERE number = ? ON CONFLICT DO NOTHING",
            [
                (commit.epoch, numbers[workspace])
                for workspace in commit.heads
                if workspace not in commit.begun
            ],
        )
        await self._writer.run_many(
            "INSERT INTO events (workspace, seq, entity, body, basis, digest)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            [
                (numbers[workspace], seq, *rest, digests.get((workspace, seq)))
                for workspace, seq, *rest in commit.events
            ],
        )
        await self._write_entities(commit)
        await self._writer.run_many(
            "DELETE FROM entities WHERE workspace = ? AND id = ?",
            [(numbers[workspace], entity) for workspace, entity, _ in commit.purged],
        )
        await self._writer.run_many(
            "INSERT INTO purges (workspace, entity, seq) VALUES (?, ?, ?)",
            [(numbers[workspace], *rest) for workspace, *rest in commit.purged],
        )
        await self._writer.run_many(
            "UPDATE workspaces SET head = ?, digest = ? WHERE number = ?",
            [(*head, numbers[workspace]) for workspace, head in commit.heads.items()],
        )

    async def _write_entities(self, commit: Commit) -> None:
        whole: list[Row] = []
        updates: list[Row] = []
        for workspace, entries in commit.entries.items():
            number = self._numbers[workspace]
            for entry in entries.values():
                after = entry.entity
                row, before = self._stored.get((number, after.id), (0, None))
                if before is not None and differ_in_fields(before, after):
                    update = (after.version, entry.writer, entry.foreign_version, entry.packed, row)
                    updates.append(update)
                else:
                    whole.append(_entity_row(number, entry))
        await self._writer.run_many(_UPSERT, whole)
        await self._writer.run_many(_UPDATE, updates)


def _fill(worlds: Mapping[int, World], rows: list[Row]) -> None:
    """Put rows into their worlds; one without fields takes the place of none that is there."""
    for row in rows:
        world = worlds[row[11]]
        if row[8] is not None or row[0] not in world.entries:
            world.put(Entry(entity_of(row, row[8]), row[9], row[10], row[8]))


def _entity_row(number: int, entry: Entry) -> Row:
    entity = entry.entity
    return (
        number,
        entity.id,
        entity.kind,
        entity.place.parent,
        entity.place.position,
        entity.place_version,
        entity.deleted,
        entity.deleted_version,
        entity.version,
        entry.writer,
        entry.foreign_version,
        entry.packed,
    )
