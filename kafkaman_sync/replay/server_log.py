"""A server's database as a source: its log, and the state that it stores for the head.

It knows the tables of every schema that a server of this or an earlier release has written.
"""

# ruff: noqa: S608 - only names of ours are put into statements; values are parameters

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from kafkaman_server.storage.schema import APPLICATION_ID, MIGRATIONS, seqs_of
from kafkaman_sync.errors import ReplayError, WireError
from kafkaman_sync.model.changes import Dispute
from kafkaman_sync.model.entities import Entity
from kafkaman_sync.model.limits import INTEGER_MAX
from kafkaman_sync.protocol.records import (
    decode_dispute,
    decode_entity,
)
from kafkaman_sync.replay.records import DeviceName, Log, Logged, Names
from kafkaman_sync.replay.source import SourceKind
from kafkaman_sync.replay.sqlite_file import SqliteFile, check_version
from kafkaman_sync.replay.stored import ROW, damaged, read_logged, read_row, text_of, unpack_names

_PAST_VERSION: Final = 2
_WHY_VERSION: Final = 3
_BLOCKS_VERSION: Final = 4
_PAST: Final = ", CAST(horizon AS INTEGER), CAST(horizon_at AS INTEGER)"
_EVENT: Final = "CAST(body AS BLOB)"
_WHY: Final = "CAST(basis AS BLOB), CAST(digest AS BLOB)"
_ENTITY: Final = "CAST(entity AS TEXT)"

UPDATE_BASIS_BYTES_MIN: Final = 22
"""What an update was based on has more bytes; what anything else was, fewer: it has no fields."""


