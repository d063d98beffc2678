"""What a person reads: the view, from one snapshot."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Final

from kafkaman_sync.database import Query, Reader, Row, json_list
from kafkaman_sync.model.entities import ROOT
from kafkaman_sync.model.planning import Scene
from kafkaman_sync.model.rules import not_found
from kafkaman_sync.model.view import (
    Tree,
    ViewEntity,
    hiding,
    lay_over,
    sibling_order,
)
from kafkaman_sync.store.editing import (
    CHAIN,
    child_ids,
    lay_chain,
    load_chain,
)
from kafkaman_sync.store.rows import (
    KINDS,
    SKELETON_COLUMNS,
    Held,
    load_workspace,
    load_workspaces,
    own_change,
    own_fields,
    unknown_workspace,
)

_SHOWN: Final = CHAIN.replace("?2", "(SELECT copy FROM workspaces WHERE id = ?3)")


def showing(workspace: str, entity: str) -> tuple[Query, ...]:
    """Return the queries for an entity of a workspace, whichever its copy is now."""
    only = json_list([entity])
    return (
        ("SELECT 1 FROM workspaces WHERE id = ?", (workspace,)),
        (_SHOWN, (only, None, workspace, only)),
    )


def shown(
    workspace: str, entity: str, answers: Sequence[Sequence[Row]], *, deleted: bool
) -> ViewEntity | None:
    """Return what `showing` found; None if it is absent, or without `deleted` if it is hidden."""
    held, chain = answers
    if not held:
        raise unknown_workspace(workspace)
    scene = Scene(workspace, 0)
    lay_chain(scene, chain)
    found = scene.entities.get(entity)
    if found is None or not (deleted or hiding(scene.entities, entity) is None):
        return None
    return found.without_removed()


async def find(reader: Reader, workspace: str | None, prefix: str, *, most: int) -> list[str]:
    """Return up to `most` ids of shown entities that begin with `prefix`, in order."""
    found: list[str] = []
    for held in await _chosen(reader, workspace):
        scene = Scene(held.id, held.cursor)
        ids = await ids_beginning(reader, held, prefix)
        await load_chain(reader, held, scene, set(ids), set())
        found += [
            each for each in ids if each in scene.entities and not hiding(scene.entities, each)
        ]
    return sorted(found)[:most]


async def ids_beginning(reader: Reader, held: Held, prefix: str) -> list[str]:
    """Return the ids in a workspace that begin with `prefix`, shown or not, a bounded number."""
    rows = await reader.fetch(
        "SELECT id FROM entities WHERE copy = ?1 AND id >= ?2 AND id < ?3"
        " UNION SELECT entity FROM outbox WHERE workspace = ?4 AND entity >= ?2 AND entity < ?3"
        " LIMIT 1000",
        (held.copy, prefix, prefix + "\x7f", held.id),
    )
    return [row[0] for row in rows]


async def children(
    reader: Reader, workspace: str, parent: str, *, with_fields: bool
) -> list[ViewEntity]:
    """Return what lies directly in `parent`, in the order of siblings."""
    held = await load_workspace(reader, workspace)
    scene = Scene(held.id, held.cursor)
    ids = set(await child_ids(reader, held, parent))
    whole = ids if with_fields else set()
    await load_chain(reader, held, scene, ids | ({parent} if parent else set()), whole)
    if parent and (parent not in scene.entities or hiding(scene.entities, parent) is not None):
        raise not_found(parent)
    found = (each for each in scene.entities.values() if each.parent == parent)
    shown = sorted((each for each in found if not each.deleted), key=sibling_order)
    return [_plain(each, with_fields=with_fields) for each in shown]


async def subtree(
    reader: Reader, workspace: str, entity: str, *, with_fields: bool
) -> list[ViewEntity]:
    """Return an entity and all below it (ROOT: all of the workspace), parents before children."""
    held = await load_workspace(reader, workspace)
    tree = await load_tree(reader, held)
    found = tree.below(entity)
    if entity != ROOT:
        root = tree.get(entity)
        if root is None or tree.hidden(entity):
            raise not_found(entity)
        found.insert(0, root)
    return await with_values(reader, held, found) if with_fields else found


async def load_tree(reader: Reader, held: Held) -> Tree:
    """Return the whole view of a workspace, without fields."""
    entities: dict[str, ViewEntity] = {}
    for row in await reader.fetch(
        f"SELECT {SKELETON_COLUMNS} FROM entities WHERE copy = ?",  # noqa: S608 - only constants go in
        (held.copy,),
    ):
        entities[row[0]] = ViewEntity(
            row[0], held.id, KINDS[row[1]], row[2], row[3], row[7], {}, bool(row[5])
        )
    for (data,) in await reader.fetch(
        "SELECT change FROM outbox WHERE workspace = ? AND covered_by IS NULL ORDER BY op",
        (held.id,),
    ):
        change = replace(own_change(data), fields={})
        laid = lay_over(entities.get(change.entity), change)
        if laid is not None:
            entities[change.entity] = laid
    return Tree(entities.values())


async def with_values(reader: Reader, held: Held, found: Sequence[ViewEntity]) -> list[ViewEntity]:
    """Return the entities with their fields."""
    ids = [each.id for each in found]
    values: dict[str, dict[str, bytes]] = {each: {} for each in ids}
    for entity, data in await reader.fetch(
        "SELECT id, fields FROM entities WHERE copy = ? AND id IN (SELECT value FROM json_each(?))",
        (held.copy, json_list(ids)),
    ):
        values[entity] = {name: each.value for name, each in own_fields(data).items()}
    for (data,) in await _pending(reader, held, [each.id for each in found if each.pending]):
        change = own_change(data)
        values[change.entity].update({name: each.value for name, each in change.fields.items()})
    return [replace(each, fields=values[each.id]).without_removed() for each in found]


async def _pending(reader: Reader, held: Held, ids: Collection[str]) -> Sequence[tuple[bytes]]:
    rows = await reader.fetch(
        "SELECT change FROM outbox WHERE workspace = ? AND covered_by IS NULL"
        " AND entity IN (SELECT value FROM json_each(?)) ORDER BY op",
        (held.id, json_list(ids)),
    )
    return [(row[0],) for row in rows]


async def _chosen(reader: Reader, workspace: str | None) -> list[Held]:
    if workspace is not None:
        return [await load_workspace(reader, workspace)]
    return list((await load_workspaces(reader)).values())


def _plain(entity: ViewEntity, *, with_fields: bool) -> ViewEntity:
    return entity.without_removed() if with_fields else replace(entity, fields={})
