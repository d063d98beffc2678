"""The account on this device: its open store and sync, and leaving it for good.

The database file is the sign-in: where there is one, somebody is signed in. Leaving is marked
first, and finished at the next start if the device dies half-way:

    marker -> seal -> delete database, WAL, shared memory -> delete the marker
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from kafkaman_sync.device.conversation import Revoked
from kafkaman_sync.device.life import RELOADING, Life
from kafkaman_sync.device.memory import sync_folder, write_durably
from kafkaman_sync.device.paths import Home
from kafkaman_sync.device.sync import Sync
from kafkaman_sync.engine.states import Cause, Input
from kafkaman_sync.errors import StoreError
from kafkaman_sync.store import Identity, Store, ViewChange

_log: Final = structlog.get_logger(__name__)

_MARKER: Final = ".leaving"


@dataclass(frozen=True, slots=True)
class Sealed:
    """What became of unacknowledged work: the archive, what it holds, what was discarded."""

    path: Path | None = None
    changes: int = 0
    discarded: int = 0


class Account:
    """An open account; made by `Account.open` only."""

    def __init__(self, store: Store, sync: Sync, life: Life) -> None:
        self.store = store
        self.sync = sync
        self.leaving = False
        self._life = life
        self._running: asyncio.Task[Revoked] | None = None

    @classmethod
    @asynccontextmanager
    async def open(
        cls, home: Home, account: str, life: Life, changed: Callable[[Sequence[ViewChange]], None]
    ) -> AsyncIterator[Account | None]:
        """Open the account's store; None when it holds no identity: its sign-in never finished."""
        async with Store.open(home.account(account)) as store:
            identity = await store.identity()
            if identity is None:
                yield None
                return
            sync = Sync(store, identity, life, reports=home.root, changed=changed)
            opened = cls(store, sync, life)
            try:
                yield opened
            finally:
                await opened.stop()

    @property
    def identity(self) -> Identity:
        """Whose account this is, on which server, and as which device."""
        return self.sync.identity

    @property
    def running(self) -> bool:
        """Whether the sync is under way, waiting for a retry included."""
        return self._running is not None and not self._running.done()

    def start(self, revoked: Callable[[Revoked], None]) -> None:
        """Begin to sync; `revoked` is called when the server has signed this device out."""
        assert self._running is None, "one sync at a time"
        self.sync.resting = False
        self._running = asyncio.create_task(self.sync.run(), name="sync")

        def ended(task: asyncio.Task[Revoked]) -> None:
            if not task.cancelled():
                revoked(task.result())

        self._running.add_done_callback(ended)

    async def stop(self) -> None:
        """End the sync; whatever transaction runs is finished first."""
        running, self._running = self._running, None
        if running is None:
            return
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running

    async def reconnect(self, revoked: Callable[[Revoked], None]) -> None:
        """Drop the connection, if there is one, and begin anew at once."""
        await self.stop()
        if self._life.state.online:
            self._life.take(Input.DROPPED, RELOADING, await self.sync.facts())
        self.start(revoked)

    async def seal(self, home: Home, reason: str) -> Sealed:
        """Write what no server has acknowledged into an archive."""
        summary = await self.store.seal(home.sealed, reason)
        return Sealed() if summary is None else Sealed(summary.path, summary.changes)


def find_account(home: Home) -> str | None:
    """Return the id of the account that is signed in on this device."""
    found = sorted(path.stem for path in home.accounts.glob("*.db"))
    return next((each for each in found if not _marker(home, each).exists()), None)


def mark_leaving(home: Home, account: str, reason: str, *, discard: bool) -> None:
    """Decide, durably, that the account leaves this device."""
    text = json.dumps({"reason": reason, "discard": discard})
    write_durably(_marker(home, account), text.encode())


def delete_files(home: Home, account: str) -> None:
    """Delete everything of the account; the marker goes last."""
    for path in home.accounts.glob(f"{account}.*"):
        if path != _marker(home, account):
            path.unlink(missing_ok=True)
    sync_folder(home.accounts)
    _marker(home, account).unlink(missing_ok=True)
    sync_folder(home.accounts)


async def finish_leaving(home: Home) -> None:
    """Finish what an earlier run had begun to leave: seal, then delete.

    When sealing fails, everything is kept, and it is tried again at the next start.
    """
    for marker in sorted(home.accounts.glob(f"*{_MARKER}")):
        account = marker.name.removesuffix(_MARKER)
        path = home.account(account)
        try:
            wish = json.loads(marker.read_bytes())
        except (OSError, ValueError):
            wish = {}
        try:
            if path.exists() and not wish.get("discard"):
                async with Store.open(path) as store:
                    await store.seal(home.sealed, str(wish.get("reason", "signed_out")))
        except StoreError as error:
            _log.exception("could not seal", code=error.code)
            continue
        delete_files(home, account)
        _log.info("left an account that was half gone")


def revoked_cause(revoked: Revoked, sealed: Sealed) -> Cause:
    """Return why the device is in ERROR after the server has signed it out."""
    kept = f" What was not synced is in {sealed.path}." if sealed.path else ""
    return Cause(
        "device.revoked",
        f"This device was signed out from elsewhere; its data was deleted from it.{kept}",
        "Run `kafkaman sign-in` to use it again.",
    )


def _marker(home: Home, account: str) -> Path:
    return home.accounts / f"{account}{_MARKER}"