class ServerLog:
    """A server's database, live or a copy."""

    kind = SourceKind.SERVER

    def __init__(self, file: SqliteFile) -> None:
        self.file = file
        self.label = str(file.path)
        self._numbers: dict[str, int] = {}

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator[ServerLog]:
        """Open a server's database. Raises ReplayError `replay.foreign`, `store.newer`."""
        with SqliteFile.open(path) as file:
            if file.application_id != APPLICATION_ID:
                raise ReplayError(
                    f"{path} is no server's database.",
                    code="replay.foreign",
                    hint="A server keeps its own as kafkaman.db in its data folder.",
                )
            check_version(file, len(MIGRATIONS))
            yield cls(file)

    def logs(self) -> list[Log]:
        """Return the workspaces, in the order in which they were made."""
        past = _PAST if self.file.version >= _PAST_VERSION else ", 0, 0"
        found = []
        for number, workspace, name, head, digest, *rest in self.file.rows(
            "SELECT number, CAST(id AS TEXT), name, CAST(head AS INTEGER), CAST(digest AS BLOB)"
            f"{past} FROM workspaces ORDER BY number"
        ):
            self._numbers[workspace] = number
            found.append(Log(workspace, text_of(name), head, digest or None, *rest))
        return found

    def names(self) -> Names:
        """Return all usernames and devices."""
        return Names(
            accounts={
                row[0]: text_of(row[1])
                for row in self.file.rows("SELECT id, username FROM accounts")
            },
            devices={
                row[0]: DeviceName(*map(text_of, row))
                for row in self.file.rows("SELECT id, name, platform, account FROM devices")
            },
        )

    def raw_events(
        self,
        log: Log,
        *,
        after: int = 0,
        upto: int | None = None,
        entity: str | None = None,
        backward: bool = False,
    ) -> Iterator[tuple[int, bytes, bytes | None, bytes | None]]:
        """Yield (seq, event, basis, digest) as they are stored, in the order asked for."""
        why = _WHY if self.file.version >= _WHY_VERSION else "NULL, NULL"
        of, parameters = self._of(log, after, upto, entity)
        return self.file.rows(
            f"SELECT seq, {_EVENT}, {why} FROM events WHERE {of}"
            f" ORDER BY seq{' DESC' if backward else ''}",
            parameters,
        )

    def _of(
        self, log: Log, after: int, upto: int | None, entity: str | None
    ) -> tuple[str, list[Any]]:
        """Return which events are asked for, as SQL, and its parameters."""
        bounds = [self.number(log), after + 1, INTEGER_MAX if upto is None else upto]
        within = "workspace = ?1 AND seq BETWEEN ?2 AND ?3"
        if entity is None:
            return within, bounds
        if self.file.version < _BLOCKS_VERSION:
            return f"{within} AND entity = ?4", [*bounds, entity]
        return f"workspace = ?1 AND seq IN ({seqs_of('?1', '?2', '?3', '?4')})", [*bounds, entity]

    def events(
        self,
        log: Log,
        *,
        after: int = 0,
        upto: int | None = None,
        entity: str | None = None,
        backward: bool = False,
    ) -> Iterator[Logged]:
        """Yield events with `after` < seq <= `upto`, of one entity or of all."""
        found = self.raw_events(log, after=after, upto=upto, entity=entity, backward=backward)
        for seq, body, basis, digest in found:
            yield read_logged(seq, body, basis, digest)

    def bases(self, log: Log, entity: str | None = None) -> Iterator[Entity]:
        """Yield the rows as they were at the horizon."""
        if self.file.version < _PAST_VERSION:
            return
        of = "" if entity is None else " AND entity = ?2"
        for name, body in self.file.rows(
            f"SELECT {_ENTITY}, {_EVENT} FROM bases WHERE workspace = ?1{of} ORDER BY entity",
            [self.number(log)] if entity is None else [self.number(log), entity],
        ):
            try:
                yield decode_entity(body)
            except WireError as error:
                raise damaged(f"what was before the horizon of the entity {name}", error) from error

    def rows(self, log: Log, entity: str | None = None) -> Iterator[Entity]:
        """Yield the rows that are stored for the head."""
        of = "" if entity is None else " AND id = ?2"
        for row in self.file.rows(
            f"SELECT {ROW} FROM entities WHERE workspace = ?1{of} ORDER BY id",
            [self.number(log)] if entity is None else [self.number(log), entity],
        ):
            yield read_row(row)

    def stored_events(
        self, log: Log, *, after: int = 0, upto: int | None = None
    ) -> Iterator[tuple[int, str, bytes, bytes | None, bytes | None]]:
        """Yield (seq, entity, event, basis, digest) as they are stored, for who checks them."""
        why = _WHY if self.file.version >= _WHY_VERSION else "NULL, NULL"
        return self.file.rows(
            f"SELECT seq, {_ENTITY}, {_EVENT}, {why} FROM events"
            " WHERE workspace = ? AND seq > ? AND seq <= ? ORDER BY seq",
            (self.number(log), after, INTEGER_MAX if upto is None else upto),
        )

    def shared_events(
        self, log: Log, pivot: str, *, low: bool, upto: int
    ) -> Iterator[tuple[int, str, bytes, bytes | None, bytes | None]]:
        """Yield events behind the horizon up to `upto` for who judges a share of the entities.

        Those before `pivot`, if `low`, else the others. Left out are other entities' updates, but
        for those with which a commit ends.
        """
        number, after = self.number(log), log.horizon
        why, asked = "NULL, NULL", ""
        if self.file.version >= _WHY_VERSION:
            short = f"ifnull(length(basis), 0) < {UPDATE_BASIS_BYTES_MIN}"
            owned = f"entity {'<' if low else '>='} ?"
            why, asked = "basis, digest", f" AND ({owned} OR digest NOTNULL OR {short})"
        first, last = self._row_number(number, after + 1), self._row_number(number, upto)
        # As a server appends them, they lie in the order of their seqs, few others between them.
        if first and first <= last < first + 2 * (upto - after):
            within, ends = "number BETWEEN ? AND ? AND +workspace = ?", [first, last, number]
            order = "number"
        else:
            within, ends = "workspace = ? AND seq > ? AND seq <= ?", [number, after, upto]
            order = "seq"
        return self.file.scan(
            f"SELECT seq, entity, body, {why} FROM events WHERE {within}{asked} ORDER BY {order}",
            [*ends, pivot] if asked else ends,
        )

    def _row_number(self, workspace: int, seq: int) -> int:
        found = self.file.rows(
            "SELECT number FROM events WHERE workspace = ? AND seq = ?", (workspace, seq)
        )
        return int(next(found, (0,))[0])

    def pivot(self, log: Log, part: float) -> str:
        """Return an id before which about such a part of the entities come."""
        number = self.number(log)
        (count,) = self.file.one("SELECT count(*) FROM entities WHERE workspace = ?", [number])
        found = self.file.rows(
            "SELECT id FROM entities WHERE workspace = ? ORDER BY id LIMIT 1 OFFSET ?",
            (number, int(part * count)),
        )
        return str(next(found, ("",))[0])

    def stored_rows(self, log: Log) -> Iterator[tuple[Any, ...]]:
        """Yield the rows for the head as they are stored, each with writer and foreign version."""
        return self.file.rows(
            f"SELECT {ROW}, writer, foreign_version FROM entities WHERE workspace = ? ORDER BY id",
            (self.number(log),),
        )

    def last_ops(self) -> dict[str, int]:
        """Return the last op of each device that was decided."""
        return dict(self.file.rows("SELECT id, last_op FROM devices"))

    def disputes(self, log: Log, entity: str | None = None) -> Iterator[Dispute]:
        """Yield what was not accepted, in the order of its decision."""
        if self.file.version < _WHY_VERSION:
            return
        of = "" if entity is None else " AND entity = ?2"
        for seq, body in self.file.rows(
            f"SELECT seq, {_EVENT} FROM disputes WHERE workspace = ?1{of} ORDER BY number",
            [self.number(log)] if entity is None else [self.number(log), entity],
        ):
            try:
                yield decode_dispute(body)
            except WireError as error:
                raise damaged(f"what was not accepted at seq {seq}", error) from error

    def stored_bases(self, log: Log) -> Iterator[tuple[str, bytes]]:
        """Yield (entity, row) of the rows at the horizon, as they are stored."""
        if self.file.version < _PAST_VERSION:
            return iter(())
        return self.file.rows(
            f"SELECT {_ENTITY}, {_EVENT} FROM bases WHERE workspace = ?1 ORDER BY entity",
            [self.number(log)],
        )

    def stored_disputes(self, log: Log) -> Iterator[tuple[int, str, bytes]]:
        """Yield (seq, entity, dispute) as they are stored, in the order of their decision."""
        if self.file.version < _WHY_VERSION:
            return iter(())
        return self.file.rows(
            f"SELECT seq, {_ENTITY}, {_EVENT} FROM disputes WHERE workspace = ?1 ORDER BY number",
            [self.number(log)],
        )

    def wait(self, seconds: float) -> bool:
        """Wait for the server to commit."""
        return self.file.wait(seconds)

    def has_index(self) -> bool:
        """Tell whether the events of one entity are found without reading the others."""
        return self.file.version >= _PAST_VERSION

    def row_counts(self, log: Log, seq: int) -> tuple[int, int]:
        """Return how many rows are stored for the head, and how many of them changed after seq."""
        number = self.number(log)
        (rows,) = self.file.one("SELECT count(*) FROM entities WHERE workspace = ?", [number])
        (changed,) = self.file.one(
            "SELECT count(*) FROM entities WHERE workspace = ? AND version > ?", [number, seq]
        )
        return rows, changed

    def purged_after(self, log: Log, seq: int) -> list[str]:
        """Return the entities that were purged after `seq`, in order of their ids."""
        found = self.file.rows(
            f"SELECT DISTINCT {_ENTITY} FROM purges"
            " WHERE workspace = ? AND seq > ? ORDER BY entity",
            [self.number(log), seq],
        )
        return [entity for (entity,) in found]

    def touched(self, log: Log, after: int, upto: int) -> list[str]:
        """Return the entities that events with `after` < seq <= `upto` are about, in order."""
        found = self.file.rows(
            f"SELECT DISTINCT {_ENTITY} FROM events WHERE workspace = ? AND seq > ? AND seq <= ?",
            [self.number(log), after, upto],
        )
        return sorted(entity for (entity,) in found)

    def event_count(self, log: Log, upto: int, *, after: int = 0) -> int:
        """Return how many events with `after` < seq <= `upto` there are, without reading them."""
        (count,) = self.file.one(
            "SELECT count(*) FROM events WHERE workspace = ? AND seq > ? AND seq <= ?",
            [self.number(log), after, upto],
        )
        return int(count)

    def bodies_back(
        self, log: Log, upto: int, entity: str | None = None
    ) -> Iterator[tuple[str, int, bytes]]:
        """Yield (entity, seq, stored event) from `upto` back, of one entity or of all."""
        of, parameters = self._of(log, -1, upto, entity)
        return self.file.rows(
            f"SELECT {_ENTITY}, seq, {_EVENT} FROM events WHERE {of} ORDER BY seq DESC", parameters
        )

    def entities(self, log: Log, upto: int) -> Iterator[str]:
        """Yield the entities that events up to `upto` are about, in order of their ids."""
        index = "events_by_entity" if self.file.version < _BLOCKS_VERSION else "events_by_block"
        found = self.file.rows(
            f"SELECT DISTINCT entity FROM events INDEXED BY {index}"
            " WHERE workspace = ? AND seq <= ? ORDER BY entity",
            [self.number(log), upto],
        )
        return (entity for (entity,) in found)

    def outlines(self, log: Log) -> Iterator[Entity]:
        """Yield the rows that it stores for the head, of the fields only those that name one."""
        for row in self.file.rows(
            f"SELECT {ROW} FROM entities WHERE workspace = ? ORDER BY id", [self.number(log)]
        ):
            yield read_row(row, unpack_names)

    def row_bytes(self, log: Log) -> int:
        """Return how much the fields of all rows hold, those at the horizon too."""
        number = self.number(log)
        (rows,) = self.file.one(
            "SELECT total(length(fields)) FROM entities WHERE workspace = ?", [number]
        )
        (bases,) = self.file.one(
            "SELECT total(length(body)) FROM bases WHERE workspace = ?", [number]
        )
        return int(rows + bases)

    def number(self, log: Log) -> int:
        """Return the key of a workspace in this file."""
        if log.workspace not in self._numbers:
            self.logs()
        return self._numbers[log.workspace]
