"""kill -9 in the middle of work: nothing acknowledged is lost, nothing is applied twice."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

from tests.end_to_end.documents import collection, write
from tests.end_to_end.processes import DeviceHome, ServerProcess

Device = Callable[[str], DeviceHome]


def signed_in_pair(server: ServerProcess, device: Device) -> tuple[DeviceHome, DeviceHome]:
    laptop, desktop = device("laptop"), device("desktop")
    laptop.sign_up(server)
    desktop.sign_in(server)
    laptop.settled()
    desktop.settled()
    return laptop, desktop


def prove_all(*devices: DeviceHome) -> None:
    for each in devices:
        each.run("retry", status=None)
        for other in devices:
            each.catch_up_with(other)
        assert each.run("prove")["equal"]


def test_killing_the_server_while_it_takes_an_import_loses_nothing(
    server: ServerProcess, device: Device, place: Path
) -> None:
    laptop, desktop = signed_in_pair(server, device)
    document = collection(folders=20, requests=40, body="x" * 2000)
    (imported,) = laptop.run("import", write(place, document))["imported"]
    for _ in range(3):
        server.stop(signal.SIGKILL)
        server.start()
        laptop.run("retry", status=None)
    prove_all(laptop, desktop)
    assert desktop.exported(imported["root"]) == document
    assert len(desktop.ids()) == 1 + 20 + 2 * 800


def test_killing_the_daemon_while_it_pushes_an_import_loses_nothing(
    server: ServerProcess, device: Device, place: Path
) -> None:
    laptop, desktop = signed_in_pair(server, device)
    document = collection(folders=20, requests=40, body="x" * 2000)
    (imported,) = laptop.run("import", write(place, document))["imported"]
    for _ in range(3):
        laptop.kill()
        desktop.kill()
    prove_all(laptop, desktop)
    assert desktop.exported(imported["root"]) == document
    assert len(laptop.ids()) == 1 + 20 + 2 * 800


def test_an_import_cut_off_by_the_daemons_death_is_there_whole_or_not_at_all(
    server: ServerProcess, device: Device, place: Path
) -> None:
    laptop, desktop = signed_in_pair(server, device)
    document = collection(folders=40, requests=50, body="x" * 2000)
    importing = laptop.start("import", write(place, document))
    laptop.kill()
    out, err = importing.communicate(timeout=60)
    assert "Traceback" not in out + err
    prove_all(laptop, desktop)
    assert len(laptop.ids()) in (0, 1 + 40 + 2 * 2000)


def test_edits_made_just_before_a_kill_are_still_there(
    server: ServerProcess, device: Device
) -> None:
    laptop, desktop = signed_in_pair(server, device)
    server.stop(signal.SIGKILL)
    made = []
    for number in range(3):
        made.append(laptop.run("new", "collection", f"name=C{number}")["id"])
        laptop.kill()
    server.start()
    prove_all(laptop, desktop)
    assert set(desktop.ids()) == set(made)


def test_the_server_says_goodbye_and_its_devices_come_back(
    server: ServerProcess, device: Device
) -> None:
    laptop, desktop = signed_in_pair(server, device)
    assert server.stop(signal.SIGTERM) == 0
    server.start()
    laptop.settled()
    prove_all(laptop, desktop)
