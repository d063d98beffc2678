"""The file of a database, before SQLite opens it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from kafkaman_sync.errors import StoreError
from kafkaman_sync.faults import file_error

_HEADER_BYTES: Final = 100


def make_file(path: Path) -> None:
    """Create the file if it is missing; owner-only from the first byte, and so are its WAL etc."""
    if path.is_dir():
        raise StoreError(
            f"A folder lies where the database {path} should be.",
            code="store.damaged",
            hint="Move it away.",
            path=str(path),
        )
    try:
        if not path.exists():
            path.touch(mode=0o600)
    except OSError as error:
        raise file_error(error, path) from error
    _check_begun(path)


def _check_begun(path: Path) -> None:
    """Raise StoreError for a file cut off, or gone, so that SQLite would take it for a new one.

    It would delete the WAL then, which may hold everything.
    """
    wal = path.with_name(f"{path.name}-wal")
    size = path.stat().st_size
    if 0 < size < _HEADER_BYTES or (size == 0 and wal.exists() and wal.stat().st_size > 0):
        raise StoreError(
            f"The database {path} was cut off.",
            code="store.damaged",
            hint="Keep the file; restore it from a backup or set it aside.",
            path=str(path),
        )
