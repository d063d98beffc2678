"""Writing a file so that it is either the old one or the whole new one, whatever happens."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from kafkaman_sync.errors import LocalError


def save_file(path: Path, data: bytes) -> None:
    """Write a file atomically and durably, over what is there; keeps links and permissions.

    A device or pipe is written to, not replaced. Raises LocalError: `file.is_directory`,
    `file.not_found` (its folder), `file.unwritable`.
    """
    try:
        target = path.resolve()
        try:
            mode = target.stat().st_mode
        except FileNotFoundError:
            mode = None
        if mode is None or stat.S_ISREG(mode):
            _replace(target, data, mode)
        else:
            target.write_bytes(data)
    except IsADirectoryError as error:
        raise LocalError(
            f"This is a folder, not a file: {path}.",
            code="file.is_directory",
            hint="Name a file in it.",
            file=str(path),
        ) from error
    except FileNotFoundError as error:
        raise LocalError(
            f"There is no folder {path.parent}.",
            code="file.not_found",
            hint="Make it first, or choose another.",
            file=str(path),
        ) from error
    except (OSError, ValueError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise LocalError(
            f"The file {path} cannot be written: {reason}.",
            code="file.unwritable",
            hint="Nothing was changed; choose another place with -o.",
            file=str(path),
        ) from error


def _replace(target: Path, data: bytes, mode: int | None) -> None:
    temporary = target.with_name(f".{target.name[:80]}.{secrets.token_hex(4)}.part")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            if mode is not None:
                os.fchmod(stream.fileno(), stat.S_IMODE(mode))
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
