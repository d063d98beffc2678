"""Work that was sealed: listed, shown, and made again. Needs no server."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from kafkaman_sync.device.control import Method, Peer
from kafkaman_sync.device.desk import Desk
from kafkaman_sync.device.healing import Report, note_restored, reports
from kafkaman_sync.device.naming import Spot
from kafkaman_sync.device.params import Params
from kafkaman_sync.device.paths import Home
from kafkaman_sync.errors import FormatError, ModelError
from kafkaman_sync.faults import file_error
from kafkaman_sync.model.tagged import json_of
from kafkaman_sync.model.values import REMOVED
from kafkaman_sync.store.archive import (
    Archive,
    archive_id,
    archive_paths,
    note_path,
    read_archive,
)
from kafkaman_sync.store.restoring import Wish, wishes_of
from kafkaman_sync.store.sealing import Restored

# Names in a list; `unsynced show` has them all.
NAMES_MAX: Final = 5

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Kept:
    """How much is kept on this device that no server may have: archives, and damaged stores."""

    archives: int
    damaged: int


def count_kept(home: Home) -> Kept:
    """Count the archives that were not restored yet, and the damaged stores that are kept."""
    waiting = [path for path in archive_paths(home.sealed) if not note_path(path).exists()]
    return Kept(len(waiting), len(reports(home)))


class Archives:
    """The archives of a home for the control socket."""

    def __init__(self, home: Home, desk: Desk) -> None:
        self._home = home
        self._desk = desk

    def methods(self) -> dict[str, Method]:
        """Return the methods by the names of the control protocol."""
        return {
            "unsynced": self._unsynced,
            "unsynced_show": self._show,
            "unsynced_restore": self._restore,
            "unsynced_remove": self._remove,
        }

    async def _unsynced(self, _peer: Peer, _params: Params) -> Json:
        found = []
        for path in archive_paths(self._home.sealed):
            try:
                found.append(_listed(await asyncio.to_thread(read_archive, path)))
            except FormatError as error:
                found.append({"id": archive_id(path), "path": str(path), "error": error.message})
        damaged = [_report(each) for each in reports(self._home)]
        return {"archives": found, "damaged": damaged}

    async def _show(self, _peer: Peer, params: Params) -> Json:
        archive = await self._read(params.text("id"))
        entities = [_wish(archive, wish) for wish in wishes_of(archive).values()]
        return {**_listed(archive), "entities": entities}

    async def _restore(self, _peer: Peer, params: Params) -> Json:
        archive = await self._read(params.text("id"))
        deletes = params.flag("deletes")
        parts = await self._parts(archive, params.text_or_none("workspace"))
        done: list[tuple[Spot, Restored]] = []
        for spot, part in parts:
            today = datetime.now(UTC).date()
            restored = await spot.store.restore(part, spot.workspace, deletes=deletes, today=today)
            self._desk.edited(spot, restored.ops, restored.changes)
            done.append((spot, restored))
        await self._desk.recount()
        note_restored(archive.path, [spot.name for spot, _ in done])
        return _told(archive, done)

    async def _remove(self, _peer: Peer, params: Params) -> Json:
        text = params.text("id")
        for report in reports(self._home):
            folder = self._home.damaged / Path(report.folder).name
            if folder.name == text:
                await asyncio.to_thread(shutil.rmtree, folder)
                return {"removed": folder.name}
        path = self._find(text)
        try:
            note_path(path).unlink(missing_ok=True)
            path.unlink()
        except OSError as error:
            raise file_error(error, path) from error
        return {"removed": archive_id(path)}

    async def _read(self, text: str) -> Archive:
        return await asyncio.to_thread(read_archive, self._find(text))

    def _find(self, text: str) -> Path:
        """Return the archive that an id, or the beginning of one, stands for."""
        paths = {archive_id(path): path for path in archive_paths(self._home.sealed)}
        if text in paths:
            return paths[text]
        found = [name for name in paths if text and name.startswith(text)]
        if len(found) == 1:
            return paths[found[0]]
        raise ModelError(
            f"{text[:100]!r} is {'the beginning of several archives' if found else 'no archive'}.",
            code="archive.ambiguous" if found else "archive.not_found",
            hint="`kafkaman unsynced` lists them.",
            candidates=[{"id": name} for name in found[:NAMES_MAX]],
        )

    async def _parts(
        self, archive: Archive, workspace: str | None
    ) -> Sequence[tuple[Spot, Archive]]:
        """Return what goes where: into the one that is named, else where each was, if it is here.

        What was in a workspace that is not here goes into the one that is used by default.
        """
        if workspace is not None:
            (spot, *_) = await self._desk.chosen(workspace)
            return [(spot, archive)]
        here = {spot.workspace: spot for spot in await self._desk.chosen(None) if spot.role}
        parts: list[tuple[Spot, Archive]] = []
        rest: set[str] = set()
        for each in _workspaces(archive):
            if each in here:
                parts.append((here[each], _only(archive, {each})))
            else:
                rest.add(each)
        if rest:
            parts.append((await self._desk.default(None), _only(archive, rest)))
        return parts


def _workspaces(archive: Archive) -> list[str]:
    changes = [*archive.changes, *(each.change for each in archive.conflicts)]
    return list(dict.fromkeys(change.workspace for change in changes))


def _only(archive: Archive, workspaces: set[str]) -> Archive:
    return replace(
        archive,
        changes=tuple(each for each in archive.changes if each.workspace in workspaces),
        conflicts=tuple(each for each in archive.conflicts if each.change.workspace in workspaces),
    )


def _listed(archive: Archive) -> Json:
    names = list(dict.fromkeys(wish.name for wish in wishes_of(archive).values()))
    return {
        "id": archive.id,
        "at": archive.at.isoformat(),
        "reason": archive.reason,
        "server": archive.server,
        "account": archive.account,
        "username": archive.username,
        "device_name": archive.device_name,
        "changes": len(archive.changes),
        "conflicts": len(archive.conflicts),
        "kinds": dict(archive.kinds),
        "names": names[:NAMES_MAX],
        "path": str(archive.path),
        "restored": _restored(archive.path),
        "error": "",
    }


def _restored(path: Path) -> Json | None:
    try:
        note: Json = json.loads(note_path(path).read_bytes())
    except (OSError, ValueError):
        return None
    return note


def _report(report: Report) -> Json:
    cause = report.cause_for_people()
    return {
        **asdict(report),
        "id": Path(report.folder).name,
        "message": cause.message,
        "hint": cause.hint,
    }


def _wish(archive: Archive, wish: Wish) -> Json:
    codes = [each.code for each in archive.conflicts if each.change.entity == wish.entity]
    made = wish.made or {}
    fields = [{"name": name, "seen": None, "mine": _value(data)} for name, data in made.items()]
    fields += [
        {"name": name, "seen": _value(seen), "mine": _value(mine)}
        for name, (seen, mine) in wish.fields.items()
    ]
    return {
        "entity": wish.entity,
        "kind": wish.kind.value if wish.kind else "",
        "name": wish.name,
        "workspace": wish.workspace,
        "actions": _actions(wish),
        "fields": fields,
        "conflicts": codes,
    }


def _actions(wish: Wish) -> list[str]:
    said = {
        "create": wish.made is not None,
        "update": bool(wish.fields),
        "move": wish.parent is not None and wish.made is None,
        "delete": wish.deleted,
    }
    return [name for name, true in said.items() if true]


def _value(data: bytes) -> Any:
    return None if data == REMOVED else json_of(data)


def _told(archive: Archive, done: Sequence[tuple[Spot, Restored]]) -> Json:
    plans = [restored.plan for _, restored in done]

    def all_of(name: str) -> list[str]:
        return [each for plan in plans for each in getattr(plan, name)]

    return {
        "id": archive.id,
        "workspaces": [{"id": spot.workspace, "name": spot.name} for spot, _ in done],
        **{name: all_of(name) for name in ("created", "updated", "moved", "deleted", "already")},
        "skipped": [{"name": name, "why": why} for plan in plans for name, why in plan.skipped],
        "conflicts": sum(restored.conflicts for _, restored in done),
        "changes": sum(restored.ops for _, restored in done),
    }
