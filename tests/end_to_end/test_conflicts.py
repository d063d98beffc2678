"""Two devices that edited while apart: every outcome is explained, and nothing is gone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.documents import SCHEMA, write
from tests.end_to_end.processes import DeviceHome, ServerProcess

Device = Callable[[str], DeviceHome]
Pair = tuple[DeviceHome, DeviceHome]

# Many commands, each a process of its own.
pytestmark = pytest.mark.timeout(300)


def request(name: str, url: str) -> dict[str, Any]:
    return {"name": name, "request": {"method": "GET", "url": url}}


SHOP = {
    "info": {"name": "Shop", "schema": SCHEMA},
    "item": [
        {"name": "One", "item": []},
        {"name": "Two", "item": []},
        {"name": "Old", "item": [request("Inner", "/inner")]},
        {"name": "Dead", "item": []},
        request("List", "/old"),
        request("Gone", "/gone"),
    ],
}


@pytest.fixture
def apart(server: ServerProcess, device: Device, place: Path) -> Pair:
    """Two devices that hold the same collection; the desktop is offline."""
    laptop, desktop = device("laptop"), device("desktop")
    laptop.sign_up(server)
    laptop.run("import", write(place, SHOP))
    desktop.sign_in(server)
    desktop.catch_up_with(laptop)
    desktop.run("sync", "off")
    desktop.wait("offline")
    return laptop, desktop


def quarrel(laptop: DeviceHome, desktop: DeviceHome) -> dict[str, dict[str, Any]]:
    """Let both edit the same things; return the desktop's conflicts by their reasons."""
    laptop.run("set", "Shop/List", "url=/laptop", "method=PUT")
    desktop.run("set", "Shop/List", "url=/desktop", "description=ours")
    laptop.run("rm", "Shop/Gone")
    desktop.run("set", "Shop/Gone", "url=/edited")
    laptop.run("set", "Shop/Old/Inner", "url=/laptop")
    desktop.run("rm", "Shop/Old")
    laptop.run("mv", "Shop/One", "--to", "Shop/Two")
    desktop.run("mv", "Shop/Two", "--to", "Shop/One")
    laptop.run("rm", "Shop/Dead")
    desktop.run("new", "folder", "--parent", "Shop/Dead", "name=Box")
    desktop.run("new", "request", "--parent", "Shop/Dead/Box", "name=New", "url=/1")
    desktop.run("set", "Shop/Dead/Box/New", "url=/2")
    laptop.settled()
    desktop.run("sync", "on")
    assert desktop.settled()["conflicts"] == 5
    found = desktop.run("conflicts")["conflicts"]
    assert len(found) == 5
    for each in found:
        assert each["explanation"]
        assert {"theirs"} <= set(each["choices"])
    return {each["reason"]: each for each in found}


def equal_everywhere(laptop: DeviceHome, desktop: DeviceHome) -> None:
    laptop.catch_up_with(desktop)
    assert laptop.ids() == desktop.ids()
    for each in (laptop, desktop):
        assert each.run("prove")["equal"]


def paths(device: DeviceHome) -> set[str]:
    """Return the path of names of all that the device shows."""
    found: dict[str, str] = {}
    for entity in device.run("ls"):  # a parent comes before what is below it
        above = found.get(entity["parent"])
        found[entity["id"]] = f"{above}/{entity['name']}" if above else entity["name"]
    return set(found.values())


