"""Verifies a log: replays it by the real rules, and compares with all that is stored of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from msgspec.structs import replace as exchange

from kafkaman_sync.errors import ReplayError
from kafkaman_sync.model.entities import Entity
from kafkaman_sync.replay.differences import row_differences
from kafkaman_sync.replay.findings import Finding, Findings
from kafkaman_sync.replay.held import Held
from kafkaman_sync.replay.judging import Judge
from kafkaman_sync.replay.records import Log, Logged
from kafkaman_sync.replay.server_log import ServerLog
from kafkaman_sync.replay.sharing import Proof, prove, without_collection, worthwhile
from kafkaman_sync.replay.source import Source, SourceKind
from kafkaman_sync.replay.stored import read_row

_ABSENT: Final = frozenset({"replay.no_events", "replay.no_rows", "replay.no_bases"})


@dataclass(frozen=True, slots=True)
class Verification:
    """What came out: sound, or what is wrong; and what could not be checked.

    `upto` is the last seq that was judged, `rows` counts those that were compared, `digests` those
    of commits. `unchecked` are sentences.
    """

    log: Log
    upto: int
    events: int
    digests: int
    rows: int
    findings: list[Finding] = field(default_factory=list)
    found: int = 0
    unchecked: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return self.found == 0

    @property
    def first(self) -> Finding | None:
        """The first thing that is wrong."""
        return self.findings[0] if self.findings else None

    def as_dict(self) -> dict[str, Any]:
        """The result as JSON has it."""
        return {
            "workspace": self.log.workspace,
            "name": self.log.name,
            "sound": self.sound,
            "head": self.log.head,
            "horizon": self.log.horizon,
            "events": self.events,
            "digests": self.digests,
            "rows": self.rows,
            "first": self.first.as_dict() if self.first else None,
            "findings": [each.as_dict() for each in self.findings],
            "found": self.found,
            "unchecked": self.unchecked,
        }


def verify(source: Source, log: Log) -> Verification:
    """Replay a log from its beginning, or its horizon, and compare it with what is stored.

    A device's store has no log: its rows, digest and outbox are checked against each other.
    """
    findings, unchecked = Findings(), list[str]()
    if source.kind is SourceKind.STORE:
        from kafkaman_sync.replay.store_verifying import (  # noqa: PLC0415 - 100 of 260 ms that logs are spared
            verify_store,
        )

        rows, unchecked = verify_store(source, log, findings)
        return Verification(log, log.head, 0, 0, rows, findings.kept(), findings.count, unchecked)
    with without_collection():
        if isinstance(source, ServerLog) and worthwhile(source, log):
            proof = prove(source, log)
            if proof is not None:
                return _proved(source, log, proof)
        judge = _begin(source, log, findings)
        _replay(source, log, judge, unchecked)
        _check_ends(source, log, judge)
        # Digests are of real values: that of a capture without any tells nothing.
        if log.digest is not None and not log.redacted and not judge.digest_is(log.digest):
            told = "The digest that is stored for the head is not that of the log."
            findings.add(Finding("digest", 0, told))
        rows = _check_rows(source, log, judge, unchecked)
    unchecked += _unchecked(
        source,
        log,
        events=judge.events,
        digests=judge.digests,
        without_basis=judge.without_basis,
        unjudged=judge.trial.unjudged,
    )
    found = findings.kept()
    return Verification(
        log, judge.seq, judge.events, judge.digests, rows, found, findings.count, unchecked
    )


def _proved(source: Source, log: Log, proof: Proof) -> Verification:
    events = log.head - log.horizon
    unchecked = _unchecked(
        source,
        log,
        events=events,
        digests=proof.digests,
        without_basis=proof.without_basis,
        unjudged=proof.unjudged,
    )
    return Verification(log, log.head, events, proof.digests, proof.rows, unchecked=unchecked)


def _begin(source: Source, log: Log, findings: Findings) -> Judge:
    devices = {each.id: each.account for each in source.names().devices.values() if each.account}
    if source.kind is SourceKind.CAPTURE:
        devices = {}  # it knows those that were spoken of, which need not be all

    def past(entity: str, after: int, upto: int) -> Iterator[Logged]:
        return source.events(log, entity=entity, after=after, upto=upto)

    judge = Judge(
        log.workspace, log.horizon, findings, horizon=log.horizon, devices=devices, past=past
    )
    judge.load(source.bases(log))
    return judge


def _replay(source: Source, log: Log, judge: Judge, unchecked: list[str]) -> None:
    if isinstance(source, ServerLog):
        judge.run(source.stored_events(log, after=log.horizon))
        return
    try:
        for logged in source.events(log, after=log.horizon):
            judge.take(exchange(logged, digest=None) if log.redacted else logged)
    except ReplayError as error:
        if error.code != "replay.log_damaged":
            raise
        judge.findings.add(Finding("illegible", judge.seq + 1, error.message))
        unchecked.append(f"What comes behind seq {judge.seq + 1}: reading ends there.")


def _check_ends(source: Source, log: Log, judge: Judge) -> None:
    if judge.seq != log.head:
        told = f"The head is stored as {log.head:,}, and the log ends at {judge.seq:,}."
        judge.findings.add(Finding("head", min(judge.seq, log.head) + 1, told))
    if isinstance(source, ServerLog):
        for device, last in source.last_ops().items():
            op = judge.last_ops.get(device, 0)
            # None is known where the log came from a file.
            if 0 < last < op:
                told = f"Op {op} of the device {device[:8]} is in the log; its last is {last}."
                judge.findings.add(Finding("op", 0, told))


def _check_rows(source: Source, log: Log, judge: Judge, unchecked: list[str]) -> int:
    """Compare the rows that are stored for the head with those that the log leads to."""
    rows, count, met, unsigned = judge.rows, 0, 0, _Tally()
    try:
        for entity, stored in _stored(source, log, judge, unsigned):
            count += 1
            row = rows.peek(entity)
            met += row is not None
            if stored is None:
                continue
            for each in row_differences(stored, row.entity() if row else None):
                judge.findings.add(each)
    except ReplayError as error:
        if error.code not in _ABSENT:
            raise
        unchecked.append(f"Whether the stored rows are those of the log: {error.message}")
        return 0
    if met < rows.count:
        known = {entity for entity, _ in _stored(source, log, None, _Tally())}
        for missing in sorted(entity for entity in rows.ids() if entity not in known):
            row = rows.peek(missing)
            assert row is not None
            for each in row_differences(None, row.entity()):
                judge.findings.add(each)
    _blame_events(judge.findings)
    if unsigned.count:
        unchecked.append(
            f"Who wrote {unsigned.count:,} of the {count:,} rows last: a log that was read over "
            "the wire, or through a daemon, does not tell."
        )
    return count


@dataclass(slots=True)
class _Tally:
    """How many rows do not say who wrote them."""

    count: int = 0


def _stored(
    source: Source, log: Log, judge: Judge | None, unsigned: _Tally
) -> Iterator[tuple[str, Entity | None]]:
    """Yield the id of each stored row, with the row itself where it is not that of the log."""
    if not isinstance(source, ServerLog):
        for entity in source.rows(log):
            yield entity.id, entity
        return
    for row in source.stored_rows(log):
        entity_id = str(row[0])
        known = judge.rows.peek(entity_id) if judge is not None else None
        if judge is None or (known is not None and known.is_row(row)):
            if judge is not None and known is not None:
                if row[9]:
                    _check_writer(judge, known, entity_id, (row[9], row[10]))
                else:
                    unsigned.count += 1
            yield entity_id, None
            continue
        try:
            yield entity_id, read_row(row[:9])
        except ReplayError as error:
            judge.findings.add(Finding("row", 0, error.message, entity_id[:32]))
            yield entity_id, None


def _check_writer(judge: Judge, row: Held, entity: str, writer: tuple[str, int]) -> None:
    """Compare who wrote a row last with what is stored for the rule of deletions."""
    if not row.unsure and writer != (row.writer, row.foreign_version):
        told = "Who wrote it last, and before, is stored otherwise than the log has it."
        judge.findings.add(Finding("row", row.version, told, entity, "writer"))


def _blame_events(findings: Findings) -> None:
    """Where the digest of a commit is wrong and the row of one of its events, it is that event."""
    values = {each.seq: each for each in findings.kept() if each.code == "value"}
    for each in findings.kept():
        if each.code != "digest" or not each.seq:
            continue
        for seq in sorted(values):
            if each.first <= seq <= each.seq:
                value = values[seq]
                told = (
                    f"Event {seq} was altered after it was committed: {value.field} is not what "
                    "the row has of this version, and the digest of its commit is another one."
                )
                better = Finding("altered", seq, told, value.entity, value.field)
                findings.join((each, values.pop(seq)), better)
                break


def _unchecked(
    source: Source, log: Log, *, events: int, digests: int, without_basis: int, unjudged: int
) -> list[str]:
    """Return what could not be checked of a log, in sentences."""
    unchecked = []
    if log.horizon:
        unchecked.append(
            f"What was folded at the horizon, seq {log.horizon:,}: those events are no longer "
            "kept, and their outcome is taken as it stands."
        )
    if without_basis:
        why = "an earlier release did not keep it"
        if source.kind is SourceKind.CAPTURE:
            why = "of what other devices wrote that was not said"
        unchecked.append(
            f"What {without_basis:,} of the {events:,} events were based on: {why}. "
            "They are taken to have seen all that came before."
        )
    if log.redacted:
        unchecked.append("The digests: they are of the values, which this capture does not have.")
    elif events and not digests:
        unchecked.append("The digest at each commit: none is kept, but for that of the head.")
    if unjudged:
        unchecked.append(
            f"Whether {unjudged:,} deletions overlooked what another device had "
            "written before the horizon."
        )
    return unchecked
