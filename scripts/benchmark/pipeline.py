"""A bare pipeline as a whole: its four processes, and what is measured on them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

from scripts.benchmark.figures import latencies
from scripts.benchmark.processes import Child
from scripts.benchmark.records import BATCH

_MODULE: Final = "scripts.benchmark.bare"


class Pipeline:
    """A running bare pipeline; made by `Pipeline.start`."""

    def __init__(self, sender: Child, receiver: Child, restorer: Child) -> None:
        self._sender = sender
        self._receiver = receiver
        self._restorer = restorer
        self._created = 0
        self._revision = 0
        self._restored = 0

    @classmethod
    @asynccontextmanager
    async def start(cls, folder: Path, *, size: int = 1) -> AsyncIterator[Pipeline]:
        """Start the processes, which put `size` records into a message; end them with the block.

        Their databases are in `folder`, which is made.
        """
        folder.mkdir()
        arguments = (str(folder), str(size))
        async with AsyncExitStack() as stack:
            server = await stack.enter_async_context(Child.start(_MODULE, "server", *arguments))
            url = f"ws://127.0.0.1:{(await server.hear())['port']}"
            children = [
                await stack.enter_async_context(Child.start(_MODULE, role, *arguments, url))
                for role in ("sender", "receiver", "restorer")
            ]
            for child in children:
                await child.hear()
            yield cls(*children)

    async def fill(self, count: int) -> None:
        """Create records."""
        await self._write("creations", count, at_once=BATCH, pause=0)
        self._created += count

    async def burst(self, count: int) -> float:
        """Write records, half of them new, as fast as it goes; return records per second."""
        calls, arrivals = await self._write("mixture", count, at_once=BATCH, pause=0)
        self._created += count - count // 2
        return count / (arrivals[-1][0] - calls[0])

    async def live(self, count: int, *, rate: float) -> list[float]:
        """Write one record after the other, `rate` a second; return each one's latency."""
        calls, arrivals = await self._write("mixture", count, at_once=1, pause=1 / rate)
        self._created += count - count // 2
        return latencies(calls, arrivals)

    async def restore(self) -> float:
        """Fetch all records into an empty database; return records per second."""
        self._restored += 1
        facts = await self._restorer.ask({"file": f"restored-{self._restored}.db"})
        assert facts["count"] == self._created
        return float(facts["count"] / facts["seconds"])

    async def _write(
        self, kind: str, count: int, *, at_once: int, pause: float
    ) -> tuple[list[float], list[tuple[float, int]]]:
        self._revision += 1
        records = {
            "kind": kind,
            "run": "bare",
            "first": self._created,
            "count": count,
            "revision": self._revision,
        }
        self._receiver.tell({"count": count})
        facts = await self._sender.ask({"records": records, "at_once": at_once, "pause": pause})
        return facts["calls"], (await self._receiver.hear())["arrivals"]
