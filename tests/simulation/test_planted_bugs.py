"""A simulation that finds nothing may be blind: each planted bug must be found, and soon."""

from __future__ import annotations

from typing import Final

import pytest

from tests.simulation.planted import BUGS, Bug
from tests.simulation.schedule import Simulator

SEEDS_MAX: Final = 600
_FIRST: Final = 100_000


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__)
@pytest.mark.timeout(600)
def test_a_planted_bug_is_found(simulator: Simulator, bug: Bug) -> None:
    simulator.run(_FIRST)  # the prepared disks come from sound code
    with bug():
        found = any(simulator.run(seed) for seed in range(_FIRST, _FIRST + SEEDS_MAX))
    assert found, f"{SEEDS_MAX} schedules have not found it"
