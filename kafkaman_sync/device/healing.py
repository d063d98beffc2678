"""Damaged stores: set aside whole, what is left rescued from them, and a new one begun.

Marked first, and finished at the next start if the device dies half-way:

    marker -> move database, WAL, shared memory -> read -> archive -> new store -> report -> marker

Nothing is overwritten and nothing deleted. What was set aside stays until a person removes it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import structlog

from kafkaman_sync.device.memory import sync_folder, write_durably
from kafkaman_sync.device.paths import Home
from kafkaman_sync.engine.states import Cause
from kafkaman_sync.errors import StoreError
from kafkaman_sync.faults import file_error
from kafkaman_sync.store import SCRATCH_PAD, Store
from kafkaman_sync.store.archive import Sealable, archive_id, archive_path, note_path
from kafkaman_sync.store.rescue import Rescued, rescue
from kafkaman_sync.store.seal import describe_rescued
from kafkaman_sync.store.sealing import seal_away

_log: Final = structlog.get_logger(__name__)

DAMAGED: Final = frozenset({"store.damaged", "store.foreign"})
"""The codes of a store that is set aside. One of a newer release is left alone."""
HEALING: Final = "It is set aside and rebuilt now; nothing is deleted."
MARKER: Final = ".healing"
REPORT: Final = "report.json"


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a damaged store, as `report.json` beside it says it.

    `changes` were rescued, of which `requeued` go on by themselves; `rows` are the Scratch Pad's,
    `lost` the changes that were found and could not be read.
    `whole` tells that every row could be read. `signed_in` is whether the account's identity could.
    """

    at: str
    folder: str
    scratch: bool
    cause: str
    whole: bool = False
    signed_in: bool = False
    changes: int = 0
    requeued: int = 0
    conflicts: int = 0
    rows: int = 0
    archive: str = ""
    lost: int = 0

    def cause_for_people(self) -> Cause:
        """Return what a person is told: what happened, what is left, and what to do."""
        what = "Scratch Pad" if self.scratch else "copy of the account"
        kept = f"its file is kept in {self.folder}"
        message = f"This device's {what} was damaged; {kept}. {self._left()}"
        if self.scratch:
            return Cause("store.healed", message, "Import again what is missing.")
        if self.signed_in:
            return Cause("store.healed", message, "Nothing needs to be done.")
        return Cause(
            "store.lost",
            f"{message} The sign-in could not be read.",
            "Run `kafkaman sign-in`, then `kafkaman unsynced`.",
        )

    def _left(self) -> str:
        if self.scratch:
            rest = "all of it" if self.whole else "as far as it could be read"
            return f"{_count(self.rows, 'entity', 'entities')} taken over, {rest}."
        conflicts = f" and {self.conflicts:,} in conflict" if self.conflicts else ""
        saved = f"{_count(self.changes, 'unsynced change', 'unsynced changes')} rescued{conflicts}"
        if self.lost:
            saved += f"; {_count(self.lost, 'other', 'others')} unreadable"
        if not self.signed_in:
            where = f" into the archive {self.archive}" if self.archive else ""
            return f"{saved}{where}."
        old = self.changes - self.requeued
        doubt = f", {old:,} of them only into the archive {self.archive}" if old else ""
        return f"{saved}{doubt}; the rest is fetched from the server again."


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one} was" if number == 1 else f"{number:,} {many} were"


@dataclass(slots=True)
class _Progress:
    """What the marker holds: how far the healing is."""

    folder: str
    cause: str
    moved: bool = False


def unfinished(path: Path) -> bool:
    """Tell whether the healing of the store at `path` was begun and not finished."""
    return _marker(path).exists()


@asynccontextmanager
async def open_sound(
    home: Home, path: Path, healed: Callable[[Report], None], *, local: bool = False
) -> AsyncIterator[Store]:
    """Open the store at `path`; when it is damaged, the one that takes its place.

    `healed` is told what happened then. Raises StoreError for everything but damage.
    """
    if unfinished(path):
        healed(await heal(home, path, local=local))
    async with AsyncExitStack() as stack:
        try:
            store = await stack.enter_async_context(Store.open(path, local=local))
            # Whose it is, and what is in it, must be legible.
            await store.identity()
            await store.workspaces()
        except StoreError as error:
            if error.code not in DAMAGED:
                raise
            await stack.aclose()
            healed(await heal(home, path, cause=error.message, local=local))
            store = await stack.enter_async_context(Store.open(path, local=local))
        yield store


