"""Judges a log event by event: what the real rules say of each, and what state they lead to.

Nearly all events are updates that the rules plainly accept. `Judge.run` reads those straight from
their bytes and asks the rule itself only where the basis does not show at once that nobody had
written since; everything else, and whatever looks odd, is turned back into its change and decided
by the server's real code.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, TypeVar

from msgspec import DecodeError, Struct
from msgspec.msgpack import Decoder

from kafkaman_server.decide import Entry, World, field_accepted, hidden_by
from kafkaman_sync.errors import ReplayError
from kafkaman_sync.model.changes import Action, Basis, Event, FieldEdit
from kafkaman_sync.model.digest import DIGEST_BYTES, row_hash
from kafkaman_sync.model.entities import Entity, Field
from kafkaman_sync.model.limits import ENTITY_BYTES_MAX
from kafkaman_sync.replay.findings import Finding, Findings
from kafkaman_sync.replay.records import Logged
from kafkaman_sync.replay.server_log import read_logged
from kafkaman_sync.replay.trial import Past, Trial

RawEvent = tuple[int, str, bytes, bytes | None, bytes | None]
"""An event as a server's database stores it: seq, entity, body, basis, digest."""

_MODULUS: Final = 1 << (8 * DIGEST_BYTES)
# So few fields, each of so few bytes, are within an entity's limits whatever is added.
_FIELDS_FEW: Final = 512
_LARGE_BYTES: Final = ENTITY_BYTES_MAX // (2 * _FIELDS_FEW)
_UPDATE: Final = Action.UPDATE.value


class _Update(Struct, gc=False):
    """What judging an update needs of an event's bytes."""

    workspace: str
    seq: int
    action: str
    entity: str
    account: str
    device: str
    op: int
    fields: dict[str, bytes] = {}


_T = TypeVar("_T")
_UPDATES: Final = Decoder(_Update)
_BASES: Final = Decoder(Basis)


