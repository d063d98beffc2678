"""The page "Debugging a sync", walked through: the tools alone lead to the first wrong event."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from kafkaman_sync import Status
from kafkaman_sync.cli.main import cli
from kafkaman_sync.model.entities import Field, pack_fields, unpack_fields
from kafkaman_sync.model.values import encode_value
from kafkaman_sync.protocol.records import decode_event, encode_event
from tests.device.world import SECONDS, Device, open_world


def plant(path: Path, seq: int, field: str, value: str) -> None:
    """Alter a value in the log and in its row, as a bug in the storage might."""
    data = encode_value(value)
    with closing(sqlite3.connect(path)) as database, database:
        entity, body = database.execute(
            "SELECT entity, body FROM events WHERE seq = ?", (seq,)
        ).fetchone()
        event = decode_event(body)
        altered = replace(event, fields={**event.fields, field: data})
        database.execute("UPDATE events SET body = ? WHERE seq = ?", (encode_event(altered), seq))
        (packed,) = database.execute(
            "SELECT fields FROM entities WHERE id = ?", (entity,)
        ).fetchone()
        fields = {**unpack_fields(packed), field: Field(data, seq)}
        database.execute(
            "UPDATE entities SET fields = ? WHERE id = ?", (pack_fields(fields), entity)
        )


async def until(device: Device, holds: Callable[[Status], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not holds(await device.client.status()):  # noqa: ASYNC110 - a state, not a change
            await asyncio.sleep(0.01)


def replayed(*words: object, status: int) -> Any:
    result = CliRunner().invoke(cli, ["replay", *map(str, words), "--json"])
    assert result.exit_code == status, result.output
    return json.loads(result.stdout)


async def test_the_tools_alone_lead_to_the_first_wrong_event(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        server, laptop, desktop = await world.pair()
        shop = await laptop.client.create("collection", fields={"name": "Shop"})
        listing = await laptop.client.create(
            "request", shop, fields={"name": "List", "url": "/orders"}
        )
        await until(desktop, lambda status: status.workspaces[0]["seq"] == 2)
        await desktop.client.sync(on=False)
        await laptop.client.update(listing, {"url": "/orders?page=1"})  # seq 3
        await laptop.client.update(listing, {"name": "List orders"})  # seq 4
        await laptop.client.wait("in-sync", SECONDS)
        await server.stop()
        plant(server.data / "kafkaman.db", 3, "url", "/orders?page=")
        await server.start()
        await desktop.client.sync(on=True)
        await until(desktop, lambda status: status.cause == "diverged" and "again" in status.hint)
        await laptop.client.sync(on=False)

        homes = (laptop.home.root, desktop.home.root)
        parted = replayed("compare", *homes, status=1)["first"]
        assert (parted["seq"], parted["entity"], parted["part"]) == (3, listing, "url")
        assert parted["values"] == ["/orders?page=1", "/orders?page="]

        agreed = replayed("compare", server.data, homes[1], status=1)
        assert agreed["parted"] == 0
        assert agreed["sides"][0]["digest"] != agreed["sides"][1]["digest"]
        assert "replay verify" in agreed["notes"][0]
        blamed = replayed("compare", server.data, homes[0], status=1)["first"]
        assert (blamed["seq"], blamed["part"]) == (3, "url")

        (checked,) = replayed("verify", server.data, status=1)["workspaces"]
        assert checked["found"] == 1
        assert (checked["first"]["code"], checked["first"]["seq"]) == ("digest", 3)
        assert checked["first"]["entity"] == listing

        story = replayed("explain", server.data, listing, "url", "--device", homes[0], status=0)
        assert [step["seq"] for step in story["steps"]] == [2, 3]
        assert story["steps"][-1]["device_name"] == "laptop"
        assert story["steps"][-1]["parts"][0]["value"] == "/orders?page="
