"""Accounts, devices, and what is left behind."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tests.end_to_end.documents import collection, write
from tests.end_to_end.processes import PASSWORD, DeviceHome, ServerProcess

Device = Callable[[str], DeviceHome]


def test_the_fourth_device_is_refused_with_the_three_listed(
    server: ServerProcess, device: Device
) -> None:
    first = device("first")
    first.sign_up(server)
    for name in ("second", "third"):
        device(name).sign_in(server)
    fourth = device("fourth")
    error = fourth.sign_in(server, status=4)["error"]
    assert error["code"] == "auth.device_limit"
    assert {each["name"] for each in error["devices"]} == {"first", "second", "third"}
    for each in error["devices"]:
        assert {"id", "name", "platform", "last_seen", "connected"} <= set(each)
    (replaced,) = (each["id"] for each in error["devices"] if each["name"] == "third")
    fourth.sign_in(server, "--replace", replaced)
    assert fourth.settled()["state"] == "IN_SYNC"
    names = {each["name"] for each in fourth.run("devices")["devices"]}
    assert names == {"first", "second", "fourth"}


def test_a_wrong_password_and_an_unknown_user_get_one_answer(
    server: ServerProcess, device: Device
) -> None:
    device("laptop").sign_up(server)
    stranger = device("stranger")
    unknown = stranger.sign_in(server, user="nobody", status=4)["error"]
    wrong = stranger.run(
        "sign-in", "--server", server.url, "--user", "anna", "--password-stdin",
        stdin="not the password\n", status=4,
    )["error"]  # fmt: skip
    assert unknown == wrong
    assert wrong["code"] == "auth.failed"


def test_signing_out_leaves_nothing_and_signing_in_restores_all(
    server: ServerProcess, device: Device, place: Path
) -> None:
    laptop = device("laptop")
    laptop.sign_up(server)
    marker = "quite-unmistakable-value"
    document = collection(body=marker)
    (imported,) = laptop.run("import", write(place, document))["imported"]
    before = laptop.settled()
    laptop.run("sign-out")
    assert laptop.run("status")["signed_in"] is False
    for file in laptop.home.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            assert marker.encode() not in content, file
            assert before["account"]["id"].encode() not in content or file.suffix == ".log", file
    assert not list(laptop.home.rglob("*.db-wal"))[1:], "only the Scratch Pad may be open"
    laptop.sign_in(server)
    laptop.settled()
    assert laptop.exported(imported["root"]) == document
    assert laptop.run("prove")["equal"]


def test_edits_that_no_server_acknowledged_are_sealed_at_sign_out(
    server: ServerProcess, device: Device
) -> None:
    laptop = device("laptop")
    laptop.sign_up(server)
    laptop.settled()
    server.stop()
    laptop.wait("offline")
    laptop.run("new", "collection", "name=Unsent treasure")
    result = laptop.run("sign-out")
    assert result["sealed_changes"] == 1
    archive = json.loads(Path(result["sealed"]).read_text(encoding="utf-8"))
    assert "Unsent treasure" in json.dumps(archive)


def test_unsynced_edits_go_only_when_asked_by_name(server: ServerProcess, device: Device) -> None:
    laptop = device("laptop")
    laptop.sign_up(server)
    laptop.settled()
    server.stop()
    laptop.wait("offline")
    laptop.run("new", "collection", "name=Rubbish")
    result = laptop.run("sign-out", "--discard-unsynced")
    assert (result["sealed"], result["discarded"]) == (None, 1)


def test_a_device_signed_out_from_elsewhere_loses_its_data_not_its_edits(
    server: ServerProcess, device: Device
) -> None:
    laptop, lost = device("laptop"), device("lost")
    laptop.sign_up(server)
    laptop.run("new", "collection", "name=Secret plans")
    laptop.settled()
    lost.sign_in(server)
    lost.settled()
    (target,) = (each["id"] for each in laptop.run("devices")["devices"] if each["name"] == "lost")
    laptop.run("devices", "sign-out", target)
    lost.wait("error", 20)
    status = lost.run("status")
    assert status["cause"] == "device.revoked"
    assert status["signed_in"] is False
    assert all(b"Secret plans" not in file.read_bytes() for file in lost.home.rglob("*.db*"))


def test_no_secret_reaches_a_log(server: ServerProcess, device: Device) -> None:
    laptop = device("laptop")
    laptop.sign_up(server)
    laptop.run("new", "environment", "name=Live")
    laptop.run("new", "environment_variable", "--parent", "Live", "key=k", "value=hush-hush-value")
    laptop.settled()
    laptop.down()
    logs = [*laptop.home.rglob("*.log"), server.log]
    for log in logs:
        content = log.read_text(encoding="utf-8")
        assert PASSWORD not in content
        assert "hush-hush-value" not in content


def test_work_without_an_account_stays_in_the_scratch_pad(
    server: ServerProcess, device: Device
) -> None:
    laptop = device("laptop")
    sketch = laptop.run("new", "collection", "name=Sketch")["id"]
    assert laptop.run("status")["state"] == "OFFLINE"
    laptop.sign_up(server)
    laptop.settled()
    assert sketch not in laptop.ids()
    assert laptop.run("ls", "--workspace", "scratch")[0]["id"] == sketch
    laptop.run("sign-out")
    assert sketch in laptop.ids()
