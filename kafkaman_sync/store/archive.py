"""Archives of unacknowledged work: JSON that a person can read, and this program can restore.

Written whole and synced to the disk, or not at all. What JSON cannot say is tagged, see
`model/tagged.py`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import simplejson

from kafkaman_sync.errors import FormatError, KafkamanError
from kafkaman_sync.faults import file_error
from kafkaman_sync.model.changes import Action
from kafkaman_sync.model.entities import KINDS, Kind, is_id
from kafkaman_sync.model.tagged import data_of, json_of
from kafkaman_sync.model.values import REMOVED
from kafkaman_sync.store.facts import Identity, SealSummary

FORMAT: Final = "kafkaman.sealed"
VERSION: Final = 1
PREFIX: Final = "unsynced-"
_SUFFIX: Final = ".json"

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Sealable:
    """What an archive will hold, as JSON-like records; `requeued`: it also goes on by itself."""

    changes: list[Json]
    conflicts: list[Json]
    requeued: bool = False

    def summary(self, path: Path) -> SealSummary:
        """Return what a person is told of the archive at `path`."""
        entities: dict[str, Json] = {}
        for record in [*self.changes, *(each["change"] for each in self.conflicts)]:
            known = entities.setdefault(record["entity"], record)
            if not known["path"]:
                entities[record["entity"]] = record
        kinds: dict[str, int] = {}
        for record in entities.values():
            kinds[record["kind"]] = kinds.get(record["kind"], 0) + 1
        names = tuple("/".join(each["path"]) or each["entity"] for each in entities.values())
        return SealSummary(path, len(self.changes), len(self.conflicts), kinds, names)


@dataclass(frozen=True, slots=True)
class Above:
    """An entity that something lay in."""

    id: str
    kind: Kind
    name: str


@dataclass(frozen=True, slots=True)
class ArchivedChange:
    """One change. `fields` are canonical bytes, REMOVED for one that was removed.

    `seen` is what the person saw before, `values` the entity with this and all other pending
    changes, `above` what it lay in, outermost first, as far as that was known. `old` marks a change
    that was found in a damaged file and may have been acknowledged, `confirmed` what had been: an
    entity as it was shown when its server had forgotten it.
    """

    op: int
    workspace: str
    workspace_name: str
    action: Action
    entity: str
    kind: Kind | None
    path: tuple[str, ...]
    parent: str | None
    fields: Mapping[str, bytes]
    seen: Mapping[str, bytes]
    values: Mapping[str, bytes]
    above: tuple[Above, ...]
    old: bool = False
    confirmed: bool = False

    @property
    def name(self) -> str:
        """What a person calls it: its path, else its id."""
        return "/".join(self.path) or self.entity


@dataclass(frozen=True, slots=True)
class ArchivedConflict:
    """A disagreement: `mine` is what was not accepted; `open` if nobody had decided it."""

    id: str
    open: bool
    code: str
    refusal: str
    message: str
    field: str
    base: bytes
    mine: bytes
    theirs: bytes
    change: ArchivedChange


@dataclass(frozen=True, slots=True)
class Archive:
    """An archive that was read."""

    id: str
    path: Path
    at: datetime
    reason: str
    server: str
    account: str
    username: str
    device_name: str
    requeued: bool = False
    changes: tuple[ArchivedChange, ...] = ()
    conflicts: tuple[ArchivedConflict, ...] = ()
    kinds: Mapping[str, int] = field(default_factory=dict)


def archive_id(path: Path) -> str:
    """Return what a person calls the archive at `path`."""
    return path.name.removeprefix(PREFIX).removesuffix(_SUFFIX)


def archive_path(directory: Path, archive: str) -> Path:
    """Return the path of an archive by its id."""
    return directory / f"{PREFIX}{archive}{_SUFFIX}"


def archive_paths(directory: Path) -> list[Path]:
    """Return the archives in a folder, the oldest first."""
    return sorted(directory.glob(f"{PREFIX}*{_SUFFIX}"))


def note_path(path: Path) -> Path:
    """Return where it is noted that the archive at `path` was restored."""
    return path.with_name(f"restored-{archive_id(path)}{_SUFFIX}")


# Writing


def plain_values(fields: Mapping[str, bytes]) -> Json:
    """Return fields as JSON can hold them, removed ones left out."""
    return {name: json_of(data) for name, data in fields.items() if data != REMOVED}


def write_archive(
    directory: Path, sealable: Sealable, identity: Identity | None, reason: str, at: datetime
) -> Path:
    """Write an archive under a name that is free. Raises OSError; nothing is left behind then."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = _free_name(directory, at)
    temporary = path.with_suffix(".partial")
    temporary.unlink(missing_ok=True)
    try:
        opened = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(opened, "w", encoding="utf-8") as file:
            file.writelines(_text(sealable, identity, reason, at))
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    temporary.rename(path)
    folder = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return path


