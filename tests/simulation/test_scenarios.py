"""What schedules have found, told as short stories."""

from __future__ import annotations

from kafkaman_sync.engine.states import State
from tests.simulation.quiet import settle
from tests.simulation.schedule import Simulator
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
