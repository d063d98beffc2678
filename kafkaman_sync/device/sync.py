"""Keeps one account's store in sync: attempts, conversations, retries. All waiting is for events.

`conversation` talks over one connection; this decides when to have the next one, and tells the
state machine why there is none.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeVar

import structlog

from kafkaman_sync.device import life as causes
from kafkaman_sync.device.conversation import Conversation, RevokedError
from kafkaman_sync.device.divergence import Divergence
from kafkaman_sync.device.life import Life
from kafkaman_sync.device.link import Link, address_of, ask
from kafkaman_sync.device.network import SleepWatch
from kafkaman_sync.engine.backoff import STABLE_SECONDS, Backoff
from kafkaman_sync.engine.states import Cause, Facts, Input, State
from kafkaman_sync.errors import KafkamanError, LinkError, StoreError, WireError
from kafkaman_sync.model.entities import is_id
from kafkaman_sync.protocol.messages import Reply
from kafkaman_sync.store import Identity, Store, ViewChange, WorkspaceState

T = TypeVar("T")
_log: Final = structlog.get_logger(__name__)

# How often a long wait looks whether the machine was asleep.
LOOK_SECONDS: Final = 20.0
# A drop is a short matter; what takes longer than this is shown as offline, with the retry time.
BRIEF_SECONDS: Final = 2.0
NUDGE_SECONDS_MIN: Final = 2.0

_CURES: Final = {
    "auth.device_limit": "Run `kafkaman devices sign-out ID` on a device that is online.",
    "device.unknown": "Run `kafkaman sign-in` again; everything on this device is kept.",
    "device.replaced": "Check whether this device's files were copied to another machine.",
    "device.reused": "Run `kafkaman reload`.",
    "protocol.violation": "Update kafkaman sync on this device or on the server.",
    "server.failed": "Wait, or ask whoever runs the server.",
    "server.busy": "Wait; the device tries again by itself.",
    "wire.invalid": "Update kafkaman sync on this device or on the server.",
}
DAMAGED: Final = "store.damaged"
# Where the server is older than it was, or another, what was acknowledged may be only here.
_FORGETFUL: Final = frozenset({"device.unknown", "server.changed", "account.changed"})
# With these the server asks for a new device id; what is in the outbox is numbered anew.
_REGISTER: Final = frozenset({"lease.stale", "device.reused"})


class Sync:
    """The sync of one account; `run` does it until it is cancelled or the device is revoked."""

    def __init__(
        self,
        store: Store,
        identity: Identity,
        life: Life,
        *,
        reports: Path,
        sealed: Path,
        changed: Callable[[Sequence[ViewChange]], None],
    ) -> None:
        self.store = store
        # Its device changes when this one registers anew; the lease is the store's own business.
        self.identity = identity
        self.life = life
        self.changed = changed
        self._sealed = sealed
        self._divergence = Divergence(store, reports)
        self._conversation: Conversation | None = None
        # Whether a retry is waited for; not while connecting, or when a retry follows at once.
        self.resting = False
        # Whether the last server that answered has forgotten this device.
        self.forgotten = False
        self._workspaces: list[WorkspaceState] | None = None
        self._wake = asyncio.Event()
        self._backoff = Backoff()
        self._registered = False
        self._nudged = -NUDGE_SECONDS_MIN

    async def run(self) -> RevokedError | StoreError:
        """Sync; return when the device was revoked, or the store turned out to be damaged."""
        while True:
            self._wake.clear()
            self.resting = False
            try:
                # A registration may have been finished after the last run was cancelled.
                self.identity = await self.store.identity() or self.identity
                await self._attempt()
            except RevokedError as revoked:
                self.forgotten = False
                return revoked
            except KafkamanError as error:
                if error.code == DAMAGED and isinstance(error, StoreError):
                    return error
                await self._rest(await self._assess(error))

    @property
    def _url(self) -> str:
        return self.identity.server_url

    async def facts(self) -> Facts:
        """Return what stands beside the state now."""
        if self._conversation is not None:
            return self._conversation.facts
        with suppress(StoreError):
            counts = await self.store.counts()
            return Facts(counts.pending, counts.conflicts)
        return Facts()

    @property
    def caught_up(self) -> bool:
        """Whether the present connection has caught up with the server."""
        return self._conversation is not None and self._conversation.session.caught_up

    @property
    def checked(self) -> dict[str, tuple[int, bool]]:
        """The seq of each workspace's last checkpoint on this connection, and whether equal."""
        return {} if self._conversation is None else dict(self._conversation.checked)

    async def settle(self, reached: Callable[[], bool], seconds: float | None) -> bool:
        """Wait until `reached` holds or there is no connection to wait for; tell which."""
        await self.life.until(lambda: reached() or self.resting, seconds)
        return reached()

    async def workspaces(self) -> list[WorkspaceState]:
        """Return the workspaces, whose names and roles are current; their cursors may be old."""
        if self._workspaces is None:
            self._workspaces = await self.store.workspaces()
        return self._workspaces

    async def welcomed(self) -> None:
        """Take in that a welcome may have changed the workspaces; seal the work in lost ones."""
        self.forgotten = False
        self._workspaces = None
        for name, summary in await self.store.seal_lost(self._sealed):
            _log.warning("access lost", workspace=name, sealed=summary.path.name)
        self._workspaces = None

    def edited(self, ops: int) -> None:
        """Note that an edit of so many ops went into the outbox: push it at once."""
        if self._conversation is not None:
            self._conversation.edited(ops)

    async def recount(self) -> None:
        """Note that conflicts were resolved; watchers see their number with the next transition."""
        if self._conversation is not None:
            await self._conversation.recount()

    def retry(self) -> None:
        """Try now: a person asked, or waiting has become pointless."""
        self._backoff = Backoff()
        self._divergence.forgive()
        self.resting = False
        self._wake.set()

    def network_changed(self) -> None:
        """Look at once whether the server can be reached, or is still there."""
        now = time.monotonic()
        if now - self._nudged < NUDGE_SECONDS_MIN:
            return
        self._nudged = now
        if self._conversation is not None:
            self._conversation.link.look()
        elif self.life.state is State.OFFLINE:
            self._wake.set()

    async def call(
        self,
        method: str,
        params: dict[str, Any],
        inline: Callable[[Reply], Awaitable[T]] | None = None,
    ) -> Any:
        """Make a call on the present connection; see `Conversation.call`."""
        if self._conversation is None or not self.life.state.online:
            raise self.offline()
        return await self._conversation.call(method, params, inline)

    def doubt(self, workspace: str, seq: int) -> None:
        """Note, in an `inline`, that a proof failed."""
        if self._conversation is not None:
            self._conversation.doubt(workspace, seq)

    def offline(self) -> LinkError:
        """Return the error that says why something that needs the server cannot be done."""
        latest = self.life.latest
        return LinkError(
            f"The server cannot be asked now: {latest.cause.message}",
            code="link.offline",
            hint=latest.cause.hint or "Wait until the device is online, then try again.",
            state=latest.after.value,
            cause=latest.cause.code,
        )

    async def _attempt(self) -> None:
        """Connect and talk; ends by an exception only."""
        cause = Cause("connecting", f"Connecting to {address_of(self._url)}.")
        self.life.take(Input.ATTEMPT, cause, await self.facts())
        async with Link.open(self._url, self.life.tape) as link:
            conversation = Conversation(self, link, self._divergence)
            began = time.monotonic()
            try:
                self._conversation = conversation
                await conversation.talk()
            finally:
                self._conversation = None
                conversation.end()
                stood = time.monotonic() - began
                self._backoff = self._backoff.stood(stood)
                self._registered = self._registered and stood < STABLE_SECONDS

    async def _assess(self, error: KafkamanError) -> float | None:
        """Tell the state machine why there is no connection; return the seconds to wait.

        None means until somebody asks for it.
        """
        if error.code in _REGISTER and self._registered:
            # Two copies can take an id from each other once; the pause of a failure parts them,
            # and keeps a server that is never content from giving out device after device.
            self._registered = False
        elif error.code in _REGISTER:
            renewed = await self._register()
            if renewed is None:
                if self.life.state.online:
                    self.life.take(Input.DROPPED, causes.REGISTERED, await self.facts())
                return 0.0
            error = renewed
        self.forgotten = self.forgotten or error.code in _FORGETFUL
        cause = Cause(error.code, error.message, error.hint or _CURES.get(error.code, ""))
        delay, self._backoff = self._backoff.failed(
            secrets.SystemRandom().random(),
            retry_after=_retry_after(error),
        )
        network = error.code.startswith("network.") or error.code == "server.stopping"
        facts = await self.facts()
        if not network:
            return await self._fail(cause, facts, delay)
        if self.life.state.online:
            self.life.take(Input.DROPPED, cause, facts)
            if delay <= BRIEF_SECONDS:
                return delay
        self.life.take(Input.UNREACHABLE, cause, facts, retry_in=delay)
        return delay

    async def _fail(self, cause: Cause, facts: Facts, delay: float) -> float | None:
        if cause.code == "diverged":
            self.life.take(Input.FAILED, cause, facts)
            return 0.0 if await self._divergence.rebuild() else None
        self.life.take(Input.FAILED, cause, facts, retry_in=delay)
        return delay

    async def _register(self) -> KafkamanError | None:
        """Ask for a new device id, for this store is a copy or was restored.

        What the server has given is kept, also when this is cancelled meanwhile: the old id and its
        place are gone by then.
        """
        asking = asyncio.ensure_future(self._register_whole())
        try:
            return await asyncio.shield(asking)
        except asyncio.CancelledError:
            await asyncio.wait({asking})
            raise

    async def _register_whole(self) -> KafkamanError | None:
        try:
            params = {"token": self.identity.token, "device": self.identity.device}
            result = await ask(self._url, "register", params, self.life.tape)
            device, token = str(result.get("device")), result.get("token")
            if not is_id(device) or not isinstance(token, str):
                raise _incomplete()
            await self.store.register(device, token)
        except KafkamanError as error:
            return error
        self.identity = replace(self.identity, device=device, token=token)
        self._registered = True
        _log.info("registered anew")
        return None

    async def _rest(self, seconds: float | None) -> None:
        """Wait, unless somebody wants the attempt now or the machine has slept meanwhile."""
        if seconds == 0:
            return
        self.resting = True
        self.life.tell()
        sleep = SleepWatch()
        now = asyncio.get_running_loop().time
        end = None if seconds is None else now() + seconds
        while not self._wake.is_set() and (end is None or now() < end):
            left = LOOK_SECONDS if end is None else min(LOOK_SECONDS, end - now())
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._wake.wait()
            if sleep.woke_up():
                return


def _retry_after(error: KafkamanError) -> float:
    """Return the seconds that the server wants us to wait; it may have said anything."""
    seconds = error.details.get("retry_after", 0.0)
    return float(seconds) if isinstance(seconds, int | float) else 0.0


def _incomplete() -> WireError:
    return WireError("The server's answer to the registration is not complete.")
