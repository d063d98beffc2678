"""Two devices, three edits, one crash: every order in which they can happen.

Each device makes its edits, sends, and hears, in this order; the two orders are interleaved in
every way, and one machine is killed and started again at every place, or none is.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import combinations
from typing import Final

import pytest

from kafkaman_sync.model.edits import Create, Delete, Edit, Move, Restore, Update
from kafkaman_sync.model.entities import ROOT, Kind
from kafkaman_sync.model.values import encode_value
from kafkaman_sync.store import Store
from tests.simulation.machines import Device
from tests.simulation.quiet import judge, settle
from tests.simulation.schedule import Simulator
from tests.simulation.stage import Stage
from tests.simulation.witness import ATTEMPT, Attempt
from tests.simulation.world import Beginning, Traits

SHOP, BOX, BAG, ITEM, NEW = (digit * 32 for digit in "abcde")
ONE: Final = ("edit", "send", "hear")
OTHER: Final = ("edit", "edit", "send", "hear")
MACHINES: Final = ("one", "other", "server")


def text(token: int) -> bytes:
    return encode_value(f"<{token}>")


def header(token: int) -> bytes:
    return encode_value([{"key": f"X-{token}", "value": f"<{token}>"}])


THREES: Final[dict[str, tuple[Edit, Edit, Edit]]] = {
    "the same field, and it again": (
        Update(ITEM, {"name": text(1)}), Update(ITEM, {"name": text(2)}),
        Update(ITEM, {"name": text(3)}),
    ),
    "the same field, and another": (
        Update(ITEM, {"name": text(1)}), Update(ITEM, {"name": text(2)}),
        Update(ITEM, {"url": text(3)}),
    ),
    "headers that merge": (
        Update(ITEM, {"header": header(1)}), Update(ITEM, {"header": header(2)}),
        Update(ITEM, {"header": encode_value([])}),
    ),
    "an edit, a deletion, a return": (
        Update(ITEM, {"name": text(1)}), Delete(ITEM), Restore(ITEM),
    ),
    "a deletion, an edit, a deletion": (
        Delete(ITEM), Update(ITEM, {"name": text(1)}), Delete(ITEM),
    ),
    "a move, and the deletion of where it went": (Move(ITEM, BOX), Delete(BOX), Restore(BOX)),
    "two moves": (Move(ITEM, BOX), Move(ITEM, BAG), Update(ITEM, {"name": text(1)})),
    "moves into each other": (Move(BOX, BAG), Move(BAG, BOX), Move(ITEM, BAG)),
    "a birth below what is deleted": (
        Create(NEW, Kind.REQUEST, BOX, {"name": text(1)}), Delete(BOX), Delete(SHOP),
    ),
    "a birth, moved, below what is deleted": (
        Delete(BOX), Create(NEW, Kind.REQUEST, BOX, {"name": text(1)}), Move(NEW, BAG),
    ),
    "a deletion above an edit": (
        Delete(SHOP), Update(ITEM, {"name": text(1)}), Move(ITEM, BOX),
    ),
    "a return into what was deleted": (Delete(BOX), Delete(ITEM), Restore(ITEM, BOX)),
}  # fmt: skip


@pytest.fixture
def beginning(simulator: Simulator) -> Beginning:
    """A shop with a box, a bag and an item, which both devices have."""
    with simulator.stage(0, Traits()) as stage:
        stage.world.pump()
        edits = [
            Create(SHOP, Kind.COLLECTION, ROOT, {"name": encode_value("Shop")}),
            Create(BOX, Kind.FOLDER, SHOP, {"name": encode_value("Box")}),
            Create(BAG, Kind.FOLDER, SHOP, {"name": encode_value("Bag")}),
            Create(ITEM, Kind.REQUEST, SHOP, {"name": encode_value("Item")}),
        ]
        device = stage.world.devices[0]
        store = device.store()
        assert store is not None
        for each in edits:
            stage.world.do(device, make(stage, device, store, each))
        return stage.world.freeze()


def orders() -> Iterator[list[tuple[int, str]]]:
    """Yield every interleaving of what the two devices do."""
    size = len(ONE) + len(OTHER)
    for places in combinations(range(size), len(ONE)):
        one, other = iter(ONE), iter(OTHER)
        yield [(0, next(one)) if at in places else (1, next(other)) for at in range(size)]


def plans() -> Iterator[tuple[list[tuple[int, str]], int, str]]:
    """Yield every order with every crash: before which step, and whose."""
    for order in orders():
        yield order, -1, ""
        for at in range(1, len(order)):
            for machine in MACHINES:
                yield order, at, machine


@pytest.mark.parametrize("three", THREES)
@pytest.mark.timeout(600)
def test_three_edits_and_a_crash_in_every_order(
    simulator: Simulator, beginning: Beginning, three: str
) -> None:
    for order, at, machine in plans():
        with simulator.stage(0, Traits(), beginning=beginning) as stage:
            stage.world.pump()
            left = {0: list(THREES[three][:1]), 1: list(THREES[three][1:])}
            for number, (who, what) in enumerate(order):
                if number == at:
                    crash(stage, machine)
                act(stage, stage.world.devices[who], what, left[who])
            settle(stage)
            assert judge(stage) == [], f"{order}, and {machine} crashes before step {at}"


def act(stage: Stage, device: Device, what: str, left: list[Edit]) -> None:
    world = stage.world
    if what == "edit":
        store = device.store()
        if store is not None:
            device.begin(partial(make, stage, device, store, left.pop(0)))
        world.rest(device)
        return
    for wire in world.wires:
        if wire.device == device.name:
            pipe = wire.up if what == "send" else wire.down
            pipe.deliver(len(pipe.flying))
    world.rest(world.server if what == "send" else device)


async def make(stage: Stage, device: Device, store: Store, edit: Edit) -> None:
    attempt = Attempt(stage.witness.attempt)
    ATTEMPT.set(attempt)
    result = await store.edit(stage.world.workspace, [edit])
    stage.witness.acknowledge(device.name, attempt)
    device.signing.required().sync.edited(result.ops)


def crash(stage: Stage, machine: str) -> None:
    """Kill a machine's process and start it again."""
    if machine == "server":
        stage.world.server.die()
        stage.world.server.start()
        return
    device = stage.world.devices[MACHINES.index(machine)]
    device.die()
    device.start()
    stage.world.rest(device)
