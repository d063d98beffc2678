"""Where a person works: edits and reads, in the account's workspaces and in the Scratch Pad.

Reads and edits need no server; an edit is on the disk before it is answered.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any, Final

from kafkaman_sync.device.control import Method, Peer
from kafkaman_sync.device.naming import Spot, find_entity, name_of
from kafkaman_sync.device.params import Params, invalid
from kafkaman_sync.device.signing import Signing
from kafkaman_sync.errors import ModelError, UsageError
from kafkaman_sync.model.edits import Create, Delete, Edit, Move, Restore, Update
from kafkaman_sync.model.entities import KINDS, ROOT, Kind, is_id
from kafkaman_sync.model.limits import MIB
from kafkaman_sync.model.values import REMOVED, encode_value, read_value
from kafkaman_sync.model.view import ViewEntity
from kafkaman_sync.store import SCRATCH_PAD, SCRATCH_PAD_NAME, EditResult, Store, ViewChange

# One page of an export, counted in encoded bytes: JSON text is about as long.
PAGE_BYTES: Final = 2 * MIB

Json = dict[str, Any]


class Desk:
    """Edits and reads for the control socket."""

    def __init__(
        self,
        scratch: Store,
        signing: Signing,
        changed: Callable[[Sequence[ViewChange]], None],
    ) -> None:
        self._scratch = scratch
        self._signing = signing
        self._changed = changed
        self._numbers = count(1)

    def methods(self) -> dict[str, Method]:
        """Return the methods by the names of the control protocol."""
        return {
            "workspaces": self._workspaces,
            "edit": self._edit,
            "import_begin": self._import_begin,
            "import_add": self._import_add,
            "import_commit": self._import_commit,
            "ls": self._ls,
            "show": self._show,
            "tree": self._tree,
            "resolve_name": self._resolve_name,
        }

    async def _spots(self) -> list[Spot]:
        """Return the workspaces on this device: the account's, then the Scratch Pad."""
        spots = []
        account = self._signing.account
        if account is not None:
            spots = [
                Spot(account.store, state.id, state.name, state.role)
                for state in await account.sync.workspaces()
            ]
        return [*spots, Spot(self._scratch, SCRATCH_PAD, SCRATCH_PAD_NAME, "local")]

    async def chosen(self, workspace: str | None) -> list[Spot]:
        """Return the one workspace that is named; else all, the default one first."""
        spots = await self._spots()
        if workspace is None:
            if self._signing.broken is not None:
                raise self._signing.broken
            return spots
        if workspace.lower() == "scratch":
            return spots[-1:]
        found = [spot for spot in spots if workspace in (spot.workspace, spot.name)]
        if len(found) == 1:
            return found
        raise ModelError(
            f"{workspace[:200]!r} is {'not one' if found else 'no'} workspace of this device.",
            code="workspace.ambiguous" if found else "workspace.not_found",
            hint="`kafkaman workspaces` lists them.",
        )

    async def default(self, workspace: str | None) -> Spot:
        """Return the workspace that is named, else the one that is used where none is named."""
        spot = (await self.chosen(workspace))[0]
        if workspace is None and self._signing.account is not None and spot.role == "local":
            raise UsageError(
                "The account's workspaces are not known on this device yet.",
                code="workspace.unknown_yet",
                hint="Wait until the device was online once, or add `--workspace scratch`.",
            )
        return spot

    async def _workspaces(self, _peer: Peer, _params: Params) -> Json:
        found = []
        for spot in await self._spots():
            states = {state.id: state for state in await spot.store.workspaces()}
            state = states.get(spot.workspace)
            found.append(
                {
                    "id": spot.workspace,
                    "name": spot.name,
                    "role": spot.role,
                    "seq": state.cursor if state else 0,
                    "digest": state.digest.hex() if state else "",
                }
            )
        return {"workspaces": found}

    # Editing.

    async def _edit(self, _peer: Peer, params: Params) -> Json:
        spots = await self.chosen(params.text_or_none("workspace"))
        wishes = [Params(wish, "edit") for wish in params.items("edits")]
        try:
            # An id says enough where everything lies in one workspace, as it does nearly always.
            spot, result = await self._make(params, wishes, spots[:1])
        except ModelError as error:
            if error.code != "entity.not_found" or len(spots) == 1:
                raise
            spot, result = await self._make(params, wishes, spots)
        self.edited(spot, result.ops, result.changes)
        return {"ids": result.ids}

    async def _make(
        self, params: Params, wishes: Sequence[Params], spots: Sequence[Spot]
    ) -> tuple[Spot, EditResult]:
        reading = _Reading(spots)
        edits = [await reading.edit(wish) for wish in wishes]
        spot = reading.spot or await self.default(params.text_or_none("workspace"))
        return spot, await spot.store.edit(spot.workspace, edits)

    def edited(self, spot: Spot, ops: int, changes: Sequence[ViewChange]) -> None:
        """Tell the watchers and the sync of edits that are on the disk."""
        self._changed(changes)
        account = self._signing.account
        if ops and account is not None and account.store is spot.store:
            account.sync.edited(ops)

    async def recount(self) -> None:
        """Bring the count of conflicts up to date where people see it."""
        if self._signing.account is not None:
            await self._signing.account.sync.recount()

    async def _import_begin(self, peer: Peer, params: Params) -> Json:
        workspace, parent = params.text_or_none("workspace"), params.text_or_none("parent")
        if parent:
            spot, entity = await find_entity(await self.chosen(workspace), parent)
            parent = entity.id
        else:
            spot, parent = await self.default(workspace), ROOT
        stage = await spot.store.stage_begin(spot.workspace)
        number = next(self._numbers)
        peer.stages[number] = (spot, stage)

        async def drop() -> None:
            if peer.stages.pop(number, None) is not None:
                await spot.store.stage_drop(stage)

        peer.closing.push_async_callback(drop)
        return {"stage": number, "workspace": spot.workspace, "parent": parent}

    async def _import_add(self, peer: Peer, params: Params) -> Json:
        spot, stage = self._stage(peer, params)
        wishes = [Params(wish, "import_add") for wish in params.items("creates")]
        creates = [_create(wish, wish.text("parent")) for wish in wishes]
        await spot.store.stage(stage, creates)
        return {}

    async def _import_commit(self, peer: Peer, params: Params) -> Json:
        spot, stage = self._stage(peer, params)
        ops = await spot.store.stage_commit(stage)
        peer.stages.pop(params.integer("stage"), None)
        self.edited(spot, ops, ())
        return {"ops": ops}

    def _stage(self, peer: Peer, params: Params) -> tuple[Spot, int]:
        try:
            spot, stage = peer.stages[params.integer("stage")]
        except KeyError:
            raise invalid("There is no such import on this connection") from None
        return spot, stage

    # Reading.

    async def _ls(self, _peer: Peer, params: Params) -> Json:
        workspace, path = params.text_or_none("workspace"), params.text_or_none("path")
        if path in (None, "", "/"):
            spot, top = await self.default(workspace), ROOT
        else:
            spot, entity = await find_entity(await self.chosen(workspace), path)
            top = entity.id
        if params.flag("recursive"):
            found = await spot.store.subtree(spot.workspace, top, with_fields=True)
            found = [entity for entity in found if entity.id != top]
        else:
            found = await spot.store.children(spot.workspace, top, with_fields=True)
        return {"entities": [listed(spot, entity) for entity in found]}

    async def _show(self, _peer: Peer, params: Params) -> Json:
        spots = await self.chosen(params.text_or_none("workspace"))
        spot, entity = await find_entity(spots, params.text("id"))
        return {
            **listed(spot, entity),
            "version": entity.version,
            "fields": decoded(entity.fields),
        }

    async def _resolve_name(self, _peer: Peer, params: Params) -> Json:
        spots = await self.chosen(params.text_or_none("workspace"))
        return listed(*await find_entity(spots, params.text("text")))

    async def _tree(self, peer: Peer, params: Params) -> Json:
        """Pages through one snapshot, which the connection holds until its last page is taken."""
        page = params.integer_or_none("page")
        if page is None:
            spots = await self.chosen(params.text_or_none("workspace"))
            spot, entity = await find_entity(spots, params.text("id"))
            rows = await spot.store.subtree(spot.workspace, entity.id, with_fields=True)
            rows.reverse()
            page = next(self._numbers)
        else:
            try:
                rows = peer.pages.pop(page)
            except KeyError:
                raise invalid("There is no such page on this connection") from None
        entities: list[Json] = []
        size = 0
        while rows and size < PAGE_BYTES:
            row: ViewEntity = rows.pop()
            size += sum(map(len, row.fields.values()))
            entities.append(
                {
                    "id": row.id,
                    "kind": row.kind.value,
                    "parent": row.parent,
                    "position": row.position,
                    "fields": decoded(row.fields),
                }
            )
        if rows:
            peer.pages[page] = rows
        return {"entities": entities, "next": page if rows else None}


