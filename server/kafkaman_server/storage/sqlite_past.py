"""The past in the SQLite storage: what history reads, and what retention folds and removes."""

# ruff: noqa: S608 - only names of ours are put into statements; values are parameters

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from kafkaman_server.storage.records import (
    EntityPast,
    Foldable,
    Kept,
    PastChunk,
    PurgeChunk,
)
from kafkaman_server.storage.schema import seqs_of
from kafkaman_server.storage.sqlite_log import WORKSPACE_NUMBER, LogReads
from kafkaman_sync.database import Row, Writer, json_list
from kafkaman_sync.model.limits import INTEGER_MAX
from kafkaman_sync.protocol.records import EVENT_HEAD_BYTES

# Rows whose sizes are looked at for one chunk: about as many as fill one at 1 KiB each.
CHUNK_ROWS_MAX: Final = 1000

_WORKSPACE: Final = "(SELECT number FROM workspaces WHERE id = ?)"
_ANY_EVENT: Final = f"{seqs_of(WORKSPACE_NUMBER, '0', f'{INTEGER_MAX:d}', '?2')} LIMIT 1"

_EVENTS_OF: Final = f"events WHERE workspace = ?1 AND seq IN ({seqs_of('?1', '?2', '?3', '?4')})"

# What lies below two deleted ones is met twice; the greater level puts it before what it lies in.
_EXPIRED: Final = """
WITH RECURSIVE expired(id, level) AS (
  SELECT id, 0 FROM entities WHERE workspace = ?1 AND deleted = 1 AND deleted_version <= ?2
  UNION ALL
  SELECT e.id, x.level + 1 FROM expired x
    JOIN entities e ON e.workspace = ?1 AND e.parent = x.id
)
SELECT e.id, length(e.fields) FROM expired x
  JOIN entities e ON e.workspace = ?1 AND e.id = x.id
  GROUP BY e.id ORDER BY max(x.level) DESC
"""
# The head of the last sample that is old enough.
_AGED: Final = (
    "coalesce((SELECT s.head FROM samples s WHERE s.workspace = w.number AND s.running_ms <= ?"
    " ORDER BY s.running_ms DESC LIMIT 1), 0)"
)


