"""A test made of a capture, or of a seed, runs as it is, and is written as the project's are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from kafkaman_sync.cli.main import cli
from kafkaman_sync.errors import ReplayError
from kafkaman_sync.replay import tests_made
from kafkaman_sync.replay.recorder import Wanted, record_last
from kafkaman_sync.replay.tests_made import MadeTest, made_of_capture, made_of_seed
from tests.device.conftest import folder, world
from tests.device.world import World
from tests.replay.test_rerun import settled, shared_work

__all__ = ["folder", "world"]


def run(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def check(root: Path, folder: Path, made: MadeTest) -> None:
    """Run the test and the project's checks of it."""
    path = folder / "test_made.py"
    path.write_text(made.text)
    if made.capture is not None:
        (folder / "test_made.capture").write_bytes(made.capture)
    options = ["--config", str(root / "pyproject.toml")]
    linted = run(root, "ruff", "check", *options, "--ignore", "D,S", str(path))
    assert linted.returncode == 0, linted.stdout
    formatted = run(root, "ruff", "format", *options, "--check", "--diff", str(path))
    assert formatted.returncode == 0, formatted.stdout
    passed = run(
        root, "pytest", "-q", "-c", "pyproject.toml", "--rootdir", ".", "-p", "no:cacheprovider",
        str(path),
    )  # fmt: skip
    assert passed.returncode == 0, passed.stdout
    assert "1 passed" in passed.stdout


async def test_a_small_capture_is_in_the_test_and_a_large_one_beside_it(
    world: World, tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop, _ = await shared_work(world)
    path = tmp_path / "recorded"
    await record_last(laptop.home, Wanted(path))
    made = made_of_capture(path, name="a_day", beside="test_made.capture")
    assert made.capture is None
    assert "def test_a_day_comes_out_as_it_was_recorded" in made.text
    check(root, tmp_path, made)
    monkeypatch.setattr(tests_made, "EMBEDDED_BYTES_MAX", 10)
    beside = made_of_capture(
        path, name="a_day", device=laptop.daemon._signing.required().identity.device[:6],
        beside="test_made.capture",
    )  # fmt: skip
    assert beside.capture == path.read_bytes()
    check(root, tmp_path, beside)


async def test_what_was_there_before_goes_with_the_capture(
    world: World, tmp_path: Path, root: Path
) -> None:
    server, laptop, _ = await world.pair()
    await laptop.client.create("collection", fields={"name": "a telltale"})
    await settled(laptop)
    await laptop.stop()
    await laptop.start()
    await settled(laptop)
    await laptop.client.create("collection", fields={"name": "after"})
    await settled(laptop)
    path = tmp_path / "recorded"
    await record_last(laptop.home, Wanted(path))
    (tmp_path / ".recorded.base").write_text("somebody's")
    made = made_of_capture(path, name="later", base=str(server.data))
    check(root, tmp_path, made)
    names = [".recorded.base", "recorded", "test_made.py"]
    assert sorted(each.name for each in tmp_path.iterdir()) == names


FAILED = """\
seed 7: 2 problems
  <1> was lost: "mine" is gone
  device0 never settles
trace of 2 steps:
  3 device0 edits
again: scripts/simulate --seed 7 --only 3,5
"""


def test_a_seed_that_fails_becomes_a_test_of_its_shortest_steps(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def simulate(*_: object, **__: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess([], 1, FAILED, "")

    with monkeypatch.context() as patched:
        patched.setattr(subprocess, "run", simulate)
        made = made_of_seed(7, root / "tests")
    assert "SEED = 7" in made.text
    assert "STEPS = (\n    3,\n    5,\n)" in made.text
    assert '<1> was lost: "mine" is gone' in made.text
    check(root, tmp_path, made)


def test_a_seed_that_passes_or_cannot_be_run_is_refused_by_name(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ReplayError) as nowhere:
        made_of_seed(1, tmp_path)
    assert nowhere.value.code == "replay.no_checkout"
    monkeypatch.setattr(tests_made, "_SEED_SECONDS_MAX", 0.01)
    with pytest.raises(ReplayError) as endless:
        made_of_seed(1, root)
    assert endless.value.code == "replay.seed_unclear"
    for status, code in ((0, "replay.seed_passes"), (1, "replay.seed_unclear")):
        finished = subprocess.CompletedProcess[str]([], status, "", "")
        monkeypatch.setattr(subprocess, "run", lambda *_, f=finished, **__: f)
        with pytest.raises(ReplayError) as caught:
            made_of_seed(1, root)
        assert caught.value.code == code
        assert caught.value.hint


def test_a_test_is_not_written_over_the_capture_beside_it(tmp_path: Path) -> None:
    capture, target = tmp_path / "then", tmp_path / "test.capture"
    capture.write_bytes(b"")
    result = CliRunner().invoke(cli, ["replay", "to-test", str(capture), "-o", str(target)])
    assert result.exit_code == 2
    assert "test.py" in result.stderr
    assert not target.exists()
