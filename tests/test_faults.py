"""Faults of the disk and of SQLite, as errors that say what to do."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

import pytest

from kafkaman_sync.faults import file_error, store_error


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, "store.full"),
        (errno.EDQUOT, "store.full"),
        (errno.EIO, "store.io"),
        (errno.EROFS, "store.readonly"),
        (errno.EACCES, "store.readonly"),
        (errno.ENOENT, "store.unreachable"),
    ],
)
def test_a_fault_of_the_system_says_what_to_do(tmp_path: Path, number: int, code: str) -> None:
    error = file_error(OSError(number, "what the system says"), tmp_path)
    assert (error.code, error.details["path"]) == (code, str(tmp_path))
    assert error.hint


def test_a_fault_without_a_known_code_is_still_an_error_of_ours(tmp_path: Path) -> None:
    assert store_error(sqlite3.ProgrammingError("closed"), tmp_path).code == "store.failed"
