"""The past of an entity: its history, how it was at a moment, and going back to it.

The server keeps it. Going back makes new edits, like any other: they can be undone the same way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from kafkaman_sync.device.account import Account
from kafkaman_sync.device.blaming import Part, Version, blame, parts_of, shape_of
from kafkaman_sync.device.control import Method, Peer
from kafkaman_sync.device.desk import Desk, decoded, listed
from kafkaman_sync.device.naming import Spot, find_entity, find_hidden, name_of
from kafkaman_sync.device.params import Params, invalid
from kafkaman_sync.device.reverting import Reversion, revert
from kafkaman_sync.device.signing import Signing
from kafkaman_sync.device.timeline import Step, read_event, steps
from kafkaman_sync.device.writers import Writers
from kafkaman_sync.errors import ModelError, RefusedError, UsageError
from kafkaman_sync.model.entities import ROOT, Entity, Field, Place, is_id
from kafkaman_sync.model.limits import ROW_BYTES_MAX
from kafkaman_sync.model.values import REMOVED, read_value
from kafkaman_sync.model.view import ViewEntity, confirmed_view
from kafkaman_sync.protocol.reading import Record
from kafkaman_sync.protocol.records import decode_entity

# The most events that the server puts into one page.
HISTORY_EVENTS_MAX: Final = 200
# So many pages are looked through for who wrote the parts of one value.
BLAMED_PAGES_MAX: Final = 10

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Page:
    """A page of history; `next` is the seq before which the next one begins."""

    steps: list[Step]
    horizon: int
    next: int | None


class Past:
    """History and time travel for the control socket."""

    def __init__(self, desk: Desk, signing: Signing) -> None:
        self._desk = desk
        self._signing = signing

    def methods(self) -> dict[str, Method]:
        """Return the methods by the names of the control protocol."""
        return {
            "history": self._history,
            "blame": self._blame,
            "show_at": self._show_at,
            "revert": self._revert,
        }

    async def _history(self, _peer: Peer, params: Params) -> Json:
        spot, entity, shown = await self._named(params)
        page = await self._page(
            spot,
            entity,
            shown,
            before=params.integer_or_none("before"),
            limit=params.integer_or_none("limit"),
            field=params.text_or_none("field"),
        )
        writers = Writers(self._account(spot))
        return {
            **self._headline(spot, entity, shown),
            "events": [await self._told(spot, writers, step) for step in page.steps],
            "horizon": page.horizon,
            "next": page.next,
            "waiting": shown is not None and shown.pending,
        }

    async def _page(
        self, spot: Spot, entity: str, shown: ViewEntity | None, **wanted: Any
    ) -> _Page:
        found = await self._asked(
            shown,
            Writers(self._account(spot)),
            "history",
            workspace=spot.workspace,
            entity=entity,
            **wanted,
        )
        page = Record(found, "The server's history")
        events = page.items("events", read_event, most=HISTORY_EVENTS_MAX)
        base = None
        if events:
            oldest = events[-1].integer("seq")
            _, base = await self._seen(spot, entity, shown, seq=max(oldest - 1, 0))
        following = page.integer("next") if page.has("next") else None
        return _Page(steps(base, events), page.integer("horizon"), following)

    async def _blame(self, _peer: Peer, params: Params) -> Json:
        """Say who last wrote each field or, of one field, each part of its value."""
        spot, entity, shown = await self._named(params)
        field = params.text_or_none("field")
        if field is None:
            parts = await self._written_fields(spot, entity, shown)
        else:
            parts = await self._written_parts(spot, entity, shown, field)
        seqs = sorted({seq for _, _, seq in parts if seq is not None})
        writes = await Writers(self._account(spot)).of(spot.workspace, seqs)
        return {
            **self._headline(spot, entity, shown),
            "field": field,
            "parts": [
                {
                    "label": label,
                    "value": read_value(data),
                    "seq": seq,
                    "by": writes.get(seq or 0),
                }
                for label, data, seq in parts
            ],
        }

    async def _written_fields(
        self, spot: Spot, entity: str, shown: ViewEntity | None
    ) -> list[tuple[str, bytes, int | None]]:
        if shown is None:
            raise ModelError(
                "It was removed for good; only its history is left.",
                code="entity.not_found",
                hint=f"Run `kafkaman history {entity}`.",
                entity=entity,
            )
        fields, horizon = await self._written(spot, entity, shown)
        return [
            (name, held.value, held.version if held.version > horizon else None)
            for name, held in sorted(fields.items())
            if held.value != REMOVED
        ]

    async def _written(
        self, spot: Spot, entity: str, shown: ViewEntity
    ) -> tuple[Mapping[str, Field], int]:
        """Return the fields as the server has them, and the horizon of its history."""
        page = await self._page(spot, entity, shown, limit=1)
        seq = max(shown.version, page.horizon)
        _, now = await self._seen(spot, entity, shown, seq=seq)
        return now.fields if now else {}, page.horizon

    async def _written_parts(
        self, spot: Spot, entity: str, shown: ViewEntity | None, field: str
    ) -> list[tuple[str, bytes, int | None]]:
        versions: list[Version] = []
        parts: list[tuple[Part, int | None]] = []
        before: int | None = None
        for _ in range(BLAMED_PAGES_MAX):
            page = await self._page(spot, entity, shown, before=before, field=field)
            for step in page.steps:
                versions += [
                    Version(step.seq, change.before, change.after)
                    for change in step.changes
                    if change.name == field
                ]
            parts, before = blame(versions), page.next
            found = versions and all(seq is not None for _, seq in parts)
            if before is None or found:
                break
        if not versions and shown is not None:
            # Nobody wrote it since the history begins.
            fields, _ = await self._written(spot, entity, shown)
            data = fields[field].value if field in fields else REMOVED
            parts = [(part, None) for part in parts_of(data, shape_of(data))]
        return [(part.label, part.data, seq) for part, seq in parts]

    async def _show_at(self, _peer: Peer, params: Params) -> Json:
        spot, entity, shown = await self._named(params)
        moment = _moment(params)
        seq, then = await self._seen(spot, entity, shown, **moment)
        if then is None:
            raise _absent(entity, moment)
        writers = Writers(self._account(spot))
        written = await writers.of(spot.workspace, [then.version])
        view = confirmed_view(spot.workspace, then).without_removed()
        return {
            **listed(spot, view),
            "version": then.version,
            "fields": decoded(view.fields),
            "seq": seq,
            "deleted": then.deleted,
            "by": written.get(then.version),
        }

    async def _revert(self, _peer: Peer, params: Params) -> Json:
        spot, entity, shown = await self._named(params)
        to = params.text_or_none("to")
        moment = _moment(params)
        seq, then = await self._seen(spot, entity, shown, **moment)
        if then is None:
            raise _absent(entity, moment)
        parent = None
        if to is not None:
            parent = ROOT if to in (ROOT, "/") else (await find_entity([spot], to))[1].id
        done: Reversion = await revert(spot, then, shown, parent)
        self._desk.edited(spot, done.ops, done.changes)
        now = await spot.store.show(spot.workspace, entity)
        return {
            **listed(spot, now),
            "seq": seq,
            "ops": done.ops,
            "fields": list(done.fields),
            "restored": done.restored,
            "moved": done.moved,
            "note": done.note,
        }

    async def _named(self, params: Params) -> tuple[Spot, str, ViewEntity | None]:
        """Return the entity that a call names, wherever it is; None for what was purged.

        What was purged is known to the server only, and by its whole id.
        """
        text = params.text("id")
        spots = await self._desk.chosen(params.text_or_none("workspace"))
        try:
            spot, entity = await find_entity(spots, text)
        except ModelError as error:
            if error.code != "entity.not_found":
                raise
            try:
                spot, entity = await find_hidden(spots, text)
            except ModelError as hidden:
                if hidden.code != "entity.not_found":
                    raise
                if not is_id(text):
                    raise error from None
                return await self._desk.default(params.text_or_none("workspace")), text, None
        return spot, entity.id, entity

    def _account(self, spot: Spot) -> Account:
        account = self._signing.account
        if account is None or account.store is not spot.store:
            raise UsageError(
                "The Scratch Pad keeps no history: it has no server.",
                code="history.local",
                hint="Sign in; what you import or make in the account's workspaces has one.",
            )
        return account

    async def _asked(
        self, shown: ViewEntity | None, writers: Writers, method: str, **params: Any
    ) -> Json:
        try:
            return await writers.ask(method, **params)
        except RefusedError as error:
            if error.code == "entity.not_found" and shown is not None and not shown.version:
                raise ModelError(
                    "It has not reached the server yet, which keeps the history.",
                    code="history.not_yet",
                    hint="Wait with `kafkaman wait --until in-sync`.",
                    entity=shown.id,
                ) from error
            raise

    async def _seen(
        self, spot: Spot, entity: str, shown: ViewEntity | None, **moment: int
    ) -> tuple[int, Entity | None]:
        """Return an entity as it was at a moment, and the seq of that."""
        writers = Writers(self._account(spot))
        found = await self._asked(
            shown, writers, "entity_at", workspace=spot.workspace, entity=entity, **moment
        )
        answer = Record(found, "The server's answer about the past")
        seq = answer.integer("seq")
        if not answer.has("entity"):
            return seq, None
        return seq, decode_entity(answer.raw("entity", bytes_max=ROW_BYTES_MAX))

    def _headline(self, spot: Spot, entity: str, shown: ViewEntity | None) -> Json:
        if shown is not None:
            return listed(spot, shown)
        return {"id": entity, "kind": "", "name": "", "workspace": spot.workspace}

    async def _told(self, spot: Spot, writers: Writers, step: Step) -> Json:
        told: Json = {
            "seq": step.seq,
            "action": step.action,
            "by": writers.signed(step.event),
            "changes": [
                {
                    "field": change.name,
                    **_value("before", change.before),
                    **_value("after", change.after),
                }
                for change in step.changes
            ],
        }
        if step.after is not None:
            told["place"] = {
                "before": await self._place(spot, step.before),
                "after": await self._place(spot, step.after),
            }
        return told

    async def _place(self, spot: Spot, place: Place | None) -> Json | None:
        """Return a place with its parent's name, as far as that is known here."""
        if place is None:
            return None
        name = ""
        if place.parent != ROOT:
            try:
                parent = await spot.store.show(spot.workspace, place.parent, deleted=True)
                name = name_of(parent)
            except ModelError:
                pass  # it is gone for good: its id is all there is
        return {"parent": place.parent, "name": name, "position": place.position}


def _moment(params: Params) -> Mapping[str, int]:
    given = {name: params.integer_or_none(name) for name in ("seq", "at")}
    found = {name: value for name, value in given.items() if value is not None}
    if len(found) != 1:
        raise invalid("Give either 'seq' or 'at'")
    return found


def _absent(entity: str, moment: Mapping[str, int]) -> ModelError:
    when = f"at {moment['seq']}" if "seq" in moment else "then"
    return ModelError(
        f"It was not there {when}.",
        code="entity.not_found",
        hint=f"`kafkaman history {entity[:8]}` shows when it was created.",
        entity=entity,
    )


def _value(name: str, data: bytes) -> Json:
    """Return a value under a name; nothing where there is none, which null would not say."""
    return {} if data == REMOVED else {name: read_value(data)}
