"""Devices' stores for replay: the real tables, filled with the rows that a log had led to."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import msgpack

from kafkaman_sync.model.changes import Change
from kafkaman_sync.model.digest import compute_digest
from kafkaman_sync.model.entities import Entity, pack_fields
from kafkaman_sync.protocol.records import encode_change
from kafkaman_sync.store.schema import APPLICATION_ID, MIGRATIONS
from tests.replay.logs import ACCOUNT, USERNAME, WORKSPACE, LogFile


def write_store(
    path: Path, rows: Iterable[Entity], cursor: int, *, device: str = "1" * 32, name: str = "laptop"
) -> Path:
    """Write the store of a device that has come to `cursor`."""
    found = list(rows)
    with closing(sqlite3.connect(path)) as database, database:
        for script in MIGRATIONS:
            database.executescript(script)
        database.execute(f"PRAGMA application_id={APPLICATION_ID:d}")
        database.execute(f"PRAGMA user_version={len(MIGRATIONS):d}")
        identity = {
            "server_url": "ws://127.0.0.1:1", "server": "s", "account": ACCOUNT,
            "username": USERNAME, "email": "ann@example.org", "device": device,
            "device_name": name, "token": "t", "lease": "",
        }  # fmt: skip
        database.execute("INSERT INTO meta VALUES ('identity', ?)", (msgpack.packb(identity),))
        database.execute("INSERT INTO meta VALUES ('last_op', 99)")
        database.execute(
            "INSERT INTO workspaces (id, name, role, cursor, digest, epochs, copy)"
            " VALUES (?, 'Personal', 'owner', ?, ?, ?, 1)",
            (WORKSPACE, cursor, compute_digest(WORKSPACE, found), msgpack.packb([["e", 1]])),
        )
        database.executemany(
            "INSERT INTO entities VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    row.id, row.kind.value, row.place.parent, row.place.position, row.place_version,
                    row.deleted, row.deleted_version, row.version, pack_fields(row.fields),
                )
                for row in found
            ],
        )  # fmt: skip
    return path


def store_of(log: LogFile, path: Path, *, device: str = "1" * 32, name: str = "laptop") -> Path:
    """Write the store of a device that has come as far as a log has by now."""
    return write_store(path, rows_of(log), log.head, device=device, name=name)


def rows_of(log: LogFile) -> list[Entity]:
    """Return the rows of a log as they are by now."""
    return [entry.entity for entry in log.world.entries.values()]


def add_pending(path: Path, change: Change) -> None:
    """Put a change into a store's outbox."""
    place = change.place
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(
            "INSERT INTO outbox (op, workspace, entity, action, parent, position, base,"
            " lowest_base, change, seen) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, x'80')",
            (
                change.op, change.workspace, change.entity, change.action.value,
                place.parent if place else None, place.position if place else None,
                change.base, change.base, encode_change(change),
            ),
        )  # fmt: skip
