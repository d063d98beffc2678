"""Child processes that take commands and give answers as JSON lines, and how their ends talk.

Times that cross between processes are time.monotonic(), one clock for the whole machine.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import psutil

ROOT: Final = Path(__file__).resolve().parents[2]

_LINE_BYTES_MAX: Final = 2**24
_END_SECONDS_MAX: Final = 10.0
_ANSWER_SECONDS_MAX: Final = 300.0


def environment(**settings: str) -> dict[str, str]:
    """Return the variables of a child: this process's, the checkout importable, and `settings`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KAFKAMAN_")}
    paths = [str(ROOT), str(ROOT / "server")]
    return {**kept, "PYTHONPATH": os.pathsep.join(paths), **settings}


class Child:
    """A process of the benchmark's own, made by `Child.start`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.pid = process.pid

    @classmethod
    @asynccontextmanager
    async def start(cls, module: str, *arguments: str) -> AsyncIterator[Child]:
        """Run a Python module; end it when the block ends."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            module,
            *arguments,
            cwd=ROOT,
            env=environment(),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_LINE_BYTES_MAX,
            # Ctrl-C is for the benchmark, which then ends this one.
            start_new_session=True,
        )
        try:
            yield cls(process)
        finally:
            await end(process)

    async def ask(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """Give a command and return its answer."""
        self.tell(command)
        return await self.hear()

    def tell(self, command: Mapping[str, Any]) -> None:
        """Give a command whose answer is heard later."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")

    async def hear(self) -> dict[str, Any]:
        """Return the next answer."""
        assert self._process.stdout is not None
        async with asyncio.timeout(_ANSWER_SECONDS_MAX):
            line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError("A process of the benchmark ended; see what it wrote above.")
        heard: dict[str, Any] = json.loads(line)
        return heard


async def end(process: asyncio.subprocess.Process) -> None:
    """End a process: by the end of its input if it reads one, else by signals."""
    steps = [process.terminate, process.kill]
    if process.stdin is not None:
        steps.insert(0, process.stdin.close)
    for step in steps:
        if process.returncode is not None:
            return
        step()
        with suppress(TimeoutError):
            async with asyncio.timeout(_END_SECONDS_MAX):
                await process.wait()


def end_left() -> None:
    """End what is left of this process's children: daemons whose start was interrupted."""
    left = psutil.Process().children(recursive=True)
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    for process in psutil.wait_procs(left, _END_SECONDS_MAX)[1]:
        with suppress(psutil.NoSuchProcess):
            process.kill()


async def commands() -> AsyncIterator[dict[str, Any]]:
    """In a child: yield the commands until there are no more."""
    while line := await asyncio.to_thread(sys.stdin.readline):
        yield json.loads(line)


def answer(facts: Mapping[str, Any]) -> None:
    """In a child: give one answer."""
    print(json.dumps(facts), flush=True)