class Judge:
    """The state of one log at `seq`, and what was found wrong on the way there."""

    def __init__(
        self,
        workspace: str,
        seq: int,
        findings: Findings,
        *,
        horizon: int = 0,
        devices: Mapping[str, str] | None = None,
        past: Past | None = None,
    ) -> None:
        """Begin behind `seq`. `devices` has each device's account, `past` an entity's events."""
        self.world = World(workspace, seq)
        self.trial = Trial(self.world, findings, past, horizon)
        self.findings = findings
        self.seq = seq
        self.events = self.digests = self.without_basis = 0
        self.last_ops: dict[str, int] = {}
        self.first_ops: dict[str, tuple[int, int]] = {}
        """The first op of each device, with its seq."""
        self._devices = devices or {}
        self._counted: dict[str, int] = {}
        self._changed: set[str] = set()
        self._large: set[str] = set()
        self._total = 0
        self._offset = 0
        self._suspects: set[str] = set()
        self._checked = seq

    def load(self, entities: Iterable[Entity]) -> None:
        """Take the rows with which the judging begins."""
        world = self.world
        for entity in entities:
            self._counted[entity.id] = counted = row_hash(world.workspace, entity)
            self._total += counted
            world.put(Entry(entity, "", entity.version))
            self.trial.unsure.add(entity.id)
            if any(len(field.value) > _LARGE_BYTES for field in entity.fields.values()):
                self._large.add(entity.id)

    def digest(self) -> bytes:
        """Return the digest of the state."""
        self._count()
        return (self._total % _MODULUS).to_bytes(DIGEST_BYTES, "big")

    def digest_is(self, digest: bytes) -> bool:
        """Tell whether a stored digest is that of the state, as far as no difference is known."""
        self._count()
        offset = (int.from_bytes(digest, "big") - self._total) % _MODULUS
        return offset in (0, self._offset)

    # Judging

    def run(self, rows: Iterable[RawEvent]) -> None:
        """Judge events as they are stored, in the order of their seqs."""
        workspace, ops, devices = self.world.workspace, self.last_ops, self._devices
        expected = self.seq
        for row in rows:
            seq, filed, body, stored, digest = row
            expected += 1
            update = _read(_UPDATES, body)
            basis = None if stored is None else _read(_BASES, stored)
            if (
                update is None
                or basis is None
                or seq != expected
                or update.seq != seq
                or update.action != _UPDATE
                or update.entity != filed
                or update.workspace != workspace
                or len(body) > _LARGE_BYTES
                or ops.get(update.device, update.op) >= update.op
                or (devices and devices.get(update.device) != update.account)
                or not self._accepts(update, basis)
            ):
                self._take_stored(row)
                expected = self.seq
                continue
            ops[update.device] = update.op
            self._write(update)
            if digest is not None:
                self._check_digest(digest)

    def _accepts(self, update: _Update, basis: Basis) -> bool:
        """Tell whether the rules plainly accept an update; False: the whole rule must be asked."""
        seq, fields = update.seq, update.fields
        entry = self.world.entries.get(update.entity)
        if entry is None or basis.base >= seq or len(basis.fields) != len(fields) or not fields:
            return False
        entity = entry.entity
        if entity.deleted or hidden_by(self.world, entity) is not None:
            return False
        if self._large and update.entity in self._large:
            return False
        held = entity.fields
        if len(held) > _FIELDS_FEW:
            return False
        names = fields if len(fields) == 1 else sorted(fields)
        for name, (base, prior) in zip(names, basis.fields, strict=True):
            known = held.get(name)
            if base >= seq:
                return False
            if (
                known is not None
                and known.version > base
                and not field_accepted(known, FieldEdit(fields[name], base, prior))
            ):
                return False
        return True

    def _write(self, update: _Update) -> None:
        """Apply an accepted update: its rows are ours, so what it writes is written in place."""
        world, seq = self.world, update.seq
        entry = world.entries[update.entity]
        entity = entry.entity
        fields = entity.fields
        assert isinstance(fields, dict)
        for name, value in update.fields.items():
            fields[name] = Field(value, seq)
        after = Entity(
            entity.id,
            entity.kind,
            entity.place,
            entity.place_version,
            entity.deleted,
            entity.deleted_version,
            seq,
            fields,
        )
        device = update.device
        world.entries[entity.id] = Entry(after, device, entry.changed_by_others(device))
        self.seq = world.head = seq
        self.events += 1
        self._changed.add(entity.id)

    def _take_stored(self, row: RawEvent) -> None:
        seq, filed, body, stored, digest = row
        self._check_seq(seq)
        try:
            logged = read_logged(seq, body, stored, digest)
        except ReplayError as error:
            self.findings.add(Finding("illegible", seq, error.message, filed))
            self._pass(seq, digest)
            return
        event = logged.event
        if event.seq != seq or event.entity != filed:
            told = f"It is stored as event {seq} of {filed}, and says {event.seq} of {event.entity}"
            self.findings.add(Finding("filed", seq, f"{told}.", filed))
            if event.seq != seq:
                self._pass(seq, digest)
                return
        self._judge(logged)

    def take(self, logged: Logged) -> None:
        """Judge an event that a source has read."""
        self._check_seq(logged.event.seq)
        self._judge(logged)

    def _check_seq(self, seq: int) -> None:
        missing = self.seq + 1
        if seq > missing:
            which = (
                f"Seq {missing} is" if seq == missing + 1 else f"Seqs {missing} to {seq - 1} are"
            )
            self.findings.add(Finding("gap", missing, f"{which} missing from the log."))
        elif seq < missing:
            self.findings.add(Finding("seq", seq, f"Seq {seq} comes again, or too late."))
        self.world.head = seq - 1

    def _pass(self, seq: int, digest: bytes | None) -> None:
        """Go on behind an event that cannot be applied."""
        self.events += 1
        self.seq = self.world.head = seq
        if digest is not None:
            self._check_digest(digest)

    def _judge(self, logged: Logged) -> None:
        event = logged.event
        if event.workspace != self.world.workspace:
            told = f"It is an event of the workspace {event.workspace}."
            self.findings.add(Finding("workspace", event.seq, told, event.entity))
        if event.action is not Action.PURGE:
            self._check_author(event)
            self.without_basis += logged.basis is None
        if self.trial.judge(logged):
            self._changed.add(event.entity)
            if logged.size > _LARGE_BYTES:
                self._large.add(event.entity)
        self._pass(event.seq, logged.digest)

    def _check_author(self, event: Event) -> None:
        device, op = event.device, event.op
        last = self.last_ops.get(device, 0)
        if op <= last:
            what = "twice" if op == last else f"behind its op {last}"
            told = f"Op {op} of the device {device[:8]} comes {what}."
            self.findings.add(Finding("op", event.seq, told, event.entity))
        if device not in self.first_ops:
            self.first_ops[device] = op, event.seq
        self.last_ops[device] = max(op, last)
        known = self._devices.get(device) if self._devices else event.account
        if known is None:
            told = f"Its device {device[:32]} is not known here."
            self.findings.add(Finding("device", event.seq, told, event.entity))
        elif known != event.account:
            told = f"The device {device[:8]} is not one of the account {event.account[:8]}."
            self.findings.add(Finding("device", event.seq, told, event.entity))

    # Digests

    def _count(self) -> set[str]:
        """Bring the sum of row hashes up to date, one hash for each row that changed: those."""
        entries, counted, workspace = self.world.entries, self._counted, self.world.workspace
        changed, self._changed = self._changed, set()
        for entity in changed:
            entry = entries.get(entity)
            before = counted.pop(entity, 0)
            if entry is None:
                self._total -= before
                continue
            counted[entity] = after = row_hash(workspace, entry.entity)
            self._total += after - before
        return changed

    def _check_digest(self, digest: bytes) -> None:
        """Compare the state with the digest that is stored for the end of a commit.

        Where they differ the difference is remembered, and what was written: each wrong commit is
        told once, and not again whenever a row that is wrong already is written once more.
        """
        changed = self._count()
        self.digests += 1
        offset = (int.from_bytes(digest, "big") - self._total) % _MODULUS
        if offset != self._offset:
            if offset == 0:
                self._suspects.clear()
            elif self._suspects.isdisjoint(changed):
                self._tell_digest(changed)
                self._suspects |= changed
            self._offset = offset
        self._checked = self.seq

    def _tell_digest(self, changed: set[str]) -> None:
        first = self._checked + 1
        which = "this event" if first == self.seq else f"one of the events {first} to {self.seq}"
        told = (
            "The digest that was stored when it was committed is not that of the log as it is "
            f"now: {which} was another one then."
        )
        entity = next(iter(changed)) if len(changed) == 1 else ""
        self.findings.add(Finding("digest", self.seq, told, entity, first=first))


def _read(decoder: Decoder[_T], data: bytes) -> _T | None:
    try:
        return decoder.decode(data)
    except (DecodeError, UnicodeDecodeError):
        return None