class PastReads(LogReads):
    """The part of a snapshot that is about the past."""

    async def entity_past(self, workspace: str, entity: str) -> EntityPast:
        """Return what is kept of an entity's past."""
        (heads,), bases, events, rows = await self._reader.fetch_all(
            ("SELECT head, horizon, horizon_at FROM workspaces WHERE id = ?", (workspace,)),
            (
                f"SELECT body FROM bases WHERE workspace = {_WORKSPACE} AND entity = ?",
                (workspace, entity),
            ),
            (_ANY_EVENT, (workspace, entity)),
            (
                f"SELECT 1 FROM entities WHERE workspace = {_WORKSPACE} AND id = ?",
                (workspace, entity),
            ),
        )
        head, horizon, horizon_at = heads
        base = bases[0][0] if bases else None
        return EntityPast(head, horizon, horizon_at, base, bool(bases or events or rows))

    async def events_of(
        self, workspace: str, entity: str, seq: int, *, bytes_max: int
    ) -> PastChunk:
        """Return an entity's events behind `seq`, up to about `bytes_max` bytes, at least one."""
        return await self._past_chunk(
            workspace,
            entity,
            (seq + 1, INTEGER_MAX),
            "ASC",
            rows_max=CHUNK_ROWS_MAX,
            bytes_max=bytes_max,
        )

    async def events_before(
        self,
        workspace: str,
        entity: str,
        seq: int,
        *,
        rows_max: int,
        bytes_max: int,
        containing: bytes = b"",
    ) -> PastChunk:
        """Look at an entity's events before `seq`, newest first, within both limits.

        At least one is looked at. Those that hold the bytes `containing` are returned.
        """
        return await self._past_chunk(
            workspace,
            entity,
            (0, seq - 1),
            "DESC",
            rows_max=rows_max,
            bytes_max=bytes_max,
            containing=containing,
        )

    async def _past_chunk(
        self,
        workspace: str,
        entity: str,
        bounds: tuple[int, int],
        order: str,
        *,
        rows_max: int,
        bytes_max: int,
        containing: bytes = b"",
    ) -> PastChunk:
        ((number, horizon),) = await self._reader.fetch(
            "SELECT number, horizon FROM workspaces WHERE id = ?", (workspace,)
        )
        sizes = await self._reader.fetch(
            f"SELECT seq, length(body) FROM {_EVENTS_OF} ORDER BY seq {order} LIMIT ?5",
            (number, *bounds, entity, rows_max),
        )
        if not sizes:
            return PastChunk((), bounds[0], True, horizon)
        last = cut(sizes, bytes_max)
        low, high = sorted((int(sizes[0][0]), last))
        found = await self._reader.fetch(
            f"SELECT seq, body FROM {_EVENTS_OF} AND instr(body, ?5) > 0 ORDER BY seq {order}",
            (number, low, high, entity, containing),
        )
        complete = len(sizes) < rows_max and last == sizes[-1][0]
        return PastChunk(tuple((row[0], row[1]) for row in found), last, complete, horizon)

    async def event_heads(self, workspace: str, seqs: Collection[int]) -> list[bytes]:
        """Return the beginning of each of these events that is still kept, in seq order."""
        rows = await self._reader.fetch(
            f"SELECT substr(body, 1, {EVENT_HEAD_BYTES}) FROM events"
            f" WHERE workspace = {_WORKSPACE} AND seq IN (SELECT value FROM json_each(?))"
            " ORDER BY seq",
            (workspace, json_list(seqs)),
        )
        return [row[0] for row in rows]

    async def usernames(self, accounts: Collection[str]) -> dict[str, str]:
        """Return the names of those accounts that exist."""
        rows = await self._reader.fetch(
            "SELECT id, username FROM accounts WHERE id IN (SELECT value FROM json_each(?))",
            (json_list(accounts),),
        )
        return {row[0]: row[1] for row in rows}

    async def purges_after(self, workspace: str, seq: int) -> PurgeChunk:
        """Return the purges behind `seq`, a bounded number."""
        rows = await self._reader.fetch(
            f"SELECT entity, seq FROM purges WHERE workspace = {_WORKSPACE}"
            " AND seq > ? ORDER BY seq LIMIT ?",
            (workspace, seq, CHUNK_ROWS_MAX),
        )
        return PurgeChunk(tuple((row[0], row[1]) for row in rows), len(rows) < CHUNK_ROWS_MAX)

    async def expired(self, workspace: str, seq: int) -> list[tuple[str, int]]:
        """Return what was, or lies below what was, deleted at or before `seq`, with its bytes.

        Each comes before what it lies in.
        """
        rows = await self._reader.fetch("SELECT number FROM workspaces WHERE id = ?", (workspace,))
        found = await self._reader.fetch(_EXPIRED, (rows[0][0], seq))
        return [(row[0], row[1]) for row in found]

    async def kept(self, events_aged_ms: int, trash_aged_ms: int) -> list[Kept]:
        """Return what is aged in each workspace.

        Its arguments are the running times before which what is old is older than its retention.
        """
        rows = await self._reader.fetch(
            f"SELECT w.id, w.horizon, {_AGED}, {_AGED} FROM workspaces w ORDER BY w.number",
            (events_aged_ms, trash_aged_ms),
        )
        return [Kept(*row) for row in rows]


