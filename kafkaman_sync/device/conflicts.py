"""The queue of what could not be merged: listed with words, resolved, and taken back.

It never blocks: the sync goes on while records wait. Who wrote the other side only the server
knows; it is asked when a person looks at one conflict, and its answer is kept with the record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from kafkaman_sync.device.account import Account
from kafkaman_sync.device.control import Method, Peer
from kafkaman_sync.device.explaining import ONE_SIDED, THIS_DEVICE, explain, field_of
from kafkaman_sync.device.naming import Spot, find_entity
from kafkaman_sync.device.params import Params, invalid
from kafkaman_sync.device.signing import Signing
from kafkaman_sync.device.writers import Writers, iso
from kafkaman_sync.errors import KafkamanError, ModelError, RemoteError
from kafkaman_sync.model.changes import Action
from kafkaman_sync.model.entities import ROOT
from kafkaman_sync.model.values import REMOVED, encode_value, read_value
from kafkaman_sync.store import (
    ConflictRecord,
    EditResult,
    Standing,
    TheirWriter,
    ViewChange,
)

Json = dict[str, Any]


class ConflictQueue:
    """Conflicts for the control socket."""

    def __init__(self, signing: Signing, changed: Callable[[Sequence[ViewChange]], None]) -> None:
        self._signing = signing
        self._changed = changed

    def methods(self) -> dict[str, Method]:
        """Return the methods by the names of the control protocol."""
        return {
            "conflicts": self._list,
            "conflict": self._show,
            "resolve": self._resolve,
            "resolve_all": self._resolve_all,
            "reopen": self._reopen,
        }

    def _required(self) -> Account:
        account = self._signing.account
        if account is None:
            raise ModelError(
                "There is no conflict: nobody is signed in on this device.",
                code="conflict.not_found",
                hint="Sign in with `kafkaman sign-in`.",
            )
        return account

    # Looking

    async def _list(self, _peer: Peer, params: Params) -> Json:
        account = self._signing.account
        if account is None:
            return {"conflicts": []}
        standings = await account.store.standings(resolved=params.flag("resolved"))
        return {"conflicts": [self._described(account, each) for each in standings]}

    async def _show(self, _peer: Peer, params: Params) -> Json:
        account = self._required()
        standing = await account.store.standing(params.text("id"))
        note = "The server no longer knows who wrote theirs."
        try:
            await self._ask_writers(account, [standing])
        except RemoteError as error:
            when = " while offline" if error.code.startswith("link.") else ""
            note = f"Who wrote theirs is not known{when}: {error.message}"
        standing = await account.store.standing(standing.record.id)
        found = self._described(account, standing)
        found["group"] = [_member(each) for each in standing.group]
        if found["by"]["theirs"] is None and standing.seq:
            found["note"] = note
        return found

    async def _ask_writers(self, account: Account, standings: Iterable[Standing]) -> None:
        """Ask the server who wrote the other side of each, where that is not known yet."""
        unknown: dict[str, dict[int, list[str]]] = {}
        for each in standings:
            if each.seq and _writer(each) is None:
                by_seq = unknown.setdefault(each.record.workspace, {})
                by_seq.setdefault(each.seq, []).append(each.record.id)
        for workspace, by_seq in unknown.items():
            written = await Writers(account).of(workspace, sorted(by_seq))
            for seq, conflicts in by_seq.items():
                for conflict in conflicts if seq in written else ():
                    await account.store.note_writer(conflict, _read_writer(seq, written[seq]))

    def _described(self, account: Account, standing: Standing) -> Json:
        record, writer = standing.record, _writer(standing)
        identity = account.identity
        explained = explain(standing, _who(writer, identity.username, record.device))
        base, mine, theirs = _sides(standing)
        return {
            "id": record.id,
            "state": record.state,
            "workspace": record.workspace,
            "entity": record.entity,
            "kind": record.kind,
            "name": record.name,
            "path": list(record.path),
            "reason": explained.reason,
            "explanation": explained.sentence,
            "choices": explained.choices,
            "code": record.code,
            "action": record.change.action.value,
            "field": field_of(record),
            "base": base,
            "mine": mine,
            "theirs": theirs,
            "version": standing.version,
            "refusal": record.refusal,
            "message": record.message,
            "more": len(standing.group),
            "by": {
                "mine": {"device": record.device, "device_name": identity.device_name}
                | {"at": _iso(record.at)},
                "theirs": writer and _signed(writer),
            },
        }

    # Deciding

    async def _resolve(self, _peer: Peer, params: Params) -> Json:
        account = self._required()
        take = params.text("take")
        if take not in ("mine", "theirs", "both", "value"):
            raise invalid("resolve: 'take' must be mine, theirs, both or value")
        standing = await account.store.standing(params.text("id"))
        result = await account.store.resolve(
            params.text("id"),
            take != "theirs",
            value=_given(params) if take == "value" else None,
            both=take == "both",
            parent=await self._parent(account, standing.record, params.text_or_none("to")),
            version=params.integer_or_none("version"),
        )
        await self._edited(account, result)
        return {"id": standing.record.id, "entity": result.ids[0], "ops": result.ops}

    async def _parent(
        self, account: Account, record: ConflictRecord, text: str | None
    ) -> str | None:
        if text in (None, ROOT, "/"):
            return None if text is None else ROOT
        spot = Spot(account.store, record.workspace, "", "")
        return (await find_entity([spot], text or ""))[1].id

    async def _resolve_all(self, _peer: Peer, params: Params) -> Json:
        account = self._required()
        take = params.text("take")
        if take not in ("mine", "theirs", "newest"):
            raise invalid("resolve_all: 'take' must be mine, theirs or newest")
        standings = await account.store.standings()
        if take == "newest":
            with suppress(RemoteError):  # what is not known counts as later in the log
                await self._ask_writers(account, standings)
            standings = await account.store.standings()
        done = [await self._resolve_one(account, each, take) for each in standings]
        return {"resolved": done}

    async def _resolve_one(self, account: Account, standing: Standing, take: str) -> Json:
        described = self._described(account, standing)
        chosen, why = (take, "")
        if take == "newest":
            chosen, why = _newest(standing, described["reason"])
        outcome = {
            name: described[name] for name in ("id", "entity", "kind", "name", "field", "reason")
        }
        outcome |= {"choice": chosen or None, "why": why, "error": None}
        if not chosen:
            return outcome
        try:
            result = await account.store.resolve(
                standing.record.id, chosen == "mine", version=standing.version
            )
        except KafkamanError as error:
            return outcome | {"choice": None, "error": error.as_dict()}
        await self._edited(account, result)
        return outcome

    async def _reopen(self, _peer: Peer, params: Params) -> Json:
        account = self._required()
        standing = await account.store.standing(params.text("id"))
        result = await account.store.reopen(params.text("id"))
        await self._edited(account, result)
        return {"id": standing.record.id, "entity": result.ids[0], "ops": result.ops}

    async def _edited(self, account: Account, result: EditResult) -> None:
        self._changed(result.changes)
        if result.ops:
            account.sync.edited(result.ops)
        await account.sync.recount()


def _given(params: Params) -> bytes:
    """Return the value that the person gave: the one item of an array, for null is a value too."""
    values = params.items("value")
    if len(values) != 1:
        raise invalid("resolve: 'value' must be an array with one item")
    return encode_value(values[0])


def _writer(standing: Standing) -> TheirWriter | None:
    """Return who wrote what stands against mine, if that is known."""
    writer = standing.record.writer
    return writer if writer is not None and writer.seq == standing.seq else None


def _read_writer(seq: int, written: Json) -> TheirWriter:
    at = round(datetime.fromisoformat(written["at"]).timestamp() * 1000)
    return TheirWriter(seq, written["username"], written["device"], written["device_name"], at)


def _who(writer: TheirWriter | None, username: str, device: str) -> str:
    if writer is None:
        return "another device"
    if writer.device == device:
        return THIS_DEVICE
    name = writer.device_name or writer.device[:8]
    return f'your device "{name}"' if writer.username == username else writer.username


def _signed(writer: TheirWriter) -> Json:
    return {
        "username": writer.username,
        "device": writer.device,
        "device_name": writer.device_name,
        "at": _iso(writer.at),
        "seq": writer.seq,
    }


def _newest(standing: Standing, reason: str) -> tuple[str, str]:
    """Return the side that was written later, and why; no side where there are no two."""
    if reason in ONE_SIDED:
        return "", "There are no two sides to compare."
    mine, writer = standing.record.at, _writer(standing)
    if not mine or writer is None or not writer.at:
        return "theirs", "Not both times are known; theirs came later to the log."
    if mine > writer.at:
        return "mine", f"Mine is of {_iso(mine)}, theirs of {_iso(writer.at)}."
    return "theirs", f"Theirs is of {_iso(writer.at)}, mine of {_iso(mine)}."


def _iso(at: int) -> str | None:
    return iso(at) if at else None


def _sides(standing: Standing) -> tuple[Any, Any, Any]:
    """Return base, mine and theirs as JSON: of one field, or maps of several."""
    record, change = standing.record, standing.record.change
    if record.field:
        return _value(record.base), _value(record.mine), _value(record.theirs)
    if change.action is Action.DELETE:
        theirs = {"/".join(each.path): _values(each.fields) for each in standing.foreign}
        return None, None, theirs or None
    if change.action in (Action.MOVE, Action.RESTORE):
        parents = [each and {"parent": each.id} for each in (standing.target, standing.parent)]
        return None, parents[0], parents[1]
    mine = {name: edit.value for name, edit in change.fields.items()}
    if change.action is Action.CREATE:
        return None, _values(mine), None
    base = {name: record.seen.get(name, REMOVED) for name in mine}
    name = field_of(record)
    if name:
        return _value(base[name]), _value(mine[name]), None
    return _values(base), _values(mine), None


def _member(record: ConflictRecord) -> Json:
    return {
        "id": record.id,
        "entity": record.entity,
        "kind": record.kind,
        "name": record.name,
        "action": record.change.action.value,
    }


def _values(fields: dict[str, bytes]) -> Json:
    return {name: read_value(data) for name, data in fields.items() if data != REMOVED}


def _value(data: bytes | None) -> Any:
    return None if data is None or data == REMOVED else read_value(data)
