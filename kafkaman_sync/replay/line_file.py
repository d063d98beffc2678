"""JSON lines as a source: laid out as a server's database, so that nothing has to be read twice."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

from kafkaman_server.storage.schema import APPLICATION_ID, MIGRATIONS
from kafkaman_sync.faults import store_error
from kafkaman_sync.replay.endings import endings_interrupt
from kafkaman_sync.replay.line_reader import LineReader
from kafkaman_sync.replay.lines import ROW_COLUMNS
from kafkaman_sync.replay.server_log import ServerLog
from kafkaman_sync.replay.source import SourceKind

_CACHE_KIB: Final = 16_000
_INSERTS: Final = {
    "account": "INSERT INTO accounts VALUES (?1, ?1, ?1, ?2, ?1, '', 0)",
    "device": "INSERT INTO devices VALUES (?1, ?4, ?2, ?3, x'', 0, '', '', 0, NULL, NULL, NULL)",
    "workspace": "INSERT INTO workspaces (id, name, kind, head, horizon, horizon_at, digest)"
    " VALUES (?, ?, '', ?, ?, ?, ?)",
    "base": "INSERT INTO bases (workspace, entity, body) VALUES (?, ?, ?)",
    "event": "INSERT INTO events (workspace, seq, entity, body, basis, digest)"
    " VALUES (?, ?, ?, ?, ?, ?)",
    "row": "INSERT INTO entities (workspace, id, kind, parent, position, place_version, deleted,"
    " deleted_version, version, fields, writer, foreign_version)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    "dispute": "INSERT INTO disputes (workspace, seq, entity, body) VALUES (?, ?, ?, ?)",
}
_PURGED: Final = "INSERT INTO purges (workspace, seq, entity) VALUES (?, ?, ?)"
_HORIZON: Final = ("horizon", "horizon_at", "digest")


class LineLog(ServerLog):
    """A log that was read from JSON lines."""

    kind = SourceKind.LINES


@contextmanager
def open_lines(path: Path) -> Iterator[LineLog]:
    """Open exported JSON lines; they are laid out in a temporary file, which goes at the end."""
    with (
        endings_interrupt(),
        tempfile.TemporaryDirectory(prefix="kafkaman-replay-") as folder,
    ):
        database = Path(folder) / "log.db"
        import_lines(path, database)
        with LineLog.open(database) as log:
            assert isinstance(log, LineLog), "it opens as what it is asked for"
            log.label = str(path)
            yield log


def import_lines(path: Path, database: Path) -> None:
    """Write what `path` holds into a new database. Raises ReplayError `lines.*`, StoreError."""
    with path.open("rb") as file:
        reader = LineReader(file, path)
        try:
            with closing(sqlite3.connect(database, isolation_level=None)) as connection:
                _prepare(connection)
                _fill(connection, reader)
        except sqlite3.IntegrityError:
            raise reader.wrong("it tells a second time what a line before it has told") from None
        except sqlite3.Error as error:
            raise store_error(error, database) from error


def _prepare(connection: sqlite3.Connection) -> None:
    # Whoever reads it finds it whole or not at all: it has its name only when it is finished.
    connection.execute("PRAGMA journal_mode=OFF")
    connection.execute("PRAGMA synchronous=OFF")
    connection.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
    connection.execute(f"PRAGMA application_id={APPLICATION_ID:d}")
    for script in MIGRATIONS:
        connection.executescript(script)
    connection.execute(f"PRAGMA user_version={len(MIGRATIONS):d}")


def _fill(connection: sqlite3.Connection, reader: LineReader) -> None:
    connection.execute("BEGIN")
    number = 0
    for sort, record in reader.records():
        if sort == "gap":
            continue
        if sort == "workspace":
            # The table has no place for "none is stored".
            record["digest"] = record["digest"] or b""
            connection.execute(_INSERTS[sort], _values(record, "id", "name", "head", *_HORIZON))
            number = connection.execute("SELECT max(number) FROM workspaces").fetchone()[0]
        elif sort in ("account", "device"):
            connection.execute(_INSERTS[sort], tuple(record.values()))
        else:
            if record.pop("purge", False):
                connection.execute(_PURGED, (number, record["seq"], record["entity"]))
            values = _values(record, *ROW_COLUMNS) if sort == "row" else record.values()
            connection.execute(_INSERTS[sort], (number, *values))
    connection.execute("COMMIT")


def _values(record: dict[str, Any], *names: str) -> tuple[Any, ...]:
    return tuple(record[name] for name in names)
