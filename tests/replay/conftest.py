"""What replay is tried on: real servers, as in the server's own tests."""

from __future__ import annotations

from tests.server.conftest import server, start_server

__all__ = ["server", "start_server"]
