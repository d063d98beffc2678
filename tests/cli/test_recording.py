"""`replay record` on the command line, against real processes."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kafkaman_sync.replay.capture import Capture
from tests.end_to_end.processes import DeviceHome, ServerProcess


@pytest.fixture
def server(place: Path) -> Iterator[ServerProcess]:
    server = ServerProcess(place / "server")
    server.start()
    yield server
    server.stop(signal.SIGKILL)


def test_the_last_minutes_of_this_device_are_written_out(
    server: ServerProcess, laptop: DeviceHome, place: Path
) -> None:
    laptop.sign_up(server)
    laptop.run("new", "collection", "name=telltale")
    laptop.settled()
    path = place / "then.capture"
    told = laptop.run("replay", "record", "--last", "-o", path)
    assert set(told) == {
        "file", "bytes", "seconds", "records", "lost", "values", "names", "ended",
    }  # fmt: skip
    assert told["records"]["up"] >= 3
    assert told["bytes"] == path.stat().st_size
    with Capture.open(path) as capture:
        assert not any(b"telltale" in each.data for each in capture.records())
    again = laptop.run("replay", "record", "--last", "-o", path, status=1)
    assert again["error"]["code"] == "replay.output_exists"
    laptop.run("replay", "record", laptop.home, "--last", "-o", path, "--force", "--values")
    with Capture.open(path) as capture:
        assert any(b"telltale" in each.data for each in capture.records())


def test_ctrl_c_ends_a_recording_and_the_capture_is_whole(
    server: ServerProcess, laptop: DeviceHome, place: Path
) -> None:
    path = place / "srv.capture"
    recording = laptop.start("replay", "record", server.folder, "-o", path)
    while not path.exists():
        time.sleep(0.05)
    laptop.sign_up(server)
    recording.send_signal(signal.SIGINT)
    out, err = recording.communicate(timeout=30)
    assert recording.returncode == 0, err
    assert json.loads(out)["records"]["opened"] >= 1
    with Capture.open(path) as capture:
        assert list(capture.records())
        assert not capture.cut_off


def test_options_that_do_not_fit_are_refused_by_name(laptop: DeviceHome, place: Path) -> None:
    for options in (
        ("--last", "--seconds", "3"),
        ("--values", "--redact"),
    ):
        error = laptop.run("replay", "record", *options, "-o", place / "c", status=2)["error"]
        assert error["code"] == "usage.options"
        assert error["hint"]
    nothing = laptop.run("replay", "record", place, "-o", place / "c", status=1)["error"]
    assert nothing["code"] == "replay.no_target"
    asleep = laptop.run("replay", "record", "--last", "-o", place / "c", status=3)["error"]
    assert asleep["code"] == "daemon.not_running"
