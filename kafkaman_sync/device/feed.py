"""Notifications to any number of watchers, none of whom can hold up the daemon or the others."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any, Final

from kafkaman_sync.device import rpc
from kafkaman_sync.errors import ControlError
from kafkaman_sync.model.limits import MIB

# A watcher that is this far behind is not watching: it is dropped, with a reason.
BACKLOG_BYTES_MAX: Final = 16 * MIB


class Subscription:
    """One watcher's lines that it has not taken yet."""

    def __init__(self, topic: str | None) -> None:
        self.topic = topic
        self._lines: deque[bytes] = deque()
        self._bytes = 0
        self._more = asyncio.Event()
        self._overrun = False

    def add(self, line: bytes) -> None:
        """Queue a line; after an overrun nothing is queued any more."""
        if self._overrun:
            return
        self._lines.append(line)
        self._bytes += len(line)
        if self._bytes > BACKLOG_BYTES_MAX:
            self._overrun = True
            self._lines.clear()
        self._more.set()

    async def lines(self) -> AsyncIterator[bytes]:
        """Yield each line in order; ControlError `control.slow_watcher` once it fell behind."""
        while True:
            while self._lines:
                line = self._lines.popleft()
                self._bytes -= len(line)
                yield line
            if self._overrun:
                raise ControlError(
                    "This watcher reads too slowly; it missed something and was dropped.",
                    code="control.slow_watcher",
                    hint="Watch again: the current state comes first.",
                )
            self._more.clear()
            await self._more.wait()


class Feed:
    """Hands each notification to all subscriptions, in one order."""

    def __init__(self, method: str) -> None:
        self._method = method
        self._subscriptions: set[Subscription] = set()

    def __bool__(self) -> bool:
        return bool(self._subscriptions)

    @contextmanager
    def subscribe(
        self, first: dict[str, Any] | None = None, *, topic: str | None = None
    ) -> Iterator[Subscription]:
        """Subscribe inside the block, to one topic or to all; `first` is the first notification."""
        subscription = Subscription(topic)
        if first is not None:
            subscription.add(rpc.notification(self._method, first))
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    def publish(self, params: dict[str, Any], *, topic: str | None = None) -> None:
        """Hand a notification to everybody who wants its topic; never waits."""
        if not self._subscriptions:
            return
        line = rpc.notification(self._method, params)
        for subscription in self._subscriptions:
            if subscription.topic in (None, topic):
                subscription.add(line)
