"""The stepper as a process: on a terminal, without one, and without its packages."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from kafkaman_sync.cli.main import cli
from tests.cli.stepped import stepped_log
from tests.cli.terminal import Terminal
from tests.replay.logs import LogFile


@pytest.fixture
def log(tmp_path: Path) -> LogFile:
    return stepped_log(tmp_path)


def test_what_nobody_foresaw_ends_it_without_a_traceback(log: LogFile, tmp_path: Path) -> None:
    script = (
        "from kafkaman_sync.replay.stepping import Stepper\n"
        "Stepper.steps = lambda *_, **__: 1 / 0\n"
        "from kafkaman_sync.cli.main import cli\n"
        f"cli.main(['replay', 'step', {str(log.path)!r}])"
    )
    spawn = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"
    with subprocess.Popen(
        [sys.executable, "-c", spawn, sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "TERM": "dumb", "COLUMNS": "80"},
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        shown = b""
        while b"seq 6 of 6" not in shown:
            shown += os.read(process.stdout.fileno(), 4096)
        out, _ = process.communicate(b"p", timeout=60)
    assert process.returncode == 1
    assert b"Something unexpected happened" in out
    assert b"Traceback" not in out


def run(*words: str) -> tuple[int, dict[str, str]]:
    result = CliRunner().invoke(cli, ["replay", "step", *words, "--json"])
    found: dict[str, str] = json.loads(result.stdout)["error"]
    return result.exit_code, found


def test_without_a_terminal_it_names_what_scripts_can_use(log: LogFile) -> None:
    status, error = run(str(log.path))
    assert (status, error["code"]) == (1, "replay.no_terminal")
    assert "replay log" in error["hint"]
    assert "replay what-if" in error["hint"]


def test_on_a_terminal_what_cannot_be_opened_is_said(log: LogFile, tmp_path: Path) -> None:
    for words, told in (
        ((str(tmp_path / "gone"),), "cannot be read"),
        ((str(log.path), "--at", "99"), "has not been written yet"),
        ((str(log.path), "--break", "nmae == 1"), "Did you mean name?"),
        ((str(log.path), "--user", "ann"), "Nobody signs in there."),
    ):
        with Terminal(tmp_path / "home", "replay", "step", *words) as terminal:
            terminal.see(told)
            assert terminal.end() != 0


def test_on_a_terminal_it_draws_without_colours_where_none_are_wanted(
    log: LogFile, tmp_path: Path
) -> None:
    with Terminal(tmp_path / "home", "replay", "step", str(log.path)) as terminal:
        terminal.see("seq 6 of 6")
        terminal.see("deleted")
        terminal.type("q")
        assert terminal.end() == 0
    colours = set(re.findall(r"\x1b\[([0-9;]*)m", terminal.shown))
    assert not {each for each in colours if re.search(r"(?:^|;)(?:[34][0-8]|9[0-7])\b", each)}


def test_without_its_packages_it_says_what_to_install(log: LogFile, tmp_path: Path) -> None:
    (tmp_path / "textual").mkdir()
    (tmp_path / "textual" / "__init__.py").write_text(
        "raise ModuleNotFoundError('no textual', name='textual')"
    )
    script = (
        "import sys; sys.stdin.isatty = sys.stdout.isatty = lambda: True\n"
        "from kafkaman_sync.cli.main import cli\n"
        f"cli.main(['replay', 'step', {str(log.path)!r}])"
    )
    finished = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 1, finished.stdout
    assert "pip install 'kafkaman-sync[replay]'" in finished.stderr
