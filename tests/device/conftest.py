"""A world of servers and devices for each test, in a short folder: socket paths are limited."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.device.world import World, open_world


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="kfd-") as name:
        yield Path(name)
        for lock in Path(name).rglob("daemon.lock"):
            end_daemon(int(lock.read_text() or 0))


def end_daemon(pid: int) -> None:
    """End a daemon that a failed test left behind; the id may be another process's by now."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        if "kafkaman_sync.device" in process.cmdline():
            process.kill()


@pytest.fixture
async def world(folder: Path) -> AsyncIterator[World]:
    # The world runs in one task: what it opens may not be closed in another.
    ready: asyncio.Future[World] = asyncio.get_running_loop().create_future()
    done = asyncio.Event()

    async def run() -> None:
        async with open_world(folder) as world:
            ready.set_result(world)
            await done.wait()

    task = asyncio.create_task(run())
    yield await ready
    done.set()
    await task
