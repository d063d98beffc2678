"""A server and up to four devices for each test, all ended and removed with it."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.end_to_end.processes import DeviceHome, ServerProcess


@pytest.fixture
def place() -> Iterator[Path]:
    """A short temporary folder: the path of a Unix socket is limited."""
    with tempfile.TemporaryDirectory(prefix="kfk-") as folder:
        yield Path(folder)


@pytest.fixture
def server(place: Path) -> Iterator[ServerProcess]:
    """A running server."""
    server = ServerProcess(place / "server")
    server.start()
    yield server
    server.stop(signal.SIGKILL)


@pytest.fixture
def device(place: Path) -> Iterator[Callable[[str], DeviceHome]]:
    """Makes devices by name; their daemons are stopped at the end."""
    made: list[DeviceHome] = []

    def make(name: str) -> DeviceHome:
        made.append(DeviceHome(place / name))
        return made[-1]

    yield make
    for each in made:
        each.down()
