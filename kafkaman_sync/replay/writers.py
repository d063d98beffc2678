"""Who wrote a version, and when."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kafkaman_sync.model.changes import Event
from kafkaman_sync.replay.records import Log
from kafkaman_sync.replay.source import Source, SourceKind
from kafkaman_sync.replay.state import indexed


def writers_of(source: Source, log: Log, seqs: Iterable[int]) -> Mapping[int, Event]:
    """Return the events of seqs, without their fields; those no longer kept are absent.

    A device's store keeps none at all.
    """
    wanted = sorted({seq for seq in seqs if seq > log.horizon})
    if not wanted or source.kind is SourceKind.STORE:
        return {}
    found: dict[int, Event] = {}
    if indexed(source) is None:
        missing = set(wanted)
        for logged in source.events(log, after=wanted[0] - 1, upto=wanted[-1]):
            if logged.event.seq in missing:
                found[logged.event.seq] = _signed(logged.event)
        return found
    for seq in wanted:
        one = next(source.events(log, after=seq - 1, upto=seq), None)
        if one is not None:
            found[seq] = _signed(one.event)
    return found


def _signed(event: Event) -> Event:
    return Event(
        event.workspace,
        event.seq,
        event.action,
        event.entity,
        event.account,
        event.device,
        event.op,
        event.at,
    )
