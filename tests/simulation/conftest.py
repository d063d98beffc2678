"""A simulator for each test that asks for one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.simulation.nature import simulated_nature
from tests.simulation.schedule import Simulator, simulation_folder


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with simulation_folder() as folder, simulated_nature():
        yield Simulator(folder)
