"""A captured session, run again as its device: it comes out the same, or the first fact differs."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

from kafkaman_server import decide
from kafkaman_sync.errors import KafkamanError, RefusedError, ReplayError
from kafkaman_sync.protocol.codec import encode
from kafkaman_sync.protocol.messages import SUBPROTOCOL, Goodbye, Welcome
from kafkaman_sync.replay import against
from kafkaman_sync.replay.against import _sign_out, _SignedIn
from kafkaman_sync.replay.recorder import Wanted, record_last
from kafkaman_sync.replay.rerun import rerun_against, rerun_scratch
from tests.device.conftest import folder, world
from tests.device.world import PASSWORD, Device, World
from tests.server.device import sign_up

__all__ = ["folder", "world"]


async def settled(*devices: Device) -> None:
    for device in devices:
        await device.client.wait("in-sync", 20)


async def has(device: Device, name: str) -> None:
    while name not in await device.names():  # noqa: ASYNC110 - it comes on the wire
        await asyncio.sleep(0.01)


async def shared_work(world: World) -> tuple[Device, Device]:
    """Two devices that edit, move, delete, and disagree on one field."""
    _, laptop, desktop = await world.pair()
    entity = await laptop.client.create("collection", fields={"name": "a", "description": "d"})
    await has(desktop, "a")
    await desktop.client.update(entity, {"name": "b"})
    await has(laptop, "b")
    await laptop.client.update(entity, {"description": "e"})
    folder = await laptop.client.create("folder", entity, fields={"name": "f"})
    other = await laptop.client.create("collection", fields={"name": "other"})
    await settled(laptop, desktop)
    await has(desktop, "other")
    # Both write the same field without having seen the other's value.
    await laptop.client.sync(False)
    await laptop.client.update(entity, {"name": "mine"})
    await desktop.client.update(entity, {"name": "theirs"})
    await settled(desktop)
    await laptop.client.sync(True)
    await settled(laptop)
    await laptop.client.move(folder, other)
    await desktop.client.delete(entity)
    await settled(laptop, desktop)
    return laptop, desktop


@pytest.mark.parametrize("values", [True, False])
async def test_a_session_comes_out_the_same_on_a_scratch_server(
    world: World, tmp_path: Path, values: bool
) -> None:
    laptop, desktop = await shared_work(world)
    for name, device in (("l", laptop), ("d", desktop)):
        await record_last(device.home, Wanted(tmp_path / name, values=values))
        report = await rerun_scratch(tmp_path / name)
        assert report.same, report.difference
        assert report.facts > 10


@pytest.mark.parametrize("seed", range(4))
async def test_with_faults_it_still_comes_out_the_same(
    world: World, tmp_path: Path, seed: int
) -> None:
    laptop, _ = await shared_work(world)
    await record_last(laptop.home, Wanted(tmp_path / "l"))
    report = await rerun_scratch(tmp_path / "l", faults=seed)
    assert report.same, report.difference
    assert report.faults or seed


async def test_a_server_that_decides_otherwise_is_found_out_at_the_first_difference(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop, _ = await shared_work(world)
    await record_last(laptop.home, Wanted(tmp_path / "l"))
    monkeypatch.setattr(decide, "field_accepted", lambda *_: True)
    report = await rerun_scratch(tmp_path / "l")
    found = report.difference
    assert found is not None
    assert found.key[0] == "verdict"
    assert found.message == f"The verdict of op {found.key[1]} differs in its disagreements."
    assert found.recorded["disagreements"][0]["field"] == "name"
    assert found.now["accepted"] == ["name"]
    assert "mine" not in repr(found.as_dict())


async def test_a_session_that_began_later_needs_what_was_there_before(
    world: World, tmp_path: Path
) -> None:
    server, laptop, _ = await world.pair()
    await laptop.client.create("collection", fields={"name": "before"})
    await settled(laptop)
    await laptop.stop()
    await laptop.start()
    await settled(laptop)
    await laptop.client.create("collection", fields={"name": "after"})
    await settled(laptop)
    await record_last(laptop.home, Wanted(tmp_path / "l"))
    with pytest.raises(ReplayError) as caught:
        await rerun_scratch(tmp_path / "l")
    assert caught.value.code == "replay.no_state"
    report = await rerun_scratch(tmp_path / "l", base=str(server.data))
    assert report.same, report.difference


@pytest.mark.parametrize("faults", [None, 3])
async def test_a_session_comes_out_the_same_for_a_device_of_its_own_on_another_server(
    world: World, tmp_path: Path, faults: int | None
) -> None:
    laptop, desktop = await shared_work(world)
    other = await world.server("other")
    for name, device in (("l", laptop), ("d", desktop)):
        owner = await sign_up(other.url, name)
        async with owner.live() as connection:
            owner.create("there before")
            await owner.flush(connection)
            await record_last(device.home, Wanted(tmp_path / name))
            report = await rerun_against(tmp_path / name, other.url, name, PASSWORD, faults=faults)
            assert report.same, report.difference
            # What it needed has been signed out again.
            assert len((await owner.ask(connection, "devices"))["devices"]) == 1
        # A second run meets what the first one has left there.
        again = await rerun_against(tmp_path / name, other.url, name, PASSWORD)
        assert again.difference is not None
        assert again.difference.key[0] in ("verdict", "event")


async def test_a_server_that_refuses_or_is_not_there_is_told_by_name(
    world: World, tmp_path: Path
) -> None:
    server, laptop, _ = await world.pair()
    await record_last(laptop.home, Wanted(tmp_path / "l"))
    with pytest.raises(RefusedError) as refused:
        await rerun_against(tmp_path / "l", server.url, "anna", "wrong")
    assert refused.value.code == "auth.failed"
    with pytest.raises(KafkamanError) as nowhere:
        await rerun_against(tmp_path / "l", "ws://127.0.0.1:1", "anna", PASSWORD)
    assert nowhere.value.code == "network.unreachable"


async def test_a_device_that_could_not_be_signed_out_is_told() -> None:
    nothing = Welcome("", "", "", "", "d" * 32, 0, ())
    with pytest.raises(ReplayError) as caught:
        await _sign_out("ws://127.0.0.1:1/", _SignedIn("d" * 32, "t", nothing), "replay")
    assert caught.value.code == "replay.still_signed_in"
    assert "d" * 32 in caught.value.hint


@pytest.mark.parametrize("goodbye", ["device.revoked", None])
async def test_a_server_that_does_not_welcome_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, goodbye: str | None
) -> None:
    monkeypatch.setattr(against, "ANSWER_SECONDS", 0.2)

    async def meet(connection: ServerConnection) -> None:
        await connection.recv()
        if goodbye is not None:
            await connection.send(encode(Goodbye(goodbye, "gone")))
        await connection.wait_closed()

    async with serve(meet, "127.0.0.1", 0, subprotocols=[Subprotocol(SUBPROTOCOL)]) as fake:
        url = f"ws://127.0.0.1:{fake.sockets[0].getsockname()[1]}/"
        device = _SignedIn("d" * 32, "t", Welcome("", "", "", "", "d" * 32, 0, ()))
        async with asyncio.timeout(20):
            if goodbye is not None:
                await _sign_out(url, device, "replay")  # somebody else has signed it out
                return
            with pytest.raises(ReplayError) as caught:
                await _sign_out(url, device, "replay")
    assert caught.value.code == "replay.still_signed_in"
    assert isinstance(caught.value.__cause__, ReplayError)
    assert caught.value.__cause__.code == "network.silent"
