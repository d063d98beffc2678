"""What is deleted, and what lies in it: hidden from every other read until it is purged."""

from __future__ import annotations

from dataclasses import dataclass

from kafkaman_sync.database import Database, Reader, json_list
from kafkaman_sync.model.planning import Scene
from kafkaman_sync.model.view import ViewEntity, hiding, sibling_order
from kafkaman_sync.store.editing import child_ids, load_chain
from kafkaman_sync.store.reads import ids_beginning, load_tree, with_values
from kafkaman_sync.store.rows import Held, load_workspace


@dataclass(frozen=True, slots=True)
class Trashed:
    """Something deleted that lies in nothing deleted.

    `above` is what it lies in, from the top down, with names. `below` counts what comes back with
    it. `seq` is that of its deletion, 0 while that waits for the server.
    """

    entity: ViewEntity
    above: tuple[ViewEntity, ...]
    below: int
    seq: int


class Trash:
    """The part of a store that looks at what is hidden."""

    _database: Database

    async def trash(self, workspace: str) -> list[Trashed]:
        """Return what is deleted, the latest first; of what lies in something deleted, nothing."""

        async def work(reader: Reader) -> list[Trashed]:
            return await _trash(reader, await load_workspace(reader, workspace))

        return await self._database.read(work)

    async def children_with_hidden(self, workspace: str, parent: str) -> list[ViewEntity]:
        """Return what lies directly in `parent`, deleted or not, in order, with fields."""

        async def work(reader: Reader) -> list[ViewEntity]:
            held = await load_workspace(reader, workspace)
            ids = set(await child_ids(reader, held, parent))
            scene = Scene(held.id, held.cursor)
            await load_chain(reader, held, scene, ids, ids)
            found = (each for each in scene.entities.values() if each.parent == parent)
            return [each.without_removed() for each in sorted(found, key=sibling_order)]

        return await self._database.read(work)

    async def find_hidden(self, workspace: str, prefix: str, *, most: int) -> list[str]:
        """Return up to `most` ids of hidden entities that begin with `prefix`, in order."""

        async def work(reader: Reader) -> list[str]:
            held = await load_workspace(reader, workspace)
            scene = Scene(held.id, held.cursor)
            ids = await ids_beginning(reader, held, prefix)
            await load_chain(reader, held, scene, set(ids), set())
            return sorted(each for each in ids if hiding(scene.entities, each))[:most]

        return await self._database.read(work)

    async def hidden_by(self, workspace: str, entity: str) -> ViewEntity | None:
        """Return the deleted entity that hides one, itself or the nearest above; None if shown."""

        async def work(reader: Reader) -> ViewEntity | None:
            held = await load_workspace(reader, workspace)
            scene = Scene(held.id, held.cursor)
            await load_chain(reader, held, scene, {entity}, None)
            found = hiding(scene.entities, entity)
            return None if found is None else found.without_removed()

        return await self._database.read(work)


async def _trash(reader: Reader, held: Held) -> list[Trashed]:
    tree = await load_tree(reader, held)
    deleted = tree.trashed()
    above = {each.id: tree.above(each.id)[::-1] for each in deleted}
    wanted = {each.id: each for each in deleted}
    wanted |= {each.id: each for path in above.values() for each in path}
    named = {each.id: each for each in await with_values(reader, held, list(wanted.values()))}
    rows = await reader.fetch(
        "SELECT id, deleted_version FROM entities"
        " WHERE copy = ? AND deleted AND id IN (SELECT value FROM json_each(?))",
        (held.copy, json_list(each.id for each in deleted)),
    )
    seqs = {row[0]: row[1] for row in rows}
    found = [
        Trashed(
            entity=named[each.id],
            above=tuple(named[one.id] for one in above[each.id]),
            below=len(tree.below(each.id)),
            seq=seqs.get(each.id, 0),
        )
        for each in deleted
    ]
    # What waits for the server is the latest.
    return sorted(found, key=lambda each: (each.seq > 0, -each.seq, each.entity.id))
