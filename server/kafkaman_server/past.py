"""The calls about the past: history, time travel, and who wrote what.

All three read the log of one workspace, for its members only, in pieces of bounded size.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final

from msgpack import Packer

from kafkaman_server.params import Params
from kafkaman_server.storage.interface import Snapshot, Storage
from kafkaman_server.storage.records import EntityPast, PastChunk
from kafkaman_sync.errors import KafkamanError
from kafkaman_sync.model.apply import apply_event
from kafkaman_sync.model.changes import Event
from kafkaman_sync.model.limits import INTEGER_MAX, MESSAGE_BYTES_TARGET, MIB
from kafkaman_sync.protocol.records import (
    decode_entity,
    decode_event,
    decode_event_head,
    encode_entity,
)

# One answer: as many events, and as many bytes of them, as a person may want to look at.
HISTORY_EVENTS_MAX: Final = 200
HISTORY_BYTES_MAX: Final = MESSAGE_BYTES_TARGET
# To find the events of one field, so many of the entity's are looked through for one answer.
SCANNED_EVENTS_MAX: Final = 2000
SCANNED_BYTES_MAX: Final = 4 * MIB
WRITES_MAX: Final = 100

Result = dict[str, Any]
_Method = Callable[[Params, str, str], Awaitable[Result]]


class Past:
    """Answers the calls about the past."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        # A replay reads all that happened to an entity; the others may wait for it.
        self._one_replay = asyncio.Semaphore(1)

    def methods(self) -> Mapping[str, _Method]:
        """Return the calls by name."""
        return {"history": self._history, "entity_at": self._entity_at, "writes": self._writes}

    async def _history(self, params: Params, account: str, _device: str) -> Result:
        workspace, entity = params.id("workspace"), params.id("entity")
        before = params.integer_or_none("before")
        limit = params.integer_or_none("limit", HISTORY_EVENTS_MAX) or HISTORY_EVENTS_MAX
        return await self._storage.read(
            partial(
                _read_history,
                account=account,
                workspace=workspace,
                entity=entity,
                before=INTEGER_MAX if before is None else before,
                limit=limit,
                field=params.field_name_or_none("field"),
            )
        )

    async def _entity_at(self, params: Params, account: str, _device: str) -> Result:
        workspace, entity = params.id("workspace"), params.id("entity")
        seq, at = params.integer_or_none("seq"), params.integer_or_none("at")
        if (seq is None) == (at is None):
            raise KafkamanError("Give either 'seq' or 'at'.", code="call.invalid")
        if seq is not None:
            unchanged = await self._storage.read(
                partial(
                    _read_unchanged, account=account, workspace=workspace, entity=entity, seq=seq
                )
            )
            if unchanged is not None:
                return _moment(seq, seq, unchanged)
        async with self._one_replay:
            while True:
                past = await self._storage.read(
                    partial(_read_past, account=account, workspace=workspace, entity=entity)
                )
                _check_moment(past, seq, at)
                found = await self._replay(workspace, entity, past, seq, at)
                if found is not None:
                    return found

    async def _replay(
        self, workspace: str, entity: str, past: EntityPast, seq: int | None, at: int | None
    ) -> Result | None:
        """Apply an entity's events up to a moment to its base.

        Returns None when events have gone under the horizon meanwhile.
        """
        state = None if past.base is None else decode_entity(past.base)
        here = past.horizon
        while True:
            chunk = await self._storage.read(
                partial(_read_events, workspace=workspace, entity=entity, seq=here)
            )
            if chunk.horizon != past.horizon:
                return None
            for number, data in chunk.events:
                event = decode_event(data)
                if (seq is not None and number > seq) or (at is not None and event.at > at):
                    return _moment(seq, here, encode_entity(state) if state else None)
                state = apply_event(state, event)
                here = number
            if chunk.complete:
                return _moment(seq, here, encode_entity(state) if state else None)

    async def _writes(self, params: Params, account: str, _device: str) -> Result:
        workspace = params.id("workspace")
        seqs = params.integers("seqs", count_max=WRITES_MAX)

        async def read(snapshot: Snapshot) -> Result:
            await check_member(snapshot, account, workspace)
            heads = await snapshot.event_heads(workspace, seqs)
            return {"writes": await _signed(snapshot, map(decode_event_head, heads))}

        return await self._storage.read(read)


