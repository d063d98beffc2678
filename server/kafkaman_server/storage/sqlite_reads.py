"""Reads of the SQLite storage."""

# ruff: noqa: S608 - only names of ours are put into statements; values are parameters

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from kafkaman_server.storage.records import (
    Account,
    Device,
    EntityChunk,
    Epochs,
    EventChunk,
    Membership,
    VerdictChunk,
)
from kafkaman_server.storage.sqlite_past import CHUNK_ROWS_MAX, PastReads, cut
from kafkaman_sync.database import Row, json_list
from kafkaman_sync.model.digest import EMPTY_DIGEST
from kafkaman_sync.model.entities import KINDS, Entity, Place, unpack_fields
from kafkaman_sync.model.limits import INTEGER_MAX
from kafkaman_sync.protocol.messages import EpochStart

_DEVICE: Final = (
    "SELECT id, account, name, platform, token_hash, created_at, lease, next_lease, last_op,"
    " seen_at, revoked_at, replaced_by FROM devices"
)
ENTITY_COLUMNS: Final = (
    "e.id, e.kind, e.parent, e.position, e.place_version, e.deleted, e.deleted_version, e.version"
)


class SqliteSnapshot(PastReads):
    """One consistent state."""

    async def account(self, user: str) -> Account | None:
        """Return the account whose e-mail or username is `user`, in any case."""
        key = user.casefold()
        column = "email_key" if "@" in key else "username_key"
        return await self._account(column, key)

    async def account_by_id(self, account: str) -> Account | None:
        """Return an account."""
        return await self._account("id", account)

    async def _account(self, column: str, key: str) -> Account | None:
        rows = await self._reader.fetch(
            f"SELECT id, email, username, password FROM accounts WHERE {column} = ?",
            (key,),
        )
        return Account(*rows[0]) if rows else None

    async def device(self, device: str) -> Device | None:
        """Return a device, signed in or not."""
        return (await self.devices([device])).get(device)

    async def devices(self, devices: Collection[str]) -> dict[str, Device]:
        """Return the devices of these ids that exist."""
        rows = await self._reader.fetch(
            f"{_DEVICE} WHERE id IN (SELECT value FROM json_each(?))",
            (json_list(devices),),
        )
        return {row[0]: Device(*row) for row in rows}

    async def devices_of(self, account: str) -> list[Device]:
        """Return the signed-in devices of an account, oldest first."""
        rows = await self._reader.fetch(
            f"{_DEVICE} WHERE account = ? AND revoked_at IS NULL AND replaced_by IS NULL"
            " ORDER BY created_at, id",
            (account,),
        )
        return [Device(*row) for row in rows]

    async def memberships(self, account: str) -> list[Membership]:
        """Return the workspaces of an account, the personal one first."""
        rows = await self._reader.fetch(
            "SELECT w.id, w.name, m.role, w.head, w.digest"
            " FROM members m JOIN workspaces w ON w.number = m.workspace"
            " WHERE m.account = ? ORDER BY w.kind <> 'personal', w.number",
            (account,),
        )
        return [Membership(*row) for row in rows]

    async def epochs(self, account: str) -> Epochs:
        """Return all epochs of all workspaces of an account."""
        rows = await self._reader.fetch(
            "SELECT w.id, p.epoch, p.first_seq FROM members m"
            " JOIN workspaces w ON w.number = m.workspace JOIN epochs p ON p.workspace = w.number"
            " WHERE m.account = ? ORDER BY p.number",
            (account,),
        )
        found: dict[str, list[EpochStart]] = {}
        for workspace, epoch, first_seq in rows:
            found.setdefault(workspace, []).append(EpochStart(epoch, first_seq))
        return {workspace: tuple(epochs) for workspace, epochs in found.items()}

    async def head(self, workspace: str) -> int:
        """Return the last seq of a workspace's log, 0 if there is none."""
        return (await self._head(workspace))[1]

    async def events_after(self, workspace: str, seq: int, *, bytes_max: int) -> EventChunk:
        """Return the events behind `seq`, up to about `bytes_max` bytes, at least one.

        None at all when `seq` lies below the horizon.
        """
        number, head, digest, horizon = await self._head(workspace)
        if seq >= head or seq < horizon:
            return EventChunk((), seq, head, digest, horizon)
        sizes = await self._reader.fetch(
            "SELECT seq, length(body) FROM events WHERE workspace = ? AND seq > ?"
            " ORDER BY seq LIMIT ?",
            (number, seq, CHUNK_ROWS_MAX),
        )
        last = cut(sizes, bytes_max)
        rows = await self._reader.fetch(
            "SELECT body FROM events WHERE workspace = ? AND seq > ? AND seq <= ? ORDER BY seq",
            (number, seq, last),
        )
        return EventChunk(tuple(row[0] for row in rows), last, head, digest, horizon)

    async def entities_after(self, workspace: str, version: int, *, bytes_max: int) -> EntityChunk:
        """Return the rows newer than `version`, up to about `bytes_max` bytes, at least one."""
        number, head, digest, horizon = await self._head(workspace)
        sizes = await self._reader.fetch(
            "SELECT version, length(fields) + 200 FROM entities"
            " WHERE workspace = ? AND version > ? ORDER BY version LIMIT ?",
            (number, version, CHUNK_ROWS_MAX),
        )
        if not sizes:
            return EntityChunk((), True, head, digest, horizon)
        last = cut(sizes, bytes_max)
        complete = len(sizes) < CHUNK_ROWS_MAX and last == sizes[-1][0]
        rows = await self._reader.fetch(
            f"SELECT {ENTITY_COLUMNS}, e.fields FROM entities e"
            " WHERE workspace = ? AND version > ? AND version <= ? ORDER BY version",
            (number, version, last),
        )
        held = tuple((entity_of(row), row[8]) for row in rows)
        return EntityChunk(held, complete, head, digest, horizon)

    async def entity(self, workspace: str, entity: str) -> tuple[Entity, bytes] | None:
        """Return a row as its entity without the fields, and these as bytes; None if none."""
        rows = await self._reader.fetch(
            f"SELECT {ENTITY_COLUMNS}, e.fields FROM entities e WHERE e.id = ? AND e.workspace ="
            " (SELECT number FROM workspaces WHERE id = ?)",
            (entity, workspace),
        )
        return (entity_of(rows[0]), rows[0][8]) if rows else None

    async def count_after(self, workspace: str, version: int, *, upto: int | None = None) -> int:
        """Return how many rows are newer than `version`, and no newer than `upto`."""
        rows = await self._reader.fetch(
            "SELECT count(*) FROM entities WHERE version > ? AND version <= ? AND workspace ="
            " (SELECT number FROM workspaces WHERE id = ?)",
            (version, INTEGER_MAX if upto is None else upto, workspace),
        )
        return int(rows[0][0])

    async def verdicts_after(self, device: str, op: int, *, bytes_max: int) -> VerdictChunk:
        """Return the stored verdicts behind `op`, up to about `bytes_max` bytes, at least one."""
        sizes = await self._reader.fetch(
            "SELECT op, length(body) FROM verdicts WHERE device = ? AND op > ? ORDER BY op LIMIT ?",
            (device, op, CHUNK_ROWS_MAX),
        )
        if not sizes:
            return VerdictChunk((), True)
        last = cut(sizes, bytes_max)
        complete = len(sizes) < CHUNK_ROWS_MAX and last == sizes[-1][0]
        rows = await self._reader.fetch(
            "SELECT body FROM verdicts WHERE device = ? AND op > ? AND op <= ? ORDER BY op",
            (device, op, last),
        )
        return VerdictChunk(tuple(row[0] for row in rows), complete)

    async def _head(self, workspace: str) -> tuple[int, int, bytes, int]:
        rows = await self._reader.fetch(
            "SELECT number, head, digest, horizon FROM workspaces WHERE id = ?", (workspace,)
        )
        return rows[0] if rows else (0, 0, EMPTY_DIGEST, 0)


def entity_of(row: Row, packed: bytes | None = None) -> Entity:
    """Return the entity of ENTITY_COLUMNS; its fields are empty unless they are given as bytes."""
    return Entity(
        id=row[0],
        kind=KINDS[row[1]],
        place=Place(row[2], row[3]),
        place_version=row[4],
        deleted=bool(row[5]),
        deleted_version=row[6],
        version=row[7],
        fields={} if packed is None else unpack_fields(packed),
    )
