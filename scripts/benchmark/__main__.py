"""The command line of the benchmark; `scripts/bench --help` tells what it takes."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from scripts.benchmark.figures import Figure, show
from scripts.benchmark.measures import MEASURES, Scale
from scripts.benchmark.processes import end_left


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Measures a real server and real devices against a bare pipeline of websockets,"
        " msgpack and aiosqlite, side by side. Exit status 0: every target was reached; 1: one was"
        " not; 130: it was stopped. docs/performance.md tells how to read it.",
    )
    parser.add_argument(
        "--only",
        metavar="A,B",
        default=",".join(MEASURES),
        help=f"measure only some of: {', '.join(MEASURES)}",
    )
    parser.add_argument(
        "--rounds", type=int, help=f"rounds of each measure ({Scale().rounds}, or 1 if quick)"
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="one round of a fifth of everything: a hint while working, not a figure",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument(
        "--folder", type=Path, help="a folder on the disk to measure on (the temporary one)"
    )
    options = parser.parse_args(arguments)
    options.only = [name for name in options.only.split(",") if name]
    unknown = set(options.only) - set(MEASURES)
    if unknown or not options.only or (options.rounds is not None and options.rounds < 1):
        parser.error(f"--only takes {', '.join(MEASURES)}; --rounds at least 1")
    return options


async def run(options: argparse.Namespace, folder: Path, console: Console) -> list[Figure]:
    """Take the measures that were asked for, one after the other."""
    task = asyncio.current_task()
    assert task is not None
    # Ended either way, it ends what it has started first.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    scale = Scale.quick() if options.quick else Scale()
    if options.rounds is not None:
        scale = replace(scale, rounds=options.rounds)
    figures: list[Figure] = []
    console.print(f"load average before: {os.getloadavg()[0]:.1f}", style="dim")
    for name in options.only:
        began = time.monotonic()
        console.print(f"measuring {name} ...", style="dim", end="")
        with tempfile.TemporaryDirectory(dir=folder) as own:
            figures += await MEASURES[name](Path(own), scale)
        console.print(f" {time.monotonic() - began:.0f} s", style="dim")
    return figures


def main() -> int:
    """Measure, show, and return the exit status."""
    options = parse(sys.argv[1:])
    console = Console(highlight=False)
    with tempfile.TemporaryDirectory(prefix="kafkaman-bench-", dir=options.folder) as folder:
        try:
            figures = asyncio.run(run(options, Path(folder), console))
        except (KeyboardInterrupt, asyncio.CancelledError):
            console.print(" stopped", style="dim")
            return 130
        finally:
            end_left()
    show(figures, console)
    reached = all(figure.reached for figure in figures)
    if options.json is not None:
        report = {"reached": reached, "figures": [figure.as_dict() for figure in figures]}
        options.json.write_text(json.dumps(report, indent=2) + "\n")
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
