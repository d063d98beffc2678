"""A real server on a loopback port, in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher

from kafkaman_server import passwords
from kafkaman_server.config import Config
from kafkaman_server.server import RunningServer, run_server

# As strong as it must be for people, hashing would be most of what the tests do.
CHEAP_HASHER = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)

StartServer = Callable[..., AbstractAsyncContextManager[RunningServer]]


@pytest.fixture
def start_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StartServer:
    """Start a server on this test's data directory, with settings; several times if wanted.

    `clock` and `running` replace its clocks.
    """
    monkeypatch.setattr(passwords, "HASHER", CHEAP_HASHER)

    @asynccontextmanager
    async def start(**settings: Any) -> AsyncIterator[RunningServer]:
        settings.setdefault("data", tmp_path / "data")
        clocks = {name: settings.pop(name) for name in ("clock", "running") if name in settings}
        async with run_server(Config(port=0, **settings), **clocks) as server:
            yield server

    return start


@pytest.fixture
async def server(start_server: StartServer) -> AsyncIterator[RunningServer]:
    """A running server. It runs in a task of its own: its task group may not change tasks."""
    ready: asyncio.Future[RunningServer] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()

    async def run() -> None:
        async with start_server() as running:
            ready.set_result(running)
            await stop.wait()

    task = asyncio.create_task(run())
    both: set[asyncio.Future[Any]] = {task, ready}
    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        task.result()
    yield ready.result()
    stop.set()
    await task
