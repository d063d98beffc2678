"""The library: an async client of this device's daemon, and what its calls return."""

from kafkaman_sync.client.client import WAITABLE, Client
from kafkaman_sync.client.records import (
    Conflict,
    Device,
    Imported,
    Listed,
    Proof,
    Reloaded,
    Resolution,
    Shown,
    SignedIn,
    SignedOut,
    Status,
    ViewChange,
    Workspace,
)

__all__ = [
    "WAITABLE",
    "Client",
    "Conflict",
    "Device",
    "Imported",
    "Listed",
    "Proof",
    "Reloaded",
    "Resolution",
    "Shown",
    "SignedIn",
    "SignedOut",
    "Status",
    "ViewChange",
    "Workspace",
]
