"""Two devices that are in sync, and the server between them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.store.authority import Authority
from tests.store.devices import Device, devices


@pytest.fixture
def authority() -> Authority:
    return Authority()


@pytest.fixture
async def pair(tmp_path: Path, authority: Authority) -> AsyncIterator[list[Device]]:
    async with devices(tmp_path, authority) as found:
        for device in found:
            await device.sync()
        yield found


@pytest.fixture
async def ada(pair: list[Device]) -> Device:
    return pair[0]


@pytest.fixture
async def bob(pair: list[Device]) -> Device:
    return pair[1]