class _Reading:
    """Reads the edits of one call; names are looked up, and the workspace is found on the way."""

    def __init__(self, spots: Sequence[Spot]) -> None:
        self.spot: Spot | None = None
        self._spots = spots
        self._made: set[str] = set()

    async def edit(self, wish: Params) -> Edit:
        """Return one edit."""
        action = wish.text("action")
        if action == "create":
            return await self._create(wish)
        entity = await self._id(wish.text("id"))
        if action == "update":
            fields = {name: encode_value(value) for name, value in wish.mapping("fields").items()}
            removed = {str(name): REMOVED for name in wish.items("removed")}
            return Update(entity, {**fields, **removed})
        if action == "move":
            parent = await self._id_or_none(wish, "parent")
            before = await self._id_or_none(wish, "before")
            return Move(entity, parent, before, await self._id_or_none(wish, "after"))
        if action == "delete":
            return Delete(entity)
        if action == "restore":
            return Restore(entity, await self._id_or_none(wish, "parent"))
        raise invalid("edit: 'action' must be create, update, move, delete or restore")

    async def _create(self, wish: Params) -> Create:
        parent = wish.text_or_none("parent")
        parent = await self._id(parent) if parent else ROOT
        before = after = None
        if wish.has("before") or wish.has("after"):
            before = await self._id_or_none(wish, "before")
            after = await self._id_or_none(wish, "after")
        create = _create(wish, parent, before, after)
        self._made.add(create.id)
        return create

    async def _id_or_none(self, wish: Params, name: str) -> str | None:
        text = wish.text_or_none(name)
        # An empty parent is the workspace itself.
        return text if not text else await self._id(text)

    async def _id(self, text: str) -> str:
        if text in self._made:
            return text
        spots = self._spots if self.spot is None else [self.spot]
        if is_id(text) and (len(spots) == 1 or self.spot is not None):
            self.spot = spots[0]  # the store itself says whether it is there
            return text
        self.spot, entity = await find_entity(spots, text)
        return entity.id


def _create(
    wish: Params, parent: str, before: str | None = None, after: str | None = None
) -> Create:
    kind = KINDS.get(wish.text("kind"))
    if kind is None:
        raise ModelError(
            f"{wish.text('kind')[:100]!r} is not a kind of entity.",
            code="kind.unknown",
            hint=f"Choose one of {', '.join(Kind)}.",
        )
    fields = {name: encode_value(value) for name, value in wish.mapping("fields").items()}
    given = wish.text_or_none("id")
    if given is not None and not is_id(given):
        raise invalid("'id' must be 32 lowercase hexadecimal digits")
    return Create(given or secrets.token_hex(16), kind, parent, fields, before, after)


def listed(spot: Spot, entity: ViewEntity) -> Json:
    """Return an entity as a list shows it."""
    return {
        "id": entity.id,
        "kind": entity.kind.value,
        "name": name_of(entity),
        "parent": entity.parent,
        "position": entity.position,
        "workspace": spot.workspace,
        "pending": entity.pending,
    }


def decoded(fields: Mapping[str, bytes]) -> Json:
    """Return the values of fields, without the removed ones."""
    return {name: read_value(data) for name, data in fields.items() if data != REMOVED}
