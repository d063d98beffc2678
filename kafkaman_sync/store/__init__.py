"""The device's store: what the server confirmed, what waits for it, and what a person decides."""

from kafkaman_sync.store.facts import (
    SCRATCH_PAD,
    SCRATCH_PAD_NAME,
    ConflictRecord,
    Counts,
    EditResult,
    HelloFacts,
    Identity,
    Progress,
    Received,
    SealSummary,
    TheirWriter,
    ViewChange,
    WelcomeEffect,
    WorkspaceState,
)
from kafkaman_sync.store.standing import Named, Standing
from kafkaman_sync.store.store import Store
from kafkaman_sync.store.trash import Trashed

__all__ = [
    "SCRATCH_PAD",
    "SCRATCH_PAD_NAME",
    "ConflictRecord",
    "Counts",
    "EditResult",
    "HelloFacts",
    "Identity",
    "Named",
    "Progress",
    "Received",
    "SealSummary",
    "Standing",
    "Store",
    "TheirWriter",
    "Trashed",
    "ViewChange",
    "WelcomeEffect",
    "WorkspaceState",
]
