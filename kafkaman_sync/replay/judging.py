"""Judges a log event by event: what the real rules say of each, and what state they lead to.

Nearly all events are updates that the rules plainly accept. `Judge.run` reads those straight from
their bytes and asks the rule itself only where the basis does not show at once that nobody had
written since; everything else, and whatever looks odd, is turned back into its change and decided
by the server's real code.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import DecodeError, Struct
from msgspec.msgpack import Decoder, Encoder

from kafkaman_server.decide import field_accepted
from kafkaman_sync.errors import ReplayError
from kafkaman_sync.model.changes import Action, Basis, Event, FieldEdit
from kafkaman_sync.model.digest import DIGEST_BYTES
from kafkaman_sync.model.entities import ROOT, Entity, pack_fields
from kafkaman_sync.model.limits import ENTITY_BYTES_MAX
from kafkaman_sync.replay.findings import Finding, Findings
from kafkaman_sync.replay.held import Held, hold
from kafkaman_sync.replay.records import Logged
from kafkaman_sync.replay.rows import Rows
from kafkaman_sync.replay.stored import read_logged
from kafkaman_sync.replay.trial import Past, Trial

RawEvent = tuple[int, str, bytes, bytes | None, bytes | None]
"""An event as a server's database stores it: seq, entity, body, basis, digest."""


MODULUS: Final = 1 << (8 * DIGEST_BYTES)
# So few fields, each of so few bytes, are within an entity's limits whatever is added.
FIELDS_FEW: Final = 512
LARGE_BYTES: Final = ENTITY_BYTES_MAX // (2 * FIELDS_FEW)
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


_pack: Final = Encoder().encode
_UPDATES: Final = Decoder(_Update)
_BASES: Final = Decoder(Basis)


