"""Views are imported when a person's terminal shows one, and never for a program."""

from __future__ import annotations

import subprocess
import sys

import pytest

from kafkaman_sync.cli import terminal
from kafkaman_sync.cli.main import TOPICS


@pytest.mark.parametrize("name", terminal.__all__)
def test_each_view_is_there(name: str) -> None:
    assert getattr(terminal, name).__name__.endswith(f".{name}")


def test_what_is_no_view_is_not_there() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = terminal.nothing


def test_no_command_imports_rich_before_it_draws() -> None:
    modules = {module for topic in TOPICS.values() for module in topic.values()} - {"replay"}
    names = ", ".join(f"kafkaman_sync.cli.{module}" for module in sorted(modules))
    program = f"import sys, {names}; print(sorted(each for each in sys.modules if each == 'rich'))"
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ended.stdout == "[]\n"
