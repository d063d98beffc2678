"""How long to wait before the next attempt: exponential, fully jittered, capped.

Full jitter (any moment up to the bound) keeps the devices of a server that comes back from all
knocking at once. Randomness is an argument.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kafkaman_sync.model.limits import RETRY_AFTER_SECONDS_MAX

FIRST_SECONDS_MAX: Final = 1.0
RETRY_SECONDS_MAX: Final = 60.0
# No draw may make a device knock in a tight loop.
RETRY_SECONDS_MIN: Final = 0.05
# A connection that stood this long was no accident: the next drop starts from the beginning.
STABLE_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Backoff:
    """How many attempts have failed in a row."""

    failures: int = 0

    def failed(self, chance: float, *, retry_after: float = 0.0) -> tuple[float, Backoff]:
        """Return the seconds to wait after one more failure, and the backoff from then on.

        `chance` lies in [0, 1). A server's `retry_after` wins when it is longer, up to ten minutes;
        the jitter is added to it, for others were told the same.
        """
        # 2**16 is beyond any cap; a larger exponent would only cost memory.
        bound = min(RETRY_SECONDS_MAX, FIRST_SECONDS_MAX * 2 ** min(self.failures, 16))
        jitter = max(RETRY_SECONDS_MIN, chance * bound)
        if retry_after > 0:
            asked = min(retry_after, float(RETRY_AFTER_SECONDS_MAX))
            jitter = asked + min(jitter, FIRST_SECONDS_MAX)
        return jitter, Backoff(self.failures + 1)

    def stood(self, seconds: float) -> Backoff:
        """Return the backoff after a connection that stood for `seconds`."""
        return Backoff() if seconds >= STABLE_SECONDS else self
