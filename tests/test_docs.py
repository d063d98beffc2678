"""What the documentation says is true today."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from kafkaman_server.config import _RULES
from kafkaman_sync.engine.states import render_table
from tests.end_to_end.processes import DeviceHome, ServerProcess


def blocks(page: Path, language: str) -> list[str]:
    """Return the fenced blocks of a language."""
    return re.findall(
        rf"^```{language}\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )


def test_the_librarys_example_runs_and_prints_what_the_page_says(
    root: Path, tmp_path: Path
) -> None:
    page = root / "docs" / "library.md"
    (example,) = blocks(page, "python")
    (expected,) = blocks(page, "text")
    script = tmp_path / "example.py"
    script.write_text(example, encoding="utf-8")
    server = ServerProcess(tmp_path / "server")
    server.start()
    try:
        finished = subprocess.run(
            [sys.executable, script, server.url, tmp_path / "home"],
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
    finally:
        DeviceHome(tmp_path / "home").down()
        server.stop()
    assert finished.stderr == ""
    assert finished.stdout == expected


def test_every_setting_of_the_server_is_documented(root: Path) -> None:
    page = (root / "docs" / "hosting.md").read_text("utf-8")
    documented = set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
    assert documented == set(_RULES)


def test_the_page_of_states_is_drawn_from_the_table(root: Path) -> None:
    assert render_table() in (root / "docs" / "states.md").read_text("utf-8")


GUARANTEES = range(1, 16)


def guarantee_sections(root: Path) -> dict[int, str]:
    page = (root / "docs" / "guarantees.md").read_text("utf-8")
    parts = re.split(r"^## (\d+)\. ", page, flags=re.MULTILINE)[1:]
    return {int(number): text for number, text in zip(parts[::2], parts[1::2], strict=True)}


@pytest.mark.parametrize("number", GUARANTEES)
def test_each_guarantee_names_tests_that_exist(root: Path, number: int) -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", guarantee_sections(root)[number])
    assert named
    assert len(named) == len(set(named)), "a test is named twice"
    for file, function in named:
        source = (root / file).read_text("utf-8")
        defined = rf"(def {function}\(|^{function} = )"  # a state machine is a name for its class
        assert re.search(defined, source, re.MULTILINE), f"{file} has no {function}"
