"""A home of its own for each test that talks to a real daemon."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.processes import DeviceHome


@pytest.fixture
def place() -> Iterator[Path]:
    """A short temporary folder: the path of a Unix socket is limited."""
    with tempfile.TemporaryDirectory(prefix="kfk-") as folder:
        yield Path(folder)


@pytest.fixture
def laptop(place: Path) -> Iterator[DeviceHome]:
    """A device that nobody has signed in on; its daemon is stopped at the end."""
    device = DeviceHome(place / "laptop")
    yield device
    device.down()
