"""What a capture may keep: never a secret, field values and names as it was asked for.

A value gives way to the canonical text of a hash, under a key that is thrown away. That hash is
taken of the value's own hash, and a prior, which is one, gives way to the hash of the text that
stands for the value it is of. So equal values stay equal, a prior that fitted still fits, and the
server decides about the redacted changes as it did about the real ones. Digests stay as they were,
and no longer fit the redacted rows.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from msgspec.structs import replace as exchange

from kafkaman_sync.errors import WireError
from kafkaman_sync.model.changes import FieldEdit, Verdict, hash_change
from kafkaman_sync.model.entities import Entity, Field
from kafkaman_sync.model.values import REMOVED, encode_value, hash_value
from kafkaman_sync.protocol.codec import decode, encode
from kafkaman_sync.protocol.messages import (
    Call,
    Entities,
    Events,
    Message,
    Notice,
    Push,
    Reply,
    Verdicts,
    Welcome,
)
from kafkaman_sync.protocol.recording import Recorded, Sort, pack_facts
from kafkaman_sync.protocol.records import (
    decode_change,
    decode_entity,
    decode_event,
    encode_change,
    encode_entity,
    encode_event,
)
from kafkaman_sync.protocol.secrets import Veil
from kafkaman_sync.replay.capture import FRAMES

_NOTHING: Final = hash_value(REMOVED)
# What names people, their devices and their workspaces, in calls and replies.
_NAMING: Final = frozenset({"user", "username", "email", "name", "device_name", "platform"})
# Hashes of changes that are remembered, for the welcome that names one.
_HASHES_MAX: Final = 10_000
# What a transition says in words may name paths, addresses, and what was not synced.
_WORDS: Final = ("message", "hint")


class Redaction:
    """Redacts the records of one capture, in order, under a key of its own."""

    def __init__(self, *, values: bool, names: bool, key: bytes | None = None) -> None:
        self._key = secrets.token_bytes(32) if key is None else key
        self._veil = Veil(self._key)
        self._keep_values = values
        self._keep_names = names
        self._hashes: OrderedDict[bytes, bytes] = OrderedDict()

    def record(self, record: Recorded) -> Recorded:
        """Return what may be kept of a record."""
        if record.sort is Sort.STATE and not (self._keep_values and self._keep_names):
            facts = {key: text for key, text in record.facts.items() if key not in _WORDS}
            return exchange(record, data=pack_facts(facts))
        if record.sort not in FRAMES:
            return record
        try:
            frame = self._frame(record.data)
        except WireError:
            facts = {
                "from": "device" if record.sort is Sort.UP else "server",
                "bytes": len(record.data),
            }
            return exchange(record, sort=Sort.ILLEGIBLE, data=pack_facts(facts))
        return exchange(record, data=frame)

    def value(self, value: bytes) -> bytes:
        """Return what stands for a field's value."""
        return value if value == REMOVED else self._stand_in(hash_value(value))

    def prior(self, prior: bytes) -> bytes:
        """Return what stands for a value's hash."""
        return prior if prior == _NOTHING else hash_value(self._stand_in(prior))

    def _stand_in(self, value_hash: bytes) -> bytes:
        keyed = hashlib.blake2b(value_hash, digest_size=16, key=self._key)
        return encode_value(f"redacted {keyed.hexdigest()}")

    def _frame(self, frame: bytes) -> bytes:
        message = decode(frame)
        hidden = self._message(self._veil.message(message))
        return frame if hidden is message else encode(hidden)

    def _message(self, message: Message) -> Message:
        if not self._keep_names:
            message = self._unnamed(message)
        return message if self._keep_values else self._valueless(message)

    def _unnamed(self, message: Message) -> Message:
        if isinstance(message, Welcome):
            workspaces = tuple(
                replace(each, name=self._veil.text(each.name)) for each in message.workspaces
            )
            return replace(message, workspaces=workspaces)
        if isinstance(message, Call):
            return replace(message, params=self._plain(message.params, _NAMING))
        if isinstance(message, Notice):
            return replace(message, details=self._plain(message.details, _NAMING))
        if isinstance(message, Reply):
            return self._reply(self._unlisted(message), _NAMING)
        return message

    def _unlisted(self, reply: Reply) -> Reply:
        """Return a reply without the names that the head of a log lists, with no word for each."""
        result = dict(reply.result or {})
        accounts, devices = result.get("accounts"), result.get("devices")
        if isinstance(accounts, Mapping):
            result["accounts"] = {one: self._hidden(name) for one, name in accounts.items()}
        if isinstance(devices, list | tuple):
            result["devices"] = [
                [*each[:1], *map(self._hidden, each[1:3]), *each[3:]]
                if isinstance(each, list | tuple)
                else each
                for each in devices
            ]
        return reply if reply.result is None else replace(reply, result=result)

    def _hidden(self, name: Any) -> Any:
        return self._veil.text(name) if isinstance(name, str) else name

    def _valueless(self, message: Message) -> Message:
        if isinstance(message, Push):
            return replace(message, changes=tuple(map(self._change, message.changes)))
        if isinstance(message, Events):
            items = tuple(
                self._verdict(item) if isinstance(item, Verdict) else self._event(item)
                for item in message.items
            )
            return replace(message, items=items)
        if isinstance(message, Verdicts):
            return Verdicts(tuple(map(self._verdict, message.verdicts)))
        if isinstance(message, Entities):
            return replace(message, rows=tuple(map(self._row, message.rows)))
        if isinstance(message, Welcome):
            known = self._hashes.get(message.last_change, b"")
            return replace(message, last_change=known)
        if isinstance(message, Call):
            return replace(message, params=self._plain(message.params))
        if isinstance(message, Reply):
            return self._reply(message)
        if isinstance(message, Notice):
            return replace(message, details=self._plain(message.details))
        return message

    def _change(self, data: bytes) -> bytes:
        change = decode_change(data)
        fields = {
            name: FieldEdit(self.value(edit.value), edit.base, self.prior(edit.prior))
            for name, edit in change.fields.items()
        }
        redacted = encode_change(replace(change, fields=fields))
        self._hashes[hash_change(data)] = hash_change(redacted)
        if len(self._hashes) > _HASHES_MAX:
            self._hashes.popitem(last=False)
        return redacted

    def _event(self, data: bytes) -> bytes:
        event = decode_event(data)
        fields = {name: self.value(value) for name, value in event.fields.items()}
        return encode_event(replace(event, fields=fields))

    def row(self, entity: Entity) -> Entity:
        """Return what may be kept of a row."""
        if self._keep_values:
            return entity
        fields = {
            name: Field(self.value(each.value), each.version)
            for name, each in entity.fields.items()
        }
        return replace(entity, fields=fields)

    def _row(self, data: bytes) -> bytes:
        return encode_entity(self.row(decode_entity(data)))

    def _verdict(self, verdict: Verdict) -> Verdict:
        disagreements = tuple(
            exchange(each, theirs=self.value(each.theirs)) for each in verdict.disagreements
        )
        return exchange(verdict, disagreements=disagreements)

    def _reply(self, reply: Reply, naming: frozenset[str] = frozenset()) -> Reply:
        result = None if reply.result is None else self._plain(reply.result, naming)
        error = None if reply.error is None else self._plain(reply.error, naming)
        return Reply(reply.id, result, error)

    def _plain(self, value: Any, naming: frozenset[str] = frozenset()) -> Any:
        """Return a plain value without what names somebody or, when nothing does, without values.

        In calls and replies only values of fields, and whole rows of entities, are byte strings.
        """
        if isinstance(value, Mapping):
            return {
                key: self._hidden(inner)
                if key in naming and isinstance(inner, str)
                else self._plain(inner, naming)
                for key, inner in value.items()
            }
        if isinstance(value, list | tuple):
            return [self._plain(each, naming) for each in value]
        if not isinstance(value, bytes) or naming:
            return value
        try:
            return self._row(value)
        except WireError:
            return self.value(value)
