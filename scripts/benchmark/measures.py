"""The measures: each starts what it needs in a fresh folder and returns its figures."""

from __future__ import annotations

import asyncio
import os
import statistics
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scripts.benchmark import verifying
from scripts.benchmark.connections import idle_connections
from scripts.benchmark.figures import Figure, absolute_figure, percentile, ratio_figure
from scripts.benchmark.pair import USER, Pair
from scripts.benchmark.pipeline import Pipeline
from scripts.benchmark.records import BATCH
from scripts.benchmark.replaying import measure_replay
from scripts.benchmark.system import Device

_REST_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured; the defaults are what the targets are about."""

    rounds: int = 5
    records: int = 10_000
    live_edits: int = 200
    live_rate: float = 50.0
    edited: int = 1_000
    edits_few: int = 10_000
    edits_many: int = 50_000
    catch_up_rounds_max: int = 3
    connections: int = 500
    idle_seconds: float = 20.0
    replayed: int = 1_000_000
    replayed_entities: int = 20_000

    @classmethod
    def quick(cls) -> Scale:
        """Return one round of a fifth: a hint while working, not a figure."""
        return cls(
            rounds=1,
            records=2_000,
            live_edits=100,
            edits_few=2_000,
            edits_many=10_000,
            connections=100,
            idle_seconds=4.0,
            replayed=200_000,
            replayed_entities=4_000,
        )


def bare(folder: Path) -> AbstractAsyncContextManager[Pipeline]:
    """The reference: one record in a message."""
    return Pipeline.start(folder / "bare")


def batched(folder: Path) -> AbstractAsyncContextManager[Pipeline]:
    """The second baseline: as many records in a message as the real protocol takes."""
    return Pipeline.start(folder / "bare-batched", size=BATCH)


async def disk_rests() -> None:
    """Let the disk write what is on its way, and be as quick again as after a while without work.

    Disks of virtual machines are often lent some 160 MB at once and 115 MB/s after that: without a
    pause, whoever is measured next pays for what the one before has written.
    """
    await asyncio.to_thread(os.sync)
    await asyncio.sleep(_REST_SECONDS)


async def measure_burst(folder: Path, scale: Scale) -> list[Figure]:
    """Changes from one device until another one has them, per second."""
    ours, settled, baseline, beside = [], [], [], []
    async with bare(folder) as pipeline, batched(folder) as packed, Pair.start(folder) as pair:
        for side in (pipeline, packed, pair):
            await side.fill(scale.records)
        for _ in range(scale.rounds + 1):
            await disk_rests()
            baseline.append(await pipeline.burst(scale.records))
            await disk_rests()
            beside.append(await packed.burst(scale.records))
            await disk_rests()
            there, here = await pair.burst(scale.records)
            ours.append(there)
            settled.append(here)
    return [
        ratio_figure(
            f"burst of {scale.records:,} changes",
            ours=ours[1:],
            baseline=baseline[1:],
            batched=beside[1:],
            limit=0.4,
            at_least=True,
            unit="/s",
            notes={
                "until the device that writes is in sync too, /s": statistics.median(settled[1:])
            },
        )
    ]


async def measure_live(folder: Path, scale: Scale) -> list[Figure]:
    """From an edit on one device to where the other one can read it."""
    ours: list[float] = []
    baseline: list[float] = []
    async with bare(folder) as pipeline, Pair.start(folder) as pair:
        for side in (pipeline, pair):
            await side.fill(scale.edited)
        for number in range(scale.rounds + 1):
            reference = await pipeline.live(scale.live_edits, rate=scale.live_rate)
            real = await pair.live(scale.live_edits, rate=scale.live_rate)
            if number:
                baseline.extend(1000 * seconds for seconds in reference)
                ours.extend(1000 * seconds for seconds in real)
    return [
        ratio_figure(
            f"live latency at {scale.live_rate:g} edits/s",
            ours=ours,
            baseline=baseline,
            limit=3.0,
            at_least=False,
            unit="ms",
            notes={
                "p95 ms": percentile(ours, 95),
                "baseline p95 ms": percentile(baseline, 95),
            },
        )
    ]


async def measure_catch_up(folder: Path, scale: Scale) -> list[Figure]:
    """Catching up after many edits against after few, of the same records."""
    few: list[float] = []
    many: list[float] = []
    async with Pair.start(folder, devices=3) as pair:
        await pair.fill(scale.edited)
        await pair.catch_up(scale.edits_few)
        for _ in range(min(scale.rounds, scale.catch_up_rounds_max)):
            few.extend(1000 * seconds for seconds in await pair.catch_up(scale.edits_few))
            many.extend(1000 * seconds for seconds in await pair.catch_up(scale.edits_many))
    return [
        ratio_figure(
            f"catch-up, {scale.edits_many:,} against {scale.edits_few:,} edits",
            ours=many,
            baseline=few,
            limit=1.3,
            at_least=False,
            unit="ms",
        )
    ]


async def measure_restore(folder: Path, scale: Scale) -> list[Figure]:
    """All records to an empty device, per second."""
    ours, baseline, beside, sign_ins = [], [], [], []
    async with bare(folder) as pipeline, batched(folder) as packed, Pair.start(folder) as pair:
        for side in (pipeline, packed, pair):
            await side.fill(scale.records)
        for _ in range(scale.rounds + 1):
            baseline.append(await pipeline.restore())
            beside.append(await packed.restore())
            seconds, signed_in = await pair.restore()
            ours.append(scale.records / seconds)
            sign_ins.append(1000 * signed_in)
    return [
        ratio_figure(
            f"restore of {scale.records:,} records",
            ours=ours[1:],
            baseline=baseline[1:],
            batched=beside[1:],
            limit=0.4,
            at_least=True,
            unit="/s",
            notes={"the sign-in before it, not counted, ms": statistics.median(sign_ins[1:])},
        )
    ]


async def measure_connections(folder: Path, scale: Scale) -> list[Figure]:
    """What an idle connected device costs the server."""
    per_device = await idle_connections(folder, scale.connections)
    return [
        absolute_figure(
            "idle device on the server",
            per_device / 1024,
            limit=20.0,
            unit="KiB",
            notes={"connections": scale.connections},
        )
    ]


async def measure_idle(folder: Path, scale: Scale) -> list[Figure]:
    """What a daemon that is in sync costs when nothing happens."""
    async with Pair.start(folder) as pair:
        await pair.fill(scale.records)
        async with Device.start(folder / "device-2") as device:
            await device.sign_in(pair.server, USER)
            await device.settle()
        # Begun anew, it holds what an idle daemon needs, not what the restore left behind.
        async with Device.start(folder / "device-2") as device:
            await device.settle()
            await device.client.show(pair.first.parent)
            before = device.process.cpu_times()
            await asyncio.sleep(scale.idle_seconds)
            after = device.process.cpu_times()
            rss = device.process.memory_info().rss
            worked = pair.first.process.memory_info().rss
    busy = max(0.0, after.user + after.system - before.user - before.system)
    return [
        absolute_figure(
            "idle daemon, memory",
            rss / 2**20,
            limit=60.0,
            unit="MiB",
            notes={"after a burst, MiB": worked / 2**20},
        ),
        # One tick of the clock that the kernel counts in is 0.01 s.
        absolute_figure(
            f"idle daemon, processor over {scale.idle_seconds:g} s", busy, limit=0.02, unit="s"
        ),
    ]


async def measure_looking_back(folder: Path, scale: Scale) -> list[Figure]:
    """What a workspace was, in a long log."""
    return await measure_replay(
        folder, events=scale.replayed, entities=scale.replayed_entities, rounds=scale.rounds
    )


async def measure_verify(folder: Path, scale: Scale) -> list[Figure]:
    """What proving a long log sound takes."""
    return await verifying.measure_verify(
        folder,
        events=scale.replayed,
        entities=scale.replayed_entities,
        rounds=min(scale.rounds, 3),
    )


MEASURES: Final[Mapping[str, Callable[[Path, Scale], Awaitable[list[Figure]]]]] = {
    "burst": measure_burst,
    "live": measure_live,
    "catch-up": measure_catch_up,
    "restore": measure_restore,
    "connections": measure_connections,
    "idle": measure_idle,
    "replay": measure_looking_back,
    "verify": measure_verify,
}
