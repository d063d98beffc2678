"""kafkaman sync: API collections, environments and run results, the same on every device.

The names below are the library. They are imported when first used, so that the daemon and the
server, which import parts of this package, do not carry the whole of it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from kafkaman_sync.__about__ import __version__

if TYPE_CHECKING:
    from kafkaman_sync.client import (
        WAITABLE,
        Archive,
        ArchiveContent,
        Blame,
        BlamedPart,
        Client,
        Conflict,
        Damaged,
        Device,
        History,
        HistoryEvent,
        Imported,
        Listed,
        Proof,
        Reloaded,
        Resolution,
        RestoredArchive,
        Reverted,
        Shown,
        ShownAt,
        SignedIn,
        SignedOut,
        Status,
        Trash,
        Trashed,
        Unsynced,
        ViewChange,
        Workspace,
    )
    from kafkaman_sync.engine.states import Cause, Facts, Progress, State, Transition
    from kafkaman_sync.errors import (
        ControlError,
        FormatError,
        KafkamanError,
        LinkError,
        LocalError,
        ModelError,
        RefusedError,
        RemoteError,
        StoreError,
        UsageError,
        WireError,
    )

__all__ = [
    "WAITABLE",
    "Archive",
    "ArchiveContent",
    "Blame",
    "BlamedPart",
    "Cause",
    "Client",
    "Conflict",
    "ControlError",
    "Damaged",
    "Device",
    "Facts",
    "FormatError",
    "History",
    "HistoryEvent",
    "Imported",
    "KafkamanError",
    "LinkError",
    "Listed",
    "LocalError",
    "ModelError",
    "Progress",
    "Proof",
    "RefusedError",
    "Reloaded",
    "RemoteError",
    "Resolution",
    "RestoredArchive",
    "Reverted",
    "Shown",
    "ShownAt",
    "SignedIn",
    "SignedOut",
    "State",
    "Status",
    "StoreError",
    "Transition",
    "Trash",
    "Trashed",
    "Unsynced",
    "UsageError",
    "ViewChange",
    "WireError",
    "Workspace",
    "__version__",
]

_HOMES = ("kafkaman_sync.client", "kafkaman_sync.engine.states", "kafkaman_sync.errors")


def __getattr__(name: str) -> object:
    if name in __all__:
        for home in reversed(_HOMES):
            module = import_module(home)
            if hasattr(module, name):
                return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
