"""The real thing: a server process, and devices, each a daemon with a home of its own."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import psutil

from kafkaman_sync.client import Client
from kafkaman_sync.engine.states import State
from kafkaman_sync.errors import KafkamanError, RefusedError
from scripts.benchmark.processes import ROOT, end, environment
from scripts.benchmark.records import BATCH, KIND, Record

PASSWORD: Final = "correct horse battery"  # noqa: S105 - of an account that lives for seconds
SETTLE_SECONDS_MAX: Final = 300.0

_LOOK_SECONDS: Final = 0.005
_START_SECONDS_MAX: Final = 20.0
_END_SECONDS_MAX: Final = 10.0


class Server:
    """A running server; made by `Server.start`."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self.url = url
        self.process = psutil.Process(process.pid)

    @classmethod
    @asynccontextmanager
    async def start(cls, folder: Path) -> AsyncIterator[Server]:
        """Serve `folder` on a free port of the loopback; end it with the block."""
        folder.mkdir(parents=True, exist_ok=True)
        with (folder.parent / f"{folder.name}.log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "kafkaman_server.cli",
                "serve",
                "--listen=127.0.0.1:0",
                f"--data={folder}",
                cwd=ROOT,
                env=environment(),
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        try:
            assert process.stdout is not None
            async with asyncio.timeout(_START_SECONDS_MAX):
                said = (await process.stdout.readline()).decode()
            if not said.startswith("listening on "):
                raise RuntimeError(f"The server did not start; {log.name} says why.")
            yield cls(process, said.split()[-1])
        finally:
            await end(process)


class Device:
    """A device whose daemon runs; made by `Device.start`."""

    def __init__(self, client: Client, process: psutil.Process) -> None:
        self.client = client
        self.process = process
        self.parent = ""

    @classmethod
    @asynccontextmanager
    async def start(cls, home: Path) -> AsyncIterator[Device]:
        """Run the daemon of `home`; end it with the block."""
        async with Client.open(home) as client:
            process = psutil.Process((await client.status()).pid)
            try:
                yield cls(client, process)
            finally:
                with suppress(KafkamanError):
                    await client.shutdown()
                await asyncio.to_thread(_ended, process)

    async def sign_up(self, server: Server, username: str) -> None:
        """Create an account and be in sync."""
        await self.client.sign_up(
            server=server.url,
            email=f"{username}@example.com",
            username=username,
            password=PASSWORD,
            device_name="first",
        )
        await self.settle()

    async def sign_in(self, server: Server, username: str) -> None:
        """Sign in; the restore goes on."""
        await self.client.sign_in(
            server=server.url, user=username, password=PASSWORD, device_name="another"
        )

    async def settle(self) -> None:
        """Wait until the device is in sync."""
        await self.client.wait("in-sync", timeout=SETTLE_SECONDS_MAX)

    async def write(self, records: Sequence[Record]) -> None:
        """Hand over records in bulk edits, one after the other."""
        for first in range(0, len(records), BATCH):
            await self.client.edit(
                [as_edit(record, self.parent) for record in records[first : first + BATCH]]
            )

    async def readable(self, entity: str) -> float:
        """Return the time at which an entity can be read here.

        It asks every few milliseconds: 10,000 notifications would take the processor away from
        what is measured.
        """
        while True:
            with suppress(RefusedError):
                await self.client.show(entity)
                return time.monotonic()
            await asyncio.sleep(_LOOK_SECONDS)

    async def synced(self, start: asyncio.Event) -> float:
        """Return the seconds from the first attempt to connect after `start` to IN_SYNC.

        Sets `start` itself once it watches, so that what it triggers is not missed.
        """
        began = 0.0
        async with aclosing(self.client.transitions()) as transitions:
            async for transition in transitions:
                now = time.monotonic()
                if not start.is_set():
                    start.set()
                elif transition.after is State.CONNECTING and not began:
                    began = now
                elif transition.after is State.IN_SYNC and began:
                    return now - began
                elif transition.after is State.ERROR:
                    raise RuntimeError(f"A device failed: {transition.cause.message}")
        raise RuntimeError("A daemon ended while it was measured.")

    async def position(self) -> list[tuple[str, int, str]]:
        """Return the id, seq and digest of each workspace that syncs."""
        status = await self.client.status()
        return [(one["id"], one["seq"], one["digest"]) for one in status.workspaces]


def as_edit(record: Record, parent: str) -> dict[str, Any]:
    """Return the edit that writes a record."""
    if not record.create:
        return {"action": "update", "id": record.id, "fields": record.fields}
    return {
        "action": "create",
        "id": record.id,
        "kind": KIND,
        "parent": parent,
        "fields": record.fields,
    }


def _ended(process: psutil.Process) -> None:
    """Wait for the end of a daemon that was told to end, and see to it in the end."""
    try:
        process.wait(_END_SECONDS_MAX)
    except psutil.TimeoutExpired:
        process.kill()
