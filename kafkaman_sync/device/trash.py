"""The trash: what was deleted, who deleted it, and bringing it back. All but the who is local."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from kafkaman_sync.device.control import Method, Peer
from kafkaman_sync.device.desk import Desk, listed
from kafkaman_sync.device.naming import Spot, find_entity, find_hidden, name_of
from kafkaman_sync.device.params import Params
from kafkaman_sync.device.signing import Signing
from kafkaman_sync.device.writers import Writers
from kafkaman_sync.errors import ModelError, RemoteError
from kafkaman_sync.model.edits import Restore
from kafkaman_sync.model.entities import ROOT
from kafkaman_sync.model.view import ViewEntity
from kafkaman_sync.store import Trashed

# Who deleted the latest of these is asked; nobody reads on to the next ones.
SIGNED_MAX: Final = 500

Json = dict[str, Any]


class Bin:
    """The trash for the control socket."""

    def __init__(self, desk: Desk, signing: Signing) -> None:
        self._desk = desk
        self._signing = signing

    def methods(self) -> dict[str, Method]:
        """Return the methods by the names of the control protocol."""
        return {"trash": self._trash, "restore": self._restore}

    async def _trash(self, _peer: Peer, params: Params) -> Json:
        spot = await self._desk.default(params.text_or_none("workspace"))
        trashed = await spot.store.trash(spot.workspace)
        writes, note = await self._writes(spot, trashed)
        found = [{**_described(spot, each), "by": writes.get(each.seq)} for each in trashed]
        return {"entities": found, "note": note}

    async def _writes(self, spot: Spot, trashed: Sequence[Trashed]) -> tuple[dict[int, Json], str]:
        """Return who deleted what, by seq, and why that is not known."""
        account = self._signing.account
        seqs = [each.seq for each in trashed if each.seq][:SIGNED_MAX]
        if not seqs or account is None or spot.store is not account.store:
            return {}, ""
        try:
            return await Writers(account).of(spot.workspace, seqs), ""
        except RemoteError as error:
            return {}, f"Who deleted what, and when, only the server knows. {error.message}"

    async def _restore(self, _peer: Peer, params: Params) -> Json:
        text, to = params.text("id"), params.text_or_none("to")
        spots = await self._desk.chosen(params.text_or_none("workspace"))
        spot, entity = await self._hidden(spots, text)
        parent = None
        if to is not None:
            parent = ROOT if to in (ROOT, "/") else (await find_entity([spot], to))[1].id
        else:
            await check_place(spot, entity)
        result = await spot.store.edit(spot.workspace, [Restore(entity.id, parent)])
        self._desk.edited(spot, result.ops, result.changes)
        return listed(spot, await spot.store.show(spot.workspace, entity.id))

    async def _hidden(self, spots: Sequence[Spot], text: str) -> tuple[Spot, ViewEntity]:
        try:
            return await find_hidden(spots, text)
        except ModelError as error:
            if error.code != "entity.not_found":
                raise
            try:
                _, shown = await find_entity(spots, text)
            except ModelError:
                raise error from None
        raise ModelError(
            f"This {_kind(shown)} is not deleted.", code="entity.not_deleted", entity=shown.id
        )


async def check_place(spot: Spot, entity: ViewEntity, flag: str = "--to") -> None:
    """Raise ModelError with the choices when a hidden entity cannot go back to where it was.

    `flag` is the command's option that names another parent.
    """
    here, hidden = entity, await spot.store.hidden_by(spot.workspace, entity.parent)
    if hidden is not None:
        raise ModelError(
            f"It lies in the {_kind(hidden)} {name_of(hidden)!r}, which is deleted too.",
            code="parent.deleted",
            hint=f"Restore that, with all in it: `kafkaman restore {hidden.id[:8]}`. "
            f"Or put this one elsewhere: add `{flag} PARENT`.",
            entity=here.id,
            deleted=hidden.id,
        )
    try:
        if here.parent != ROOT:
            await spot.store.show(spot.workspace, here.parent)
    except ModelError as error:
        raise ModelError(
            "What it lay in is gone for good.",
            code="parent.gone",
            hint=f"Say where it shall lie: add `{flag} PARENT`.",
            entity=here.id,
        ) from error


def _described(spot: Spot, trashed: Trashed) -> Json:
    path = [name_of(each) for each in (*trashed.above, trashed.entity)]
    return {
        **listed(spot, trashed.entity),
        "path": path,
        "below": trashed.below,
        "seq": trashed.seq,
    }


def _kind(entity: ViewEntity) -> str:
    return entity.kind.value.replace("_", " ")
