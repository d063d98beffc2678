"""A server and devices of one account, wired up: everything is real but what nature gives."""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from kafkaman_server.storage.schema import MIGRATIONS as SERVER_MIGRATIONS
from kafkaman_sync.engine.rush import RUSH_CHANGES_MIN
from kafkaman_sync.engine.states import TABLE, Input, State
from kafkaman_sync.errors import KafkamanError
from kafkaman_sync.model.limits import MESSAGE_BYTES_TARGET
from kafkaman_sync.store.schema import MIGRATIONS as DEVICE_MIGRATIONS
from tests.simulation.disk import Content, Pool
from tests.simulation.loop import SimulationError, VirtualLoop
from tests.simulation.machines import Device, Machine, Server
from tests.simulation.nature import set_message_size, set_rush
from tests.simulation.wires import Wire

_ROUNDS_MAX: Final = 5000


@dataclass(frozen=True, slots=True)
class Traits:
    """What differs between worlds: sizes that make rare paths common."""

    devices: int = 2
    replay_events_max: int = 4
    message_bytes: int = MESSAGE_BYTES_TARGET
    rush_changes_min: int = RUSH_CHANGES_MIN


@dataclass(frozen=True, slots=True)
class Beginning:
    """Disks on which everybody has signed in and nothing else has happened but a few edits."""

    server: Content
    devices: tuple[tuple[str, Content], ...]
    workspace: str


@dataclass(slots=True)
class Ledger:
    """What was reached: rows of the state table, and faults by the state they met."""

    rows: Counter[tuple[State, Input]] = field(default_factory=Counter)
    faults: Counter[tuple[str, State]] = field(default_factory=Counter)

    def missing(self, faults: tuple[str, ...]) -> list[str]:
        """Name what was never reached."""
        rows = [f"{state} x {happened}" for state, happened in TABLE.keys() - self.rows.keys()]
        pairs = {(fault, state) for fault in faults for state in State}
        return sorted(rows + [f"{fault} in {state}" for fault, state in pairs - self.faults.keys()])