def test_each_kind_is_listed_and_ends_with_mine(apart: Pair) -> None:
    laptop, desktop = apart
    found = quarrel(laptop, desktop)
    assert set(found) == {
        "edited_by_both", "theirs_deleted", "mine_deleted", "move_refused", "parent_deleted",
    }  # fmt: skip
    both, deleted = found["edited_by_both"], found["theirs_deleted"]
    assert (both["field"], both["base"], both["mine"], both["theirs"]) == (
        "url", "/old", "/desktop", "/laptop",
    )  # fmt: skip
    assert (deleted["field"], deleted["base"], deleted["mine"], deleted["theirs"]) == (
        "url", "/gone", "/edited", None,
    )  # fmt: skip
    assert found["mine_deleted"]["theirs"] == {"Shop/Old/Inner": {"url": "/laptop"}}
    assert (found["parent_deleted"]["name"], found["parent_deleted"]["more"]) == ("Box", 2)
    # What nobody disputes has arrived on both sides.
    fields = desktop.run("show", "Shop/List")["fields"]
    assert (fields["method"], fields["description"], fields["url"]) == ("PUT", "ours", "/laptop")
    shown = desktop.run("conflicts", "show", both["id"][:8])
    assert shown["by"]["theirs"]["device_name"] == "laptop"
    done = desktop.run("resolve", "--all", "--mine")["resolved"]
    assert {each["choice"] for each in done} == {"mine"}
    assert desktop.settled()["conflicts"] == 0
    equal_everywhere(laptop, desktop)
    assert paths(laptop) == {
        "Shop", "Shop/One", "Shop/One/Two", "Shop/List", "Shop/Gone",
        "Shop/Dead", "Shop/Dead/Box", "Shop/Dead/Box/New",
    }  # fmt: skip
    assert laptop.run("show", "Shop/List")["fields"]["url"] == "/desktop"
    assert laptop.run("show", "Shop/Gone")["fields"]["url"] == "/edited"
    assert laptop.run("show", "Shop/Dead/Box/New")["fields"]["url"] == "/2"


def test_each_kind_ends_with_theirs_and_mine_is_still_there_to_see(apart: Pair) -> None:
    laptop, desktop = apart
    found = quarrel(laptop, desktop)
    done = desktop.run("resolve", "--all", "--theirs")["resolved"]
    assert {each["choice"] for each in done} == {"theirs"}
    equal_everywhere(laptop, desktop)
    assert paths(desktop) == {
        "Shop", "Shop/Two", "Shop/Two/One", "Shop/Old", "Shop/Old/Inner", "Shop/List",
    }  # fmt: skip
    resolved = {
        each["reason"]: each for each in desktop.run("conflicts", "--resolved")["conflicts"]
    }
    assert {reason: each["mine"] for reason, each in resolved.items()} == {
        reason: each["mine"] for reason, each in found.items()
    }
    # Who changes their mind finds everything as it was.
    group = found["parent_deleted"]["id"]
    desktop.run("resolve", "--undo", group)
    desktop.run("resolve", group, "--to", "Shop/Old")
    equal_everywhere(laptop, desktop)
    assert {"Shop/Old/Box", "Shop/Old/Box/New"} < paths(laptop)


def test_both_sides_can_be_kept_and_a_resolution_taken_back(apart: Pair) -> None:
    laptop, desktop = apart
    laptop.run("set", "Shop/List", "url=/laptop")
    laptop.settled()
    desktop.run("set", "Shop/List", "url=/desktop")
    desktop.run("sync", "on")
    desktop.settled()
    (conflict,) = desktop.run("conflicts")["conflicts"]
    desktop.run("sync", "off")
    desktop.wait("offline")
    desktop.run("resolve", conflict["id"], "--mine")
    assert desktop.run("show", "Shop/List")["fields"]["url"] == "/desktop"
    desktop.run("resolve", "--undo", conflict["id"])
    assert desktop.run("show", "Shop/List")["fields"]["url"] == "/laptop"
    desktop.run("sync", "on")
    assert desktop.settled()["conflicts"] == 1
    desktop.run("resolve", conflict["id"], "--both")
    equal_everywhere(laptop, desktop)
    assert laptop.run("show", "Shop/List")["fields"]["url"] == "/laptop"
    assert laptop.run("show", "Shop/List (mine)")["fields"]["url"] == "/desktop"
    error = desktop.run("resolve", "--undo", conflict["id"], status=1)["error"]
    assert error["code"] == "conflict.synced"
