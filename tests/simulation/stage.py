"""A world with people in it, and what a schedule remembers of both."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final

from kafkaman_sync.store import Store
from tests.simulation.disk import Content
from tests.simulation.machines import Device
from tests.simulation.people import Writer
from tests.simulation.witness import Witness
from tests.simulation.world import World


@dataclass(frozen=True, slots=True)
class Held:
    """What somewhere is written down: tokens, entities that are there, entities deleted."""

    tokens: frozenset[bytes]
    there: frozenset[str]
    deleted: frozenset[str]

    def __or__(self, other: Held) -> Held:
        return Held(
            self.tokens | other.tokens, self.there | other.there, self.deleted | other.deleted
        )

    def __and__(self, other: Held) -> Held:
        return Held(
            self.tokens & other.tokens, self.there & other.there, self.deleted & other.deleted
        )

    def __sub__(self, other: Held) -> Held:
        return Held(
            self.tokens - other.tokens, self.there - other.there, self.deleted - other.deleted
        )


NOTHING: Final = Held(frozenset(), frozenset(), frozenset())


class Stage:
    """Where a schedule plays."""

    def __init__(self, world: World, *, keep_trace: bool = False) -> None:
        self.world = world
        self.witness = Witness()
        self.writer = Writer()
        self.trace: list[str] = []
        self.server_backup: Content | None = None
        self.device_backups: dict[str, dict[str, Content]] = {}
        # Devices that are to delete their account's data because their person signs out on them.
        self.leaving: set[str] = set()
        # What the server has ever decided and forgotten.
        self.forgotten = NOTHING
        self._keep_trace = keep_trace

    def open(self) -> None:
        """Start all machines."""
        self.world.server.start()
        for device in self.world.devices:
            device.start()

    def say(self, number: int, done: str) -> None:
        self.world.note(done)
        if self._keep_trace:
            states = " ".join(
                f"{device.state.value if device.running else 'down'}"
                for device in self.world.devices
            )
            self.trace.append(f"{number:4} {done}  [{states}]")

    def device(self, chance: Random, *, running: bool = True) -> Device | None:
        """Return some device that runs, or that does not."""
        fitting = [each for each in self.world.devices if each.running == running]
        return chance.choice(fitting) if fitting else None

    def worker(self, chance: Random) -> tuple[Device, Store] | None:
        """Return a device on which a person can work now."""
        device = self.device(chance)
        store = device.store() if device is not None and not device.busy else None
        return (device, store) if device is not None and store is not None else None