async def check_member(snapshot: Snapshot, account: str, workspace: str) -> None:
    """Raise KafkamanError `workspace.unknown` for a workspace that is not the account's."""
    memberships = await snapshot.memberships(account)
    if all(one.workspace != workspace for one in memberships):
        raise KafkamanError("This is no workspace of yours.", code="workspace.unknown")


async def _read_past(
    snapshot: Snapshot, *, account: str, workspace: str, entity: str
) -> EntityPast:
    await check_member(snapshot, account, workspace)
    past = await snapshot.entity_past(workspace, entity)
    if not past.known:
        raise KafkamanError(
            "The server knows no such entity in this workspace.",
            code="entity.not_found",
            hint="It may have been purged, or wait to be sent to the server.",
            entity=entity,
        )
    return past


async def _read_unchanged(
    snapshot: Snapshot, *, account: str, workspace: str, entity: str, seq: int
) -> bytes | None:
    """Return an entity as it is, if it was not written after `seq`."""
    past = await _read_past(snapshot, account=account, workspace=workspace, entity=entity)
    _check_moment(past, seq, None)
    row = await snapshot.entity(workspace, entity)
    return encode_entity(*row) if row is not None and row[0].version <= seq else None


async def _read_events(snapshot: Snapshot, *, workspace: str, entity: str, seq: int) -> PastChunk:
    return await snapshot.events_of(workspace, entity, seq, bytes_max=HISTORY_BYTES_MAX)


async def _read_history(
    snapshot: Snapshot,
    *,
    account: str,
    workspace: str,
    entity: str,
    before: int,
    limit: int,
    field: str | None,
) -> Result:
    past = await _read_past(snapshot, account=account, workspace=workspace, entity=entity)
    chunk = await snapshot.events_before(
        workspace,
        entity,
        before,
        rows_max=limit if field is None else SCANNED_EVENTS_MAX,
        bytes_max=HISTORY_BYTES_MAX if field is None else SCANNED_BYTES_MAX,
        # Whoever writes the field has its name in the event's bytes.
        containing=b"" if field is None else Packer().pack(field),
    )
    found: list[Event] = []
    size = 0
    following, more = chunk.last_seq, not chunk.complete
    for _, data in chunk.events:
        event = decode_event(data)
        if field is not None and field not in event.fields:
            continue
        size += len(data) if field is None else len(event.fields[field])
        if found and (len(found) == limit or size > HISTORY_BYTES_MAX):
            following, more = found[-1].seq, True
            break
        found.append(event)
    signed = await _signed(snapshot, found)
    return {
        "events": [
            _described(event, write, field) for event, write in zip(found, signed, strict=True)
        ],
        "horizon": past.horizon,
        "more": more,
        "next": following if more else None,
    }


def _described(event: Event, write: Result, field: str | None) -> Result:
    described = {**write, "action": event.action.value}
    if event.kind is not None:
        described["kind"] = event.kind.value
    if event.place is not None:
        described |= {"parent": event.place.parent, "position": event.place.position}
    names = event.fields if field is None else (field,)
    described["fields"] = {name: event.fields[name] for name in names}
    return described


async def _signed(snapshot: Snapshot, events: Iterable[Event]) -> list[Result]:
    """Return who wrote each event, from which device, and when."""
    events = list(events)
    usernames = await snapshot.usernames({event.account for event in events})
    devices = await snapshot.devices({event.device for event in events})
    return [
        {
            "seq": event.seq,
            "account": event.account,
            "username": usernames.get(event.account, ""),
            "device": event.device,
            "device_name": devices[event.device].name if event.device in devices else "",
            "op": event.op,
            "at": event.at,
        }
        for event in events
    ]


def _check_moment(past: EntityPast, seq: int | None, at: int | None) -> None:
    if seq is not None and seq > past.head:
        raise KafkamanError(
            f"The log ends at {past.head}; {seq} has not been written yet.",
            code="history.future",
            head=past.head,
        )
    early = at is not None and past.horizon > 0 and at < past.horizon_at
    if early or (seq is not None and seq < past.horizon):
        raise KafkamanError(
            f"The history is kept from {past.horizon} on; what was before has been removed.",
            code="history.purged",
            hint="Ask for a later moment, or let the server keep events for longer.",
            horizon=past.horizon,
            horizon_at=past.horizon_at,
        )


def _moment(seq: int | None, last: int, entity: bytes | None) -> Result:
    return {"seq": last if seq is None else seq, "entity": entity}
