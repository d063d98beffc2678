"""A schedule: a faulty phase of steps that a seed chooses, a quiet phase, and a judgement.

Each step has a source of chance of its own, so a trace from which steps are left out goes on much
as before; that is how a failure is made small.
"""

from __future__ import annotations

import gc
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Final

from kafkaman_sync.engine.rush import RUSH_CHANGES_MIN
from kafkaman_sync.model.limits import MESSAGE_BYTES_TARGET
from tests.simulation.disk import Pool
from tests.simulation.loop import SimulationError
from tests.simulation.quiet import judge, settle
from tests.simulation.stage import Stage
from tests.simulation.steps import FAULTS, take_step
from tests.simulation.world import Beginning, Ledger, Traits, World

STEPS_DEFAULT: Final = 200
_COLLECT_EVERY: Final = 25

# The codes that faults of this kind explain; any other means a fault of ours.
EXPLAINED: Final = frozenset(
    {
        "starting", "connecting", "signed_out", "sync.catching_up", "sync.pending",
        "sync.receiving", "sync.equal", "sync.reloading", "device.registered", "network.slow",
        "network.unreachable", "network.dropped", "network.silent", "server.stopping",
        "server.failed", "server.busy", "link.offline", "link.broken", "link.timeout",
        "store.full", "store.io", "store.readonly", "store.locked",
        "device.unknown", "device.revoked", "device.replaced", "lease.stale", "device.reused",
        "account.leaving",
        "account.signed_in", "account.signed_out", "sync.off", "auth.failed",
        "auth.replace_unknown", "auth.device_limit", "workspace.unknown", "seal.failed",
        "entity.not_found", "entity.deleted", "parent.kind", "parent.not_found", "move.cycle",
        "conflict.not_found", "conflict.entity_gone",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Failure:
    """A schedule that went wrong: which one, how, and what led there."""

    seed: int
    steps: tuple[int, ...]
    problems: tuple[str, ...]
    trace: tuple[str, ...]

    @property
    def kinds(self) -> set[str]:
        """What is wrong, without saying with what."""
        plain = (re.sub(r"<\d+>|\b[0-9a-f]{6}\b|\d+", "", each) for each in self.problems)
        return {each.split(":")[0] for each in plain}

    def render(self) -> str:
        """Say it for people."""
        kept = ",".join(map(str, self.steps))
        return "\n".join(
            [
                f"seed {self.seed}: {len(self.problems)} problems",
                *(f"  {problem}" for problem in self.problems[:20]),
                f"trace of {len(self.steps)} steps:",
                *(f"  {line}" for line in self.trace),
                f"again: scripts/simulate --seed {self.seed} --only {kept}",
            ]
        )


class Simulator:
    """Runs schedules one after the other, in one folder."""

    def __init__(self, folder: Path) -> None:
        self.ledger = Ledger()
        self.schedules = 0
        self.trace_hash = ""
        self.trace: list[str] = []
        self._folder = folder
        self._pool = Pool()
        self._beginnings: dict[int, Beginning] = {}

    def run(
        self, seed: int, *, steps: int | Sequence[int] = STEPS_DEFAULT, keep_trace: bool = False
    ) -> Failure | None:
        """Run one schedule; `steps` is how many, or which ones. Return how it failed, if it did.

        With `keep_trace` the trace can be read afterwards.
        """
        numbers = range(steps) if isinstance(steps, int) else steps
        with self.stage(seed, traits_of(seed), keep_trace=keep_trace) as stage:
            problems = self._play(stage, numbers)
        self.schedules += 1
        if self.schedules % _COLLECT_EVERY == 0:
            gc.collect()
        self.trace_hash, self.trace = stage.world.trace_hash, stage.trace
        if not problems:
            return None
        return Failure(seed, tuple(numbers), tuple(problems), tuple(stage.trace))

    @contextmanager
    def stage(
        self,
        seed: int,
        traits: Traits,
        *,
        beginning: Beginning | None = None,
        keep_trace: bool = False,
    ) -> Iterator[Stage]:
        """Set up a world in which everybody has signed in, with all machines running."""
        beginning = beginning or self._beginning(traits.devices)
        world = World(self._folder, self._pool, seed, traits, self.ledger)
        with world.loop.running():
            world.begin(beginning)
            stage = Stage(world, keep_trace=keep_trace)
            try:
                stage.open()
                yield stage
            finally:
                world.close()

    def _play(self, stage: Stage, numbers: Sequence[int]) -> list[str]:
        world = stage.world
        try:
            for number in numbers:
                take_step(stage, number)
            settle(stage)
            problems = judge(stage)
        except SimulationError as error:
            problems = [str(error)]
        strange = sorted(world.codes.keys() - EXPLAINED)
        return [*problems, *(f"somebody was told {code}" for code in strange), *world.loop.faults]

    def _beginning(self, devices: int) -> Beginning:
        if devices not in self._beginnings:
            traits = Traits(devices)
            world = World(self._folder, self._pool, 0, traits, Ledger())
            with world.loop.running():
                self._beginnings[devices] = world.prepare()
                world.close()
        return self._beginnings[devices]

    def minimise(self, failure: Failure) -> Failure:
        """Leave out as many steps as can be while it still fails."""
        best = failure
        size = max(1, len(best.steps) // 2)
        while True:
            start = 0
            while start < len(best.steps):
                fewer = best.steps[:start] + best.steps[start + size :]
                smaller = self.run(failure.seed, steps=fewer)
                if smaller is None or not smaller.kinds & failure.kinds:
                    start += size
                else:
                    best = smaller
            if size == 1:
                break
            size //= 2
        return self.run(failure.seed, steps=best.steps, keep_trace=True) or best


def traits_of(seed: int) -> Traits:
    """Return the world that a seed asks for: mostly two or three devices."""
    chance = Random(seed)
    devices = chance.choices((2, 3, 4, 5, 6, 7, 8), (50, 34, 9, 3, 2, 1, 1))[0]
    return Traits(
        devices=devices,
        replay_events_max=chance.choice((2, 4, 1000)),
        message_bytes=chance.choice((300, 900, MESSAGE_BYTES_TARGET)),
        rush_changes_min=chance.choice((1, 3, RUSH_CHANGES_MIN)),
    )


def missing(ledger: Ledger) -> list[str]:
    """Name the rows of the state table, and the faults in states, that were never reached."""
    return ledger.missing(FAULTS)


def require(simulator: Simulator, seed: int) -> None:
    """Fail, with the shortest trace that there is, if this schedule fails."""
    failure = simulator.run(seed)
    if failure is not None:
        raise AssertionError(simulator.minimise(failure).render())


@contextmanager
def simulation_folder() -> Iterator[Path]:
    """Make a folder for the files beside databases; no disk need be slowed by them.

    Inside the block, garbage is collected when a schedule ends and not in its middle.
    """
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        gc.collect()
        gc.freeze()
        gc.disable()
        try:
            yield Path(folder)
        finally:
            gc.enable()
            gc.unfreeze()
