"""A piece of a purge: what has been in the trash for long enough is removed for good.

It runs as a commit of the journal's, so that purges have their places in the log like any event.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kafkaman_server.decide import World, purge
from kafkaman_server.hub import News
from kafkaman_server.storage.interface import Transaction
from kafkaman_server.storage.records import Commit, Touched
from kafkaman_sync.protocol.records import encode_event


@dataclass(frozen=True, slots=True)
class Piece:
    """Entities to purge, each before what it lies in, for they were deleted long enough ago.

    Those are purged that still are, or lie below what still is, deleted at or before
    `deleted_upto`.
    """

    workspace: str
    entities: Sequence[str]
    deleted_upto: int


async def purge_piece(
    transaction: Transaction, commit: Commit, piece: Piece, *, at: int
) -> News | None:
    """Purge into `commit`; return the news for those who are connected, None if there are none."""
    workspace = piece.workspace
    worlds = await transaction.worlds({workspace: Touched(targets=set(piece.entities))})
    world = worlds.get(workspace) or World(workspace)
    for entity in piece.entities:
        event = purge(world, entity, deleted_upto=piece.deleted_upto, at=at)
        if event is not None:
            commit.events.append((workspace, event.seq, entity, encode_event(event), None))
            commit.purged.append((workspace, entity, event.seq))
    if not commit.events:
        return None
    commit.heads[workspace] = (world.head, world.digest)
    await transaction.write(commit)
    return News(workspace, world.digest, [(seq, data) for _, seq, _, data, _ in commit.events])