class PastWrites(PastReads):
    """The part of a transaction that retention works with."""

    def __init__(self, writer: Writer) -> None:
        super().__init__(writer)
        self._writer = writer

    async def age(self) -> tuple[int, int] | None:
        """Return the running time that was last written down, and when; None before the first."""
        rows = await self._writer.fetch("SELECT running_ms, saved_at FROM age")
        return (rows[0][0], rows[0][1]) if rows else None

    async def save_age(self, running_ms: int, saved_at: int) -> None:
        """Write the running time down, and how far each log that has grown has come by now."""
        await self._writer.run("DELETE FROM age")
        await self._writer.run("INSERT INTO age VALUES (?, ?)", (running_ms, saved_at))
        await self._writer.run(
            "INSERT INTO samples SELECT w.number, ?, w.head FROM workspaces w WHERE w.head >"
            " coalesce((SELECT s.head FROM samples s WHERE s.workspace = w.number"
            " ORDER BY s.running_ms DESC LIMIT 1), 0)"
            " ON CONFLICT DO UPDATE SET head = excluded.head",
            (running_ms,),
        )

    async def drop_samples(self, aged_ms: int) -> None:
        """Drop the samples that are older than the last one at or before this running time."""
        await self._writer.run(
            "DELETE FROM samples WHERE running_ms < (SELECT max(s.running_ms) FROM samples s"
            " WHERE s.workspace = samples.workspace AND s.running_ms <= ?)",
            (aged_ms,),
        )

    async def foldable(
        self, workspace: str, upto: int, *, rows_max: int, bytes_max: int
    ) -> Foldable:
        """Return the oldest events up to a seq, with their bases, within both limits.

        At least one event, if there is one.
        """
        sizes = await self._writer.fetch(
            "SELECT e.seq, length(e.body), e.entity, coalesce(length(b.body), 0) FROM events e"
            " LEFT JOIN bases b ON b.workspace = e.workspace AND b.entity = e.entity"
            f" WHERE e.workspace = {_WORKSPACE} AND e.seq <= ? ORDER BY e.seq LIMIT ?",
            (workspace, upto, rows_max),
        )
        if not sizes:
            return Foldable((), {})
        last = cut(_with_bases(sizes), bytes_max)
        events = await self._writer.fetch(
            f"SELECT body FROM events WHERE workspace = {_WORKSPACE} AND seq <= ? ORDER BY seq",
            (workspace, last),
        )
        bases = await self._writer.fetch(
            f"SELECT entity, body FROM bases WHERE workspace = {_WORKSPACE}"
            " AND entity IN (SELECT value FROM json_each(?))",
            (workspace, json_list(row[2] for row in sizes if row[0] <= last)),
        )
        return Foldable(tuple(row[0] for row in events), {row[0]: row[1] for row in bases})

    async def fold(
        self, workspace: str, horizon: int, at: int, bases: Mapping[str, bytes | None]
    ) -> None:
        """Move the horizon up; what is at or below goes, and `bases` (None: gone) stand for it."""
        await self._writer.run_many(
            f"INSERT INTO bases (workspace, entity, body) VALUES ({_WORKSPACE}, ?, ?)"
            " ON CONFLICT (workspace, entity) DO UPDATE SET body = excluded.body",
            [(workspace, entity, body) for entity, body in bases.items() if body is not None],
        )
        await self._writer.run_many(
            f"DELETE FROM bases WHERE workspace = {_WORKSPACE} AND entity = ?",
            [(workspace, entity) for entity, body in bases.items() if body is None],
        )
        for table in ("events", "purges", "disputes"):
            await self._writer.run(
                f"DELETE FROM {table} WHERE workspace = {_WORKSPACE} AND seq <= ?",
                (workspace, horizon),
            )
        await self._writer.run(
            "UPDATE workspaces SET horizon = ?, horizon_at = max(horizon_at, ?) WHERE id = ?",
            (horizon, at, workspace),
        )


def cut(sizes: list[Row], bytes_max: int) -> int:
    """Return the last key of those (key, bytes) rows that fit, at least the first one."""
    total = 0
    last = int(sizes[0][0])
    for key, size in sizes:
        total += size
        if total > bytes_max:
            break
        last = key
    return last


def _with_bases(sizes: list[Row]) -> list[Row]:
    """Return (seq, bytes), where an entity's base counts at the first of its events."""
    met: set[str] = set()
    found: list[Row] = []
    for seq, size, entity, base in sizes:
        found.append((seq, size + (0 if entity in met else base)))
        met.add(entity)
    return found
