"""What schedules have found, told as short stories."""

from __future__ import annotations

from functools import partial
from random import Random

import pytest

from kafkaman_sync.engine.states import State
from kafkaman_sync.model.edits import Create, Edit, Update
from kafkaman_sync.model.entities import ROOT, Kind
from kafkaman_sync.model.values import encode_value
from kafkaman_sync.store import Store
from tests.simulation.disasters import back_up_device, copy_device, restore_device
from tests.simulation.machines import Device
from tests.simulation.quiet import judge, settle
from tests.simulation.schedule import Simulator
from tests.simulation.stage import Stage
from tests.simulation.witness import ATTEMPT, Attempt
from tests.simulation.world import Traits


def test_a_disk_that_fails_for_a_moment_does_not_condemn_the_store(simulator: Simulator) -> None:
    with simulator.stage(1, Traits()) as stage:
        world, device = stage.world, stage.world.devices[0]
        world.pump()
        device.disk.fault = "io"
        device.begin(lambda: device.signing.reconnect(full=True))
        world.pump()
        assert device.state is State.ERROR
        settle(stage)
        assert world.codes["store.io"]
        assert not world.codes["store.lost"]
        assert not list(device.home.damaged.glob("*"))


def test_a_full_reload_that_cannot_be_noted_leaves_the_device_syncing(
    simulator: Simulator,
) -> None:
    with simulator.stage(1, Traits()) as stage:
        world, device = stage.world, stage.world.devices[0]
        world.pump()
        device.disk.fault = "full"
        device.begin(lambda: device.signing.reconnect(full=True))
        world.pump()
        assert device.account is not None
        assert device.account.running
        assert world.codes["store.full"]


def test_a_person_signs_in_again_while_the_sync_comes_back(simulator: Simulator) -> None:
    with simulator.stage(1, Traits()) as stage:
        world, device = stage.world, stage.world.devices[0]
        world.pump()
        device.disk.fault = "io"
        world.wires[0].cut()
        while device.state is not State.ERROR:
            world.let_time_pass()
            world.pump()
        device.begin(device.sign_in)
        world.rest(device)
        signing_in = world.wires[-1]
        signing_in.fall_silent(True)
        device.disk.fault = ""
        while not device.state.online:
            world.let_time_pass()
            world.pump()
        signing_in.fall_silent(False)
        settle(stage)
        assert not world.codes["internal.error"]


def test_a_store_set_back_to_before_verdicts_that_the_server_has_dropped_comes_into_sync(
    simulator: Simulator,
) -> None:
    with simulator.stage(1, Traits(devices=1)) as stage:
        world, device = stage.world, stage.world.devices[0]
        world.pump()
        for number in (1, 2):
            device.begin(partial(create, stage, device, number))
            world.rest(device)
        back_up_device(stage, Random(0))
        # The server accepts both; the device hears of the first, and says so in its next hello.
        (wire,) = world.wires
        for _ in range(2):
            wire.up.deliver(1)
            world.rest(world.server)
        wire.down.deliver(1)
        world.rest(device)
        wire.cut()
        world.rest(device)
        while world.wires[-1] is wire:
            world.let_time_pass()
            world.rest(device)
        world.wires[-1].up.deliver(1)
        world.rest(world.server)
        restore_device(stage, Random(0))
        settle(stage)
        assert world.codes["device.registered"]
        assert judge(stage) == []


def test_a_copy_that_registers_makes_nothing_of_the_original_take_effect_twice(
    simulator: Simulator,
) -> None:
    with simulator.stage(1, Traits(devices=1)) as stage:
        world, device = stage.world, stage.world.devices[0]
        world.pump()
        copy_device(stage, Random(0))
        copy = world.devices[1]
        copy.die()
        # The original goes on: whose number 1 it is, the copy can tell by that.
        device.begin(partial(create, stage, device, 1))
        world.pump()
        device.begin(partial(name, stage, device, 1, None))
        world.pump()
        # The server decides a name and its undoing, and the original does not hear of it.
        for number in (2, None):
            device.begin(partial(name, stage, device, 1, number))
            world.rest(device)
        (wire,) = world.wires
        while wire.up.flying:
            wire.up.deliver(1)
            world.rest(world.server)
        device.online = False
        wire.cut()
        copy.start()
        while copy.state is not State.IN_SYNC:
            world.pump()
            world.let_time_pass()
        settle(stage)
        assert len(device.identities() | copy.identities()) == 2
        assert judge(stage) == []


@pytest.mark.parametrize("edit_first", [True, False])
def test_an_edit_at_any_moment_of_a_sign_out_is_sealed_or_refused(
    simulator: Simulator, edit_first: bool
) -> None:
    moment, under_way = 0, True
    while under_way:
        with simulator.stage(1, Traits(devices=1)) as stage:
            world, device = stage.world, stage.world.devices[0]
            world.pump()
            device.begin(partial(device.signing.switch, on=False))
            world.pump()
            edit = partial(create, stage, device, 1, device.store())
            sign_out = partial(device.signing.sign_out, discard=False)
            first, second = (edit, sign_out) if edit_first else (sign_out, edit)
            device.begin(first)
            under_way = world.turn(device, moment) == moment
            device.begin(second)
            world.pump()
            settle(stage)
            assert judge(stage) == [], moment
            sealed = len(list(device.home.sealed.glob("*.json")))
            assert sealed + world.codes["account.leaving"] == 1, moment
            moment += 1
    assert moment > 5


async def create(stage: Stage, device: Device, number: int, store: Store | None = None) -> None:
    """Create a collection, as a person does, in the device's store or in one that it had."""
    fields = {"name": encode_value(f"<{number}>")}
    await edit(stage, device, Create(f"{number:032x}", Kind.COLLECTION, ROOT, fields), store)


async def name(stage: Stage, device: Device, collection: int, number: int | None) -> None:
    """Give a collection another name, as a person does."""
    value = encode_value("same" if number is None else f"<{number}>")
    await edit(stage, device, Update(f"{collection:032x}", {"name": value}))


async def edit(stage: Stage, device: Device, what: Edit, store: Store | None = None) -> None:
    attempt = Attempt(stage.witness.attempt)
    ATTEMPT.set(attempt)
    store = store or device.store()
    assert store is not None
    result = await store.edit(stage.world.workspace, [what])
    stage.witness.acknowledge(device.name, attempt)
    if device.account is not None:
        device.account.sync.edited(result.ops)
