"""The account's commands against a real server: JSON shapes, and the choice of a device."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.terminal import Terminal
from tests.end_to_end.processes import PASSWORD, DeviceHome, ServerProcess


@pytest.fixture
def server(place: Path) -> Iterator[ServerProcess]:
    """A running server."""
    server = ServerProcess(place / "server")
    server.start()
    yield server
    server.stop(signal.SIGKILL)


@pytest.fixture
def others(place: Path) -> Iterator[list[DeviceHome]]:
    """Three more devices, which nobody has signed in on."""
    devices = [DeviceHome(place / name) for name in ("desktop", "tablet", "phone")]
    yield devices
    for device in devices:
        device.down()


def test_signing_up_tells_account_and_device(server: ServerProcess, laptop: DeviceHome) -> None:
    result = laptop.sign_up(server)
    assert set(result) == {"account", "device", "server"}
    assert result["account"] | {"id": ""} == {
        "id": "", "username": "anna", "email": "anna@example.com",
    }  # fmt: skip
    assert result["device"]["name"] == "laptop"
    status = laptop.settled()
    assert (status["account"], status["device"]) == (result["account"], result["device"])
    (device,) = laptop.run("devices")["devices"]
    assert (device["id"], device["current"], device["connected"]) == (
        result["device"]["id"], True, True,
    )  # fmt: skip
    personal, scratch = laptop.run("workspaces")["workspaces"]
    assert {"id", "name", "role", "seq", "digest"} <= set(personal)
    assert scratch["name"] == "Scratch Pad"
    again = laptop.run(
        "sign-up", "--server", server.url, "--email", "anna@example.com", "--username", "anna",
        "--password-stdin", stdin=PASSWORD, status=4,
    )  # fmt: skip
    assert again["error"]["message"]


def test_proof_and_reload_have_the_promised_shape(
    server: ServerProcess, laptop: DeviceHome
) -> None:
    laptop.sign_up(server)
    laptop.run("new", "collection", "name=A")
    laptop.settled()
    proof = laptop.run("prove")
    assert set(proof) == {"equal", "workspaces"}
    (workspace,) = proof["workspaces"]
    assert set(workspace) == {"id", "seq", "device_digest", "server_digest", "equal"}
    assert proof["equal"] is workspace["equal"] is True
    assert workspace["device_digest"] == workspace["server_digest"]
    for full in ((), ("--full",)):
        result = laptop.run("reload", *full)
        assert result["equal"]
        assert [set(each) for each in result["workspaces"]] == [{"id", "seq", "equal"}]
    with Terminal(laptop.home, "prove") as terminal:
        assert terminal.end() == 0
    assert "equal" in terminal.shown


def test_a_person_may_choose_which_device_to_sign_out(
    server: ServerProcess, laptop: DeviceHome, others: list[DeviceHome]
) -> None:
    desktop, tablet, phone = others
    laptop.sign_up(server)
    desktop.sign_in(server)
    tablet.sign_in(server)
    words = ("sign-in", "--server", server.url, "--user", "anna", "--device-name", "phone")
    with Terminal(phone.home, *words) as terminal:
        terminal.see("Password:")
        terminal.type(PASSWORD)
        terminal.see("Which one")
        terminal.type("")
        assert terminal.end() == 4
    assert "--replace" in terminal.shown
    assert len(laptop.run("devices")["devices"]) == 3
    with Terminal(phone.home, *words) as terminal:
        terminal.see("Password:")
        terminal.type(PASSWORD)
        terminal.see("Which one")
        (number,) = (line.split()[0] for line in terminal.shown.splitlines() if " tablet " in line)
        terminal.type(number)
        assert terminal.end() == 0
    assert "Signed in as anna" in terminal.shown
    names = {device["name"] for device in laptop.run("devices")["devices"]}
    assert names == {"laptop", "desktop", "phone"}


def test_devices_are_signed_out_by_the_beginning_of_their_id(
    server: ServerProcess, laptop: DeviceHome, others: list[DeviceHome]
) -> None:
    laptop.sign_up(server)
    target = others[0].sign_in(server)["device"]["id"]
    error = laptop.run("devices", "sign-out", "zzzz", status=5)["error"]
    assert error["code"] == "device.not_found"
    assert laptop.run("devices", "sign-out", target[:10]) == {"signed_out": target}
    assert len(laptop.run("devices")["devices"]) == 1


def test_signing_out_tells_what_became_of_the_work(
    server: ServerProcess, laptop: DeviceHome
) -> None:
    laptop.sign_up(server)
    laptop.settled()
    result = laptop.run("sign-out")
    assert result == {
        "sealed": None, "sealed_changes": 0, "sealed_conflicts": 0, "kinds": {}, "names": [],
        "discarded": 0, "told_server": True,
    }  # fmt: skip
    error = laptop.run("sign-out", status=4)["error"]
    assert error["message"]
