"""What the faults of SQLite and of the disk below it mean, and what a person can do about each."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path
from typing import Final

from kafkaman_sync.errors import StoreError

PASSING: Final = frozenset(
    {"store.full", "store.io", "store.readonly", "store.unreachable", "store.locked"}
)
"""Faults of the disk that pass: what failed is worth another try."""

# SQLite cannot say of every call that it failed for want of room: with less than this, it did.
_ROOM_BYTES_MIN: Final = 128 * 1024

_FAULTS: Final[dict[int, tuple[str, str, str]]] = {
    sqlite3.SQLITE_FULL: ("store.full", "The disk is full.", "Free some space; work goes on then."),
    sqlite3.SQLITE_READONLY: (
        "store.readonly",
        "The database {path} cannot be written.",
        "Check the permissions of its folder and whether the disk is mounted read-only.",
    ),
    sqlite3.SQLITE_CANTOPEN: (
        "store.unreachable",
        "The database {path} cannot be opened.",
        "Check that its folder exists and that you may write to it.",
    ),
    sqlite3.SQLITE_IOERR: (
        "store.io",
        "The disk reported an error.",
        "Check the disk and the system's log.",
    ),
    sqlite3.SQLITE_BUSY: (
        "store.locked",
        "Another program holds the database {path}.",
        "Stop the other program that uses this file.",
    ),
    sqlite3.SQLITE_CORRUPT: (
        "store.damaged",
        "The database {path} is damaged.",
        "Keep the file; restore it from a backup or set it aside.",
    ),
    sqlite3.SQLITE_NOTADB: (
        "store.damaged",
        "The file {path} is not a database.",
        "Keep the file; restore it from a backup or set it aside.",
    ),
}


def store_error(error: sqlite3.Error, path: Path) -> StoreError:
    """Return the StoreError that says what `error` means and what to do."""
    code = getattr(error, "sqlite_errorcode", None)
    # What has no code of SQLite's is Python's own: text that it cannot decode, and would quote.
    if code is None and isinstance(error, sqlite3.OperationalError) and "decode" in str(error):
        code = sqlite3.SQLITE_CORRUPT
    primary = (code or 0) & 0xFF
    if primary in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN) and _is_full(path):
        primary = sqlite3.SQLITE_FULL
    return _fault(primary, path, error)


def illegible(error: Exception) -> sqlite3.DatabaseError:
    """Return the fault of SQLite that says that the file holds, or names, what is no text."""
    fault = sqlite3.DatabaseError(f"the database holds text that cannot be read ({error})")
    fault.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return fault


def file_error(error: OSError, path: Path) -> StoreError:
    """Return the StoreError that says why a file of ours beside the database cannot be written."""
    primary = sqlite3.SQLITE_CANTOPEN
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        primary = sqlite3.SQLITE_FULL
    elif error.errno == errno.EIO:
        primary = sqlite3.SQLITE_IOERR
    elif error.errno == errno.EROFS or (error.errno in (errno.EACCES, errno.EPERM)):
        primary = sqlite3.SQLITE_READONLY
    return _fault(primary, path, error)


def _fault(primary: int, path: Path, error: Exception) -> StoreError:
    code, message, hint = _FAULTS.get(
        primary, ("store.failed", "The database {path} failed ({error}).", "")
    )
    return StoreError(message.format(path=path, error=error), code=code, hint=hint, path=str(path))


def _is_full(path: Path) -> bool:
    try:
        disk = os.statvfs(path.parent)
    except OSError:
        return False
    return disk.f_bavail * disk.f_frsize < _ROOM_BYTES_MIN
