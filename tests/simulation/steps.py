"""The steps of a faulty phase: what may happen next, how often, and how it is done."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

from kafkaman_sync.engine.states import State
from kafkaman_sync.model.entities import ROOT
from tests.simulation import disasters
from tests.simulation.disk import FAULTS as DISK_FAULTS
from tests.simulation.machines import Device, Machine
from tests.simulation.stage import Stage
from tests.simulation.wires import Wire
from tests.simulation.witness import ATTEMPT, Attempt

# Faults whose every meeting with every state the ledger asks for.
FAULTS: Final = (
    "cut", "cut in a frame", "silence", "no network", "device killed", "server killed",
    "server stopped", "server restored", "clock jump", "sleep",
    *(f"{whose} {fault}" for whose in ("device", "server") for fault in DISK_FAULTS),
    "device crash before commit", "device crash after commit",
    "server crash before commit", "server crash after commit",
)  # fmt: skip
_TRIES: Final = 8


# Going on


def go_on(stage: Stage, chance: Random) -> str:
    """Let one process run for a while."""
    ready = [each for each in stage.world.machines if each.lane.ready and each.running]
    if not ready:
        return ""
    machine = chance.choice(ready)
    most = chance.choice((1, 4, 12, 40, 40))
    return f"{machine.name} runs {stage.world.turn(machine, most)}"


def deliver(stage: Stage, chance: Random) -> str:
    """Let some of what is on its way arrive."""
    flying = [
        (wire, pipe)
        for wire in stage.world.wires
        if not wire.silent
        for pipe in wire.pipes
        if pipe.flying
    ]
    if not flying:
        return ""
    wire, pipe = chance.choice(flying)
    if chance.random() < 0.1:
        pipe.deliver_part(chance)
        return f"part of a frame arrives, {wire.device} {'up' if pipe is wire.up else 'down'}"
    frames = min(chance.choice((1, 1, 2, 100)), len(pipe.flying))
    pipe.deliver(frames)
    return f"{frames} frames arrive, {wire.device} {'up' if pipe is wire.up else 'down'}"


def calm(stage: Stage, chance: Random) -> str:
    """Let one process and its connections come to rest."""
    device = stage.device(chance)
    if device is None:
        return ""
    world = stage.world
    for _ in range(3):
        for machine in (device, world.server):
            world.rest(machine)
        for wire in world.wires:
            if wire.device == device.name and not wire.silent:
                for pipe in wire.pipes:
                    pipe.deliver(len(pipe.flying))
    return f"{device.name} and the server come to rest"


def pass_time(stage: Stage, chance: Random) -> str:
    """Let time pass, mostly to the next moment at which something is due."""
    del chance
    before = stage.world.loop.now
    if not stage.world.let_time_pass():
        return ""
    return f"{stage.world.loop.now - before:.2f} s pass"


# People


def edit(stage: Stage, chance: Random) -> str:
    found = stage.worker(chance)
    if found is None:
        return ""
    device, store = found
    words = Random(chance.getrandbits(64))

    async def work() -> None:
        shown = await store.subtree(stage.world.workspace, ROOT, with_fields=True)
        edits = stage.writer.edits(shown, words)
        attempt = Attempt(stage.witness.attempt)
        ATTEMPT.set(attempt)
        result = await store.edit(stage.world.workspace, edits)
        if device.lane.alive:
            stage.witness.acknowledge(device.name, attempt)
            account = device.account
            if account is not None and account.store is store:
                account.sync.edited(result.ops)

    device.begin(work)
    return f"{device.name} edits"


def resolve(stage: Stage, chance: Random) -> str:
    found = stage.worker(chance)
    if found is None:
        return ""
    device, store = found
    mine = chance.random() < 0.5

    async def work() -> None:
        for record in (await store.conflicts())[:1]:
            attempt = Attempt(stage.witness.attempt)
            ATTEMPT.set(attempt)
            result = await store.resolve(record.id, mine=mine)
            if device.lane.alive:
                stage.witness.acknowledge(device.name, attempt)
                account = device.account
                if account is not None and account.store is store:
                    account.sync.edited(result.ops)
                    await account.sync.recount()

    device.begin(work)
    return f"{device.name} resolves a conflict, {'mine' if mine else 'theirs'}"


def retry(stage: Stage, chance: Random) -> str:
    device = stage.device(chance)
    if (
        device is None
        or device.busy
        or device.account is None
        or device.state in (State.IN_SYNC, State.SYNCING)
    ):
        return ""
    device.begin(device.signing.retry)
    return f"{device.name} retries"


def switch(stage: Stage, chance: Random) -> str:
    device = stage.device(chance)
    if device is None or not device.ready or device.busy:
        return ""
    on = not device.signing.memory.sync
    device.begin(lambda: device.signing.switch(on=on))
    return f"{device.name} switches sync {'on' if on else 'off'}"


# Connections


def _connected(stage: Stage, chance: Random) -> tuple[Device, Wire] | None:
    wires = [wire for wire in stage.world.wires if not wire.gone and not wire.silent]
    if not wires:
        return None
    wire = chance.choice(wires)
    device = next(each for each in stage.world.devices if each.name == wire.device)
    return device, wire


def cut(stage: Stage, chance: Random) -> str:
    found = _connected(stage, chance)
    if found is None:
        return ""
    device, wire = found
    fault = "cut in a frame" if wire.cut(chance) else "cut"
    stage.world.meet(fault, device)
    return f"{device.name}: {fault}"


def silence(stage: Stage, chance: Random) -> str:
    found = _connected(stage, chance)
    if found is None:
        return ""
    device, wire = found
    wire.fall_silent(True)
    stage.world.server.notice_silence(wire)
    stage.world.meet("silence", device)
    return f"{device.name}: its connection falls silent"


def heal(stage: Stage, chance: Random) -> str:
    """Let what was delayed come through after all."""
    silent = [wire for wire in stage.world.wires if wire.silent and not wire.gone]
    if not silent:
        return ""
    wire = chance.choice(silent)
    wire.fall_silent(False)
    return f"{wire.device}: its connection speaks again"


def network(stage: Stage, chance: Random) -> str:
    device = stage.device(chance)
    if device is None:
        return ""
    device.online = not device.online
    if not device.online:
        stage.world.meet("no network", device)
        for wire in stage.world.wires:
            if wire.device == device.name:
                wire.cut(chance)
    return f"{device.name} has {'a' if device.online else 'no'} network"


# Processes and disks


def kill_device(stage: Stage, chance: Random) -> str:
    device = stage.device(chance)
    if device is None:
        return ""
    stage.world.meet("device killed", device)
    device.die()
    return f"{device.name} is killed"


def stop_device(stage: Stage, chance: Random) -> str:
    device = stage.device(chance)
    if device is None or not device.ready or device.busy:
        return ""
    device.busy = True
    device.spawn(device.stop())
    return f"{device.name} stops"


def start_device(stage: Stage, chance: Random) -> str:
    device = stage.device(chance, running=False)
    if device is None:
        return ""
    device.start()
    return f"{device.name} starts"


def kill_server(stage: Stage, chance: Random) -> str:
    del chance
    server = stage.world.server
    if not server.running:
        return ""
    for device in stage.world.devices:
        stage.world.meet("server killed", device)
    server.die()
    return "the server is killed"


def stop_server(stage: Stage, chance: Random) -> str:
    del chance
    server = stage.world.server
    if not server.listening:
        return ""
    for device in stage.world.devices:
        stage.world.meet("server stopped", device)
    server.spawn(server.stop())
    return "the server stops"


def start_server(stage: Stage, chance: Random) -> str:
    del chance
    if stage.world.server.running:
        return ""
    stage.world.server.start()
    return "the server starts"


def _machine(stage: Stage, chance: Random) -> Machine:
    return chance.choice(stage.world.machines)


def plan_crash(stage: Stage, chance: Random) -> str:
    machine = _machine(stage, chance)
    if not machine.running or machine.disk.crash:
        return ""
    machine.disk.crash = chance.choice(("before", "after"))
    machine.disk.commits_until_crash = chance.choice((0, 0, 0, 1, 3))
    return f"{machine.name} will crash {machine.disk.crash} a commit"


def break_disk(stage: Stage, chance: Random) -> str:
    machine = _machine(stage, chance)
    if machine.disk.fault:
        return ""
    machine.disk.fault = chance.choice(tuple(DISK_FAULTS))
    return f"{machine.name}: its disk is {machine.disk.fault}"


def mend_disk(stage: Stage, chance: Random) -> str:
    broken = [each for each in stage.world.machines if each.disk.fault]
    if not broken:
        return ""
    machine = chance.choice(broken)
    machine.disk.fault = ""
    return f"{machine.name}: its disk is well again"


# Clocks


def change_clock(stage: Stage, chance: Random) -> str:
    machine = _machine(stage, chance)
    machine.years_off = chance.uniform(-30, 30)
    met = [machine] if isinstance(machine, Device) else stage.world.devices
    for device in met:
        assert isinstance(device, Device)
        stage.world.meet("clock jump", device)
    return f"{machine.name}: its clock is {machine.years_off:.1f} years off"


def sleep(stage: Stage, chance: Random) -> str:
    device = stage.device(chance)
    if device is None:
        return ""
    stage.world.meet("sleep", device)
    device.asleep += chance.choice((10.0, 3600.0, 86400.0))
    return f"{device.name} was asleep"


def take_step(stage: Stage, number: int) -> None:
    """Do one thing, whatever the schedule's chance wants."""
    chance = Random((stage.world.seed << 20) + number)
    for _ in range(_TRIES):
        done = chance.choices(_ACTS, cum_weights=_WEIGHTS)[0](stage, chance)
        if done:
            stage.say(number, done)
            break
    stage.world.sweep()


Act = Callable[[Stage, Random], str]
_SHARES: Final[dict[Act, float]] = {
    go_on: 36,
    deliver: 24,
    calm: 4,
    edit: 17,
    pass_time: 5,
    resolve: 1.5,
    retry: 0.7,
    switch: 0.6,
    cut: 2,
    silence: 0.5,
    heal: 0.4,
    network: 0.8,
    kill_device: 0.7,
    stop_device: 0.5,
    start_device: 4,
    kill_server: 0.3,
    stop_server: 0.2,
    start_server: 4,
    plan_crash: 1.4,
    break_disk: 0.6,
    mend_disk: 2,
    change_clock: 0.4,
    sleep: 0.3,
    disasters.back_up_server: 0.5,
    disasters.restore_server: 0.3,
    disasters.back_up_device: 0.7,
    disasters.restore_device: 0.5,
    disasters.copy_device: 0.1,
    disasters.sign_out: 0.4,
    disasters.sign_in: 1.5,
    disasters.sign_out_other: 0.25,
    disasters.reload: 0.5,
}
_ACTS: Final = tuple(_SHARES)
_WEIGHTS: Final = tuple(sum(list(_SHARES.values())[: index + 1]) for index in range(len(_SHARES)))
