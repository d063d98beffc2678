"""A server without a socket for most tests, one with a real socket for the rest."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.hostile.attacker import Identity, sign_up
from tests.hostile.peers import Site, server_without_socket
from tests.server.conftest import server, start_server

__all__ = ["me", "server", "site", "start_server", "victim"]


@pytest.fixture
async def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    async with server_without_socket(tmp_path / "data", monkeypatch) as running:
        yield running


@pytest.fixture
async def me(site: Site) -> Identity:
    return await sign_up(site, "mallory")


@pytest.fixture
async def victim(site: Site) -> Identity:
    return await sign_up(site, "victim")
