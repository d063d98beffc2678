"""Files copied, put back or cut off; a server set back to yesterday: nothing is gone."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.end_to_end.processes import DeviceHome, ServerProcess
from tests.end_to_end.test_crashes import prove_all, signed_in_pair

Device = Callable[[str], DeviceHome]

# Dozens of commands each, on a machine that may have much else to do.
pytestmark = pytest.mark.timeout(400)


def new(device: DeviceHome, name: str) -> None:
    device.run("new", "collection", f"name={name}")


def names(device: DeviceHome) -> list[str]:
    return sorted(entity["name"] for entity in device.run("ls"))


def stop(device: DeviceHome) -> None:
    """End the daemon and wait until its files are its own no more."""
    pid = device.run("status")["pid"]
    device.down()
    with suppress(psutil.NoSuchProcess):
        psutil.Process(pid).wait(30)


def database(device: DeviceHome) -> Path:
    (found,) = (device.home / "accounts").glob("*.db")
    return found


@pytest.mark.parametrize("first", ["original", "copy"])
def test_a_copied_home_and_its_original_both_go_on(
    server: ServerProcess, device: Device, first: str
) -> None:
    laptop, copy = device("laptop"), device("copy")
    laptop.sign_up(server)
    new(laptop, "Before")
    laptop.settled()
    stop(laptop)
    shutil.copytree(laptop.home, copy.home)
    server.stop()
    for each in (laptop, copy):
        new(each, f"Offline {each.home.name}")
    server.start()
    for each in (laptop, copy) if first == "original" else (copy, laptop):
        each.run("retry", status=None)
        each.wait("in-sync")
    prove_all(laptop, copy)
    assert names(laptop) == names(copy) == ["Before", "Offline copy", "Offline laptop"]
    ids = {each.run("status")["device"]["id"] for each in (laptop, copy)}
    assert len(ids) == 2
    for each in (laptop, copy):
        assert each.run("conflicts")["conflicts"] == []


def test_two_copies_started_at_once_both_go_on(server: ServerProcess, device: Device) -> None:
    laptop, copy = device("laptop"), device("copy")
    laptop.sign_up(server)
    laptop.settled()
    stop(laptop)
    shutil.copytree(laptop.home, copy.home)
    starting = [each.start("new", "collection", f"name=From {each.home.name}")
                for each in (laptop, copy)]  # fmt: skip
    for process in starting:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, out + err
    prove_all(laptop, copy)
    assert names(laptop) == names(copy) == ["From copy", "From laptop"]


def test_an_older_copy_of_a_home_that_is_put_back_loses_nothing(
    server: ServerProcess, device: Device, place: Path
) -> None:
    laptop, desktop = signed_in_pair(server, device)
    new(laptop, "Old")
    laptop.settled()
    stop(laptop)
    shutil.copytree(laptop.home, place / "backup")
    new(laptop, "Newer")
    laptop.settled()
    stop(laptop)
    shutil.rmtree(laptop.home)
    shutil.copytree(place / "backup", laptop.home)
    server.stop()
    new(laptop, "After the backup")
    server.start()
    prove_all(laptop, desktop)
    assert names(laptop) == names(desktop) == ["After the backup", "Newer", "Old"]


def test_a_server_set_back_to_yesterday_gets_everything_again(
    server: ServerProcess, device: Device, place: Path
) -> None:
    laptop, desktop = signed_in_pair(server, device)
    new(laptop, "Yesterday")
    laptop.settled()
    desktop.catch_up_with(laptop)
    server.stop()
    shutil.copytree(server.folder, place / "yesterday")
    server.start()
    for each in (laptop, desktop):
        new(each, f"Today's {each.home.name}")
    laptop.run("set", "Yesterday", "note=changed today")
    prove_all(laptop, desktop)
    before = names(laptop)
    server.stop(signal.SIGKILL)
    shutil.rmtree(server.folder)
    shutil.copytree(place / "yesterday", server.folder)
    new(laptop, "While it was away")
    server.start()
    prove_all(laptop, desktop)
    assert names(laptop) == names(desktop) == sorted([*before, "While it was away"])
    assert desktop.run("show", "Yesterday")["fields"]["note"] == "changed today"
    for each in (laptop, desktop):
        assert each.run("conflicts")["conflicts"] == []


@pytest.mark.parametrize("share", [0.0005, 0.4, 0.8])
def test_a_database_cut_off_after_a_kill_is_healed(
    server: ServerProcess, device: Device, share: float
) -> None:
    laptop, desktop = signed_in_pair(server, device)
    new(laptop, "Synced")
    laptop.settled()
    server.stop()
    new(laptop, "Unsent")
    pid = laptop.run("status")["pid"]
    os.kill(pid, signal.SIGKILL)
    with suppress(psutil.NoSuchProcess):
        psutil.Process(pid).wait(30)
    path = database(laptop)
    wal = path.with_name(path.name + "-wal")
    with path.open("r+b") as file:
        file.truncate(max(1, int(path.stat().st_size * share)))
    kept = wal.stat().st_size if wal.exists() else 0
    server.start()
    status = laptop.run("status")
    if not status["signed_in"]:
        assert status["cause"] == "store.lost"
        laptop.sign_in(server)
    laptop.run("retry", status=None)
    laptop.settled()
    for archive in laptop.run("unsynced")["archives"]:
        if archive["restored"] is None:
            laptop.run("unsynced", "restore", archive["id"])
    prove_all(laptop, desktop)
    assert "Synced" in names(desktop)
    if kept:
        assert "Unsent" in names(desktop), "the log holds it, whatever became of the database"
    assert names(laptop) == names(desktop)


def test_a_killed_daemon_and_server_leave_no_unexplained_error(
    server: ServerProcess, device: Device
) -> None:
    laptop, desktop = signed_in_pair(server, device)
    for number in range(2):
        new(laptop, f"Round {number}")
        if number % 2:
            server.stop(signal.SIGKILL)
            laptop.kill()
            server.start()
        else:
            desktop.kill()
            laptop.run("retry", status=None)
    prove_all(laptop, desktop)
    for each in (laptop, desktop):
        log = (each.home / "daemon.log").read_text()
        assert "internal.error" not in log
        assert "Traceback" not in log


def wait_for_cause(device: DeviceHome, cause: str, seconds: float = 60) -> dict[str, object]:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        status: dict[str, object] = device.run("status")
        if status["cause"] == cause:
            return status
        time.sleep(0.1)
    raise AssertionError(f"{device.run('status')} is not {cause}")
