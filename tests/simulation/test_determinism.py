"""The same seed gives the same run: twice in one process, and in another one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Final

import pytest

from tests.simulation.schedule import Simulator

SEEDS: Final = 300
PARTS: Final = 4
_FIRST: Final = 50_000


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.timeout(600)
def test_the_same_seed_gives_the_same_trace_twice(simulator: Simulator, part: int) -> None:
    size = SEEDS // PARTS
    for seed in range(_FIRST + part * size, _FIRST + (part + 1) * size):
        failure = simulator.run(seed)
        once = simulator.trace_hash, failure
        stirred = stir(Random(seed))
        failure = simulator.run(seed)
        del stirred
        assert (simulator.trace_hash, failure) == once, f"seed {seed} gives two different runs"


def stir(chance: Random) -> list[object]:
    """Let objects lie elsewhere in memory than in the run before, as long as this is kept.

    What goes through a set of objects in the order of their addresses is found by that.
    """
    made: list[object] = [bytes(size) for size in range(0, 512, 16) for _ in range(200)]
    made += [[] for _ in range(1000)] + [{} for _ in range(1000)]
    chance.shuffle(made)
    return made[::2]


@pytest.mark.timeout(600)
def test_another_process_gives_the_same_traces(root: Path) -> None:
    def hashes(hash_seed: str) -> str:
        finished = subprocess.run(
            [sys.executable, "-m", "tests.simulation", "--hashes", "--schedules", "20"],
            cwd=root,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join([str(root), str(root / "server")]),
                "PYTHONHASHSEED": hash_seed,
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert finished.stderr == ""
        return finished.stdout.split("20 schedules")[0]

    assert hashes("1") == hashes("2")
