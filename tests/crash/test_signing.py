"""kill -9 while a device signs in or out: it is one or the other, and no edit is gone."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from kafkaman_sync import Client
from kafkaman_sync.errors import ControlError
from kafkaman_sync.formats import Draft
from tests.crash.processes import DaemonProgram, ServerProgram, removed_at_the_end

pytestmark = pytest.mark.timeout(900)

ROUNDS = 10
# About as long as what is cut off takes.
SECONDS_MAX = 0.1
WAIT_SECONDS = 60.0


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="kfg-") as name:
        yield Path(name)


async def cut_off(device: DaemonProgram, work: asyncio.Task[object], random: Random) -> None:
    """Kill the daemon while it does something, and start it again."""
    await asyncio.sleep(random.uniform(0.0, SECONDS_MAX))  # the moment of the kill
    device.kill()
    with suppress(ControlError):
        await work
    device.spawn()
    await device.ready()
    device.check_log()


async def names(client: Client) -> set[str]:
    return {each.name for each in await client.ls()}


async def test_a_sign_out_that_is_killed_loses_no_edit(folder: Path, effort: float) -> None:
    random = Random(1)
    server, device = ServerProgram(folder / "server"), DaemonProgram(folder / "laptop")
    with removed_at_the_end([server, device]):
        device.spawn()
        await device.ready()
        for number in range(max(1, round(ROUNDS * effort))):
            server.spawn()
            await server.ready()
            made = {f"{number}.{each}" for each in range(random.randint(1, 50))}
            async with device.client() as client:
                if not (await client.status()).signed_in:
                    await device.sign_up(server, f"user{number}")
                await device.settle()
                server.kill()
                await client.wait("offline", WAIT_SECONDS)
                for name in sorted(made):
                    await client.create("collection", fields={"name": name})
                leaving = asyncio.create_task(client.sign_out())
                await cut_off(device, leaving, random)
            async with device.client() as client:
                if (await client.status()).signed_in:
                    assert made <= await names(client)
                    continue
            assert not any(device.home.accounts.iterdir()), "nothing of the account is left"
            archives = [path.read_text("utf-8") for path in device.home.sealed.iterdir()]
            assert all(any(f'"{name}"' in each for each in archives) for name in made)


async def test_a_sign_in_that_is_killed_can_be_done_again(folder: Path, effort: float) -> None:
    random = Random(2)
    server = ServerProgram(folder / "server")
    first, second = DaemonProgram(folder / "first"), DaemonProgram(folder / "second")
    children = tuple(Draft("request", {"name": f"{number}"}) for number in range(500))
    with removed_at_the_end([server, first, second]):
        for program in (server, first, second):
            program.spawn()
            await program.ready()
        for number in range(max(1, round(ROUNDS * effort))):
            user = f"user{number}"
            async with first.client() as client:
                await first.sign_up(server, user)
                await client.import_drafts([Draft("collection", {"name": user}, children)])
                await first.settle()
                there = await client.ls()
                await client.sign_out()
            entering = asyncio.create_task(second.sign_in(server, user))
            await cut_off(second, entering, random)
            async with second.client() as client:
                if not (await client.status()).signed_in:
                    await second.sign_in(server, user)
                await second.settle()
                assert await client.ls() == there
                await client.sign_out()
        for program in (server, first, second):
            program.check_log()
