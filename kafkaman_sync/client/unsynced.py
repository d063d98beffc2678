"""The client's calls about sealed work: archives of what no server had acknowledged."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from kafkaman_sync.client.connection import Connection
from kafkaman_sync.client.records import Record


@dataclass(frozen=True, slots=True)
class Archive(Record):
    """A sealed archive: when, why, whose, and what is in it.

    `reason` is signed_out, revoked, access_lost or damaged; `kinds` counts entities, `names` are
    the first paths. `restored` is {at, workspaces}, None while it was not; with no workspaces its
    work went on by itself. An archive that cannot be read has an `error` and nothing else.
    """

    id: str
    path: str
    at: str = ""
    reason: str = ""
    server: str = ""
    account: str = ""
    username: str = ""
    device_name: str = ""
    changes: int = 0
    conflicts: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    restored: dict[str, Any] | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class ArchiveContent(Archive):
    """An archive with its entities.

    Each is {entity, kind, name, workspace, actions, fields, conflicts}; a field is {name, seen,
    mine}: what the person had before them, and what they wrote.
    """

    entities: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Damaged(Record):
    """A damaged database that was set aside in `folder`, and what became of what it held.

    `changes` were rescued, of which `requeued` went on by themselves; `lost` could not be read.
    """

    id: str
    at: str
    folder: str
    scratch: bool
    message: str
    hint: str
    changes: int = 0
    requeued: int = 0
    lost: int = 0
    conflicts: int = 0
    rows: int = 0
    archive: str = ""


@dataclass(frozen=True, slots=True)
class Unsynced(Record):
    """All that is kept on this device and that no server may have."""

    archives: list[Archive]
    damaged: list[Damaged]


@dataclass(frozen=True, slots=True)
class RestoredArchive(Record):
    """What restoring an archive did; all but the counts are names (paths).

    `already` was there as the archive has it. `skipped` are {name, why}: why is delete (deletions
    are repeated only when that is asked for), gone (nothing but a field of it was kept) or place
    (where it was moved to is gone). `conflicts` are new ones: others had changed the same fields.
    """

    id: str
    workspaces: list[dict[str, str]]
    created: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    moved: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    already: list[str] = field(default_factory=list)
    skipped: list[dict[str, str]] = field(default_factory=list)
    conflicts: int = 0
    changes: int = 0


class SealedWork:
    """The part of a client that lists archives, shows them, and makes their edits again."""

    _connection: Connection

    async def unsynced(self) -> Unsynced:
        """Return the archives, the oldest first, and the damaged databases that are kept."""
        found = await self._connection.call("unsynced")
        return Unsynced(
            [Archive.read(each) for each in found["archives"]],
            [Damaged.read(each) for each in found["damaged"]],
        )

    async def unsynced_content(self, archive: str) -> ArchiveContent:
        """Return an archive, named by its id or the beginning of it, with its entities."""
        return ArchiveContent.read(await self._connection.call("unsynced_show", id=archive))

    async def restore_unsynced(
        self, archive: str, *, into: str | None = None, deletes: bool = False
    ) -> RestoredArchive:
        """Make the edits of an archive again, in the workspaces they were made in, or `into` one.

        Nothing newer is overwritten, and what is there already is not made twice. `deletes` also
        repeats deletions.
        """
        found = await self._connection.call(
            "unsynced_restore", id=archive, workspace=into, deletes=deletes
        )
        return RestoredArchive.read(found)

    async def remove_unsynced(self, archive: str) -> str:
        """Delete an archive, or a damaged database that was set aside, for good; return its id."""
        return str((await self._connection.call("unsynced_remove", id=archive))["removed"])
