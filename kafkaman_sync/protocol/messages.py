"""The messages of the subprotocol `kafkaman.sync.v1`.

Changes, events and entity rows travel as the bytes they are stored as (see `records`), so that each
is encoded once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from kafkaman_sync.model.changes import Verdict

SUBPROTOCOL: Final = "kafkaman.sync.v1"


@dataclass(frozen=True, slots=True)
class Position:
    """How far a device has come in one workspace.

    `cursor` is the last seq applied and `mark` how far a running catch-up by state has come, 0 when
    none runs. `epoch` is the one that the greater of the two belongs to (empty: nothing applied
    yet, or not known).
    """

    workspace: str
    epoch: str = ""
    cursor: int = 0
    mark: int = 0


@dataclass(frozen=True, slots=True)
class EpochStart:
    """The first seq that an epoch wrote in a workspace; it ends where the next one starts."""

    epoch: str
    first_seq: int


@dataclass(frozen=True, slots=True)
class WorkspaceHead:
    """A workspace as the welcome lists it: its latest epochs oldest first, the running one last."""

    id: str
    name: str
    role: str
    head: int
    epochs: tuple[EpochStart, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """Device to server: a question or request by name; answered by a Reply with the same id."""

    id: int
    method: str
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Hello:
    """Device to server: begin to sync.

    `confirmed_op` is the greatest n such that no op up to n is in the outbox; `highest_base` the
    greatest base of any op in the outbox, as a seq of the workspace it belongs to.
    """

    token: str
    device: str
    lease: str
    positions: tuple[Position, ...]
    confirmed_op: int = 0
    highest_base: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Push:
    """Device to server: encoded changes in op order."""

    changes: tuple[bytes, ...]
    confirmed_op: int = 0


@dataclass(frozen=True, slots=True)
class Welcome:
    """Server to device: the answer to a hello.

    `server` identifies the server's database, `epoch` its current run. `last_op` is the last op of
    this device that has a verdict, `last_change` the hash of the change that it stood for (empty
    when that is not kept any more). `limits` names the server's own limits and settings.
    """

    server: str
    epoch: str
    lease: str
    account: str
    device: str
    last_op: int
    workspaces: tuple[WorkspaceHead, ...]
    limits: Mapping[str, int] = field(default_factory=dict)
    last_change: bytes = b""


@dataclass(frozen=True, slots=True)
class Events:
    """Server to device: events of one workspace in seq order.

    An item is an encoded event or, for an op that this connection pushed, its verdict in the
    event's place. `digest` is set when the last item ends a commit: the state's fingerprint there.
    """

    workspace: str
    items: tuple[bytes | Verdict, ...]
    digest: bytes | None = None


@dataclass(frozen=True, slots=True)
class Entities:
    """Server to device: catch-up by state, encoded rows in order of version.

    `mark` is the greatest version sent so far. With `full` the rows replace the device's whole
    copy, without it they update it. `purged` lists (entity, seq). `total` estimates all rows of
    this catch-up. `through`, set in the last one, is the seq that the device's cursor moves to.
    """

    workspace: str
    rows: tuple[bytes, ...]
    mark: int
    full: bool = False
    total: int = 0
    purged: tuple[tuple[str, int], ...] = ()
    through: int | None = None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Server to device: the digest at `seq`; ends a catch-up of the workspace."""

    workspace: str
    seq: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Server to device: verdicts without an event in this stream, in op order."""

    verdicts: tuple[Verdict, ...]


@dataclass(frozen=True, slots=True)
class Resend:
    """Server to device: an op before `op`'s successors is undecided; push again from `op` on."""

    op: int


@dataclass(frozen=True, slots=True)
class Reply:
    """Server to device: the answer to the call of that id, a result or an error."""

    id: int
    result: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """Server to device: something worth knowing that is not part of the log."""

    code: str
    message: str
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Goodbye:
    """Server to device: the last message before it closes. `retry_after` is in seconds, 0: at will.

    Codes: `server.stopping`, `server.busy`, `server.failed`, `device.revoked`, `device.replaced`
    (by a newer connection of the same device), `device.reused`, `device.unknown`, `lease.stale`,
    `network.slow` (no hello in time), `protocol.violation`.
    """

    code: str
    message: str
    retry_after: float = 0.0


Message = (
    Call
    | Hello
    | Push
    | Welcome
    | Events
    | Entities
    | Checkpoint
    | Verdicts
    | Resend
    | Reply
    | Notice
    | Goodbye
)
