"""What the library's calls return. Each record is built from the daemon's JSON by `read`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, TypeVar

from kafkaman_sync.engine.states import State
from kafkaman_sync.model.values import Value

R = TypeVar("R", bound="Record")


@dataclass(frozen=True, slots=True)
class Record:
    """A frozen record; keys of a newer daemon that it does not know are left out."""

    @classmethod
    def read(cls: type[R], values: Mapping[str, Any]) -> R:
        """Return the record of the daemon's JSON."""
        return cls(**{part.name: values[part.name] for part in fields(cls) if part.name in values})

    def as_dict(self) -> dict[str, Any]:
        """The record as plain JSON values, nested ones included."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Status(Record):
    """How the device is: what `kafkaman status` shows.

    `account` is {id, username, email} or None, `device` {id, name} or None, `server` the URL or
    None, `progress` {done, total} or None, `workspaces` a list of {id, name, role, seq, digest}.
    `unsynced` counts the sealed archives that were not restored, `damaged` the damaged databases
    that were set aside.
    Times are ISO 8601 in UTC.
    """

    state: State
    online: bool
    signed_in: bool
    account: dict[str, Any] | None
    device: dict[str, Any] | None
    server: str | None
    since: str
    cause: str
    message: str
    hint: str
    pending: int
    conflicts: int
    retry_at: str | None
    progress: dict[str, int] | None
    workspaces: list[dict[str, Any]]
    version: str
    pid: int
    home: str
    unsynced: int = 0
    damaged: int = 0

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Status:
        """Return the status of the daemon's JSON."""
        known: dict[str, Any] = {part.name: values.get(part.name) for part in fields(cls)}
        return cls(**{**known, "state": State(values["state"])})


@dataclass(frozen=True, slots=True)
class SignedIn(Record):
    """The account {id, username, email} and the device {id, name} after signing in."""

    account: dict[str, Any]
    device: dict[str, Any]
    server: str = ""


@dataclass(frozen=True, slots=True)
class SignedOut(Record):
    """What became of the work that the server had not acknowledged.

    `sealed` is the archive's path or None, `sealed_changes` and `sealed_conflicts` are how many
    changes and conflicts it holds, `kinds` counts their entities, `names` are the first paths;
    `discarded` is how many were dropped because that was asked for. `told_server` is false when the
    server could not be told: the device's place is then free only after it is signed out from
    another one.
    """

    sealed: str | None = None
    sealed_changes: int = 0
    sealed_conflicts: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    discarded: int = 0
    told_server: bool = True


@dataclass(frozen=True, slots=True)
class Device(Record):
    """One signed-in device of the account; `last_seen` in milliseconds since 1970."""

    id: str
    name: str
    platform: str = ""
    last_seen: int = 0
    connected: bool = False
    current: bool = False


@dataclass(frozen=True, slots=True)
class Workspace(Record):
    """A workspace that the account may see; `seq` and `digest` say how far this device is."""

    id: str
    name: str
    role: str
    seq: int = 0
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Listed(Record):
    """An entity as a list shows it. `parent` is empty for what lies in the workspace itself."""

    id: str
    kind: str
    name: str
    parent: str
    position: str
    workspace: str = ""
    pending: bool = False


@dataclass(frozen=True, slots=True)
class Shown(Record):
    """An entity with its fields, as a person sees it: confirmed plus pending."""

    id: str
    kind: str
    name: str
    parent: str
    position: str
    version: int
    workspace: str
    pending: bool = False
    fields: dict[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Conflict(Record):
    """What could not be merged; open until a person resolves it.

    `reason` is the kind of conflict (docs/conflicts.md lists them), `explanation` a sentence that
    says what happened, `choices` what each possible choice would do: mine, theirs, both, value, to.
    `field` is empty where the conflict is not about one. A value that is absent is None. `version`
    changes whenever theirs does. `more` counts the changes that depend on this one and are resolved
    with it; `group` has them, where one conflict was asked for. `by` has `mine` and `theirs`, each
    with `device`, `device_name` and `at`, theirs with `username` too; theirs is None while unknown,
    and `note` says why. `refusal` is the server's code, if it refused the change.
    """

    id: str
    workspace: str
    entity: str
    kind: str
    name: str
    code: str
    field: str = ""
    base: Value = None
    mine: Value = None
    theirs: Value = None
    reason: str = ""
    explanation: str = ""
    choices: dict[str, str] = dataclasses.field(default_factory=dict)
    version: int = 0
    state: str = "open"
    action: str = ""
    path: list[str] = dataclasses.field(default_factory=list)
    refusal: str = ""
    message: str = ""
    more: int = 0
    group: list[dict[str, str]] = dataclasses.field(default_factory=list)
    by: dict[str, dict[str, Any] | None] = dataclasses.field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True, slots=True)
class Resolution(Record):
    """What became of one conflict of several; `choice` is None and it stays open if nothing did.

    `why` says how the newest was found, `error` what was in the way.
    """

    id: str
    entity: str
    kind: str
    name: str
    field: str = ""
    reason: str = ""
    choice: str | None = None
    why: str = ""
    error: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Proof(Record):
    """A workspace's digests, recomputed from the rows on both sides at the same seq."""

    id: str
    seq: int
    device_digest: str
    server_digest: str
    equal: bool


@dataclass(frozen=True, slots=True)
class Reloaded(Record):
    """A workspace after a reload: its seq, and whether the digests there are equal."""

    id: str
    seq: int
    equal: bool


@dataclass(frozen=True, slots=True)
class ViewChange(Record):
    """Something that a person would see change, by this device or another one.

    `local` tells that it was made on this device; `seq` is 0 while the server has not accepted it.
    """

    workspace: str
    entity: str
    kind: str
    action: str
    fields: list[str] = field(default_factory=list)
    device: str = ""
    op: int = 0
    seq: int = 0
    local: bool = False


@dataclass(frozen=True, slots=True)
class Imported(Record):
    """What an import made: its root's id, its workspace, and how many entities of each kind."""

    root: str
    workspace: str
    counts: dict[str, int]
