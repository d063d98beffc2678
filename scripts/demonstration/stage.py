"""The demo's stage: a server and devices as processes of their own, in one temporary place."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from kafkaman_sync import Client

BIN = Path(sys.executable).parent
POLL_SECONDS = 0.01


class DemoFailed(Exception):  # noqa: N818  reads as what happened
    """Something that the demo shows did not hold."""


def expect(condition: bool, what: str) -> None:
    """Stop the demo unless `condition` holds."""
    if not condition:
        raise DemoFailed(what)


@dataclass(slots=True)
class Device:
    """A device on the stage: its name, its home and a client of its daemon."""

    name: str
    home: Path
    client: Client


class Stage:
    """Starts and ends everything; `keep` leaves it running."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.password = secrets.token_urlsafe(12)
        self.url = ""
        self.devices: dict[str, Device] = {}
        self.server_pid = 0
        self.keep = False
        self._exits = AsyncExitStack()

    @classmethod
    @asynccontextmanager
    async def open(cls) -> AsyncIterator[Self]:
        """Make a temporary place, and clear it in the end unless it is to be kept."""
        stage = cls(Path(tempfile.mkdtemp(prefix="kafkaman-demo-")))
        try:
            yield stage
        finally:
            await stage._close()

    async def start_server(self) -> None:
        """Start `kafkaman-server` on a free loopback port and wait until it listens."""
        with (self.place / "server.log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                str(BIN / "kafkaman-server"),
                *("serve", "--listen", "127.0.0.1:0", "--data", str(self.place / "server")),
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        self.server_pid = process.pid
        assert process.stdout is not None
        async for line in process.stdout:
            if b"listening on" in line:
                self.url = next(word for word in line.decode().split() if word.startswith("ws://"))
                return
        raise DemoFailed(f"the server did not start:\n{(self.place / 'server.log').read_text()}")

    async def add_device(self, name: str) -> Device:
        """Start the daemon of a new, empty device."""
        home = self.place / name
        client = await self._exits.enter_async_context(Client.open(home))
        self.devices[name] = Device(name, home, client)
        return self.devices[name]

    async def sign_in(self, device: Device) -> None:
        """Sign a device in to the demo's account."""
        await device.client.sign_in(
            server=self.url, user="dana", password=self.password, device_name=device.name
        )

    async def settle(self) -> None:
        """Wait until every signed-in device is in sync, all at the same seq."""
        while True:
            seqs = set()
            for device in self.devices.values():
                if (await device.client.status()).signed_in:
                    status = await device.client.wait("in-sync", timeout=60)
                    seqs.add(tuple(workspace["seq"] for workspace in status.workspaces))
            if len(seqs) == 1:
                return
            await asyncio.sleep(POLL_SECONDS)

    async def _close(self) -> None:
        if not self.keep:
            for device in self.devices.values():
                await device.client.shutdown()
        await self._exits.aclose()
        if self.keep:
            return
        if self.server_pid:
            os.kill(self.server_pid, signal.SIGTERM)
        shutil.rmtree(self.place, ignore_errors=True)
