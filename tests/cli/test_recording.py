"""`replay record`, `run` and `to-test` on the command line, against real processes."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from kafkaman_sync.cli.main import cli
from kafkaman_sync.replay.capture import Capture
from tests.end_to_end.processes import PASSWORD, DeviceHome, ServerProcess


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


@pytest.fixture
def capture(server: ServerProcess, laptop: DeviceHome, place: Path) -> Path:
    """A device's whole life, with values."""
    laptop.sign_up(server)
    laptop.run("new", "collection", "name=A")
    laptop.settled()
    path = place / "life.capture"
    laptop.run("replay", "record", "--last", "-o", path, "--values")
    return path


def test_a_session_is_run_again_on_every_side(
    server: ServerProcess, laptop: DeviceHome, capture: Path, place: Path
) -> None:
    report = laptop.run("replay", "run", capture)
    assert set(report) == {
        "same", "against", "device", "connections", "facts", "difference", "faults", "skipped",
        "cut_off",
    }  # fmt: skip
    assert (report["same"], report["difference"], report["cut_off"]) == (True, None, False)
    assert laptop.run("replay", "run", capture, "--faults", 2, "--speed", 100)["same"]
    (place / "empty").mkdir()
    assert laptop.run("replay", "run", capture, "--device", place / "empty")["same"]
    other = DeviceHome(place / "other")
    other.sign_up(server, "bea")
    other.down()
    against = ["replay", "run", capture, "--against", server.url, "--user", "bea"]
    assert laptop.run(*against, "--password-stdin", stdin=f"{PASSWORD}\n")["same"]
    # What it made is there now: it cannot be made again.
    again = laptop.run(*against, "--password-stdin", stdin=f"{PASSWORD}\n", status=1)
    assert again["difference"]["now"]["refusal"] == "entity.exists"
    wrong = laptop.run(*against, "--password-stdin", stdin="wrong\n", status=4)["error"]
    assert wrong["code"] == "auth.failed"


def test_a_capture_becomes_a_test(laptop: DeviceHome, capture: Path, place: Path) -> None:
    path = place / "test_life.py"
    told = laptop.run("replay", "to-test", capture, "-o", path)
    assert told["files"][0] == str(path)
    assert "test_life_comes_out_as_it_was_recorded" in path.read_text()
    again = laptop.run("replay", "to-test", capture, "-o", path, status=1)["error"]
    assert again["code"] == "replay.output_exists"
    same = laptop.run("replay", "to-test", capture, "-o", capture, "--force", status=1)["error"]
    assert same["code"] == "replay.output_is_input"


def test_whoever_runs_a_cut_off_capture_is_told(laptop: DeviceHome, capture: Path) -> None:
    capture.write_bytes(capture.read_bytes()[:-10])
    assert laptop.run("replay", "run", capture)["cut_off"]
    run = CliRunner().invoke(cli, ["replay", "run", str(capture)])
    assert run.stdout.startswith("The same")
    assert "The capture was cut off: what came behind the cut was not run." in run.stderr
    made = CliRunner().invoke(cli, ["replay", "to-test", str(capture)])
    assert "CAPTURE = " in made.stdout
    assert "was cut off: the test ends at the cut." in made.stderr


def test_what_cannot_be_run_is_told_by_name(laptop: DeviceHome, place: Path) -> None:
    path = place / "c"
    for words, code, status in (
        (("run", path), "file.not_found", 5),
        (("run", path, "--scratch", "--device", place), "usage.options", 2),
        (("run", path, "--against", "ws://127.0.0.1:1"), "usage.options", 2),
        (("run", path, "--user", "ann"), "usage.options", 2),
        (("run", path, "--step"), "usage.options", 2),
        (("to-test",), "usage.options", 2),
        (("to-test", path, "--seed", 3), "usage.options", 2),
        (("to-test", path), "file.not_found", 5),
    ):
        error = laptop.run("replay", *words, status=status)["error"]
        assert error["code"] == code
        assert error["hint"]
    path.write_bytes(b"GIF89a")
    assert laptop.run("replay", "run", path, status=1)["error"]["code"] == "replay.foreign"
