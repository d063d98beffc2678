"""Two real devices and a server: nothing that was deleted or overwritten is gone at once."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from tests.end_to_end.processes import DeviceHome, ServerProcess

Device = Callable[[str], DeviceHome]


@pytest.fixture
def pair(server: ServerProcess, device: Device) -> tuple[DeviceHome, DeviceHome]:
    laptop, desktop = device("laptop"), device("desktop")
    laptop.sign_up(server)
    desktop.sign_in(server)
    laptop.settled()
    desktop.settled()
    return laptop, desktop


def test_a_person_finds_out_who_broke_it_and_puts_it_right(
    pair: tuple[DeviceHome, DeviceHome],
) -> None:
    laptop, desktop = pair
    api = laptop.run("new", "collection", "name=API")["id"]
    old = laptop.run("new", "folder", "--parent", api, "name=Old")["id"]
    ping = laptop.run("new", "request", "--parent", api, "name=Ping", "url=right")["id"]
    preset = laptop.run("new", "header-preset", "name=Auth", 'header:=[{"key":"A","value":"1"}]')
    desktop.catch_up_with(laptop)
    desktop.run("set", ping, "url=wrong", "method=POST")
    desktop.run("mv", ping, "--to", "API/Old")
    desktop.run("set", preset["id"], 'header:=[{"key":"A","value":"2"}]')
    desktop.run("rm", old)
    laptop.catch_up_with(desktop)

    # Deleted with the folder it was moved to: the history says by whom, the trash has it.
    events = laptop.run("history", "API/Old/Ping", "--field", "url")["events"]
    assert [each["by"]["device_name"] for each in events] == ["desktop", "laptop"]
    assert events[0]["changes"] == [{"field": "url", "before": "right", "after": "wrong"}]
    (trashed,) = laptop.run("trash")["entities"]
    assert (trashed["path"], trashed["below"]) == (["API", "Old"], 1)
    assert trashed["by"]["device_name"] == "desktop"

    # Back to where it was and what it was, out of the deleted folder.
    done = laptop.run("revert", ping, "--to", events[1]["seq"])
    assert (done["restored"], done["parent"], done["fields"]) == (True, api, ["method", "url"])
    laptop.run("restore", "API/Old")
    first = laptop.run("history", preset["id"])["events"][-1]["seq"]
    laptop.run("revert", preset["id"], "--to", first)
    desktop.catch_up_with(laptop)
    assert desktop.run("show", "API/Ping")["fields"] == {"name": "Ping", "url": "right"}
    assert desktop.run("show", preset["id"])["fields"]["header"] == [{"key": "A", "value": "1"}]
    assert desktop.run("show", "API/Old")["id"] == old
    for device in pair:
        assert device.run("prove")["equal"]
        assert device.run("trash")["entities"] == []


def test_the_past_survives_a_killed_server(
    pair: tuple[DeviceHome, DeviceHome], server: ServerProcess
) -> None:
    laptop, desktop = pair
    api = laptop.run("new", "collection", "name=0")["id"]
    laptop.settled()
    for number in range(1, 4):
        laptop.run("set", api, f"name={number}")
        laptop.settled()
    server.stop(signal.SIGKILL)
    laptop.wait("offline")
    error = laptop.run("history", api, status=3)["error"]
    assert error["code"] == "link.offline"
    assert "tries again at" in error["hint"] or "right now" in error["hint"]
    server.start()
    for device in pair:
        device.run("retry")
    laptop.settled()
    events = laptop.run("history", api)["events"]
    assert [each["seq"] for each in events] == [4, 3, 2, 1]
    names = [laptop.run("show", api, "--at", each["seq"])["fields"]["name"] for each in events]
    assert names == ["3", "2", "1", "0"]
    desktop.settled()
    assert desktop.run("history", api)["events"][-1]["by"]["this_device"] is False


def test_going_back_and_an_edit_made_meanwhile_meet_in_a_conflict(
    pair: tuple[DeviceHome, DeviceHome],
) -> None:
    laptop, desktop = pair
    api = laptop.run("new", "collection", "name=first")["id"]
    laptop.settled()
    laptop.run("set", api, "name=second")
    desktop.catch_up_with(laptop)
    desktop.run("sync", "off")
    desktop.run("set", api, "name=third")
    assert laptop.run("revert", api, "--to", 1)["fields"] == ["name"]
    laptop.settled()
    desktop.run("sync", "on")
    assert desktop.settled()["conflicts"] == 1
    (conflict,) = desktop.run("conflicts")["conflicts"]
    assert (conflict["mine"], conflict["theirs"]) == ("third", "first")