async def heal(home: Home, path: Path, *, cause: str = "", local: bool = False) -> Report:
    """Set the store at `path` aside and put a new one in its place, with what could be rescued.

    What another run had begun is finished. Raises StoreError when the disk fails; then it can be
    tried again, and nothing is lost.
    """
    try:
        progress = _begin(home, path, cause)
        folder = home.damaged / progress.folder
        if not progress.moved:
            await asyncio.to_thread(_set_aside, path, folder)
            progress.moved = True
            _save(path, progress)
        rescued = await _read(folder / path.name, local=local)
        report = await _rebuild(home, path, progress, rescued, local=local)
        write_durably(folder / REPORT, json.dumps(asdict(report), indent=2).encode())
        _marker(path).unlink(missing_ok=True)
        sync_folder(path.parent)
    except OSError as error:
        raise file_error(error, path) from error
    _log.warning("store healed", **{**asdict(report), "cause": progress.cause})
    return report


def reports(home: Home) -> list[Report]:
    """Return what became of each store that was set aside and is still kept, the oldest first."""
    found = []
    for path in sorted(home.damaged.glob(f"*/{REPORT}")):
        try:
            found.append(Report(**json.loads(path.read_bytes())))
        except (OSError, ValueError, TypeError):
            continue  # a person's file, or one of a newer release
    return found


def note_restored(archive: Path, workspaces: Sequence[str] = ()) -> None:
    """Remember that an archive was restored, and where to; to none: it went on by itself."""
    note = {"at": datetime.now(UTC).isoformat(), "workspaces": list(workspaces)}
    write_durably(note_path(archive), json.dumps(note).encode())


def _marker(path: Path) -> Path:
    return path.with_suffix(MARKER)


def _begin(home: Home, path: Path, cause: str) -> _Progress:
    try:
        return _Progress(**json.loads(_marker(path).read_bytes()))
    except (OSError, ValueError, TypeError):
        pass  # nothing was begun, or its marker is damaged as well
    progress = _Progress(_free_name(home, path), cause)
    (home.damaged / progress.folder).mkdir(mode=0o700, parents=True)
    sync_folder(home.damaged)
    _save(path, progress)
    return progress


def _free_name(home: Home, path: Path) -> str:
    stem = f"{path.stem}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    name, number = stem, 1
    while (home.damaged / name).exists():
        number += 1
        name = f"{stem}-{number}"
    return name


def _save(path: Path, progress: _Progress) -> None:
    write_durably(_marker(path), json.dumps(asdict(progress)).encode())


def _set_aside(path: Path, folder: Path) -> None:
    for suffix in ("-shm", "-wal", ""):
        file = path.with_name(path.name + suffix)
        if file.exists():
            file.rename(folder / file.name)
    sync_folder(folder)
    sync_folder(path.parent)


async def _read(path: Path, *, local: bool) -> Rescued:
    try:
        return await asyncio.to_thread(rescue, path, local=local)
    except OSError as error:
        _log.warning("nothing can be read", path=str(path), reason=error.strerror)
        return Rescued(whole=False)


async def _rebuild(
    home: Home, path: Path, progress: _Progress, rescued: Rescued, *, local: bool
) -> Report:
    """Archive the rescued work and begin a new store, once however often this is tried."""
    goes_on = rescued.identity is not None and not local
    sealable = describe_rescued(rescued, requeued=goes_on and not rescued.old)
    archive = await _archive(home, progress, rescued, sealable)
    rows = sum(not row.deleted for row in rescued.entities.get(SCRATCH_PAD, {}).values())
    if goes_on or local:
        async with Store.open(path, local=local) as store:
            await store.refill(rescued, progress.folder, today=datetime.now(UTC).date())
    if archive and sealable.requeued:
        note_restored(archive_path(home.sealed, archive))
    return Report(
        at=datetime.now(UTC).isoformat(),
        folder=str(home.damaged / progress.folder),
        scratch=local,
        cause=progress.cause,
        whole=rescued.whole,
        signed_in=goes_on,
        changes=len(sealable.changes),
        requeued=len(rescued.requeued) if goes_on else 0,
        conflicts=len(sealable.conflicts),
        rows=rows if local else 0,
        archive=archive,
        lost=rescued.lost,
    )


async def _archive(home: Home, progress: _Progress, rescued: Rescued, sealable: Sealable) -> str:
    """Return the archive of the rescued work, written now or by the run before; "" for none."""
    link = home.damaged / progress.folder / "archive"
    try:
        return link.read_text()
    except FileNotFoundError:
        pass
    summary = await seal_away(home.sealed, sealable, rescued.identity, "damaged")
    if summary is None:
        return ""
    write_durably(link, archive_id(summary.path).encode())
    return archive_id(summary.path)
