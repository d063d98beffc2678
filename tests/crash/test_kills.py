"""kill -9 of daemons and server in the middle of work: nothing acknowledged lost, nothing twice.

`scripts/crash` runs more of the same.
"""

from __future__ import annotations

import pytest

from tests.crash.cycles import open_cycles

CYCLES_PER_SET = 25


@pytest.mark.timeout(0)  # each cycle has a limit of its own
@pytest.mark.parametrize("seed", range(1, 5))
async def test_whatever_is_killed_when_all_that_was_acknowledged_is_there_once(
    seed: int, effort: float
) -> None:
    cycles = max(1, round(CYCLES_PER_SET * effort))
    async with open_cycles(seed) as crashing:
        for _ in range(cycles):
            await crashing.run()
        await crashing.end()
    assert crashing.number == cycles
    assert crashing.kills.total() >= cycles
    assert crashing.acknowledged > cycles
