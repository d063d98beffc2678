"""Proof that what is stored is what the log made: the digest, recomputed from all rows."""

from __future__ import annotations

from kafkaman_server.storage.interface import Snapshot
from kafkaman_sync.model.digest import EMPTY_DIGEST, update_digest
from kafkaman_sync.model.limits import MESSAGE_BYTES_TARGET


async def is_sound(workspace: str, snapshot: Snapshot) -> bool:
    """Tell whether a workspace's rows give its stored digest, on one snapshot, chunk by chunk."""
    version = 0
    total = EMPTY_DIGEST
    while True:
        chunk = await snapshot.entities_after(workspace, version, bytes_max=MESSAGE_BYTES_TARGET)
        for entity in chunk.entities:
            total = update_digest(total, workspace, None, entity)
            version = entity.version
        if chunk.complete:
            return total == chunk.digest
