"""Whose connection it is, seen through the proxies that are trusted."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address

from websockets.asyncio.server import ServerConnection

Network = IPv4Network | IPv6Network


def peer_address(connection: ServerConnection, trusted_proxies: Sequence[Network]) -> str:
    """Return the address to count attempts by.

    Each proxy appends its peer to X-Forwarded-For, so the header is read from its end, as long as
    the address that wrote it is trusted.
    """
    remote = connection.remote_address
    address = str(remote[0]) if isinstance(remote, tuple) else ""
    request = connection.request
    forwarded = ",".join(request.headers.get_all("X-Forwarded-For")) if request else ""
    for hop in reversed([part.strip() for part in forwarded.split(",") if part.strip()]):
        if not _is_within(address, trusted_proxies):
            break
        address = hop
    return address


def _is_within(address: str, networks: Sequence[Network]) -> bool:
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in networks)
