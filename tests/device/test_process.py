"""The daemon as a process: started on demand, alone, killed, stopped."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import psutil
import pytest

from kafkaman_sync import Client, ControlError
from kafkaman_sync.device.lock import single_instance
from kafkaman_sync.device.paths import Home
from kafkaman_sync.store import Store
from tests.device.world import SECONDS, World


async def ended(pid: int) -> None:
    """Wait until a process is gone."""
    process = psutil.Process(pid)
    await asyncio.to_thread(process.wait, SECONDS)


async def stop(home: Path) -> None:
    async with Client.open(home, start=False) as client:
        pid = (await client.status()).pid
        await client.shutdown()
    await ended_anyhow(pid)


async def ended_anyhow(pid: int) -> None:
    with suppress(psutil.NoSuchProcess):
        await ended(pid)


async def error_of(client: Client) -> str:
    """Ask until the daemon is gone; return the error's code."""
    while True:
        try:
            await client.status()
        except ControlError as error:
            return error.code


async def test_many_clients_at_once_start_one_daemon(folder: Path) -> None:
    async def pid() -> int:
        async with Client.open(folder / "home") as client:
            return (await client.status()).pid

    pids = await asyncio.gather(*(pid() for _ in range(8)))
    assert len(set(pids)) == 1
    await stop(folder / "home")


async def test_without_start_there_must_be_a_daemon(folder: Path) -> None:
    with pytest.raises(ControlError) as caught:
        async with Client.open(folder / "home", start=False):
            pass
    assert caught.value.code == "daemon.not_running"


async def test_edits_survive_kill_minus_nine(world: World, folder: Path) -> None:
    server = await world.server()
    home = folder / "home"
    async with Client.open(home) as client:
        await client.sign_up(
            server=server.url, email="a@example.com", username="a", password="long enough"
        )
        await client.wait("in-sync", SECONDS)
        await server.stop()
        await client.wait("offline", SECONDS)
        made = [await client.create("collection", fields={"name": str(n)}) for n in range(5)]
        pid = (await client.status()).pid
        os.kill(pid, signal.SIGKILL)
        assert await error_of(client) == "daemon.gone"
    await ended_anyhow(pid)
    assert Home.find(home).socket.exists(), "what a killed daemon leaves behind"
    async with Client.open(home) as client:
        assert [entity.id for entity in await client.ls()] == made
        assert (await client.status()).pending == 5
        await server.start()
        await client.retry()
        await client.wait("in-sync", SECONDS)
        assert all(proof.equal for proof in await client.prove())
    await stop(home)


async def test_sigterm_ends_it_and_removes_the_socket(folder: Path) -> None:
    home = Home.find(folder / "home")
    async with Client.open(home.root) as client:
        pid = (await client.status()).pid
        os.kill(pid, signal.SIGTERM)
        await ended_anyhow(pid)
    assert not home.socket.exists()
    assert "stopped" in home.log.read_text()


async def test_a_command_right_after_down_starts_a_new_daemon(folder: Path) -> None:
    home = folder / "home"
    pids = set()
    for _ in range(3):
        async with Client.open(home) as client:
            pids.add((await client.status()).pid)
            await client.shutdown()
            await error_of(client)
    assert len(pids) == 3
    for pid in pids:
        await ended_anyhow(pid)


async def test_a_home_with_a_long_path_works(folder: Path) -> None:
    home = folder / ("x" * 60) / ("y" * 60)
    async with Client.open(home) as client:
        socket = Home.find(home).socket
        assert len(os.fsencode(socket)) <= 103
        assert (await client.status()).home == str(home)
    await stop(home)
    assert not socket.exists()


async def test_settings_that_are_wrong_are_named_in_the_log(folder: Path) -> None:
    home = Home.find(folder / "home")
    home.create()
    home.config.write_text("devicename = 'x'")
    with pytest.raises(ControlError) as caught:
        async with Client.open(home.root):
            pass
    assert caught.value.code == "daemon.not_started"
    assert "devicename" in home.log.read_text()


def test_the_lock_has_one_holder(folder: Path) -> None:
    with single_instance(folder / "lock") as first:
        assert first
        with single_instance(folder / "lock") as second:
            assert not second
    with single_instance(folder / "lock") as third:
        assert third


async def test_idle_it_needs_little(world: World, folder: Path) -> None:
    server = await world.server()
    async with Client.open(folder / "home") as client:
        await client.sign_up(
            server=server.url, email="a@example.com", username="a", password="long enough"
        )
        await client.wait("in-sync", SECONDS)
        process = psutil.Process((await client.status()).pid)
        assert process.memory_info().rss < 60_000_000
    await stop(folder / "home")


async def test_why_a_daemon_cannot_start_is_told_to_whoever_started_it(folder: Path) -> None:
    home = Home.find(folder / "home")
    home.create()
    async with Store.open(home.scratch, local=True):
        pass
    with closing(sqlite3.connect(home.scratch)) as database:
        database.execute("PRAGMA user_version=9999")
    with pytest.raises(ControlError) as raised:
        async with Client.open(home.root):
            pass
    assert raised.value.code == "daemon.not_started"
    assert raised.value.details["cause"] == "store.newer"
    assert "newer release" in raised.value.message
