"""When a database's log goes back into its file: in the first rest after much was written.

A commit appends to the log (the WAL). SQLite brings that back into the file by itself inside the
commit that makes it too large: tens of megabytes are written to places all over the file and synced
then, while that commit waits, and everybody behind it. In a rest nobody does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

REST_SECONDS: Final = 0.5
# Fewer wait for others: each time syncs the file, and what many commits write is written once.
CHANGED_ROWS_MIN: Final = 1000


class Rest:
    """Watches the commits of one database; `checkpoint` brings its log back, and never fails."""

    def __init__(self, checkpoint: Callable[[], Awaitable[None]]) -> None:
        self._checkpoint = checkpoint
        self._last_commit = 0.0
        self._changed = 0
        self._brought_back = 0
        self._timer: asyncio.TimerHandle | None = None
        self._running: asyncio.Future[None] | None = None

    def committed(self, changed: int) -> None:
        """Note a commit, after which its connection has changed `changed` rows in all."""
        loop = asyncio.get_running_loop()
        self._last_commit, self._changed = loop.time(), changed
        if changed < self._brought_back:
            self._brought_back = 0  # another connection, which counts anew
        if self._timer is None and changed - self._brought_back >= CHANGED_ROWS_MIN:
            self._timer = loop.call_later(REST_SECONDS, self._look)

    async def end(self) -> None:
        """Begin no more; return when what has begun is done."""
        if self._timer is not None:
            self._timer.cancel()
        if self._running is not None:
            await asyncio.wait({self._running})

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        left = self._last_commit + REST_SECONDS - loop.time()
        if left > 0:
            self._timer = loop.call_later(left, self._look)
            return
        self._timer = None
        self._brought_back = self._changed
        self._running = asyncio.ensure_future(self._checkpoint())
