"""Where a value that was not accepted is now, on the device that it came from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kafkaman_sync.errors import FormatError, StoreError
from kafkaman_sync.model.values import hash_value
from kafkaman_sync.replay.device_store import DeviceStore, Queued
from kafkaman_sync.replay.explaining import Loss, Step
from kafkaman_sync.replay.source import ACCOUNTS
from kafkaman_sync.store.archive import archive_id, archive_paths, read_archive

_SEALED: Final = "sealed"

CONFLICT, OUTBOX, ARCHIVE, NOWHERE, OTHER = "conflict", "outbox", "archive", "nowhere", "other"


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Where it is: in the record `id` of the conflict queue, an op of the outbox, an archive.

    `state` is the record's: open, or how it was closed. NOWHERE: it is not on the device (any
    more); OTHER: it came from another device than the one that was looked at.
    """

    where: str
    id: str = ""
    state: str = ""


def locate(store: DeviceStore, workspace: str, step: Step, loss: Loss) -> Whereabouts:
    """Find what a device keeps of a change, or of a part of one, that was not accepted."""
    if store.identity is None or store.identity.device != step.device:
        return Whereabouts(OTHER)
    assert step.dispute is not None
    for record in store.conflicts(workspace, step.dispute.entity):
        if record.op == step.op and _about(record, loss):
            return Whereabouts(CONFLICT, record.id, record.state)
    for waiting in store.outbox(workspace):
        edit = waiting.change.fields.get(loss.name)
        same = edit is not None and hash_value(edit.value) == loss.value_hash
        if waiting.change.entity == step.dispute.entity and (same or waiting.op == step.op):
            return Whereabouts(OUTBOX, str(waiting.op))
    return next(_sealed(Path(store.label), step, loss), Whereabouts(NOWHERE))


def _about(record: Queued, loss: Loss) -> bool:
    return not record.field or not loss.name or record.field == loss.name


def _sealed(path: Path, step: Step, loss: Loss) -> Iterator[Whereabouts]:
    """Yield the archives of the store's home that hold it."""
    if path.parent.name != ACCOUNTS:
        return
    assert step.dispute is not None
    for each in archive_paths(path.parent.parent / _SEALED):
        try:
            archive = read_archive(each)
        except (FormatError, StoreError):
            continue
        held = [(change.op, change.entity) for change in archive.changes]
        held += [
            (conflict.change.op, conflict.change.entity)
            for conflict in archive.conflicts
            if not conflict.field or not loss.name or conflict.field == loss.name
        ]
        if (step.op, step.dispute.entity) in held:
            yield Whereabouts(ARCHIVE, archive_id(each))