def plainly_accepted(
    row: Held, fields: dict[str, bytes], judged: tuple[tuple[int, bytes], ...], head: int
) -> bool:
    """Tell whether the rules plainly accept an update behind `head`; else the whole must ask."""
    if len(fields) != len(judged) or not fields or len(row.sizes) > FIELDS_FEW:
        return False
    version, names = row.version, fields if len(fields) == 1 else sorted(fields)
    for name, (base, prior) in zip(names, judged, strict=True):
        if base > head:
            return False
        # Where the row was not written since, nor was the field.
        if version > base:
            known = row.field(name)
            edit = FieldEdit(fields[name], base, prior)
            if known is not None and not field_accepted(known, edit):
                return False
    return True


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
        self.workspace = workspace
        self.rows = Rows(workspace)
        self.trial = Trial(self.rows, findings, past, horizon)
        self.findings = findings
        self.seq = seq
        self.events = self.digests = self.without_basis = 0
        self.last_ops: dict[str, int] = {}
        self.first_ops: dict[str, tuple[int, int]] = {}
        """The first op of each device, with its seq."""
        self._devices = devices or {}
        self._accounts: dict[str, str] = {}
        self._changed: dict[str, Held | None] = {}
        self._alive: set[str] = {ROOT}
        self._total = 0
        self._offset = 0
        self._suspects: set[str] = set()
        self._checked = seq

    def load(self, entities: Iterable[Entity]) -> None:
        """Take the rows with which the judging begins."""
        for entity in entities:
            row = hold(entity, "", entity.version, pack_fields(entity.fields))
            row.unsure = True
            row.counted = row.hash(self.workspace)
            self._total += row.counted
            self.rows.put(entity.id, row)
            self._make_room()

    def digest(self) -> bytes:
        """Return the digest of the state."""
        self._count()
        return (self._total % MODULUS).to_bytes(DIGEST_BYTES, "big")

    def digest_is(self, digest: bytes) -> bool:
        """Tell whether a stored digest is that of the state, as far as no difference is known."""
        self._count()
        offset = (int.from_bytes(digest, "big") - self._total) % MODULUS
        return offset in (0, self._offset)

    # Judging

    def run(self, rows: Iterable[RawEvent]) -> None:
        """Judge events as they are stored, in the order of their seqs."""
        workspace, ops, accounts = self.workspace, self.last_ops, self._accounts
        held, alive, changed = self.rows.held, self._alive, self._changed
        read, read_basis, plain = _UPDATES.decode, _BASES.decode, self._plainly
        seq = self.seq
        for stored in rows:
            number, filed, body, basis, digest = stored
            update = judged = None
            try:
                if basis is not None:
                    update, judged = read(body), read_basis(basis)
            except (DecodeError, UnicodeDecodeError):
                pass  # whoever reads it with patience names what is wrong with it
            row = held[filed]
            if (
                update is None
                or judged is None
                or row is None
                or row.deleted
                or number != seq + 1
                or update.seq != number
                or update.action != _UPDATE
                or update.entity != filed
                or update.workspace != workspace
                or ops.get(update.device, update.op) >= update.op
                or accounts.get(update.device) != update.account
                or judged.base > seq
                or len(body) > LARGE_BYTES
                or (row.parent not in alive and not self._is_alive(row.parent))
                or not plain(row, update.fields, judged.fields, seq)
            ):
                self._take_stored(stored)
                seq = self.seq
                continue
            self.seq = seq = number
            ops[update.device] = update.op
            if row.writer != update.device:
                row.unsure = row.unsure and not row.writer
                row.foreign_version, row.writer = row.version, update.device
            row.version = seq
            changed[filed] = row
            self.events += 1
            if digest is not None:
                self._check_digest(digest)

    def _plainly(
        self,
        row: Held,
        fields: dict[str, bytes],
        judged: tuple[tuple[int, bytes], ...],
        head: int,
    ) -> bool:
        """Write what an update writes, if the rules plainly accept it; else the whole must ask."""
        if not plainly_accepted(row, fields, judged, head):
            return False
        for name, value in fields.items():
            self.rows.grow(row.write(name, _pack(name) + _pack((value, head + 1))))
        return True

    def _is_alive(self, parent: str) -> bool:
        """Tell whether what lies in `parent` is not hidden, and remember it."""
        alive = self.rows.is_alive(parent)
        if alive:
            self._alive.add(parent)
        return alive

    def _take_stored(self, row: RawEvent) -> None:
        seq, filed, body, stored, digest = row
        self._check_seq(seq)
        logged = self._read(seq, filed, body, stored, digest)
        if logged is None:
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

    def _read(
        self, seq: int, filed: str, body: bytes, basis: bytes | None, digest: bytes | None
    ) -> Logged | None:
        """Read an event, without its basis if that is illegible; None if the event is."""
        try:
            return read_logged(seq, body, basis, digest)
        except ReplayError as error:
            self.findings.add(Finding("illegible", seq, error.message, filed))
        try:
            return read_logged(seq, body, None, digest)
        except ReplayError:
            return None

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

    def _pass(self, seq: int, digest: bytes | None) -> None:
        """Go on behind an event that cannot be applied."""
        self.events += 1
        self.seq = seq
        if digest is not None:
            self._check_digest(digest)
        self._make_room()

    def _judge(self, logged: Logged) -> None:
        event = logged.event
        if event.workspace != self.workspace:
            told = f"It is an event of the workspace {event.workspace}."
            self.findings.add(Finding("workspace", event.seq, told, event.entity))
        if event.action is not Action.PURGE:
            self._check_author(event)
            self.without_basis += logged.basis is None
        before = self.rows.held[event.entity]
        if self.trial.judge(logged):
            if event.action is Action.PURGE and before is not None:
                self._total -= before.counted
            self._changed[event.entity] = self.rows.held[event.entity]
            if event.action is not Action.UPDATE and self.rows.children(event.entity):
                self._alive.clear()
                self._alive.add(ROOT)
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
        account = self._accounts.setdefault(device, event.account)
        known = self._devices.get(device) if self._devices else account
        if known is None:
            told = f"Its device {device[:32]} is not known here."
            self.findings.add(Finding("device", event.seq, told, event.entity))
        elif known != event.account:
            told = f"The device {device[:8]} is not one of the account {event.account[:8]}."
            self.findings.add(Finding("device", event.seq, told, event.entity))

    # Digests

    def _count(self) -> set[str]:
        """Bring the sum of row hashes up to date, one hash for each row that changed: those."""
        workspace, total, changed = self.workspace, self._total, set(self._changed)
        for row in self._changed.values():
            if row is not None:
                counted = row.hash(workspace)
                total += counted - row.counted
                row.counted = counted
        self._changed.clear()
        self._total = total
        return changed

    def _check_digest(self, digest: bytes) -> None:
        """Compare the state with the digest that is stored for the end of a commit.

        Where they differ the difference is remembered, and what was written: each wrong commit is
        told once, and not again whenever a row that is wrong already is written once more.
        """
        changed = self._count()
        self.digests += 1
        offset = (int.from_bytes(digest, "big") - self._total) % MODULUS
        if offset != self._offset:
            if offset == 0:
                self._suspects.clear()
            elif self._suspects.isdisjoint(changed):
                self._tell_digest(changed)
                self._suspects |= changed
            self._offset = offset
        self._checked = self.seq
        self._make_room()

    def _make_room(self) -> None:
        """Let rows go when the memory is full; no one of them is at work now."""
        if self.rows.full:
            self._count()
            self.rows.spill()

    def _tell_digest(self, changed: set[str]) -> None:
        first = self._checked + 1
        which = "this event" if first == self.seq else f"one of the events {first} to {self.seq}"
        told = (
            "The digest that was stored when it was committed is not that of the log as it is "
            f"now: {which} was another one then."
        )
        entity = next(iter(changed)) if len(changed) == 1 else ""
        self.findings.add(Finding("digest", self.seq, told, entity, first=first))
