"""New files: whole or not at all, never over what is there unless asked, never over the input."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kafkaman_sync.errors import LocalError, ReplayError


@contextmanager
def new_file(path: Path, *, force: bool = False, inputs: tuple[Path, ...] = ()) -> Iterator[Path]:
    """Yield a place to write to, which becomes `path` when the block ends well.

    Raises ReplayError `replay.output_exists` (unless with `force`, and for what is no regular file
    always), `replay.output_is_input` for one of `inputs` or what lies in it, and LocalError
    `file.not_found` or `file.unwritable`.
    """
    check_new_file(path, force=force, inputs=inputs)
    part = path.with_name(f".{path.name[:80]}.{secrets.token_hex(4)}.part")
    try:
        yield part
        part.replace(path)
    except OSError as error:
        # A write that fails names no file; a reader that went away is another matter.
        if error.filename not in (None, str(part), str(path)) or isinstance(error, BrokenPipeError):
            raise
        raise LocalError(
            f"The file {path} cannot be written: {error.strerror}.",
            code="file.unwritable",
            hint="Choose another place with -o.",
            file=str(path),
        ) from error
    finally:
        part.unlink(missing_ok=True)


def check_new_file(path: Path, *, force: bool = False, inputs: tuple[Path, ...] = ()) -> None:
    """Raise as `new_file` does, before the work begins."""
    if not path.parent.is_dir():
        raise LocalError(
            f"There is no folder {path.parent}.",
            code="file.not_found",
            hint="Make it first, or choose another.",
            file=str(path),
        )
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise LocalError(
            f"The file {path} cannot be written: nothing may be written to its folder.",
            code="file.unwritable",
            hint="Choose another place with -o.",
            file=str(path),
        )
    for each in inputs:
        if path.exists() and each.exists() and _is_same(path, each):
            raise ReplayError(
                f"{path} is what is read: it cannot be written at the same time.",
                code="replay.output_is_input",
                hint="Choose another place with -o.",
            )
    if path.exists() and not (force and path.is_file()):
        raise ReplayError(
            f"{path} exists already.",
            code="replay.output_exists",
            hint="Choose another place with -o."
            + (" To write over it, add --force." if path.is_file() else ""),
        )
    log = path.with_name(f"{path.name}-wal")
    if log.exists():
        raise ReplayError(
            f"{path} is a database in use: its log {log.name} lies beside it.",
            code="replay.output_exists",
            hint="Choose another place with -o.",
        )


def _is_same(path: Path, other: Path) -> bool:
    if other.is_dir():
        return other.resolve() in path.resolve().parents
    return path.samefile(other)
