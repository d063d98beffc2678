"""What all sessions of a server share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kafkaman_server.calls import Calls
from kafkaman_server.hub import Hub
from kafkaman_server.journal import Journal
from kafkaman_server.storage.interface import Storage
from kafkaman_sync.model.limits import MIB

# A device that has so much unread is slow; it costs no more than this and one commit.
QUEUE_BYTES_MAX: Final = 4 * MIB


@dataclass(frozen=True, slots=True)
class Shared:
    """The parts and settings of the server that a session works with."""

    storage: Storage
    hub: Hub
    journal: Journal
    calls: Calls
    replay_events_max: int
    queue_bytes_max: int = QUEUE_BYTES_MAX
