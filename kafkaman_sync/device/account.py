"""The account on this device: its open store and sync, and leaving it for good.

The database file is the sign-in: where there is one, somebody is signed in. Leaving is marked
first, and finished at the next start if the device dies half-way:

    marker -> seal -> delete database, WAL, shared memory -> delete the marker
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import structlog

from kafkaman_sync.device.conversation import RevokedError
from kafkaman_sync.device.healing import DAMAGED, MARKER, Report, heal, open_sound, unfinished
from kafkaman_sync.device.life import RELOADING, Life
from kafkaman_sync.device.memory import sync_folder, write_durably
from kafkaman_sync.device.paths import Home
from kafkaman_sync.device.sync import Sync
from kafkaman_sync.engine.states import Cause, Input, State
from kafkaman_sync.errors import StoreError, WireError
from kafkaman_sync.model.entities import is_id
from kafkaman_sync.store import Identity, Store, ViewChange

_log: Final = structlog.get_logger(__name__)

_MARKER: Final = ".leaving"
# Names in a sentence for people; all of them are in the archive.
NAMES_TOLD_MAX: Final = 5


@dataclass(frozen=True, slots=True)
class Sealed:
    """What became of unacknowledged work: the archive, what it holds, what was discarded.

    `kinds` counts the entities in the archive, `names` are their paths.
    """

    path: Path | None = None
    changes: int = 0
    discarded: int = 0
    conflicts: int = 0
    kinds: Mapping[str, int] = field(default_factory=dict)
    names: tuple[str, ...] = ()


Ended = Callable[["Account", BaseException], None]
"""Is told why an account's sync has ended: revoked, its store damaged, or a bug of ours."""


class Account:
    """An open account; made by `Account.open` only."""

    def __init__(self, store: Store, sync: Sync, life: Life) -> None:
        self.store = store
        self.sync = sync
        self._life = life
        self._running: asyncio.Task[RevokedError | StoreError] | None = None

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        home: Home,
        account: str,
        life: Life,
        changed: Callable[[Sequence[ViewChange]], None],
        healed: Callable[[Report], None],
    ) -> AsyncIterator[Account | None]:
        """Open the account's store; None when it holds no identity: its sign-in never finished.

        A damaged store is healed first, of which `healed` is told.
        """
        async with open_sound(home, home.account(account), healed) as store:
            identity = await store.identity()
            if identity is None:
                yield None
                return
            sync = Sync(
                store, identity, life, reports=home.root, sealed=home.sealed, changed=changed
            )
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

    def start(self, ended: Ended) -> None:
        """Begin to sync; `ended` is told why that has ended, if it was not stopped."""
        assert self._running is None, "one sync at a time"
        self.sync.resting = False
        self._running = asyncio.create_task(self.sync.run(), name="sync")

        def tell(task: asyncio.Task[RevokedError | StoreError]) -> None:
            if not task.cancelled():
                ended(self, task.exception() or task.result())

        self._running.add_done_callback(tell)

    async def stop(self) -> None:
        """End the sync; whatever transaction runs is finished first."""
        running, self._running = self._running, None
        if running is None:
            return
        running.cancel()
        # How it ended was told already.
        await asyncio.wait({running})

    async def reconnect(self, ended: Ended) -> None:
        """Drop the connection, if there is one, and begin anew at once."""
        await self.stop()
        if self._life.state.online:
            self._life.take(Input.DROPPED, RELOADING, await self.sync.facts())
        self.start(ended)

    async def flush(self, seconds: float) -> None:
        """Try once more to send what waits, and learn whether the server knows this device."""
        if not self.running:
            return
        if not self._life.state.online:
            self.sync.retry()
        await self.sync.settle(lambda: self._life.state is State.IN_SYNC, seconds)

    async def seal(self, home: Home, reason: str) -> Sealed:
        """Write what no server has acknowledged into an archive.

        All that is shown, when the server that acknowledged it has forgotten this device.
        """
        summary = await self.store.seal(home.sealed, reason, whole=self.sync.forgotten)
        if summary is None:
            return Sealed()
        return Sealed(
            summary.path,
            summary.changes,
            conflicts=summary.conflicts,
            kinds=summary.kinds,
            names=summary.names,
        )


def find_account(home: Home) -> str | None:
    """Return the id of the account that is signed in on this device."""
    # While a damaged store is healed its database is away, and there is only the marker of that.
    # One that somebody removed may have left its log, which can hold everything.
    paths = [
        path for kind in ("*.db", "*.db-wal", f"*{MARKER}") for path in home.accounts.glob(kind)
    ]
    found = sorted({path.stem for path in paths})
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
            if not wish.get("discard"):
                await _seal_left(home, path, str(wish.get("reason", "signed_out")))
        except StoreError as error:
            _log.exception("could not seal", code=error.code)
            continue
        delete_files(home, account)
        _log.info("left an account that was half gone")


async def _seal_left(home: Home, path: Path, reason: str) -> None:
    """Seal what a store holds; what can be rescued from a damaged one is sealed by that."""
    if unfinished(path):
        await heal(home, path)
        return
    if not path.exists():
        return
    try:
        async with Store.open(path) as store:
            await store.seal(home.sealed, reason)
    except StoreError as error:
        if error.code not in DAMAGED:
            raise
        await heal(home, path, cause=error.message)


def revoked_cause(revoked: RevokedError, sealed: Sealed) -> Cause:
    """Return why the device is in ERROR after the server has signed it out."""
    kept = ""
    hint = "Run `kafkaman sign-in` to use it again."
    if sealed.path:
        kept = f" What was not synced ({sealed_phrase(sealed)}) is in {sealed.path}."
        hint = f"{hint[:-1]}, and `kafkaman unsynced` to see what was not synced."
    return Cause(
        "device.revoked",
        f"This device was signed out from elsewhere; its data was deleted from it.{kept}",
        hint,
    )


def unsealed_cause(error: StoreError) -> Cause:
    """Return why the device is in ERROR that was signed out and cannot seal its work."""
    return Cause(
        "seal.failed",
        f"This device was signed out from elsewhere, but its unsynced work could not be sealed:"
        f" {error}",
        "Free some space. It is tried again; `kafkaman retry` does so at once.",
    )


def sealed_phrase(sealed: Sealed) -> str:
    """Say what an archive holds: how many changes, and the first names."""
    names = ", ".join(sealed.names[:NAMES_TOLD_MAX])
    more = len(sealed.names) - NAMES_TOLD_MAX
    count = sealed.changes + sealed.conflicts
    changes = f"{count:,} {'change' if count == 1 else 'changes'}"
    return f"{changes}: {names}{f' and {more:,} more' if more > 0 else ''}"


def identity_given(url: str, device_name: str, result: dict[str, Any]) -> Identity:
    """Return the identity that the server gave; ids become file names, so they are checked."""
    texts = {
        key: result.get(key)
        for key in ("account", "username", "email", "device", "token", "server")
    }
    legal = is_id(texts["account"]) and is_id(texts["device"])
    if not legal or not all(isinstance(text, str) for text in texts.values()):
        raise WireError("The server's answer to the sign-in is not complete.")
    given = {key: str(text) for key, text in texts.items()}
    return Identity(server_url=url, device_name=device_name, lease="", **given)


def _marker(home: Home, account: str) -> Path:
    return home.accounts / f"{account}{_MARKER}"
