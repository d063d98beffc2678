"""A server whose days pass when a test says so."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection

from kafkaman_server import retention
from kafkaman_server.proof import is_sound
from kafkaman_server.server import RunningServer
from kafkaman_sync.model.changes import Action
from kafkaman_sync.model.entities import Entity
from kafkaman_sync.model.values import decode_value
from kafkaman_sync.protocol.records import decode_entity
from tests.server.conftest import StartServer
from tests.server.device import Device

DAY = 24 * 3600.0
DAY_MS = retention.DAY_MS


class Clocks:
    """Time as the test wants it: `seconds` the server has run, `wall` what its clock shows."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.wall = 1_700_000_000_000

    def pass_days(self, days: float) -> None:
        self.seconds += days * DAY
        self.wall += int(days * DAY_MS)

    def settings(self) -> dict[str, Any]:
        return {"clock": lambda: self.wall, "running": lambda: self.seconds}


@asynccontextmanager
async def kept_for(
    start_server: StartServer, clocks: Clocks, *, events: int = 90, trash: int = 30, **more: Any
) -> AsyncIterator[RunningServer]:
    settings = {"event_retention_days": events, "trash_retention_days": trash, **more}
    async with start_server(**settings, **clocks.settings()) as server:
        yield server


async def age(server: RunningServer, clocks: Clocks, days: int) -> None:
    """Let days pass, with a look at the trash and the log on each."""
    for _ in range(days):
        clocks.pass_days(1)
        await server.retention.work()


async def edit(
    one: Device, connection: ClientConnection, action: Action, *of: str, **more: Any
) -> None:
    for entity in of:
        one.add(action, entity, **more)
    await one.flush(connection)


async def sound(server: RunningServer, *devices: Device) -> None:
    """The rows of the server give its digest, and every device has the same ones."""
    assert await is_sound(server.storage, devices[0].workspace)
    first = devices[0].rows.get(devices[0].workspace, {})
    for device in devices[1:]:
        assert device.rows.get(device.workspace, {}) == first


async def name_at(one: Device, connection: ClientConnection, entity: str, seq: int) -> Any:
    found = await one.ask(connection, "entity_at", workspace=one.workspace, entity=entity, seq=seq)
    return None if found["entity"] is None else name(decode_entity(found["entity"]))


def name(entity: Entity) -> Any:
    return decode_value(entity.values["name"])
