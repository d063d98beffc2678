"""Whole trees through the control socket, in pieces of bounded size: import and export."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final

from kafkaman_sync.client.connection import Connection
from kafkaman_sync.client.records import Imported
from kafkaman_sync.device import rpc
from kafkaman_sync.formats import Draft
from kafkaman_sync.model.limits import MIB

# One message of an import: enough that the round trip does not count, small beside any memory.
PIECE_BYTES: Final = MIB
PIECE_CREATES: Final = 1000

Json = dict[str, Any]


async def import_drafts(
    connection: Connection, roots: Sequence[Draft], workspace: str | None, parent: str
) -> list[Imported]:
    """Create what drafts hold, in one transaction."""
    begun = await connection.call("import_begin", workspace=workspace, parent=parent or None)
    imported: list[Imported] = []
    for root in roots:
        root_id, counts = secrets.token_hex(16), Counter[str]()
        creates = _creates(root, root_id, begun["parent"], counts)
        for piece in _pieces(creates):
            await connection.call("import_add", stage=begun["stage"], creates=piece)
        imported.append(Imported(root_id, begun["workspace"], dict(counts)))
    await connection.call("import_commit", stage=begun["stage"])
    return imported


async def export_draft(connection: Connection, id: str, workspace: str | None) -> Draft:
    """Return the draft of an entity and of everything below it."""
    rows: list[Json] = []
    page: int | None = None
    while True:
        result = await connection.call("tree", id=id, workspace=workspace, page=page)
        rows += result["entities"]
        page = result["next"]
        if page is None:
            return _assemble(rows)


def _creates(draft: Draft, id: str, parent: str, counts: Counter[str]) -> Iterator[Json]:
    """Yield the create of each entity, parents first, siblings in order."""
    waiting = [(draft, id, parent)]
    while waiting:
        current, current_id, current_parent = waiting.pop()
        counts[current.kind] += 1
        yield {
            "id": current_id,
            "kind": current.kind,
            "parent": current_parent,
            "fields": current.fields,
        }
        below = [(child, secrets.token_hex(16), current_id) for child in current.children]
        waiting += reversed(below)


def _pieces(creates: Iterator[Json]) -> Iterator[list[Json]]:
    piece: list[Json] = []
    size = 0
    for create in creates:
        create_size = len(rpc.dump_line(create))
        if piece and (size + create_size > PIECE_BYTES or len(piece) >= PIECE_CREATES):
            yield piece
            piece, size = [], 0
        piece.append(create)
        size += create_size
    if piece:
        yield piece


def _assemble(rows: list[Json]) -> Draft:
    """Return the tree of rows that come with parents before children and siblings in order."""
    children: dict[str, list[Draft]] = {row["id"]: [] for row in rows}
    # Backwards, every entity's children are complete, in reverse order, when it is built.
    for row in reversed(rows[1:]):
        below = tuple(reversed(children[row["id"]]))
        children[row["parent"]].append(Draft(row["kind"], row["fields"], below))
    top = rows[0]
    return Draft(top["kind"], top["fields"], tuple(reversed(children[top["id"]])))