def _free_name(directory: Path, at: datetime) -> Path:
    stem = f"{PREFIX}{at.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    path = directory / f"{stem}{_SUFFIX}"
    number = 1
    while path.exists():
        number += 1
        path = directory / f"{stem}-{number}{_SUFFIX}"
    return path


def _text(
    sealable: Sealable, identity: Identity | None, reason: str, at: datetime
) -> Iterator[str]:
    document = {
        "format": FORMAT,
        "version": VERSION,
        "reason": reason,
        "sealed_at": at.astimezone(UTC).isoformat(),
        "server": identity.server_url if identity else "",
        "account": identity.account if identity else "",
        "username": identity.username if identity else "",
        "device": identity.device if identity else "",
        "device_name": identity.device_name if identity else "",
        "requeued": sealable.requeued,
        "changes": sealable.changes,
        "conflicts": sealable.conflicts,
    }
    # Escaped to ASCII, so that text with lone surrogates survives too.
    encoder = simplejson.JSONEncoder(indent=2, use_decimal=True, ensure_ascii=True)
    yield from encoder.iterencode(document)
    yield "\n"


# Reading


def read_archive(path: Path) -> Archive:
    """Read an archive. Blocks. Raises FormatError `archive.invalid`, StoreError for the disk's."""
    try:
        document = simplejson.loads(path.read_text(encoding="utf-8"), use_decimal=True)
        if document["format"] != FORMAT or document["version"] > VERSION:
            raise _invalid(path)
        return _archive(path, document)
    except OSError as error:
        raise file_error(error, path) from error
    except (
        KafkamanError,
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        RecursionError,
    ) as error:
        raise _invalid(path) from error


def _archive(path: Path, document: Json) -> Archive:
    changes = tuple(_change(each) for each in document["changes"])
    conflicts = tuple(_conflict(each) for each in document["conflicts"])
    summary = Sealable(document["changes"], document["conflicts"]).summary(path)
    return Archive(
        id=archive_id(path),
        path=path,
        at=datetime.fromisoformat(document["sealed_at"]),
        requeued=bool(document.get("requeued", False)),
        changes=changes,
        conflicts=conflicts,
        kinds=summary.kinds,
        **{
            name: str(document[name])
            for name in ("reason", "server", "account", "username", "device_name")
        },
    )


def _change(record: Json) -> ArchivedChange:
    removed = dict.fromkeys(map(str, record.get("removed", ())), REMOVED)
    parent = record.get("parent")
    if not is_id(record["entity"]) or not is_id(record["workspace"]["id"]):
        raise ValueError("not an id")
    return ArchivedChange(
        op=int(record["op"]),
        workspace=record["workspace"]["id"],
        workspace_name=str(record["workspace"]["name"]),
        action=Action(record["action"]),
        entity=record["entity"],
        kind=KINDS.get(record["kind"]),
        path=tuple(map(str, record["path"])),
        parent=None if parent is None else str(parent),
        fields={**_bytes(record.get("fields", {})), **removed},
        seen=_bytes(record.get("seen", {})),
        values=_bytes(record.get("entity_values", {})),
        above=_above(record.get("above", ())),
        old=bool(record.get("old", False)),
        confirmed=bool(record.get("confirmed", False)),
    )


def _above(records: Sequence[Json]) -> tuple[Above, ...]:
    return tuple(Above(str(each["id"]), Kind(each["kind"]), str(each["name"])) for each in records)


def _conflict(record: Json) -> ArchivedConflict:
    change = dict(record["change"])
    snapshot = record.get("entity")
    if snapshot:
        change = {"parent": snapshot["parent"], **change, "kind": snapshot["kind"]}
        change.setdefault("entity_values", snapshot["fields"])
    return ArchivedConflict(
        id=str(record["id"]),
        open=record["state"] == "open",
        code=str(record["code"]),
        refusal=str(record["refusal"]),
        message=str(record["message"]),
        field=str(record["field"]),
        base=_side(record, "base"),
        mine=_side(record, "mine"),
        theirs=_side(record, "theirs"),
        change=_change(change),
    )


def _side(record: Json, side: str) -> bytes:
    return data_of(record[side]) if side in record else REMOVED


def _bytes(fields: Mapping[str, Any]) -> dict[str, bytes]:
    return {str(name): data_of(value) for name, value in fields.items()}


def _invalid(path: Path) -> FormatError:
    return FormatError(
        f"{path} is not an archive of unsynced work that this release can read.",
        code="archive.invalid",
        hint="It is kept as it is. Was it written by a newer release?",
        path=str(path),
    )
