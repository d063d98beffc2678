"""A piece of a purge: what has been in the trash for long enough is removed for good.

It runs as a commit of the journal's, so that purges have their places in the log like any event.
"""

from __future__ import annotations

from typing import Final

from kafkaman_server.decide import purge
from kafkaman_server.hub import News
from kafkaman_server.storage.interface import Transaction
from kafkaman_server.storage.records import Commit, Touched
from kafkaman_sync.model.limits import MIB
from kafkaman_sync.protocol.records import encode_event

# What one commit purges: no longer than one of the devices' pushes holds the others up.
PURGED_MAX: Final = 200
PURGED_BYTES_MAX: Final = 8 * MIB


async def purge_some(
    transaction: Transaction, commit: Commit, *, workspace: str, seq: int, at: int
) -> News | None:
    """Purge some of what was deleted at or before `seq`, from the leaves up, into `commit`.

    Returns the news for those who are connected; None when nothing is left to purge.
    """
    expired = await transaction.expired(
        workspace, seq, rows_max=PURGED_MAX, bytes_max=PURGED_BYTES_MAX
    )
    if not expired:
        return None
    world = (await transaction.worlds({workspace: Touched(targets=set(expired))}))[workspace]
    for entity in expired:
        event = purge(world, entity, at=at)
        commit.events.append((workspace, event.seq, entity, encode_event(event)))
        commit.purged.append((workspace, entity, event.seq))
    commit.heads[workspace] = (world.head, world.digest)
    await transaction.write(commit)
    return News(workspace, world.digest, [(seq, data) for _, seq, _, data in commit.events])
