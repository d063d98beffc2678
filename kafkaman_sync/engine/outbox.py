"""The window over the outbox: which changes are on their way, and how many more may follow."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from kafkaman_sync.model.limits import (
    PUSH_BYTES_MAX,
    PUSH_CHANGES_MAX,
    WINDOW_BYTES_MAX,
    WINDOW_CHANGES_MAX,
)
from kafkaman_sync.protocol.messages import Push

Encoded = tuple[int, bytes]
"""An op number and its change's encoded bytes."""


@dataclass(frozen=True, slots=True)
class Room:
    """What may be sent now: changes after op `after`, at most so many and so large.

    A single change larger than `bytes_max` may be sent when nothing else is on its way.
    """

    after: int
    changes_max: int
    bytes_max: int


class Window:
    """Accounts for the changes that were sent on one connection and have no verdict yet."""

    def __init__(self) -> None:
        self._sent: deque[tuple[int, int]] = deque()
        self._sent_bytes = 0
        self._sent_op = 0

    def __len__(self) -> int:
        return len(self._sent)

    def room(self) -> Room | None:
        """Return what may be sent now; None while the window is full."""
        changes = WINDOW_CHANGES_MAX - len(self._sent)
        size = WINDOW_BYTES_MAX - self._sent_bytes
        return Room(self._sent_op, changes, size) if changes > 0 and size > 0 else None

    def send(self, changes: Sequence[Encoded], *, confirmed_op: int) -> list[Push]:
        """Return the pushes of as many of `changes` as the window has room for, in order.

        `changes` are what the outbox holds after `room().after`. The rest is asked for again when
        verdicts have made room.
        """
        pushes: list[Push] = []
        batch: list[bytes] = []
        batch_bytes = 0
        for op, data in changes:
            if not self._fits(len(data)):
                break
            full = len(batch) == PUSH_CHANGES_MAX or batch_bytes + len(data) > PUSH_BYTES_MAX
            if batch and full:
                pushes.append(Push(tuple(batch), confirmed_op))
                batch, batch_bytes = [], 0
            batch.append(data)
            batch_bytes += len(data)
            self._add(op, len(data))
        if batch:
            pushes.append(Push(tuple(batch), confirmed_op))
        return pushes

    def awaits(self, op: int) -> bool:
        """Tell whether `op` lies among those that are on their way."""
        return bool(self._sent) and self._sent[0][0] <= op <= self._sent[-1][0]

    def answered(self, op: int) -> int:
        """Note that `op`, and every one sent before it, has its verdict; return their bytes."""
        before = self._sent_bytes
        while self._sent and self._sent[0][0] <= op:
            self._sent_bytes -= self._sent.popleft()[1]
        # What a resend took back may be answered all the same.
        self._sent_op = max(self._sent_op, op)
        return before - self._sent_bytes

    def resend(self, op: int) -> None:
        """Note that the server has forgotten `op` and what follows."""
        while self._sent and self._sent[-1][0] >= op:
            self._sent_bytes -= self._sent.pop()[1]
        self._sent_op = min(self._sent_op, op - 1)

    def _fits(self, size: int) -> bool:
        if not self._sent:
            return True
        few = len(self._sent) < WINDOW_CHANGES_MAX
        return few and self._sent_bytes + size <= WINDOW_BYTES_MAX

    def _add(self, op: int, size: int) -> None:
        self._sent.append((op, size))
        self._sent_bytes += size
        self._sent_op = op
