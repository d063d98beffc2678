"""Whatever the streams are, there is an answer and never a traceback."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.processes import BIN, DeviceHome

KAFKAMAN = str(BIN / "kafkaman")


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Let children heed SIGINT, even where the test run itself was started to ignore it."""
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, former)


def environment(home: Path, **more: str) -> dict[str, str]:
    return {**os.environ, "KAFKAMAN_HOME": str(home), **more}


def run(script: str, home: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a shell script in which `kafkaman` is the command."""
    finished = subprocess.run(
        ["bash", "-c", f'kafkaman() {{ "{KAFKAMAN}" "$@"; }}; {script}'],
        capture_output=True,
        text=True,
        env=environment(home, **more),
        timeout=60,
        check=False,
    )
    assert "Traceback" not in finished.stderr
    assert "Exception" not in finished.stderr
    return finished


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_closed_streams_do_no_harm(laptop: DeviceHome, closed: str) -> None:
    finished = run(f"kafkaman new collection name=A {closed}; echo $?", laptop.home)
    assert finished.stdout.splitlines()[-1] == "0"
    assert len(laptop.run("ls")) == 1


def test_a_reader_that_goes_away_ends_the_command_quietly(laptop: DeviceHome) -> None:
    script = "kafkaman completion bash | true; echo ${PIPESTATUS[0]}"
    finished = run(script, laptop.home)
    assert finished.stdout.strip() == "141"
    assert finished.stderr == ""
    laptop.run("up")
    finished = run("kafkaman status --watch | head -n 1; echo ${PIPESTATUS[0]}", laptop.home)
    assert "OFFLINE" in finished.stdout
    assert finished.stdout.endswith("\n141\n")
    assert finished.stderr == ""


def test_a_full_disk_is_an_error(laptop: DeviceHome) -> None:
    finished = run("kafkaman completion bash > /dev/full", laptop.home)
    assert finished.returncode == 1
    assert "No space left" in finished.stderr
    finished = run("kafkaman completion bash --json > /dev/full", laptop.home)
    assert finished.returncode == 1
    assert "cannot be written" in finished.stderr


def test_names_survive_a_terminal_that_cannot_spell_them(laptop: DeviceHome) -> None:
    laptop.run("new", "collection", "name=größe 注文")
    greek = {"PYTHONIOENCODING": "iso8859-7", "PYTHONUTF8": "0"}
    finished = run("kafkaman ls", laptop.home, **greek)
    assert "gr\\xf6\\xdfe \\u6ce8\\u6587" in finished.stdout
    finished = run("kafkaman ls --json", laptop.home, **greek)
    assert "gr\\u00f6\\u00dfe \\u6ce8" in finished.stdout


def test_a_narrow_terminal_is_no_error(laptop: DeviceHome) -> None:
    assert run("kafkaman status; kafkaman --help", laptop.home, COLUMNS="1").returncode == 0


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("more", [(), ("--json",)])
def test_ctrl_c_ends_a_watch_quietly(laptop: DeviceHome, more: tuple[str, ...]) -> None:
    laptop.run("up")
    watch = subprocess.Popen(
        [KAFKAMAN, "status", "--watch", *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(laptop.home),
    )
    assert watch.stdout is not None
    assert "OFFLINE" in watch.stdout.readline()
    watch.send_signal(signal.SIGINT)
    out, err = watch.communicate(timeout=30)
    assert (out, err, watch.returncode) == ("", "", 130)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_while_waiting_is_told(laptop: DeviceHome) -> None:
    laptop.run("up")
    waiting = subprocess.Popen(
        [KAFKAMAN, "wait", "--until", "in-sync", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(laptop.home),
    )
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.communicate(timeout=2)
    waiting.send_signal(signal.SIGINT)
    out, err = waiting.communicate(timeout=30)
    assert '"interrupted"' in out
    assert "Traceback" not in err
    assert waiting.returncode == 130


def test_a_home_that_cannot_be_used_is_named(place: Path) -> None:
    place.joinpath("file").write_text("")
    finished = run("kafkaman status", place / "file")
    assert finished.returncode in (1, 2, 3)
    assert "file" in finished.stderr
