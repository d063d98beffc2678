"""The quiet phase: faults stop, everybody must come into sync by themselves; then the judgement."""

from __future__ import annotations

from typing import Final

from kafkaman_server.storage.sqlite_reads import ENTITY_COLUMNS, entity_of
from kafkaman_sync.engine.states import State
from kafkaman_sync.model.digest import compute_digest
from kafkaman_sync.model.entities import ROOT, Entity
from kafkaman_sync.protocol.records import decode_change, decode_event
from tests.simulation.loop import SimulationError
from tests.simulation.machines import Device
from tests.simulation.stage import Stage
from tests.simulation.witness import Findings

SECONDS_MAX: Final = 1800.0
ATTEMPTS_MAX: Final = 40


def settle(stage: Stage) -> None:
    """Let all faults end, and wait until every device claims to be in sync."""
    world = stage.world
    for machine in world.machines:
        machine.disk.fault = machine.disk.crash = ""
    for device in world.devices:
        device.online = True
        device.attempts = 0
    if not world.server.running:
        world.server.start()
    world.pump()
    for device in world.devices:
        if not device.running:
            device.start()
    end = world.loop.now + SECONDS_MAX
    while True:
        world.pump()
        if not world.server.running:
            world.server.start()  # it was stopping when the faults ended
            continue
        world.sweep()
        silent = any(wire.silent for wire in world.wires)
        if all(_is_settled(stage, device) for device in world.devices) and not silent:
            return
        if any(machine.lane.ready for machine in world.machines):
            continue
        if world.loop.now > end or not world.let_time_pass():
            raise SimulationError(f"never in sync: {_describe(stage)}")


def _is_settled(stage: Stage, device: Device) -> bool:
    if not device.running:
        device.start()
        return False
    if device.attempts > ATTEMPTS_MAX:
        raise SimulationError(f"too many attempts: {_describe(stage)}")
    if device.busy or not device.ready:
        return False
    if device.signing.broken is not None:
        # A store that could not be opened needs a start of its daemon.
        device.die()
        device.start()
        return False
    if not device.signing.memory.sync:
        device.begin(lambda: device.signing.switch(on=True))
        return False
    if device.account is None or device.life.latest.cause.code == "device.unknown":
        # Only the person can sign in: for the first time, or where a restored server forgot them.
        device.begin(device.sign_in)
        return False
    return device.state is State.IN_SYNC


def _describe(stage: Stage) -> str:
    return ", ".join(
        f"{device.name} {device.life.latest.after} ({device.life.latest.cause.code})"
        if device.running and device.ready
        else f"{device.name} is down"
        for device in stage.world.devices
    )


def judge(stage: Stage) -> list[str]:
    """Return what is wrong in a settled world."""
    world = stage.world
    execute = world.server.disk.files[world.server.path].connection.execute
    number, head, digest = execute(
        "SELECT number, head, digest FROM workspaces WHERE id = ?", (world.workspace,)
    ).fetchone()
    rows: dict[str, Entity] = {
        row[0]: entity_of(row, row[8])
        for row in execute(
            f"SELECT {ENTITY_COLUMNS}, e.fields FROM entities e WHERE workspace = ?", (number,)
        )
    }
    events = [
        decode_event(body)
        for (body,) in execute(
            "SELECT body FROM events WHERE workspace = ? ORDER BY seq", (number,)
        )
    ]
    problems = []
    if compute_digest(world.workspace, rows.values()) != digest:
        problems.append("the server's digest is not that of its rows")
    if [event.seq for event in events] != list(range(1, head + 1)):
        problems.append("the log is not gapless from 1 to the head")
    disputed = []
    views = []
    for device in world.devices:
        store = device.store()
        if store is None:
            continue
        if (pending := world.do(device, store.counts()).pending) != 0:
            problems.append(f"{device.name} is in sync with {pending} changes pending")
        if world.do(device, store.digest_from_rows(world.workspace)) != (head, digest):
            problems.append(f"{device.name} is in sync and differs from the server")
        views.append(world.do(device, store.subtree(world.workspace, ROOT, with_fields=True)))
        for path in device.databases():
            found = device.disk.files[path].connection.execute("SELECT change FROM conflicts")
            disputed += [decode_change(data) for (data,) in found]
    if any(view != views[0] for view in views):
        problems.append("people see different things")
    sealed = b"".join(
        path.read_bytes()
        for device in world.devices
        for path in sorted(device.home.sealed.glob("*.json"))
    )
    return problems + stage.witness.judge(Findings(rows, events, disputed, sealed))
