"""What a connection has pushed without a verdict: bounded, so that it reads no more than that."""

from __future__ import annotations

import asyncio

from kafkaman_sync.model.limits import WINDOW_BYTES_MAX, WINDOW_CHANGES_MAX


class Window:
    """Counts the undecided changes of one connection."""

    __slots__ = ("_size", "_wake", "changes")

    def __init__(self) -> None:
        self.changes = 0
        self._size = 0
        self._wake = asyncio.Event()

    @property
    def full(self) -> bool:
        """Whether nothing more may be read before something is decided."""
        return self.changes > WINDOW_CHANGES_MAX or self._size > WINDOW_BYTES_MAX

    def add(self, changes: int, size: int) -> None:
        """Count changes of so many bytes."""
        self.changes += changes
        self._size += size

    def remove(self, changes: int, size: int) -> None:
        """Count them no longer, and wake who waits."""
        self.changes -= changes
        self._size -= size
        self._wake.set()

    def nudge(self) -> None:
        """Wake who waits, to look again."""
        self._wake.set()

    async def wait(self) -> None:
        """Return at the next removal or nudge."""
        self._wake.clear()
        await self._wake.wait()
