"""A workspace's whole log in the SQLite storage, piece by piece: for who debugs a sync."""

# ruff: noqa: S608 - only names of ours are put into statements; values are parameters

from __future__ import annotations

from typing import Any, Final

from kafkaman_server.storage.records import LogHead, LogPiece
from kafkaman_server.storage.schema import seqs_of
from kafkaman_sync.database import Reader, Row
from kafkaman_sync.model.limits import INTEGER_MAX

# Rows whose sizes are looked at for one piece: about as many as fill one at 1 KiB each.
PIECE_ROWS_MAX: Final = 1000

WORKSPACE_NUMBER: Final = "(SELECT number FROM workspaces WHERE id = ?1)"
_EVENTS_OF: Final = f"seq IN ({seqs_of(WORKSPACE_NUMBER, '?2', '?3', '?4')})"
_ROW: Final = "id, kind, parent, position, place_version, deleted, deleted_version, version, fields"
_ACCOUNTS: Final = (
    "SELECT a.id, a.username FROM members m JOIN accounts a ON a.id = m.account"
    f" WHERE m.workspace = {WORKSPACE_NUMBER} ORDER BY a.id"
)
_DEVICES: Final = (
    "SELECT d.id, d.name, d.platform, d.account FROM members m"
    f" JOIN devices d ON d.account = m.account WHERE m.workspace = {WORKSPACE_NUMBER} ORDER BY d.id"
)
# Of each part: its table, the key in whose order it is told, its columns, what counts as its size,
# and what its entity is called.
_PARTS: Final = {
    "events": ("events", "seq", "seq, body, basis, digest", "length(body)", "entity"),
    "bases": ("bases", "entity", "entity, body", "length(body)", "entity"),
    "rows": ("entities", "id", _ROW, "length(fields)", "id"),
    "disputes": ("disputes", "number", "number, body", "length(body)", "entity"),
}


class LogReads:
    """The part of a snapshot that reads a log as it is stored."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def log_head(self, workspace: str) -> LogHead:
        """Return where a workspace's log ends and begins, and who its members and devices are."""
        heads, accounts, devices = await self._reader.fetch_all(
            (
                "SELECT name, head, digest, horizon, horizon_at FROM workspaces WHERE id = ?",
                (workspace,),
            ),
            (_ACCOUNTS, (workspace,)),
            (_DEVICES, (workspace,)),
        )
        name, head, digest, horizon, horizon_at = heads[0]
        return LogHead(
            name,
            head,
            digest,
            horizon,
            horizon_at,
            {row[0]: row[1] for row in accounts},
            tuple((row[0], row[1], row[2], row[3]) for row in devices),
        )

    async def log_piece(
        self,
        workspace: str,
        part: str,
        *,
        after: int | str,
        upto: int = INTEGER_MAX,
        entity: str | None = None,
        backward: bool = False,
        rows_max: int = PIECE_ROWS_MAX,
        bytes_max: int,
    ) -> LogPiece:
        """Return rows of a part behind a key, up to about `bytes_max` bytes, at least one.

        `after` and, for events, `upto` (included) are the bounds; `backward` goes down from `upto`.
        """
        table, key, columns, size, of = _PARTS[part]
        bounds = f"{key} > ?2"
        values: list[Any] = [workspace, after]
        if part == "events":
            bounds += " AND seq <= ?3"
            values.append(upto)
        if entity is not None:
            values.append(entity)
            bounds += f" AND {_EVENTS_OF if part == 'events' else f'{of} = ?{len(values)}'}"
        order = f"ORDER BY {key}{' DESC' if backward else ''}"
        there = f"FROM {table} WHERE workspace = {WORKSPACE_NUMBER} AND {bounds} {order}"
        most = min(rows_max, PIECE_ROWS_MAX)
        ((head, horizon),), sizes = await self._reader.fetch_all(
            ("SELECT head, horizon FROM workspaces WHERE id = ?", (workspace,)),
            (f"SELECT {key}, {size} {there} LIMIT {most + 1:d}", values),
        )
        count = _fitting(sizes[:most], bytes_max)
        rows = await self._reader.fetch(f"SELECT {columns} {there} LIMIT {count:d}", values)
        return LogPiece(tuple(map(tuple, rows)), len(rows) < len(sizes), head, horizon)


def _fitting(sizes: list[Row], bytes_max: int) -> int:
    """Return how many of these (key, bytes) fit, at least the first."""
    total = 0
    for number, (_, size) in enumerate(sizes):
        total += size
        if total > bytes_max and number:
            return number
    return len(sizes)
