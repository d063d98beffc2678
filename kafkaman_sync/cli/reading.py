"""Reading a file, or standard input, that a person named; every failure says which and why."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import BinaryIO, Final

from kafkaman_sync.errors import LocalError

FILE_BYTES_MAX: Final = 256 * 1024 * 1024
"""Largest file read: what the formats accept."""

STDIN: Final = "-"


def read_file(path: str) -> bytes:
    """Read a file whole; `-` is standard input.

    Raises LocalError: `file.not_found`, `file.is_directory`, `file.unreadable`, `file.too_large`.
    """
    try:
        if path == STDIN:
            return _read(sys.stdin.buffer, "standard input")
        with Path(path).open("rb") as stream:
            return _read(stream, path)
    except FileNotFoundError as error:
        raise _refused(path, "There is no file", "not_found", "Check the path.") from error
    except IsADirectoryError as error:
        raise _refused(
            path, "This is a folder, not a file:", "is_directory", "Name the files in it."
        ) from error
    except PermissionError as error:
        raise _refused(
            path, "You may not read", "unreadable", "Check the file's permissions."
        ) from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise _refused(path, f"The file cannot be read ({reason}):", "unreadable", "") from error


def _read(stream: BinaryIO, name: str) -> bytes:
    data = stream.read(FILE_BYTES_MAX + 1)
    if len(data) > FILE_BYTES_MAX:
        raise LocalError(
            f"{name} has more than {FILE_BYTES_MAX / 1e6:.0f} MB, which is the limit.",
            code="file.too_large",
            hint="Split it into several files.",
            file=name,
            limit=FILE_BYTES_MAX,
        )
    return data


def _refused(path: str, problem: str, reason: str, hint: str) -> LocalError:
    return LocalError(f"{problem} {path}.", code=f"file.{reason}", hint=hint, file=path)
