"""Exit codes: what a script learns without reading the output. Part of the contract: `docs/cli.md`.

An error's code decides its exit code, by its last word first and then by its area.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from kafkaman_sync.errors import KafkamanError, LinkError, UsageError


class Exit(IntEnum):
    """Every exit code that `kafkaman` uses."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    AUTH = 4
    NOT_FOUND = 5
    INTERRUPTED = 130
    BROKEN_PIPE = 141


_REASONS: Final = {"not_found": Exit.NOT_FOUND, "ambiguous": Exit.NOT_FOUND}
_AREAS: Final = {
    "usage": Exit.USAGE,
    "network": Exit.UNREACHABLE,
    "link": Exit.UNREACHABLE,
    "sync": Exit.UNREACHABLE,
    "server": Exit.UNREACHABLE,
    "daemon": Exit.UNREACHABLE,
    "control": Exit.UNREACHABLE,
    "auth": Exit.AUTH,
    "account": Exit.AUTH,
    "device": Exit.AUTH,
    "lease": Exit.AUTH,
}
_CODES: Final = {
    "control.invalid_params": Exit.USAGE,
    "server.invalid_url": Exit.USAGE,
    "signed_out": Exit.AUTH,
    "workspace.unknown": Exit.NOT_FOUND,
}


def exit_of(error: KafkamanError) -> Exit:
    """Give the exit code of an error."""
    area, _, reason = error.code.partition(".")
    found = _CODES.get(error.code) or _REASONS.get(reason) or _AREAS.get(area)
    if found is not None:
        return found
    if isinstance(error, UsageError):
        return Exit.USAGE
    return Exit.UNREACHABLE if isinstance(error, LinkError) else Exit.FAILED
