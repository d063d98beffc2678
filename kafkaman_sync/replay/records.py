"""What a source tells: its logs, the events in them, and who people and devices are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from msgspec import Struct

from kafkaman_sync.model.changes import Basis, Event


@dataclass(frozen=True, slots=True)
class Log:
    """One workspace as a source holds it.

    Events with seqs above `horizon` and up to `head` are there; those at or below it have been
    folded into the bases, the latest of them written at `horizon_at` (milliseconds since 1970).
    For a device's store `head` is its cursor, and there are no events at all. `digest` is the one
    stored for `head`, None when the source stores none. With `redacted` hashes stand for values,
    and digests, which are of the real ones, do not fit.
    """

    workspace: str
    name: str
    head: int
    digest: bytes | None = None
    horizon: int = 0
    horizon_at: int = 0
    redacted: bool = False


class Logged(Struct, frozen=True, gc=False):
    """An event as the log has it.

    `basis` is what its change was judged by, None for a purge or where it was not kept. `digest`
    is the workspace's at this seq, set where a commit ends. `size` counts the stored bytes.
    """

    event: Event
    basis: Basis | None = None
    digest: bytes | None = None
    size: int = 0


@dataclass(frozen=True, slots=True)
class DeviceName:
    """What is known of a device by name."""

    id: str
    name: str
    platform: str = ""
    account: str = ""


@dataclass(frozen=True, slots=True)
class Names:
    """Who accounts and devices are; ids that are not here are shown as they are."""

    accounts: Mapping[str, str] = field(default_factory=dict)
    devices: Mapping[str, DeviceName] = field(default_factory=dict)

    def account(self, account: str) -> str:
        """Return a username; for one that is not known, the beginning of its id."""
        return self.accounts.get(account) or account[:8]

    def device_name(self, device: str) -> str:
        """Return a device's name, empty where it is not known."""
        known = self.devices.get(device)
        return "" if known is None else known.name

    def device(self, device: str) -> str:
        """Return a device's name; for one that is not known, the beginning of its id."""
        return self.device_name(device) or device[:8]


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who signs in at a server over the wire."""

    user: str
    password: str = field(repr=False)
