"""Verifies a device's store: its rows against its digest, its outbox against what ops must be.

A store has no events. Whether its rows are those that the log leads to, `compare` tells.
"""

from __future__ import annotations

from typing import Final

from kafkaman_sync.errors import ReplayError
from kafkaman_sync.model.digest import DIGEST_BYTES, row_hash
from kafkaman_sync.model.entities import Entity
from kafkaman_sync.replay.device_store import DeviceStore, Position, Waiting
from kafkaman_sync.replay.findings import Finding, Findings
from kafkaman_sync.replay.records import Log
from kafkaman_sync.replay.source import Source
from kafkaman_sync.replay.stored import read_row

_MODULUS: Final = 1 << (8 * DIGEST_BYTES)


def verify_store(store: Source, log: Log, findings: Findings) -> tuple[int, list[str]]:
    """Check one workspace of a device's store.

    Returns how many rows it has, and what could not be checked.
    """
    assert isinstance(store, DeviceStore)
    position = store.position(log)
    unchecked = [
        "The events that led here: a device keeps none. `replay compare` it with a server."
    ]
    if position.mark:
        unchecked.append(
            f"Rows are being fetched, up to seq {position.mark:,}: until that is done they are "
            "those of no one seq."
        )
    if position.whole:
        unchecked.append("A whole state is to be fetched: what is here is on its way out.")
    count = _check_rows(store, log, position, findings)
    _check_outbox(store, log, position, findings)
    return count, unchecked


def _check_rows(store: DeviceStore, log: Log, position: Position, findings: Findings) -> int:
    total = count = 0
    newest = max(position.cursor, position.mark)
    legible = True
    for row in store.stored_rows(log):
        count += 1
        try:
            entity = read_row(row)
        except ReplayError as error:
            legible = False
            findings.add(Finding("row", 0, error.message, str(row[0])[:32]))
            continue
        total += row_hash(log.workspace, entity)
        _check_versions(entity, newest, findings)
    digest = (total % _MODULUS).to_bytes(DIGEST_BYTES, "big")
    if legible and digest != log.digest:
        told = "The digest that is stored is not that of the rows: a row was changed by itself."
        findings.add(Finding("digest", 0, told))
    return count


def _check_versions(entity: Entity, newest: int, findings: Findings) -> None:
    versions = {"place": entity.place_version, "deleted": entity.deleted_version}
    versions.update((name, held.version) for name, held in entity.fields.items())
    for name, version in versions.items():
        if version > entity.version:
            told = f"{name} has version {version}, and its row only {entity.version}."
            findings.add(Finding("row", version, told, entity.id, name))
    if entity.version > newest:
        told = f"The row has version {entity.version}, and the device is at seq {newest}."
        findings.add(Finding("row", entity.version, told, entity.id))


def _check_outbox(store: DeviceStore, log: Log, position: Position, findings: Findings) -> None:
    """Check that each op is what it says, and that none is missing between two that wait."""
    last_op, before = store.last_op(), 0
    try:
        for waiting in store.outbox():
            if waiting.change.workspace == log.workspace:
                for told in _faults(waiting, before, last_op, position):
                    findings.add(Finding("outbox", 0, told, waiting.change.entity))
            if waiting.verdict is None:
                before = waiting.op
    except ReplayError as error:
        findings.add(Finding("outbox", 0, error.message))


def _faults(waiting: Waiting, before: int, last_op: int, position: Position) -> list[str]:
    change, op, found = waiting.change, waiting.op, []
    if change.op != op:
        found.append(f"Op {op} says that it is op {change.op}.")
    if op > last_op:
        found.append(f"Op {op} waits, and the last one that was given is {last_op}.")
    if waiting.verdict is not None:
        seq = waiting.verdict.seq
        if seq is None or seq <= position.cursor:
            found.append(f"Op {op} has its verdict, and waits all the same.")
        return found
    if before and change.previous != before:
        found.append(f"Op {op} follows op {change.previous}, and the one before it is {before}.")
    newest = max([change.base, *(edit.base for edit in change.fields.values())])
    if newest > position.cursor:
        found.append(f"Op {op} is based on seq {newest}, and the device is at {position.cursor}.")
    return found
