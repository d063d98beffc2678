"""The packages that only `kafkaman replay` takes, and what to say where one is not installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kafkaman_sync.errors import ReplayError


@contextmanager
def extra(what: str) -> Iterator[None]:
    """Import inside the block; ReplayError `replay.package_missing` names what is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0].startswith("kafkaman"):
            raise
        raise ReplayError(
            f"{what} needs the package {error.name}, which is not installed.",
            code="replay.package_missing",
            hint="Install it with `pip install 'kafkaman-sync[replay]'`.",
        ) from error
