"""What the server has accepted of a rush of edits, and how long the store can leave it unsettled.

While somebody writes thousands of changes, the other devices wait for them, and nobody for the word
that they have arrived: taking them out of the outbox would hold up the edits that follow. So the
acceptances wait until the edits pause. Nothing is lost with them: what a crash takes comes again
with the next catch-up.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from math import inf
from typing import Final

from kafkaman_sync.model.limits import PUSH_CHANGES_MAX, WINDOW_BYTES_MAX
from kafkaman_sync.protocol.messages import Events

# Below this many unsettled changes settling takes no time that anybody would notice.
RUSH_CHANGES_MIN: Final = PUSH_CHANGES_MAX
# Edits further apart than this are no rush: it has ended, or never was one.
PAUSE_SECONDS: Final = 0.25
# However long a rush is, who looks at what is pending sees it no older than this.
HELD_SECONDS_MAX: Final = 4.0
# A large collection's worth of acceptances, which are small: each names the fields accepted.
HELD_CHANGES_MAX: Final = 32 * PUSH_CHANGES_MAX
HELD_NAMES_MAX: Final = 16 * HELD_CHANGES_MAX
# One transaction settles so many, for the edits that wait meanwhile, and so large ones, for memory.
SETTLED_AT_ONCE: Final = 2 * PUSH_CHANGES_MAX
SETTLED_BYTES_AT_ONCE: Final = WINDOW_BYTES_MAX


@dataclass(frozen=True, slots=True)
class _Waiting:
    """Acceptances of changes of so many bytes, and the time of the last edit before they came."""

    events: Events
    size: int
    names: int
    since: float

    @property
    def changes(self) -> int:
        return len(self.events.items)


class Rush:
    """Holds acceptances, in order, while edits come in a rush; times are seconds of one clock."""

    def __init__(self) -> None:
        self._held: deque[_Waiting] = deque()
        self._changes = 0
        self._names = 0
        self._last_edit = -inf
        self._close = False

    def __len__(self) -> int:
        """Return the number of changes that are held."""
        return self._changes

    def edited(self, pending: int, now: float) -> None:
        """Note an edit, with which the outbox holds `pending` changes."""
        self._close = pending >= RUSH_CHANGES_MIN and now - self._last_edit < PAUSE_SECONDS
        self._last_edit = now

    def lasts(self, now: float) -> bool:
        """Tell whether edits come in a rush now."""
        return self._close and now - self._last_edit < PAUSE_SECONDS

    @property
    def due(self) -> float | None:
        """When the first of what is held must be settled; None while nothing is held."""
        if not self._held:
            return None
        full = self._changes > HELD_CHANGES_MAX or self._names > HELD_NAMES_MAX
        if full or not self._close:
            return -inf
        return min(self._last_edit + PAUSE_SECONDS, self._held[0].since + HELD_SECONDS_MAX)

    def hold(self, events: Events, *, size: int, names: int) -> None:
        """Hold acceptances, of `names` fields, of changes that are `size` bytes in the outbox."""
        self._held.append(_Waiting(events, size, names, self._last_edit))
        self._changes += len(events.items)
        self._names += names

    def take(self) -> tuple[Events, ...]:
        """Let go of the first ones, as many as one transaction settles, at least one."""
        taken = [self._held.popleft()]
        changes, size = taken[0].changes, taken[0].size
        while self._held:
            changes += self._held[0].changes
            size += self._held[0].size
            if changes > SETTLED_AT_ONCE or size > SETTLED_BYTES_AT_ONCE:
                break
            taken.append(self._held.popleft())
        self._changes -= sum(each.changes for each in taken)
        self._names -= sum(each.names for each in taken)
        return tuple(each.events for each in taken)
