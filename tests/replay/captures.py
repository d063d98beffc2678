"""Captures for replay, of what a server would have said."""

from __future__ import annotations

from pathlib import Path

from kafkaman_sync.protocol.codec import encode
from kafkaman_sync.protocol.messages import Events
from kafkaman_sync.protocol.recording import Recorded, Sort
from kafkaman_sync.replay.capture import CaptureWriter, Header
from tests.replay.logs import LogFile


def capture_of(log: LogFile, path: Path) -> Path:
    """Write a capture in which the events of a log come, with the digest at their end."""
    events = Events(log.world.workspace, tuple(each[2] for each in log.events), log.world.digest)
    with CaptureWriter.create(path, Header(what="server", began_ms=0, values=True)) as writer:
        writer.add(Recorded(Sort.DOWN, 0, 0, 1, encode(events)))
    return path
