"""Replay on a long log, against a bare scan of the same rows; each run is a process of its own."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from kafkaman_sync.replay.opening import open_source
from kafkaman_sync.replay.source import choose_log
from kafkaman_sync.replay.state import State
from scripts.benchmark.figures import Figure, absolute_figure, ratio_figure
from scripts.benchmark.processes import ROOT, environment

NEAR_EVENTS: Final = 100
"""How far from its end a place in the log is still near it."""

SHORT: Final = 100
"""A short log is so many times shorter than the long one."""

_DATABASE: Final = "kafkaman.db"
_KAFKAMAN: Final = "from kafkaman_sync.cli.main import main; main()"
_SCAN: Final = "SELECT seq, entity, body FROM events WHERE workspace = 1 ORDER BY seq"


@dataclass(frozen=True, slots=True)
class Ran:
    """A process that has ended: how long it took, its memory at most, and what it said."""

    seconds: float
    rss_bytes: int
    said: bytes


@dataclass
class Samples:
    """What was measured, in the order of the rounds; seconds, unless said otherwise."""

    scan: list[float] = field(default_factory=list)
    beginning: list[float] = field(default_factory=list)
    middle: list[float] = field(default_factory=list)
    near: list[float] = field(default_factory=list)
    one: list[float] = field(default_factory=list)
    state_beginning: list[float] = field(default_factory=list)
    state_near: list[float] = field(default_factory=list)
    last: list[float] = field(default_factory=list)
    last_short: list[float] = field(default_factory=list)
    rss_bytes: int = 0


async def measure_replay(folder: Path, *, events: int, entities: int, rounds: int) -> list[Figure]:
    """Look back in a long log: `replay at` and `replay log --last`."""
    long, short = folder / "long", folder / "short"
    for path, size in ((long, 1), (short, SHORT)):
        path.mkdir()
        written = (str(events // size), str(max(entities // size, 200)))
        _run("scripts.benchmark.long_log", str(path / _DATABASE), *written)
    found = Samples()
    for _ in range(rounds):
        _take_round(found, long, short, events)
    return _figures(found, events)


def _take_round(found: Samples, long: Path, short: Path, events: int) -> None:
    near = str(events - NEAR_EVENTS)
    found.scan.append(_inside("scan", long))
    for samples, arguments in (
        (found.beginning, ("at", str(long), str(events), "--from-log")),
        (found.middle, ("at", str(long), str(events // 2))),
        (found.near, ("at", str(long), near)),
        (found.one, ("at", str(long), near, _entity(long))),
        (found.last, ("log", str(long), "--last", "100")),
        (found.last_short, ("log", str(short), "--last", "100")),
    ):
        ran = _run_code(_KAFKAMAN, "replay", *arguments)
        samples.append(ran.seconds)
        found.rss_bytes = max(found.rss_bytes, ran.rss_bytes)
    found.state_near.append(_inside("state", long, near))
    found.state_beginning.append(_inside("state", long, near, "from-log"))


def _figures(found: Samples, events: int) -> list[Figure]:
    scanned = [events / seconds for seconds in found.scan]
    return [
        ratio_figure(
            "replay at, read back to the beginning",
            ours=[events / seconds for seconds in found.beginning],
            baseline=scanned,
            limit=0.25,
            at_least=True,
            unit="events/s",
        ),
        ratio_figure(
            "replay at, in the middle of the log",
            ours=[events / 2 / seconds for seconds in found.middle],
            baseline=scanned,
            limit=0.25,
            at_least=True,
            unit="events/s",
        ),
        ratio_figure(
            f"state {NEAR_EVENTS:,} events before the end, against read back",
            ours=_milliseconds(found.state_near),
            baseline=_milliseconds(found.state_beginning),
            limit=0.05,
            at_least=False,
            unit="ms",
            notes={
                "the whole command, ms": min(_milliseconds(found.near)),
                "for one entity, ms": min(_milliseconds(found.one)),
            },
        ),
        ratio_figure(
            f"replay log --last 100, against a log {SHORT} times shorter",
            ours=_milliseconds(found.last),
            baseline=_milliseconds(found.last_short),
            limit=1.3,
            at_least=False,
            unit="ms",
        ),
        absolute_figure(
            "replay at and log, memory", found.rss_bytes / 2**20, limit=200.0, unit="MiB"
        ),
    ]


def _milliseconds(seconds: list[float]) -> list[float]:
    return [1000 * each for each in seconds]


def _entity(path: Path) -> str:
    """Return an entity that was written shortly before the end."""
    with closing(sqlite3.connect(path / _DATABASE)) as database:
        (entity,) = database.execute(
            "SELECT id FROM entities ORDER BY version DESC LIMIT 1"
        ).fetchone()
    return str(entity)


def _inside(what: str, path: Path, *arguments: str) -> float:
    """Return the seconds that something took inside a process of its own, without its start."""
    ran = _run("scripts.benchmark.replaying", what, str(path), *arguments)
    return float(json.loads(ran.said))


def _run(module: str, *arguments: str) -> Ran:
    return _ended(["-m", module, *arguments])


def _run_code(code: str, *arguments: str) -> Ran:
    return _ended(["-c", code, *arguments])


def _ended(arguments: list[str]) -> Ran:
    """Run Python to its end; RuntimeError when that is a failure."""
    began = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, *arguments], cwd=ROOT, env=environment(), stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        said = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - began
    if process.returncode:
        raise RuntimeError(f"{' '.join(arguments)} ended with {process.returncode}.")
    return Ran(seconds, usage.ru_maxrss * 1024, said)


@contextmanager
def _timed() -> Iterator[None]:
    began = time.perf_counter()
    yield
    print(json.dumps(time.perf_counter() - began))


def main() -> None:
    """Take one measure inside this process: `scan PATH`, or `state PATH SEQ [from-log]`."""
    what, path, *arguments = sys.argv[1:]
    if what == "scan":
        with closing(sqlite3.connect(Path(path) / _DATABASE)) as database, _timed():
            for _ in database.execute(_SCAN):
                pass
        return
    with _timed(), open_source(path) as source:
        log = choose_log(source, None)
        for _ in State(source, log, int(arguments[0]), from_log=len(arguments) > 1).rows():
            pass


if __name__ == "__main__":
    main()
