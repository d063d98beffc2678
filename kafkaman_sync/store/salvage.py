"""Read the rows of a damaged store, as far as they can be read; nothing is ever written to it.

SQLite reads what it can, past the places where it fails. Where that is not all, every page is
looked at for itself; a row that only that finds may be an old one, and is kept apart.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from kafkaman_sync.store.pages import HEADER_BYTES, Pages
from kafkaman_sync.store.schema import APPLICATION_ID, MIGRATIONS

_FIRST: Final = -(2**63)
_LAST: Final = 2**63 - 1
# Places where reading one table may fail and begin anew; a tree in disorder has no end of them.
_GAPS_MAX: Final = 1000

# A damaged file can make SQLite give a reason that is no text either.
_DAMAGE: Final = (sqlite3.DatabaseError, UnicodeDecodeError)

Record = dict[str, Any]
Columns = dict[str, tuple[str, ...]]


@dataclass(slots=True)
class Found:
    """The rows of one table by column; `old` are those that may be old, `whole` tells of none."""

    rows: list[Record] = field(default_factory=list)
    old: list[Record] = field(default_factory=list)
    whole: bool = True


def salvage(path: Path, tables: tuple[str, ...]) -> dict[str, Found]:
    """Return what each of `tables` still holds; a file that is not there holds nothing.

    Blocks. Raises OSError when the file cannot be read at all.
    """
    stages, header = _layout(tables)
    columns = stages[-1]
    if not path.is_file():
        return {table: Found(whole=False) for table in tables}
    # Of an empty file SQLite would delete the WAL, which may hold everything.
    found = None if path.stat().st_size < HEADER_BYTES else _through(path, columns)
    found = found or _through_copy(path, header, columns)
    if found is None:
        found = {table: Found(whole=False) for table in tables}
    broken = [table for table in tables if not found[table].whole]
    if broken:
        _add_old(Pages.read(path), broken, stages, found)
    return found


def _layout(tables: tuple[str, ...]) -> tuple[list[Columns], bytes]:
    """Return the columns of the tables after each migration, and the header of an empty store."""
    stages: list[Columns] = []
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute(f"PRAGMA application_id={APPLICATION_ID:d}")
        for script in MIGRATIONS:
            database.executescript(script)
            stages.append({table: _columns(database, table) for table in tables})
        return stages, database.serialize()[:HEADER_BYTES]


def _columns(database: sqlite3.Connection, table: str) -> tuple[str, ...]:
    rows = database.execute("SELECT name FROM pragma_table_info(?)", (table,))
    return tuple(name for (name,) in rows)


def _through_copy(path: Path, header: bytes, columns: Columns) -> dict[str, Found] | None:
    """Read a copy whose header is whole again; None when there is no room for one."""
    try:
        with tempfile.TemporaryDirectory(prefix="rescue-", dir=path.parent) as folder:
            copy = Path(folder) / path.name
            with copy.open("wb") as file:
                file.writelines(Pages.read(path).flat(header))
            return _through(copy, columns)
    except OSError:
        return None


def _through(path: Path, columns: Columns) -> dict[str, Found] | None:
    """Read through SQLite; None when it cannot even find the tables."""
    with _connection(path) as database:
        try:
            known = {table: _columns(database, table) for table in columns}
        except _DAMAGE:
            return None
        if not any(known.values()):
            return None
        return {
            table: _read(database, table, names) if names else Found(whole=False)
            for table, names in known.items()
        }


@contextmanager
def _connection(path: Path) -> Iterator[sqlite3.Connection]:
    uri = f"{path.resolve().as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as database:
        # Bytes that are no text any more must not stop the reading of a row.
        database.text_factory = lambda data: data.decode("utf-8", "surrogateescape")
        # SQLite takes a file that is shorter than it should be only with this.
        database.execute("PRAGMA writable_schema=ON")
        yield database


def _read(database: sqlite3.Connection, table: str, names: tuple[str, ...]) -> Found:
    found = Found()
    try:
        keyed = _has_rowid(database, table)
    except _DAMAGE:
        return Found(whole=False)
    if not keyed:
        return _read_at_once(database, table, names)
    rows: dict[int, Record] = {}
    at = _FIRST
    for _ in range(_GAPS_MAX):
        try:
            for row in database.execute(
                f"SELECT rowid, * FROM {table} NOT INDEXED WHERE rowid > ? ORDER BY rowid",  # noqa: S608 - a name of ours
                (at,),
            ):
                rows[row[0]] = dict(zip(names, row[1:], strict=True))
                if row[0] <= at:
                    found.whole = False
                    break  # the tree is in disorder, and may lead in circles
                at = row[0]
            else:
                break
        except _DAMAGE:
            found.whole = False
        beyond = _beyond(database, table, at)
        if beyond is None:
            break
        at = beyond[0]
        rows[at] = dict(zip(names, beyond[1:], strict=True))
    else:
        found.whole = False
    found.rows = list(rows.values())
    return found


def _read_at_once(database: sqlite3.Connection, table: str, names: tuple[str, ...]) -> Found:
    found = Found()
    try:
        for row in database.execute(f"SELECT * FROM {table}"):  # noqa: S608 - a name of ours
            found.rows.append(dict(zip(names, row, strict=True)))
    except _DAMAGE:
        found.whole = False
    return found


def _has_rowid(database: sqlite3.Connection, table: str) -> bool:
    rows = database.execute("SELECT wr FROM pragma_table_list WHERE name = ?", (table,)).fetchall()
    return not rows[0][0]


def _beyond(database: sqlite3.Connection, table: str, at: int) -> tuple[Any, ...] | None:
    """Return the first row behind `at` that can be read, None when no other one can.

    Steps grow until one leads past the damage; then the way back is halved.
    """
    failed, step = at, 1
    while True:
        probe = min(at + step, _LAST)
        row = _probe(database, table, probe)
        if row is not None:
            break
        if probe == _LAST:
            return None
        failed, step = probe, step * 2
    while probe - failed > 1:
        middle = (probe + failed) // 2
        nearer = _probe(database, table, middle)
        if nearer is not None:
            probe, row = middle, nearer
        else:
            failed = middle
    return row or None


def _probe(database: sqlite3.Connection, table: str, rowid: int) -> tuple[Any, ...] | None:
    """Return the first row from `rowid` on, an empty one at the end; None if reading fails."""
    try:
        row = database.execute(
            f"SELECT rowid, * FROM {table} NOT INDEXED WHERE rowid >= ? ORDER BY rowid LIMIT 1",  # noqa: S608 - a name of ours
            (rowid,),
        ).fetchone()
    except _DAMAGE:
        return None
    if row is None:
        return ()
    return tuple(row) if row[0] >= rowid else None


def _add_old(
    pages: Pages, broken: list[str], stages: list[Columns], found: dict[str, Found]
) -> None:
    """Add the rows that look like one of the broken tables', by their number of columns.

    Whoever uses them must check that they are what they seem to be.
    """
    shapes = {(table, stage[table]) for stage in stages for table in broken}
    known = {table: {_key(row) for row in found[table].rows} for table in broken}
    widths = {len(names) for _, names in shapes}
    for row in pages.rows(widths.__contains__):
        for table, names in shapes:
            if len(names) != len(row.values):
                continue
            record = dict(zip(names, row.values, strict=True))
            if record[names[0]] is None and row.rowid is not None:
                record[names[0]] = row.rowid  # an INTEGER PRIMARY KEY is the row's number
            if _key(record) not in known[table]:
                found[table].old.append(record)


def _key(record: Record) -> object:
    """Return a row's key: its first column, or the copy and id of an entity."""
    first = next(iter(record.values()))
    return (first, record["id"]) if "copy" in record and "id" in record else first
