"""What the schedules reach: each row of the state table, and each fault in each state."""

from __future__ import annotations

from typing import Final

import pytest

from tests.simulation.schedule import Simulator, missing, require

# Together with those of test_schedules.py: 10,000.
SCHEDULES: Final = 1_500
# The rarest pairs may take longer.
SCHEDULES_MAX: Final = 5_000
_FIRST: Final = 200_000


@pytest.mark.timeout(1200)
def test_every_row_of_the_table_and_every_fault_in_every_state_is_reached(
    simulator: Simulator,
) -> None:
    for seed in range(_FIRST, _FIRST + SCHEDULES_MAX):
        require(simulator, seed)
        if simulator.schedules >= SCHEDULES and not missing(simulator.ledger):
            break
    assert missing(simulator.ledger) == []
