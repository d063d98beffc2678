"""What the schedules reach: each row of the state table, and each fault in each state."""

from __future__ import annotations

from typing import Final

import pytest

from tests.simulation.schedule import Simulator, missing, require

SCHEDULES_MAX: Final = 2500
_FIRST: Final = 200_000


@pytest.mark.timeout(1200)
def test_every_row_of_the_table_and_every_fault_in_every_state_is_reached(
    simulator: Simulator,
) -> None:
    for seed in range(_FIRST, _FIRST + SCHEDULES_MAX):
        require(simulator, seed)
        if not missing(simulator.ledger):
            return
    assert missing(simulator.ledger) == []
