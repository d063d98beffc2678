"""The real system, of two devices or more: what is measured, and `Pipeline` what it is held to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path
from typing import Final

from kafkaman_sync.model.entities import ROOT
from scripts.benchmark.records import BATCH, Record, creations, made, mixture, updates
from scripts.benchmark.system import Device, Server, as_edit

RUN: Final = "real"
USER: Final = "bench"
_PROBE_SECONDS: Final = 0.2


class Pair:
    """Two devices of one account; the first one writes."""

    def __init__(self, server: Server, first: Device, others: list[Device]) -> None:
        self.server = server
        self.first = first
        self.others = others
        self.second = others[0]
        self.created = 0
        self.revision = 0

    @classmethod
    @asynccontextmanager
    async def start(cls, folder: Path, *, devices: int = 2) -> AsyncIterator[Pair]:
        """Start a server and the devices, in sync, with a collection for the records."""
        async with AsyncExitStack() as stack:
            server = await stack.enter_async_context(Server.start(folder / "server"))
            found = [
                await stack.enter_async_context(Device.start(folder / f"device-{number}"))
                for number in range(devices)
            ]
            first, *others = found
            await first.sign_up(server, USER)
            first.parent = await first.client.create("collection", ROOT, {"name": "Benchmark"})
            for device in others:
                await device.sign_in(server, USER)
            for device in found:
                await device.settle()
            yield cls(server, first, others)

    async def fill(self, count: int) -> None:
        """Create records and have them everywhere."""
        await self.first.write(made(creations(RUN, self.created, count)))
        self.created += count
        await self.everywhere()

    async def everywhere(self) -> None:
        """Wait until the first device's outbox is empty and all devices stand where it does."""
        await self.first.settle()
        position = await self.first.position()
        for device in self.others:
            while await device.position() != position:
                await device.client.wait("online", timeout=10)
                await asyncio.sleep(0.01)
            await device.settle()

    async def burst(self, count: int) -> tuple[float, float]:
        """Write records, half of them new, as fast as it goes; return records per second.

        First until the second device has them, then until the first one is in sync again too.
        """
        records = self._mixture(count)
        began = time.monotonic()
        await self.first.write(records[:-BATCH])
        # Before the last call has begun, what is looked for cannot be there: asking for it would
        # only take the processors away from what is measured.
        reading = asyncio.create_task(self.second.readable(records[-1].id))
        await self.first.write(records[-BATCH:])
        ended = await reading
        await self.first.settle()
        settled = time.monotonic()
        await self.everywhere()
        return count / (ended - began), count / (settled - began)

    async def live(self, count: int, *, rate: float) -> list[float]:
        """Write one record after the other, `rate` a second; return each one's latency."""
        records = self._mixture(count)
        called: dict[str, float] = {}
        seen: dict[str, float] = {}
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(self._watch(seen, records[-1].id))
            await self._probe(seen)
            began = time.monotonic()
            for number, record in enumerate(records):
                await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
                called[record.id] = time.monotonic()
                await self.first.client.edit([as_edit(record, self.first.parent)])
            await watching
        return [seen[entity] - at for entity, at in called.items()]

    async def restore(self) -> tuple[float, float]:
        """Empty the second device and sign it in; return the seconds of both steps.

        The first is from the connection to being in sync, the second the sign-in before that.
        """
        await self.second.client.sign_out()
        watching = asyncio.Event()
        restoring = asyncio.create_task(self.second.synced(watching))
        await watching.wait()
        began = time.monotonic()
        await self.second.sign_in(self.server, USER)
        signed_in = time.monotonic() - began
        seconds = await restoring
        assert await self.second.position() == await self.first.position()
        return seconds, signed_in

    async def catch_up(self, edits: int) -> list[float]:
        """Let the others miss edits; return how long each took to be in sync again."""
        for device in self.others:
            await device.client.sync(False)
            await device.client.wait("offline", timeout=10)
        numbers = range(self.created)
        await self.first.write(made(updates(RUN, numbers, edits, self._next(edits))))
        await self.first.settle()
        seconds = []
        for device in self.others:
            watching = asyncio.Event()
            catching_up = asyncio.create_task(device.synced(watching))
            await watching.wait()
            await device.client.sync(True)
            seconds.append(await catching_up)
            assert await device.position() == await self.first.position()
        return seconds

    async def _watch(self, seen: dict[str, float], last: str) -> None:
        async with aclosing(self.second.client.changes()) as changes:
            async for change in changes:
                seen.setdefault(change.entity, time.monotonic())
                if change.entity == last:
                    return

    async def _probe(self, seen: dict[str, float]) -> None:
        """Edit the collection until the watcher sees it: it watches then."""
        turn = 0
        while self.first.parent not in seen:
            turn += 1
            await self.first.client.update(self.first.parent, {"name": f"Benchmark {turn}"})
            await asyncio.sleep(_PROBE_SECONDS)

    def _mixture(self, count: int) -> list[Record]:
        records = made(mixture(RUN, self.created, count, self._next(1)))
        self.created += count - count // 2
        return records

    def _next(self, turns: int) -> int:
        """Return a revision from which `turns` more were never used."""
        revision = self.revision + 1
        self.revision += turns
        return revision
