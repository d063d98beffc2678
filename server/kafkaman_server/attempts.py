"""How often somebody may try to sign in: token buckets, in memory and bounded."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

# The least recently tried are forgotten first, and have all their attempts again then.
_BUCKETS_MAX: Final = 10_000


class Attempts:
    """Allows each key `per_minute` attempts a minute, and as many at once."""

    def __init__(self, per_minute: int, *, monotonic: Callable[[], float]) -> None:
        self._capacity = float(per_minute)
        self._rate = per_minute / 60
        self._monotonic = monotonic
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str) -> float:
        """Count an attempt; return 0 if it is allowed, else the seconds until the next one is."""
        left = self._left(key)
        if left < 1:
            return (1 - left) / self._rate
        self._keep(key, left - 1)
        return 0.0

    def give_back(self, key: str) -> None:
        """Take back an attempt: it was a success."""
        self._keep(key, min(self._capacity, self._left(key) + 1))

    def _left(self, key: str) -> float:
        left, at = self._buckets.get(key, (self._capacity, 0.0))
        return min(self._capacity, left + (self._monotonic() - at) * self._rate)

    def _keep(self, key: str, left: float) -> None:
        self._buckets[key] = (left, self._monotonic())
        self._buckets.move_to_end(key)
        if len(self._buckets) > _BUCKETS_MAX:
            self._buckets.popitem(last=False)
