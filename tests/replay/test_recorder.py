"""Recording real daemons and servers, from within one process."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from click.testing import CliRunner

from kafkaman_server import watching
from kafkaman_sync.cli.main import cli
from kafkaman_sync.device.paths import Home
from kafkaman_sync.errors import ControlError, ReplayError
from kafkaman_sync.protocol.codec import decode
from kafkaman_sync.protocol.messages import Events, Hello, Push, Welcome
from kafkaman_sync.protocol.recording import Recorded, Sort
from kafkaman_sync.replay.capture import FRAMES, Capture
from kafkaman_sync.replay.recorder import Summary, Target, Wanted, record, record_last
from tests.device.conftest import folder, world
from tests.device.world import PASSWORD, Device, Server, World

__all__ = ["folder", "world"]


def read(path: Path) -> list[Recorded]:
    with Capture.open(path) as capture:
        records = list(capture.records())
        assert not capture.cut_off
    return records


async def recording(target: Target, wanted: Wanted) -> asyncio.Task[Summary]:
    """Begin to record; return when the first record can be in the file."""
    task = asyncio.create_task(record(target, wanted, None))
    while not wanted.path.exists() and not task.done():  # noqa: ASYNC110 - a file has no event
        await asyncio.sleep(0.01)
    return task


async def end(task: asyncio.Task[Summary]) -> Summary:
    task.cancel()
    return await task


async def edit(device: Device, name: str = "telltale") -> None:
    await device.client.create("collection", fields={"name": name})
    await device.client.wait("in-sync", 20)


async def test_the_ring_of_a_daemon_is_written_out_without_values_and_secrets(
    world: World, tmp_path: Path
) -> None:
    server, laptop = await world.server(), await world.device("laptop")
    await laptop.sign_up(server)
    await edit(laptop)
    identity = await laptop.daemon._signing.required().store.identity()
    assert identity is not None
    path = tmp_path / "c"
    summary = await record_last(laptop.home, Wanted(path))
    records = read(path)
    assert summary.frames == sum(each.sort in FRAMES for each in records)
    kinds = [type(decode(each.data)) for each in records if each.sort in FRAMES]
    assert kinds.index(Hello) < kinds.index(Welcome) < kinds.index(Push)
    assert "IN_SYNC" in [each.facts["to"] for each in records if each.sort is Sort.STATE]
    for each in records:
        for secret in ("telltale", PASSWORD, identity.token, identity.lease):
            assert secret.encode() not in each.data
    with Capture.open(path) as capture:
        assert (capture.header.device, capture.header.account) == (
            identity.device, identity.account,
        )  # fmt: skip
        assert capture.header.last
    await record_last(laptop.home, Wanted(tmp_path / "v", values=True))
    assert any(b"telltale" in each.data for each in read(tmp_path / "v"))


async def test_a_daemon_is_recorded_as_it_works(world: World, tmp_path: Path) -> None:
    server, laptop = await world.server(), await world.device("laptop")
    await laptop.sign_up(server)
    path = tmp_path / "c"
    task = await recording(Target(home=laptop.home), Wanted(path))
    await edit(laptop)
    summary = await end(task)
    records = read(path)
    messages = [decode(each.data) for each in records if each.sort in FRAMES]
    assert [type(each) for each in messages][-2:] == [Push, Events]
    # How the connection began comes first, and that something between is not there.
    assert [each.sort for each in records].count(Sort.LOST) == 1
    assert Hello in [type(each) for each in messages]
    assert summary.lost > 0


async def test_a_server_is_recorded_as_it_works(world: World, tmp_path: Path) -> None:
    server, laptop, desktop = await world.pair()
    path = tmp_path / "c"
    task = await recording(Target(data=server.data), Wanted(path))
    await edit(laptop)
    for device in (laptop, desktop):
        while not await device.names():  # noqa: ASYNC110 - it comes on the wire
            await asyncio.sleep(0.01)
    await end(task)
    records = read(path)
    devices = {each.facts["device"] for each in records if each.sort is Sort.OPENED}
    assert devices == {
        each.daemon._signing.required().identity.device for each in (laptop, desktop)
    }
    frames = [each for each in records if each.sort in FRAMES]
    assert [type(decode(each.data)) for each in frames] == [Push, Events, Events]
    assert len({each.connection for each in frames}) == 2


async def test_so_many_seconds_are_recorded_and_the_end_of_the_target_is_told(
    world: World, tmp_path: Path
) -> None:
    server, laptop = await world.server(), await world.device("laptop")
    summary = await record(Target(data=server.data), Wanted(tmp_path / "a"), 0.2)
    assert 0.1 < summary.seconds < 5
    assert summary.ended == ""
    for name, target, running in (
        ("b", Target(data=server.data), server),
        ("c", Target(home=laptop.home), laptop),
    ):
        task = await recording(target, Wanted(tmp_path / name))
        await stop(running)
        assert (await task).ended
        read(tmp_path / name)


async def stop(running: Server | Device) -> None:
    if isinstance(running, Device):
        running.daemon.stop()
    else:
        await running.stop()


async def test_a_slow_recorder_is_dropped_and_the_capture_says_so(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "BACKLOG_BYTES_MAX", 1000)
    server, laptop = await world.server(), await world.device("laptop")
    await laptop.sign_up(server)
    task = await recording(Target(data=server.data), Wanted(tmp_path / "c"))
    await edit(laptop, "x" * 10_000)
    summary = await task
    assert summary.lost > 0
    assert [each.sort for each in read(tmp_path / "c")][-1] is Sort.LOST


async def test_what_does_not_run_or_is_no_target_is_refused_by_name(
    tmp_path: Path, folder: Path
) -> None:
    with pytest.raises(ReplayError) as nothing:
        Target.find(tmp_path)
    assert nothing.value.code == "replay.no_target"
    (tmp_path / "kafkaman.db").touch()
    with pytest.raises(ReplayError) as stopped:
        await record(Target.find(tmp_path), Wanted(tmp_path / "c"), None)
    assert stopped.value.code == "replay.not_running"
    with pytest.raises(ControlError) as no_daemon:
        await record_last(Home.find(folder), Wanted(tmp_path / "c"))
    assert no_daemon.value.code == "daemon.not_running"
    assert not (tmp_path / "c").exists()


async def test_what_is_no_capture_is_not_written_over_even_when_forced(
    world: World, tmp_path: Path
) -> None:
    server = await world.server()
    before = (server.data / "kafkaman.db").read_bytes()
    with pytest.raises(ReplayError) as caught:
        await record(Target(data=server.data), Wanted(server.data / "kafkaman.db", force=True), 0.1)
    assert caught.value.code == "replay.output_exists"
    assert (server.data / "kafkaman.db").read_bytes() == before
    path = tmp_path / "c"
    for _ in range(2):
        await record(Target(data=server.data), Wanted(path, force=True), 0.05)
    with pytest.raises(ReplayError) as there:
        await record(Target(data=server.data), Wanted(path), 0.05)
    assert there.value.code == "replay.output_exists"


@pytest.mark.parametrize("seconds", ["nan", "inf", "0", "-1"])
def test_a_time_that_is_none_is_refused(tmp_path: Path, seconds: str) -> None:
    asked = ["replay", "record", str(tmp_path), "-o", str(tmp_path / "c"), "--seconds", seconds]
    assert CliRunner().invoke(cli, asked).exit_code == 2
