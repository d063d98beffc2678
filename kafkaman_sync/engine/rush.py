"""What the server has accepted of a rush of edits, and how long the store can leave it unsettled.

While somebody writes thousands of changes, the other devices wait for them, and nobody for the word
that they have arrived: taking them out of the outbox would hold up the edits that follow. So the
acceptances wait until the edits pause. Nothing is lost with them: whatever was not settled when a
connection ended comes again with the next one's catch-up.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from math import inf
from typing import Final

from kafkaman_sync.model.limits import HELD_BYTES_MAX, HELD_CHANGES_MAX, PUSH_CHANGES_MAX
from kafkaman_sync.protocol.messages import Events

# Below this many unsettled changes settling takes no time that anybody would notice.
RUSH_CHANGES_MIN: Final = PUSH_CHANGES_MAX
# Edits further apart than this are no rush: it has ended, or never was one.
PAUSE_SECONDS: Final = 0.25
# However long a rush is, who looks at what is pending sees it no older than this.
HELD_SECONDS_MAX: Final = 4.0
# One transaction settles so many, for the edits that wait meanwhile.
SETTLED_AT_ONCE: Final = 2 * PUSH_CHANGES_MAX


@dataclass(frozen=True, slots=True)
class _Held:
    """Acceptances of changes of so many bytes, and the time of the last edit before they came."""

    events: Events
    size: int
    since: float

    @property
    def changes(self) -> int:
        return len(self.events.items)


class Rush:
    """Holds acceptances, in order, while edits come in a rush; times are seconds of one clock."""

    def __init__(self) -> None:
        self._held: deque[_Held] = deque()
        self._changes = 0
        self._bytes = 0
        self._last_edit = -inf
        self._close = False

    def __len__(self) -> int:
        """Return the number of changes that are held."""
        return self._changes

    def edited(self, pending: int, now: float) -> None:
        """Note an edit, with which the outbox holds `pending` changes."""
        self._close = pending >= RUSH_CHANGES_MIN and now - self._last_edit < PAUSE_SECONDS
        self._last_edit = now

    @property
    def lasts(self) -> bool:
        """Whether the last edit was part of a rush."""
        return self._close

    @property
    def due(self) -> float | None:
        """When the first of what is held must be settled; None while nothing is held."""
        if not self._held:
            return None
        full = self._changes > HELD_CHANGES_MAX or self._bytes > HELD_BYTES_MAX
        if full or not self._close:
            return -inf
        return min(self._last_edit + PAUSE_SECONDS, self._held[0].since + HELD_SECONDS_MAX)

    def hold(self, events: Events, size: int) -> None:
        """Hold acceptances of changes that are `size` bytes in the outbox."""
        self._held.append(_Held(events, size, self._last_edit))
        self._changes += len(events.items)
        self._bytes += size

    def take(self) -> tuple[Events, ...]:
        """Let go of the first ones, as many as one transaction settles, at least one."""
        taken: list[Events] = []
        count = 0
        while self._held and (not taken or count + self._held[0].changes <= SETTLED_AT_ONCE):
            held = self._held.popleft()
            taken.append(held.events)
            count += held.changes
            self._bytes -= held.size
        self._changes -= count
        return tuple(taken)
