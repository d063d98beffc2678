"""What the batches of messages of one transaction share."""

from __future__ import annotations

from dataclasses import dataclass, field

from kafkaman_sync.model.changes import Event, Verdict
from kafkaman_sync.model.entities import Entity
from kafkaman_sync.protocol.messages import Checkpoint, Entities, EpochStart, Events, Verdicts
from kafkaman_sync.store.confirmed import Confirmed
from kafkaman_sync.store.facts import Received
from kafkaman_sync.store.ledger import Ledger, Recent

Incoming = Events | Entities | Checkpoint | Verdicts
Decoded = Event | Verdict | Entity


@dataclass(slots=True)
class Run:
    """What the store remembers of the running connection, in memory only."""

    epochs: dict[str, tuple[EpochStart, ...]] = field(default_factory=dict)
    done: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Scope:
    """What the batches of one transaction share.

    `answered` are the ops with a verdict now; `touched` are the entities that these are about, and
    those whose rows were written.
    """

    ledger: Ledger
    recent: Recent
    confirmed: Confirmed
    run: Run
    received: Received
    answered: list[int] = field(default_factory=list)
    touched: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Step:
    """A message and what its bytes say, decoded once."""

    message: Incoming
    items: list[Decoded]
