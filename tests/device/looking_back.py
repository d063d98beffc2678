"""How tests look at the past, and let days pass."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

import pytest

from kafkaman_sync import HistoryEvent, RefusedError, ViewChange
from tests.device.world import SECONDS, Device, Server

DAY = 24 * 3600.0


async def settled(*devices: Device) -> None:
    for device in devices:
        await device.client.reload()
        await device.client.wait("in-sync", SECONDS)


async def code_of(call: Any) -> str:
    with pytest.raises(RefusedError) as caught:
        await call
    return caught.value.code


def told(event: HistoryEvent) -> tuple[str, dict[str, Any]]:
    """An event as its action and {field: (before, after)}, "-" for nothing."""
    changes = {
        str(each["field"]): (each.get("before", "-"), each.get("after", "-"))
        for each in event.changes
    }
    return event.action, changes


async def watch(device: Device, seen: dict[int, ViewChange]) -> None:
    async with aclosing(device.client.changes()) as changes:
        async for change in changes:
            seen[change.seq] = change


class Clocks:
    """Days pass when the test says so."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def settings(self) -> dict[str, Any]:
        start = 1_700_000_000_000
        return {
            "running": lambda: self.seconds,
            "clock": lambda: start + int(self.seconds * 1000),
        }

    async def pass_days(self, server: Server, days: int) -> None:
        for _ in range(days):
            self.seconds += DAY
            await server.insides.retention.work()
