"""What the store takes and gives: identities, workspaces, results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from msgspec import Struct

from kafkaman_sync.model.changes import Action, Change
from kafkaman_sync.model.entities import Kind
from kafkaman_sync.protocol.messages import EpochStart, Position

SCRATCH_PAD: Final = "0" * 32
SCRATCH_PAD_NAME: Final = "Scratch Pad"


@dataclass(frozen=True, slots=True)
class Identity:
    """Which account on which server this store belongs to, and as which device.

    `server` identifies the server's database; empty until it is known. `token` and `lease` are
    secrets: they never appear in logs or errors.
    """

    server_url: str
    server: str
    account: str
    username: str
    email: str
    device: str
    device_name: str
    token: str
    lease: str = ""

    def __repr__(self) -> str:
        return f"Identity(server={self.server!r}, account={self.account!r}, device={self.device!r})"


@dataclass(frozen=True, slots=True)
class WorkspaceState:
    """A workspace as the device holds it.

    `epochs` is the history up to the cursor or, when that is greater, the mark, whose epoch is the
    last one; empty when the position is unknown and a full state must come. A `role` that is empty
    means that the server no longer lists the workspace.
    """

    id: str
    name: str
    role: str
    cursor: int
    mark: int
    epochs: tuple[EpochStart, ...]
    digest: bytes

    @property
    def epoch(self) -> str:
        """The epoch that the position belongs to; empty when nothing was applied yet."""
        return self.epochs[-1].epoch if self.epochs else ""


@dataclass(frozen=True, slots=True)
class WelcomeEffect:
    """What a welcome changed: workspaces new to the device, no longer listed, and forked.

    A fork is (workspace, seq): the server forgot what came after that seq. The device has
    remembered it, asks for the full state and queues what was forgotten when that has come.
    """

    added: tuple[str, ...] = ()
    vanished: tuple[str, ...] = ()
    forked: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class HelloFacts:
    """What a hello says of the store."""

    positions: tuple[Position, ...]
    confirmed_op: int
    highest_base: Mapping[str, int]


class ViewChange(Struct, frozen=True, gc=False):
    """Something that a person sees change: `fields` names those of an update or a create.

    `device` and `op` say whose change it was and `seq` where it stands in the log (0: not there;
    an own edit, or an own value that a conflict took out of the view).
    """

    workspace: str
    entity: str
    kind: Kind
    action: Action
    fields: tuple[str, ...]
    device: str
    op: int
    seq: int


@dataclass(frozen=True, slots=True)
class EditResult:
    """The entities that were edited, in the order of the edits, and how many ops that made."""

    ids: list[str]
    ops: int
    changes: list[ViewChange] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Progress:
    """How many rows of a catch-up by state have come, and how many are expected in all."""

    workspace: str
    done: int
    total: int


@dataclass(slots=True)
class Received:
    """What a batch of messages did.

    `verdict_op` is the greatest op that got a verdict (0: none). `checkpoints` are (workspace, seq,
    equal); `compared` (workspace, equal) each comparison of digests, in order, at a checkpoint or
    live; `diverged` (workspace, seq) where one differed. `replaced`
    names workspaces whose whole copy was replaced: what was read of them before is stale.
    `conflicts` and `pending` are counts after the batch.
    """

    changes: list[ViewChange] = field(default_factory=list)
    verdict_op: int = 0
    conflicts: int = 0
    pending: int = 0
    checkpoints: list[tuple[str, int, bool]] = field(default_factory=list)
    compared: list[tuple[str, bool]] = field(default_factory=list)
    diverged: list[tuple[str, int]] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    progress: list[Progress] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Counts:
    """Changes without a verdict, and open conflicts; a group of records counts once."""

    pending: int
    conflicts: int


@dataclass(frozen=True, slots=True)
class TheirWriter:
    """Who wrote the version `seq`; `at` by the server's clock, in milliseconds since 1970."""

    seq: int
    username: str
    device: str
    device_name: str
    at: int


@dataclass(frozen=True, slots=True)
class ConflictRecord:
    """A disagreement that waits for a person.

    `code` is a ConflictCode, or "refused" with the server's code in `refusal`. For a field `base`,
    `mine` and `theirs` are canonical bytes, REMOVED where there is none; `theirs` follows the
    confirmed value. For the others they are None, and `change` holds the whole change with the
    values in `seen` that the person saw. `path` are the names from the workspace down to the
    entity. `snapshot` is the entity as it was known, for what is deleted or was never created.
    `at` is when the person edited, by this device's clock in milliseconds (0: not known). A record
    with a `head` depends on the refused create of that record, and is resolved with it. `writer`
    says who wrote theirs, once the server was asked. `resolved_ops` is how many changes its
    resolution made.
    """

    id: str
    workspace: str
    entity: str
    kind: str
    code: str
    field: str
    base: bytes | None
    mine: bytes | None
    theirs: bytes | None
    theirs_version: int
    device: str
    op: int
    change: Change
    seen: Mapping[str, bytes]
    path: tuple[str, ...] = ()
    refusal: str = ""
    message: str = ""
    state: str = "open"
    snapshot: bytes | None = None
    at: int = 0
    head: str = ""
    writer: TheirWriter | None = None
    resolved_ops: int = 0

    @property
    def name(self) -> str:
        """The entity's own name, empty if it has none."""
        return self.path[-1] if self.path else ""


@dataclass(frozen=True, slots=True)
class SealSummary:
    """A sealed archive, and what is in it: `kinds` counts entities, `names` are their paths."""

    path: Path
    changes: int
    conflicts: int
    kinds: Mapping[str, int] = field(default_factory=dict)
    names: tuple[str, ...] = ()
