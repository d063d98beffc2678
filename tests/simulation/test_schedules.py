"""Ten thousand schedules of faults, after each of which every promise must hold.

See docs/simulation.md. A failure prints its seed and the shortest trace that still fails.
"""

from __future__ import annotations

from typing import Final

import pytest

from tests.simulation.schedule import Simulator, require

# Together with those of test_ledger.py: 10,000.
SCHEDULES: Final = 8_500
PARTS: Final = 34


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.timeout(1200)
def test_nothing_is_lost_whatever_fails(simulator: Simulator, part: int, effort: float) -> None:
    size = max(1, round(SCHEDULES / PARTS * effort))
    for seed in range(part * size, (part + 1) * size):
        require(simulator, seed)