class World:
    """Machines, connections between them, and time."""

    def __init__(self, folder: Path, pool: Pool, seed: int, traits: Traits, ledger: Ledger) -> None:
        self.folder = folder
        self.pool = pool
        self.seed = seed
        self.traits = traits
        self.ledger = ledger
        self.loop = VirtualLoop()
        self.wires: list[Wire] = []
        self.codes: Counter[str] = Counter()
        """What people were told, and why devices went OFFLINE or into ERROR."""
        self.workspace = ""
        self._hash = hashlib.blake2b(digest_size=16)
        self.server = Server(self)
        self.devices = [Device(self, number) for number in range(traits.devices)]
        shutil.rmtree(folder, ignore_errors=True)
        self.server.folder.mkdir(parents=True)
        for device in self.devices:
            _make_home(device)
        set_message_size(traits.message_bytes)
        set_rush(traits.rush_changes_min)

    @property
    def machines(self) -> list[Machine]:
        return [self.server, *self.devices]

    def add_device(self) -> Device:
        """Return a machine with nothing on it."""
        device = Device(self, len(self.devices))
        self.devices.append(device)
        _make_home(device)
        return device

    @property
    def trace_hash(self) -> str:
        return self._hash.hexdigest()

    # Notes

    def note(self, text: str) -> None:
        """Put something into the trace's hash."""
        self._hash.update(text.encode())

    def note_frame(self, frame: bytes) -> None:
        self._hash.update(frame)

    def told(self, device: Device, error: KafkamanError) -> None:
        self.codes[error.code] += 1
        self.note(f"{device.name} {error.code}")

    def struck(self, machine: Machine, fault: str) -> None:
        """Note that a fault took effect: for a device in its state, for the server in each one."""
        met = self.devices if machine is self.server else [machine]
        whose = "server" if machine is self.server else "device"
        for device in met:
            if isinstance(device, Device):
                self.ledger.faults[f"{whose} {fault}", device.state] += 1

    def meet(self, fault: str, device: Device) -> None:
        """Note that a fault met a device."""
        self.ledger.faults[fault, device.state] += 1

    # Going on

    def turn(self, machine: Machine, most: int) -> int:
        """Run up to `most` callbacks of a machine's process."""
        count = self.loop.turn(machine.lane, most)
        self._settle(machine)
        return count

    def rest(self, machine: Machine) -> int:
        """Run a machine's process until it waits for something from outside."""
        count = self.loop.exhaust(machine.lane)
        self._settle(machine)
        return count

    def _settle(self, machine: Machine) -> None:
        lane = machine.lane
        if not lane.alive and lane.tasks:
            machine.bury()

    def pump(self) -> None:
        """Let everything happen that needs no time to pass."""
        for _ in range(_ROUNDS_MAX):
            moved = 0
            for machine in self.machines:
                if machine.lane.ready:
                    moved += self.rest(machine)
            for wire in self.wires:
                if not wire.silent:
                    for pipe in wire.pipes:
                        if pipe.flying:
                            moved += 1
                            pipe.deliver(len(pipe.flying))
            if not moved:
                return
        raise SimulationError("The world never comes to rest.")

    def sweep(self) -> None:
        """Forget connections of which nothing is left."""
        self.wires = [wire for wire in self.wires if not wire.gone]

    def let_time_pass(self) -> bool:
        """Go on to the next moment at which something is due; False when nothing ever is."""
        timer = self.loop.next_timer()
        if timer is None:
            return False
        self.loop.advance(timer.when_)
        return True

    def do(self, machine: Machine, work: Coroutine[Any, Any, Any], seconds: float = 300.0) -> Any:
        """Do something on a machine while everything around it goes on; return its result."""
        task = machine.spawn(work)
        end = self.loop.now + seconds
        while True:
            self.pump()
            if task.done():
                return task.result()
            if not machine.running or self.loop.now > end or not self.let_time_pass():
                task.cancel()
                raise SimulationError(f"{machine.name} never finishes {work}")

    # Beginning and end

    def begin(self, beginning: Beginning) -> None:
        """Start from prepared disks; the server's process runs, the devices' do not."""
        self.workspace = beginning.workspace
        self.server.disk.open(self.server.path, SERVER_MIGRATIONS).load(beginning.server)
        for device, (name, content) in zip(self.devices, beginning.devices, strict=True):
            device.disk.open(device.home.accounts / name, DEVICE_MIGRATIONS).load(content)

    def prepare(self) -> Beginning:
        """Let everybody sign in, and return the disks."""
        file = self.server.disk.open(self.server.path, SERVER_MIGRATIONS)
        file.connection.execute("UPDATE server SET id = ?", ("5" * 32,))
        self.server.start()
        self.pump()
        for device in self.devices:
            device.start()
            self.pump()
            self.do(device, device.sign_in() if device.number else device.sign_up())
        store = self.devices[0].store()
        assert store is not None
        (workspace,) = self.do(self.devices[0], store.workspaces())
        self.workspace = workspace.id
        return self.freeze()

    def freeze(self) -> Beginning:
        """Stop everything in good order, and return the disks."""
        self.pump()
        for device in self.devices:
            assert device.state is State.IN_SYNC, device.state
            self.do_last(device, device.stop())
        self.do_last(self.server, self.server.stop())
        return Beginning(
            server=self.server.disk.files[self.server.path].dump(),
            devices=tuple(
                (path.name, device.disk.files[path].dump())
                for device in self.devices
                for path in device.databases()
            ),
            workspace=self.workspace,
        )

    def do_last(self, machine: Machine, work: Coroutine[Any, Any, Any]) -> None:
        """Do what ends a machine's process."""
        machine.spawn(work)
        self.pump()
        while machine.running:
            if not self.let_time_pass():
                raise SimulationError(f"{machine.name} does not stop")
            self.pump()

    def close(self) -> None:
        """End all processes; give everything back."""
        for machine in self.machines:
            machine.die()
            machine.disk.close()


def _make_home(device: Device) -> None:
    for folder in (device.folder, device.home.accounts, device.home.sealed):
        folder.mkdir(parents=True, exist_ok=True)
