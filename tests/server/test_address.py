"""Whose address counts, behind proxies and without."""

from __future__ import annotations

from ipaddress import ip_network
from types import SimpleNamespace
from typing import Any, cast

import pytest
from websockets.datastructures import Headers

from kafkaman_server.address import peer_address

PROXIES = (ip_network("127.0.0.1"), ip_network("10.0.0.0/8"))


@pytest.mark.parametrize(
    ("remote", "forwarded", "expected"),
    [
        ("1.2.3.4", [], "1.2.3.4"),
        ("1.2.3.4", ["6.6.6.6"], "1.2.3.4"),
        ("127.0.0.1", ["6.6.6.6"], "6.6.6.6"),
        ("127.0.0.1", ["6.6.6.6, 7.7.7.7"], "7.7.7.7"),
        ("127.0.0.1", ["6.6.6.6", "7.7.7.7, 10.1.1.1"], "7.7.7.7"),
        ("127.0.0.1", ["nonsense"], "nonsense"),
        ("127.0.0.1", ["6.6.6.6, nonsense"], "nonsense"),
        ("127.0.0.1", [" , "], "127.0.0.1"),
    ],
)
def test_only_trusted_proxies_are_believed(
    remote: str, forwarded: list[str], expected: str
) -> None:
    headers = Headers([("X-Forwarded-For", value) for value in forwarded])
    connection: Any = SimpleNamespace(
        remote_address=(remote, 1), request=SimpleNamespace(headers=headers)
    )
    assert peer_address(cast(Any, connection), PROXIES) == expected
