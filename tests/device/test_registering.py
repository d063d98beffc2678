"""Registering anew, which takes the old id away: begun is done, whoever is cancelled meanwhile."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kafkaman_sync.device import link, sync
from kafkaman_sync.device.tape import Tape
from kafkaman_sync.errors import LinkError
from tests.device.world import SECONDS, World


async def test_a_registration_that_is_cancelled_is_finished_first(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, laptop, _ = await world.pair()
    await laptop.client.create("collection", fields={"name": "Kept"})
    await laptop.client.wait("in-sync", SECONDS)
    account = laptop.daemon._signing.account
    assert account is not None
    before = account.identity
    await account.stop()
    asked = asyncio.Event()

    async def ask(url: str, method: str, params: dict[str, Any], tape: Tape) -> dict[str, Any]:
        result = await link.ask(url, method, params, tape)
        asked.set()  # the server has given the id away; the answer is on its way
        await asyncio.sleep(0.05)
        return result

    monkeypatch.setattr(sync, "ask", ask)
    registering = asyncio.create_task(account.sync._register())
    await asked.wait()
    registering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await registering
    held = await account.store.identity()
    assert held is not None
    assert held.device != before.device
    assert account.identity.device == held.device
    await laptop.client.reload()
    await laptop.client.wait("in-sync", SECONDS)
    devices = await laptop.client.devices()
    assert [each.id for each in devices if each.current] == [held.device]
    assert len(devices) == 2
    assert all(proof.equal for proof in await laptop.client.prove())
    await server.stop()


@pytest.mark.parametrize("wait", [None, "soon", [5], 0.0])
async def test_a_server_that_says_nonsense_about_waiting_does_not_end_the_sync(
    wait: object,
) -> None:
    error = LinkError("busy", code="server.busy", retry_after=wait)
    assert sync._retry_after(error) == 0.0
