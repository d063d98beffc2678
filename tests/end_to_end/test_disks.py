"""Disks that are full, read-only or broken: said with the cause, and gone on from by itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.end_to_end.disks import limit_files, small_disk
from tests.end_to_end.processes import DeviceHome, ServerProcess
from tests.end_to_end.test_crashes import prove_all, signed_in_pair
from tests.end_to_end.test_recovery import names, new, stop, wait_for_cause

Device = Callable[[str], DeviceHome]
# Dozens of commands each, on a machine that may have much else to do.
pytestmark = pytest.mark.timeout(400)

FULL = ("store.full", "store.io")
"""A real full disk, or the limit that plays one."""


def test_a_full_disk_of_a_device_refuses_edits_and_is_gone_on_from(
    server: ServerProcess, device: Device, place: Path
) -> None:
    with small_disk(place / "laptop") as disk:
        laptop, desktop = signed_in_pair(server, device)
        new(laptop, "Before")
        laptop.settled()
        pid = laptop.run("status")["pid"]
        disk.fill(pid)
        refused = laptop.run("new", "collection", f"name={'x' * 20_000}", status=1)["error"]
        assert refused["code"] in FULL
        assert refused["hint"]
        assert names(laptop) == ["Before"], "reading goes on, and nothing is half-written"
        for number in range(4):
            desktop.run("new", "collection", f"name=D{number}", f"note={'y' * 100_000}")
        desktop.settled()
        status = wait_for_cause(laptop, "store.full" if disk.mounted else "store.io")
        assert status["state"] == "ERROR"
        assert status["hint"]
        disk.free(pid)
        laptop.wait("in-sync", 90)
        new(laptop, "After")
        prove_all(laptop, desktop)
        assert len(names(laptop)) == 6
        stop(laptop)


def test_a_full_disk_of_the_server_loses_nothing_and_is_gone_on_from(
    device: Device, place: Path
) -> None:
    with small_disk(place / "server") as disk:
        server = ServerProcess(place / "server")
        server.start()
        try:
            laptop, desktop = signed_in_pair(server, device)
            new(laptop, "Before")
            laptop.settled()
            pid = server.pid
            disk.fill(pid)
            for number in range(2):
                laptop.run("new", "collection", f"name=L{number}", f"note={'x' * 100_000}")
            status = wait_for_cause(laptop, "server.failed")
            assert status["state"] == "ERROR"
            assert status["pending"] == 2
            disk.free(pid)
            laptop.wait("in-sync", 90)
            prove_all(laptop, desktop)
            assert len(names(desktop)) == 3
        finally:
            server.stop()


def test_a_broken_disk_is_an_error_on_both_sides_until_it_works_again(
    server: ServerProcess, device: Device
) -> None:
    laptop, desktop = signed_in_pair(server, device)
    pid = laptop.run("status")["pid"]
    limit_files(pid, 1)
    refused = laptop.run("new", "collection", "name=Refused", status=1)["error"]
    assert refused["code"] == "store.io"
    new(desktop, "From the desktop")
    wait_for_cause(laptop, "store.io")
    limit_files(pid, -1)
    laptop.wait("in-sync", 90)
    limit_files(server.pid, 1)
    new(laptop, "Waits")
    wait_for_cause(laptop, "server.failed")
    limit_files(server.pid, -1)
    laptop.wait("in-sync", 90)
    prove_all(laptop, desktop)
    assert names(laptop) == ["From the desktop", "Waits"]


def test_a_daemon_that_starts_on_a_full_disk_says_so(
    server: ServerProcess, device: Device, place: Path
) -> None:
    with small_disk(place / "laptop") as disk:
        laptop = device("laptop")
        laptop.sign_up(server)
        new(laptop, "Kept")
        laptop.settled()
        stop(laptop)
        if disk.mounted:
            disk.fill()
            error = laptop.run("status", status=None).get("error")
            if error is not None:
                assert "full" in error["message"], error
            disk.free()
        assert names(laptop) == ["Kept"]
        laptop.wait("in-sync", 90)
        stop(laptop)


def test_a_read_only_disk_is_named(server: ServerProcess, device: Device, place: Path) -> None:
    with small_disk(place / "laptop") as disk:
        laptop = device("laptop")
        laptop.sign_up(server)
        new(laptop, "Kept")
        laptop.settled()
        stop(laptop)
        if disk.mounted:
            disk.remount("ro")
            error = laptop.run("ls", status=2)["error"]
            assert error["code"] == "home.unusable"
            assert "Read-only" in error["message"]
            disk.remount("rw")
        assert names(laptop) == ["Kept"]
        laptop.wait("in-sync", 90)
        stop(laptop)


@pytest.mark.parametrize("command", ["sign-out", "sync"])
def test_a_command_that_must_write_says_that_the_disk_is_full(
    server: ServerProcess, device: Device, place: Path, command: str
) -> None:
    with small_disk(place / "laptop") as disk:
        laptop = device("laptop")
        laptop.sign_up(server)
        laptop.settled()
        server.stop()
        new(laptop, "Unsent")
        pid = laptop.run("status")["pid"]
        disk.fill(pid)
        words = ["sync", "off"] if command == "sync" else ["sign-out"]
        error = laptop.run(*words, status=1)["error"]
        assert error["code"] in (*FULL, "seal.failed"), error
        assert names(laptop) == ["Unsent"]
        disk.free(pid)
        laptop.run(*words)
        stop(laptop)
