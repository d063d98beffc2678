"""`replay verify` on a long log, against a bare scan of the same rows in the same round."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Final

import psutil

from scripts.benchmark.figures import Figure, absolute_figure, ratio_figure
from scripts.benchmark.long_log import write_long_log
from scripts.benchmark.processes import ROOT, environment

_DATABASE: Final = "kafkaman.db"
_VERIFY: Final = "from kafkaman_sync.cli.main import main; main()"
_SCAN: Final = (
    "SELECT seq, entity, body, basis, digest FROM events WHERE workspace = 1 ORDER BY seq"
)
_LOOK_SECONDS: Final = 0.05


async def measure_verify(folder: Path, *, events: int, entities: int, rounds: int) -> list[Figure]:
    """Verify a log of so many events as a person would, the start of the command included."""
    await asyncio.to_thread(write_long_log, folder / _DATABASE, events=events, entities=entities)
    scans: list[float] = []
    verified: list[float] = []
    most = 0
    for _ in range(rounds):
        scans.append(events / await asyncio.to_thread(_scan, folder / _DATABASE))
        seconds, rss = await asyncio.to_thread(_verify, folder)
        verified.append(events / seconds)
        most = max(most, rss)
    return [
        ratio_figure(
            "replay verify, the whole log",
            ours=verified,
            baseline=scans,
            limit=0.25,
            at_least=True,
            unit="events/s",
        ),
        absolute_figure(
            "replay verify, memory of its processes", most / 2**20, limit=200.0, unit="MiB"
        ),
    ]


def _scan(path: Path) -> float:
    began = time.perf_counter()
    with closing(sqlite3.connect(path)) as database:
        for _ in database.execute(_SCAN):
            pass
    return time.perf_counter() - began


def _verify(folder: Path) -> tuple[float, int]:
    """Return the seconds that it took, and the memory of its processes at most."""
    began = time.perf_counter()
    most = 0
    with subprocess.Popen(
        [sys.executable, "-c", _VERIFY, "replay", "verify", str(folder)],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.DEVNULL,
    ) as process:
        watched = psutil.Process(process.pid)
        while process.poll() is None:
            most = max(most, _rss(watched))
            time.sleep(_LOOK_SECONDS)
    if process.returncode:
        raise RuntimeError(f"replay verify ended with {process.returncode}.")
    return time.perf_counter() - began, most


def _rss(process: psutil.Process) -> int:
    try:
        family = [process, *process.children(recursive=True)]
        return sum(each.memory_info().rss for each in family)
    except psutil.NoSuchProcess:
        return 0
