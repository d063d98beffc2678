"""Proves one share of a log sound, with little work for each event; never tells what is wrong.

Nearly all events are updates that the rules plainly accept. Those of the share are read straight
from their bytes, and the rule itself is asked only where the basis does not show at once that
nobody had written since; everything else is turned back into its change and decided by the server's
real code. Of other shares' entities only what moves, hides or removes them is followed. Whatever
cannot be proved ends it: what is wrong, `judging` tells.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Final

from msgspec import DecodeError, Struct
from msgspec.msgpack import Decoder, Encoder

from kafkaman_sync.model.changes import Action, Basis, Event
from kafkaman_sync.model.digest import DIGEST_BYTES, keyed
from kafkaman_sync.model.entities import Count, Entity, FieldValue, Place, pack_fields
from kafkaman_sync.model.limits import ID_BYTES
from kafkaman_sync.replay.findings import Findings
from kafkaman_sync.replay.held import NO_FIELDS, Held, hold, hold_parts
from kafkaman_sync.replay.judging import (
    FIELDS_FEW,
    LARGE_BYTES,
    MODULUS,
    RawEvent,
    plainly_accepted,
)
from kafkaman_sync.replay.placing import OP_BITS, USUAL, Name, Op, Placing
from kafkaman_sync.replay.records import Log
from kafkaman_sync.replay.rows import Rows
from kafkaman_sync.replay.server_log import UPDATE_BASIS_BYTES_MIN
from kafkaman_sync.replay.stored import read_logged
from kafkaman_sync.replay.trial import Past, Trial

_pack: Final = Encoder().encode
_BEFORE_SEQ: Final = b"\x89" + _pack("workspace")
_SEQ: Final = _pack("seq")
_ACTION: Final = _pack("action")
_ENTITY: Final = _pack("entity")
_BEFORE_ENTITY: Final = _ACTION + _pack(Action.UPDATE) + _ENTITY
_ID_BYTES: Final = len(_pack("0" * ID_BYTES))


class Share(Struct, frozen=True):
    """The entities whose ids come before `pivot`, or the others."""

    pivot: str
    low: bool

    def owns(self, entity: str) -> bool:
        """Tell whether an entity is of this share."""
        return (entity < self.pivot) is self.low


class Unproved(Exception):  # noqa: N818 - nothing went wrong, so far as is known
    """A log cannot be proved sound in this way."""


class _Update(Struct, gc=False):
    """What an update's bytes have beside what is compared as it stands: three entries."""

    entity: str
    op: Op
    at: Count
    fields: dict[Name, FieldValue]


class _Move(Struct, gc=False):
    """What following another share's entity needs of an event's bytes."""

    action: Action
    device: str
    kind: str | None = None
    parent: str | None = None
    position: str | None = None


_MOVES: Final = Decoder(_Move)
_UPDATES: Final = Decoder(_Update)
_BASES: Final = Decoder(Basis)


class _Names(dict[str, bytes]):
    """Names of fields as they are packed."""

    def __missing__(self, name: str) -> bytes:
        if len(self) > FIELDS_FEW:
            self.clear()
        packed = self[name] = _pack(name)
        return packed


