"""What a connection has still to send: ordered, and bounded in bytes."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from kafkaman_server.calls import Proof


@dataclass(frozen=True, slots=True)
class Frame:
    """One message to send.

    `seq` is where the device is in `workspace` after it, `op` the last op that it answers. A frame
    that is `kept` answers a call; one of a `proof` can be made again from that, the others from
    the log.
    """

    data: bytes
    workspace: str = ""
    seq: int = 0
    op: int = 0
    kept: bool = False
    proof: Proof | None = None


class Outgoing:
    """The queue of one connection; one task takes from it."""

    def __init__(self) -> None:
        self._frames: deque[Frame] = deque()
        self._wake = asyncio.Event()
        self.size = 0
        """The bytes that wait."""

    def put(self, frame: Frame) -> None:
        """Add a message at the end."""
        self._frames.append(frame)
        self.size += len(frame.data)
        self._wake.set()

    def take(self) -> Frame | None:
        """Remove and return the first message, None if there is none."""
        if not self._frames:
            return None
        frame = self._frames.popleft()
        self.size -= len(frame.data)
        return frame

    def drop_stream(self) -> list[Proof]:
        """Forget all messages but the answers to calls; return the proofs among the forgotten."""
        proofs = [frame.proof for frame in self._frames if frame.proof is not None]
        self._frames = deque(frame for frame in self._frames if frame.kept)
        self.size = sum(len(frame.data) for frame in self._frames)
        return proofs

    def nudge(self) -> None:
        """Wake the taker without a message."""
        self._wake.set()

    async def wait(self) -> None:
        """Return when something was put, or the taker was nudged, since the last wait."""
        await self._wake.wait()
        self._wake.clear()
