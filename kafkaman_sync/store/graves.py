"""What is left of entities that were purged while this device still had something to say of them.

The confirmed row goes, as everywhere. But an own change that waits for its verdict will be answered
`deleted`, and its conflict must be able to show, and to make again, all that was known.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

import msgpack

from kafkaman_sync.database import Reader, Writer, json_list
from kafkaman_sync.model.entities import Entity
from kafkaman_sync.model.planning import Scene
from kafkaman_sync.model.view import ancestors, confirmed_view
from kafkaman_sync.protocol.records import decode_entity, encode_entity
from kafkaman_sync.store.conflicts import name_of
from kafkaman_sync.store.editing import load_chain
from kafkaman_sync.store.ledger import Ledger
from kafkaman_sync.store.rows import Held, load_entities

Key = tuple[str, str]
"""A workspace and an entity."""


@dataclass(slots=True)
class Graves:
    """The purged entities that one transaction meets: their last rows, and the paths they had."""

    rows: dict[Key, Entity] = field(default_factory=dict)
    paths: dict[Key, tuple[str, ...]] = field(default_factory=dict)
    _fresh: dict[str, list[Entity]] = field(default_factory=dict)
    _dug: bool = False

    async def load(self, writer: Writer, wanted: Collection[str]) -> None:
        """Read what was kept of entities; most have a row, and nothing was."""
        for workspace, entity, body, path in await writer.fetch(
            "SELECT workspace, entity, body, path FROM graves"
            " WHERE entity IN (SELECT value FROM json_each(?))",
            (json_list(wanted),),
        ):
            self.rows[workspace, entity] = decode_entity(body)
            self.paths[workspace, entity] = tuple(
                msgpack.unpackb(path, unicode_errors="surrogatepass")
            )

    def add(self, workspace: str, row: Entity) -> None:
        """Note that a row goes; `bury` keeps it if it must."""
        self.rows[workspace, row.id] = row
        self._fresh.setdefault(workspace, []).append(row)

    async def bury(self, writer: Writer, workspaces: Mapping[str, Held]) -> None:
        """Keep what waiting changes and open records are about, while all rows are still there."""
        for workspace, rows in self._fresh.items():
            held = workspaces[workspace]
            needed = await _spoken_of(writer, held, [row.id for row in rows])
            await self._keep(writer, held, [row for row in rows if row.id in needed])

    async def bury_replaced(self, writer: Writer, held: Held, old: int) -> None:
        """Do the same for what the copy `old` has, and the one that took its place has not."""
        rows = await writer.fetch(
            "SELECT id FROM entities WHERE copy = ?1 AND id IN"
            " (SELECT entity FROM outbox WHERE workspace = ?2"
            " UNION SELECT entity FROM conflicts WHERE workspace = ?2 AND state = 'open')"
            # What is about to be created again is whole in its change.
            " AND id NOT IN (SELECT entity FROM outbox WHERE workspace = ?2 AND action = 'create')"
            " AND id NOT IN (SELECT id FROM entities WHERE copy = ?3)",
            (old, held.id, held.copy),
        )
        gone = await load_entities(writer, old, [row[0] for row in rows])
        await self._keep(writer, replace(held, copy=old), list(gone.values()))

    async def _keep(self, writer: Writer, held: Held, rows: Iterable[Entity]) -> None:
        kept = [(row.id, encode_entity(row)) for row in rows]
        if not kept:
            return
        scene = Scene(held.id, held.cursor)
        await load_chain(writer, held, scene, {entity for entity, _ in kept}, None)
        for entity, _ in kept:
            # One that came and went within a batch was never in a place that anybody saw.
            found = [scene.entities[entity]] if entity in scene.entities else []
            above = [*found, *ancestors(scene.entities, entity)]
            self.paths[held.id, entity] = tuple(name_of(each) for each in reversed(above))
        await writer.run_many(
            "INSERT OR REPLACE INTO graves (workspace, entity, body, path) VALUES (?, ?, ?, ?)",
            [
                (held.id, entity, body, _packed(self.paths[held.id, entity]))
                for entity, body in kept
            ],
        )
        await writer.run_many(
            "UPDATE conflicts SET snapshot = ?"
            " WHERE workspace = ? AND entity = ? AND state = 'open' AND snapshot IS NULL",
            [(body, held.id, entity) for entity, body in kept],
        )
        self._dug = True

    async def level(self, writer: Writer, ledger: Ledger) -> None:
        """Forget those that no change is about any more: the records have all there is."""
        if ledger.graves or self._dug:
            # Counted anew at the end; until then, what matters is that there are some.
            ledger.graves, ledger.stale = 1, True
            await writer.run(
                "DELETE FROM graves WHERE NOT EXISTS (SELECT 1 FROM outbox"
                " WHERE outbox.workspace = graves.workspace AND outbox.entity = graves.entity)"
            )


async def lay_graves(reader: Reader, scene: Scene, ids: Collection[str]) -> None:
    """Add to the scene what is left of those of `ids` that were purged."""
    for entity, body in await reader.fetch(
        "SELECT entity, body FROM graves WHERE workspace = ?"
        " AND entity IN (SELECT value FROM json_each(?))",
        (scene.workspace, json_list(ids)),
    ):
        if entity not in scene.entities:
            scene.entities[entity] = confirmed_view(scene.workspace, decode_entity(body))


def _packed(path: tuple[str, ...]) -> bytes:
    return bytes(msgpack.packb(path, unicode_errors="surrogatepass"))


async def _spoken_of(writer: Writer, held: Held, ids: Collection[str]) -> set[str]:
    """Return those entities that waiting changes or open records are about."""
    rows = await writer.fetch(
        "SELECT entity FROM outbox WHERE workspace = ?1 AND entity IN"
        " (SELECT value FROM json_each(?2)) UNION SELECT entity FROM conflicts"
        " WHERE state = 'open' AND workspace = ?1 AND entity IN (SELECT value FROM json_each(?2))",
        (held.id, json_list(ids)),
    )
    return {row[0] for row in rows}
