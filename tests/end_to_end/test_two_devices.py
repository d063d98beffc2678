"""The main job: what one device has, the other has."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.end_to_end.documents import collection, write
from tests.end_to_end.processes import DeviceHome, ServerProcess

Device = Callable[[str], DeviceHome]


@pytest.fixture
def pair(server: ServerProcess, device: Device) -> tuple[DeviceHome, DeviceHome]:
    """Two devices of one account, both in sync with an empty workspace."""
    laptop, desktop = device("laptop"), device("desktop")
    laptop.sign_up(server)
    desktop.sign_in(server)
    laptop.settled()
    desktop.settled()
    return laptop, desktop


def equal_everywhere(*devices: DeviceHome) -> None:
    """Every device is in sync and proves equal."""
    for device in devices:
        for other in devices:
            device.catch_up_with(other)
        assert device.run("prove")["equal"]
    listings = [device.ids() for device in devices]
    assert all(listing == listings[0] for listing in listings)


def test_an_imported_collection_is_on_the_other_device_unchanged(
    pair: tuple[DeviceHome, DeviceHome], place: Path
) -> None:
    laptop, desktop = pair
    document = collection()
    (imported,) = laptop.run("import", write(place, document))["imported"]
    assert imported["counts"] == {"collection": 1, "folder": 2, "request": 6, "response": 6}
    equal_everywhere(laptop, desktop)
    assert desktop.exported(imported["root"]) == document


def test_a_real_file_comes_out_of_the_other_device_as_it_went_in(
    pair: tuple[DeviceHome, DeviceHome], shared_file: Path
) -> None:
    laptop, desktop = pair
    (imported,) = laptop.run("import", shared_file)["imported"]
    equal_everywhere(laptop, desktop)
    original = json.loads(shared_file.read_text(encoding="utf-8"))
    assert laptop.exported(imported["root"]) == original
    assert desktop.exported(imported["root"]) == original


def test_edits_arrive_live_in_both_directions(pair: tuple[DeviceHome, DeviceHome]) -> None:
    laptop, desktop = pair
    api = laptop.run("new", "collection", "name=API")["id"]
    get = laptop.run("new", "request", "--parent", api, "name=Get", "method=GET")["id"]
    desktop.catch_up_with(laptop)
    desktop.run("set", get, "url=https://api.example/v1", 'header:=[{"key":"A","value":"b"}]')
    laptop.catch_up_with(desktop)
    shown = laptop.run("show", "API/Get")
    assert shown["fields"]["url"] == "https://api.example/v1"
    assert shown["fields"]["header"] == [{"key": "A", "value": "b"}]
    laptop.run("rm", get)
    equal_everywhere(laptop, desktop)
    assert desktop.run("show", get, status=None)["error"]["code"] == "entity.not_found"


def test_siblings_can_be_ordered_and_moved(pair: tuple[DeviceHome, DeviceHome]) -> None:
    laptop, desktop = pair
    api = laptop.run("new", "collection", "name=API")["id"]
    folder = laptop.run("new", "folder", "--parent", api, "name=Folder")["id"]
    one, two, three = (
        laptop.run("new", "request", "--parent", api, f"name={name}")["id"] for name in "123"
    )
    laptop.run("mv", three, "--to", api, "--before", one)
    laptop.run("mv", two, "--to", folder)
    equal_everywhere(laptop, desktop)
    listed = [(entity["name"], entity["parent"]) for entity in desktop.run("ls", "API")]
    assert ("2", folder) in listed
    assert [name for name, parent in listed if parent == api] == ["Folder", "3", "1"]


def test_edits_made_apart_meet_when_both_are_back(
    pair: tuple[DeviceHome, DeviceHome], server: ServerProcess
) -> None:
    laptop, desktop = pair
    api = laptop.run("new", "collection", "name=API")["id"]
    equal_everywhere(laptop, desktop)
    server.stop()
    for device in pair:
        device.wait("offline")
    laptop.run("set", api, "name=Renamed")
    desktop.run("set", api, "description=Described")
    desktop.run("new", "request", "--parent", api, "name=Offline")
    assert desktop.run("status")["pending"] == 2
    server.start()
    for device in pair:
        device.run("retry")
    equal_everywhere(laptop, desktop)
    fields = laptop.run("show", api)["fields"]
    assert (fields["name"], fields["description"]) == ("Renamed", "Described")


@pytest.mark.parametrize(("choice", "outcome"), [("--mine", "desktop"), ("--theirs", "laptop")])
def test_a_conflict_is_kept_until_a_person_resolves_it(
    pair: tuple[DeviceHome, DeviceHome], choice: str, outcome: str
) -> None:
    laptop, desktop = pair
    api = laptop.run("new", "collection", "name=before")["id"]
    equal_everywhere(laptop, desktop)
    desktop.run("sync", "off")
    desktop.wait("offline")
    desktop.run("set", api, "name=desktop")
    laptop.run("set", api, "name=laptop")
    laptop.settled()
    desktop.run("sync", "on")
    status = desktop.settled()
    assert status["conflicts"] == 1
    (conflict,) = desktop.run("conflicts")["conflicts"]
    assert conflict["entity"] == api
    assert (conflict["kind"], conflict["field"]) == ("collection", "name")
    versions = (conflict["base"], conflict["mine"], conflict["theirs"])
    assert versions == ("before", "desktop", "laptop")
    assert desktop.run("show", api)["fields"]["name"] == "laptop"
    desktop.run("resolve", conflict["id"], choice)
    assert desktop.settled()["conflicts"] == 0
    equal_everywhere(laptop, desktop)
    assert laptop.run("show", api)["fields"]["name"] == outcome


def test_reload_fetches_the_newest_and_proves_it(pair: tuple[DeviceHome, DeviceHome]) -> None:
    laptop, desktop = pair
    laptop.run("new", "collection", "name=API")
    laptop.settled()
    desktop.run("reload")
    desktop.run("reload", "--full")
    equal_everywhere(laptop, desktop)
