"""Idle devices on a server: many connections that said hello and then say nothing."""

from __future__ import annotations

from pathlib import Path


async def idle_connections(folder: Path, count: int) -> float:
    """Return the bytes of the server's memory that each of `count` connections costs."""
    raise NotImplementedError(f"{folder} {count}")