class Prover:
    """A share of one log up to `seq`.

    `marks` has for each event of the share, in order of seqs, the number of its device and, in the
    last OP_BITS, its op (of a purge: no device, and how far behind the horizon it comes); for other
    shares' events it has 0. `sums` is the hash of what the share's row hashes sum up to at each
    commit; for the low share, of what the others' must sum up to.
    """

    def __init__(
        self, log: Log, share: Share, *, devices: Mapping[str, str], past: Past | None
    ) -> None:
        """Begin behind the horizon. `devices` has each device's account, in an order for all."""
        self.workspace = log.workspace
        self.share = share
        self.findings = Findings()
        self.rows = Rows(log.workspace)
        self.trial = Trial(self.rows, self.findings, past, log.horizon)
        self.seq = self.horizon = log.horizon
        self.digests = self.without_basis = self._total = 0
        self.marks = array("Q", bytes(8 * (log.head - log.horizon)))
        self.sums = blake2b(digest_size=DIGEST_BYTES)
        self._past = past
        self._devices = devices
        self.numbers = {device: number for number, device in enumerate(devices, 1)}
        self._authors = {
            _author(account, device): (self.numbers[device] << OP_BITS, device)
            for device, account in devices.items()
            if len(_author(account, device)) == _AUTHOR_BYTES
        }
        self._names = _Names()
        self._begun = keyed(log.workspace).copy
        self._changed: dict[str, Held | None] = {}
        self._placing = Placing(self.rows)

    def load(self, entities: Iterable[Entity]) -> None:
        """Take the rows with which the log begins."""
        for entity in entities:
            own = self.share.owns(entity.id)
            packed = pack_fields(entity.fields) if own else NO_FIELDS
            row = hold(entity, "", entity.version, packed)
            row.unsure = True
            if own:
                row.counted = row.hash(self.workspace)
                self._total += row.counted
            self.rows.put(entity.id, row)
            self._make_room()

    def run(self, rows: Iterable[RawEvent]) -> None:
        """Prove events as they are stored, in the order of their seqs; Unproved if that fails."""
        start = _BEFORE_SEQ + _pack(self.workspace) + _SEQ
        pivot, low, first = self.share.pivot, self.share.low, self.horizon + 1
        held, alive, changed, marks = self.rows.held, self._placing.alive, self._changed, self.marks
        read, read_basis, accepted = _UPDATES.decode, _BASES.decode, plainly_accepted
        is_alive = self._placing.is_alive
        authors, names, pack, last, grown = self._authors, self._names, _pack, self.seq, 0
        for stored in rows:
            seq, filed, body, basis, digest = stored
            if seq <= last:
                raise Unproved
            last = seq
            if (filed < pivot) is low:
                row, update, judged, author = held[filed], None, None, None
                try:
                    usual = start + pack(seq) + _BEFORE_ENTITY
                    if row and basis and len(body) <= LARGE_BYTES and body.startswith(usual):
                        behind = len(usual) + _ID_BYTES
                        author = authors.get(body[behind : behind + _AUTHOR_BYTES])
                        update, judged = read(body), read_basis(basis)
                except (DecodeError, UnicodeDecodeError):
                    pass  # whoever reads it with patience knows whether it is legal
                if (
                    row is None
                    or author is None
                    or update is None
                    or judged is None
                    or row.deleted
                    or update.entity != filed
                    or judged.base >= seq
                    or (row.parent not in alive and not is_alive(row.parent))
                    # Where the row was not written since, nor was the field.
                    or not (
                        (
                            len(judged.fields) == 1 == len(update.fields)
                            and row.version <= judged.fields[0][0] < seq
                            and len(row.sizes) <= FIELDS_FEW
                        )
                        or accepted(row, update.fields, judged.fields, seq - 1)
                    )
                ):
                    self._take(stored)
                else:
                    for name, value in update.fields.items():
                        grown += row.write(name, names[name] + pack((value, seq)))
                    mark, device = author
                    marks[seq - first] = mark | update.op
                    if row.writer != device:
                        row.wrote(device, seq)
                    row.version = seq
                    changed[filed] = row
            elif basis is None or len(basis) < UPDATE_BASIS_BYTES_MIN:
                self._follow(stored)
            if digest is not None:
                self.rows.grow(grown)
                grown = 0
                self._commit(digest)
        self.seq = last

    def _place(self, stored: RawEvent) -> bool:
        """Create, move, delete or restore a row, if the rules plainly accept that."""
        seq, filed, body, basis, _ = stored
        usual = _BEFORE_SEQ[1:] + _pack(self.workspace) + _SEQ + _pack(seq) + _ACTION
        at = len(usual) + 1
        end = at + 1 + (body[at] & 0x1F) if len(body) > at else 0
        known = USUAL.get(body[at:end])
        if known is None or basis is None or len(body) > LARGE_BYTES:
            return False
        action, size, reader = known
        behind = end + len(_ENTITY) + _ID_BYTES
        author = self._authors.get(body[behind : behind + _AUTHOR_BYTES])
        if author is None or body[0] != size or body[1:at] != usual:
            return False
        if not body.startswith(_ENTITY, end) or len(basis) >= UPDATE_BASIS_BYTES_MIN:
            return False
        event, judged = reader.decode(body), _BASES.decode(basis)
        if event.entity != filed or judged.fields or judged.base >= seq:
            return False
        mark, device = author
        row = self._placing.placed(action, event, seq, device, judged.base)
        if row is None:
            return False
        row.wrote(device, seq)
        self.rows.put(filed, row)
        self._placing.forget(filed)
        self._changed[filed] = row
        self.marks[seq - self.horizon - 1] = mark | event.op
        return True

    def _take(self, stored: RawEvent) -> None:
        """Decide an event of the share: by the rules themselves unless they plainly accept it."""
        if self._place(stored):
            return
        seq, filed, body, basis, _ = stored
        logged = read_logged(seq, body, basis, None)
        event = logged.event
        if event.seq != seq or event.entity != filed or event.workspace != self.workspace:
            raise Unproved
        if event.action is Action.PURGE:
            known = self.rows.held[filed]
            mark = seq - self.horizon
            self._total -= known.counted if known else 0
        else:
            mark = self._mark(event)
            self.without_basis += basis is None
        if event.action is not Action.UPDATE and len(basis or b"") >= UPDATE_BASIS_BYTES_MIN:
            raise Unproved  # nobody else has looked at it
        self.marks[seq - self.horizon - 1] = mark
        if event.action is Action.DELETE:
            self._look_below(filed, seq)
        if not self.trial.judge(logged) or self.findings.count:
            raise Unproved
        self._changed[filed] = self.rows.held[filed]
        if event.action is not Action.UPDATE:
            self._placing.forget(filed)
        self._make_room()

    def _mark(self, event: Event) -> int:
        number = self.numbers.get(event.device)
        known = number is not None and self._devices[event.device] == event.account
        if number is None or not known or not 0 < event.op < 1 << OP_BITS:
            raise Unproved
        return number << OP_BITS | event.op

    # Other shares

    def _follow(self, stored: RawEvent) -> None:
        """Follow where another share's entity lies, and whether it is deleted or gone."""
        seq, filed, body, _, _ = stored
        event = _MOVES.decode(body)
        row = self.rows.held[filed]
        if event.action is Action.UPDATE:
            return
        if event.action is Action.CREATE:
            if row is not None or event.parent is None:
                raise Unproved
            head = (filed, event.kind, event.parent, event.position, seq, False, seq)
            created = hold_parts(
                _pack(head),
                {},
                parent=event.parent,
                deleted=False,
                version=seq,
                writer=event.device,
            )
            self.rows.put(filed, created)
            return
        if row is None:
            raise Unproved
        if event.action is Action.PURGE:
            self.rows.take(filed)
            return
        path = self.rows.path
        place = None if event.parent is None else Place(event.parent, event.position or "")
        if place is not None and (
            place.parent == filed
            or (self.rows.children(filed) and any(each is row for each in path(place.parent)))
        ):
            raise Unproved  # it would lie inside itself
        self.rows.put(filed, row.moved(event.action, place, seq))
        self._placing.forget(filed)

    def _look_below(self, entity: str, seq: int) -> None:
        """Find who wrote the others' rows below an entity last; it was not followed."""
        waiting = [entity]
        while waiting:
            for child in self.rows.children(waiting.pop()):
                row = self.rows.held[child]
                if row is None or row.deleted:
                    continue
                waiting.append(child)
                if not self.share.owns(child):
                    self._catch_up(child, row, seq)

    def _catch_up(self, entity: str, row: Held, seq: int) -> None:
        if self._past is None:
            raise Unproved
        for logged in self._past(entity, row.version, seq - 1):
            row.wrote(logged.event.device, logged.event.seq)

    # Sums

    def _count(self) -> None:
        """Bring the sum of row hashes up to date, one hash for each row that changed."""
        total, begun = self._total, self._begun
        for row in self._changed.values():
            if row is not None:
                digest = begun()
                digest.update(row.row)
                counted = int.from_bytes(digest.digest(), "big")
                total += counted - row.counted
                row.counted = counted
        self._changed.clear()
        self._total = total

    def _commit(self, digest: bytes) -> None:
        """Add to `sums` what the row hashes come to, where a commit ends."""
        if len(digest) != DIGEST_BYTES:
            raise Unproved
        self._count()
        total = self._total
        if self.share.low:
            total = int.from_bytes(digest, "big") - total
        self.sums.update((total % MODULUS).to_bytes(DIGEST_BYTES, "big"))
        self.digests += 1
        self._make_room()

    def close(self, digest: bytes | None) -> None:
        """End as if a commit ended there, with the digest that is stored for the head."""
        self._commit(digest or b"")

    def _make_room(self) -> None:
        if self.rows.full:
            self._count()
            self.rows.spill()


def _author(account: str, device: str) -> bytes:
    return _pack("account") + _pack(account) + _pack("device") + _pack(device)


_AUTHOR_BYTES: Final = len(_author("0" * ID_BYTES, "0" * ID_BYTES))
