"""Noticing that waiting has become pointless: the network changed, or the machine woke up."""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

# rtnetlink(7): multicast groups for links, and for IPv4 and IPv6 addresses.
_NETLINK_GROUPS: Final = 0x1 | 0x10 | 0x100
# A difference that no scheduling delay explains.
_JUMP_SECONDS: Final = 3.0


@contextmanager
def watch_network(changed: Callable[[], None]) -> Iterator[None]:
    """Call `changed` when links or addresses change, as the kernel tells it; no polling.

    Where the kernel does not tell, retries alone find the network again.
    """
    loop = asyncio.get_running_loop()
    try:
        listener = _open_listener()
    except OSError:
        yield
        return

    def drain() -> None:
        with suppress(OSError):
            while listener.recv(65536):
                pass
        changed()

    loop.add_reader(listener, drain)
    try:
        yield
    finally:
        loop.remove_reader(listener)
        listener.close()


class SleepWatch:
    """Compares two clocks, of which one stands still while the machine sleeps."""

    def __init__(self) -> None:
        self._asleep = _asleep_seconds()

    def woke_up(self) -> bool:
        """Tell whether the machine slept since the last call."""
        before, self._asleep = self._asleep, _asleep_seconds()
        return self._asleep - before > _JUMP_SECONDS


def _open_listener() -> socket.socket:
    if sys.platform == "linux":
        listener = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        address: tuple[int, int] | None = (0, _NETLINK_GROUPS)
    else:
        # BSD and macOS: the routing socket hears of every change by itself.
        listener = socket.socket(socket.AF_ROUTE, socket.SOCK_RAW, 0)
        address = None
    try:
        listener.setblocking(False)
        if address is not None:
            listener.bind(address)
    except OSError:
        listener.close()
        raise
    return listener


def _asleep_seconds() -> float:
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    # Elsewhere the wall clock serves: a retry too many, after somebody set it, does no harm.
    since_boot = time.time() if boot is None else time.clock_gettime(boot)
    return since_boot - time.monotonic()
