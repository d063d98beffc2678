"""Who is signed in on this device: signing in and out, being signed out, sync on and off.

One of these at a time. Whatever fails leaves the device as it was, or says what was kept.
"""

from __future__ import annotations

import asyncio
import platform
import secrets
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from typing import Any, Final

import structlog

from kafkaman_sync.device.account import (
    NAMES_TOLD_MAX,
    Account,
    Sealed,
    delete_files,
    find_account,
    identity_given,
    mark_leaving,
    revoked_cause,
    unsealed_cause,
)
from kafkaman_sync.device.conversation import RevokedError
from kafkaman_sync.device.healing import DAMAGED, HEALING, Report, heal, open_sound
from kafkaman_sync.device.life import RELOADING, SIGNED_OUT, SYNC_OFF, Life
from kafkaman_sync.device.link import ask, check_url
from kafkaman_sync.device.memory import Memory, Settings
from kafkaman_sync.device.paths import Home
from kafkaman_sync.engine.backoff import Backoff
from kafkaman_sync.engine.states import Cause, Facts, Input, State
from kafkaman_sync.errors import KafkamanError, StoreError, UsageError
from kafkaman_sync.faults import PASSING
from kafkaman_sync.store import ViewChange

_log: Final = structlog.get_logger(__name__)

FLUSH_SECONDS_MAX: Final = 10.0
# The first welcome names the workspaces; what follows a sign-in at once should find them.
WELCOME_SECONDS_MAX: Final = 15.0
PLATFORM: Final = f"{platform.system()} {platform.machine()}".strip() or "unknown"


class Signing:
    """Holds the account that is signed in, if one is."""

    def __init__(
        self,
        home: Home,
        life: Life,
        settings: Settings,
        changed: Callable[[Sequence[ViewChange]], None],
    ) -> None:
        self.account: Account | None = None
        # Why the account's store cannot be used, while it cannot.
        self.broken: StoreError | None = None
        self.memory = Memory.load(home.memory)
        self._home = home
        self._life = life
        self._settings = settings
        self._changed = changed
        self._open_account = AsyncExitStack()
        self._turn = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []
        self._mending: asyncio.Task[None] | None = None
        self._backoff = Backoff()

    async def restore(self) -> None:
        """Take up the account that was signed in when the daemon last ran."""
        async with self._turn:
            await self._take_up()

    async def close(self) -> None:
        """Stop the sync and close the store."""
        while self._tasks:  # one may begin another
            if self._mending is not None:
                self._mending.cancel()
            await asyncio.wait(self._tasks)
        await self._close()

    async def _take_up(self) -> None:
        """Open the account of this device, if there is one; try later while its disk fails."""
        account = find_account(self._home)
        try:
            if account is not None and await self._open(account):
                self.broken = None
                self._begin()
                return
        except StoreError as error:
            self.broken = error
            cause = Cause(error.code, error.message, error.hint)
            self._fail(cause, self._life.latest.facts, again=error.code in PASSING)
            return
        self.broken = None
        if account is not None:
            delete_files(self._home, account)  # a sign-in that never finished
        if self._life.latest.cause.code != "store.lost":
            self._life.take(Input.SIGNED_OUT, SIGNED_OUT, Facts())

    def _fail(self, cause: Cause, facts: Facts, *, again: bool = True) -> None:
        delay = None
        if again:
            delay, self._backoff = self._backoff.failed(secrets.SystemRandom().random())
            self._mending = self._do(self._try_again(delay))
        self._life.take(Input.FAILED, cause, facts, retry_in=delay)

    async def _try_again(self, delay: float) -> None:
        await asyncio.sleep(delay)
        async with self._turn:
            account = self.account
            if self.broken is not None:
                await self._take_up()
            elif account and self.memory.sync and not (account.running or account.store.leaving):
                await account.reconnect(self._ended)

    def damaged(self, error: StoreError) -> None:
        """Heal the account's store, which turned out to be damaged while it was used."""
        if self.account is not None:
            self._do(self._heal(self.account, error))

    async def _heal(self, account: Account, error: StoreError) -> None:
        async with self._turn:
            if self.account is not account:
                return
            account.store.doubted = True
            await account.stop()
            self.broken = StoreError(error.message, code=error.code, hint=HEALING)
            cause = Cause(error.code, error.message, HEALING)
            self._life.take(Input.FAILED, cause, await account.sync.facts())
            await self._close()
            path = self._home.account(account.identity.account)
            try:
                self._healed(await heal(self._home, path, cause=error.message))
            except StoreError as fault:
                _log.warning("could not heal", code=fault.code)
            await self._take_up()

    def _healed(self, report: Report) -> None:
        self._life.take(Input.FAILED, report.cause_for_people(), Facts())

    def _do(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.append(task)
        task.add_done_callback(self._tasks.remove)
        return task

    def required(self) -> Account:
        """Return the account; UsageError `account.signed_out` when there is none."""
        if self.broken is not None:
            raise self.broken
        if self.account is None:
            raise UsageError(SIGNED_OUT.message, code="account.signed_out", hint=SIGNED_OUT.hint)
        return self.account

    async def sign_up(
        self, url: str, email: str, username: str, password: str, device_name: str | None
    ) -> dict[str, Any]:
        """Create an account and sign in; return it and the device."""
        params = {"email": email, "username": username, "password": password}
        async with self._turn:
            self._check_free(None)
            return await self._enter(check_url(url), "sign_up", params, device_name)

    async def sign_in(
        self, url: str, user: str, password: str, device_name: str | None, replace: str | None
    ) -> dict[str, Any]:
        """Sign in; return the account and the device once its workspaces are known."""
        replacing = {} if replace is None else {"replace": replace}
        params = {"user": user, "password": password, **replacing}
        async with self._turn:
            self._check_free(user)
            if self.account is not None:
                params["former"] = self.account.identity.device
            return await self._enter(check_url(url), "sign_in", params, device_name)

    async def sign_out(self, *, discard: bool) -> dict[str, Any]:
        """Flush, seal, tell the server, delete; return what became of unacknowledged work."""
        async with self._turn:
            account = self.required()
            if not discard:
                await account.flush(FLUSH_SECONDS_MAX)
            account.store.leaving = True
            try:
                sealed = await self._set_aside(account, discard=discard)
                # Sealed already: a second archive after a crash would hold the same again.
                mark_leaving(self._home, account.identity.account, "signed_out", discard=True)
            except StoreError:
                account.store.leaving = False
                raise
            told = await self._tell_server(account)
            await self._leave(account)
            self._life.take(Input.SIGNED_OUT, SIGNED_OUT, Facts())
        return {
            "sealed": str(sealed.path) if sealed.path else None,
            "sealed_changes": sealed.changes,
            "sealed_conflicts": sealed.conflicts,
            "kinds": dict(sealed.kinds),
            "names": list(sealed.names[:NAMES_TOLD_MAX]),
            "discarded": sealed.discarded,
            "told_server": told,
        }

    async def switch(self, *, on: bool) -> None:
        """Switch sync on or off, for this run and the next ones."""
        async with self._turn:
            if on == self.memory.sync:
                return
            memory = Memory(sync=on)
            memory.save(self._home.memory)
            self.memory = memory
            if self.account is not None:
                await self.account.stop()
                if not on:
                    facts = await self.account.sync.facts()
                    self._life.take(Input.SWITCHED_OFF, SYNC_OFF, facts)
                self._begin()
            elif self.broken is None:
                happened = Input.SIGNED_OUT if on else Input.SWITCHED_OFF
                self._life.take(happened, SIGNED_OUT if on else SYNC_OFF, Facts())

    async def retry(self) -> None:
        """Try to connect now; also to open a store that could not be opened, or to seal again."""
        if self.broken is not None:
            await self._try_again(0)
        account = self.required()
        if not self.memory.sync:
            raise _sync_off()
        account.sync.retry()
        if account.running:
            return
        async with self._turn:
            if self.account is account and not account.running:
                await account.reconnect(self._ended)

    async def reconnect(self, *, full: bool) -> Account:
        """Begin a new connection; with `full`, one that brings everything anew."""
        async with self._turn:
            account = self.required()
            if not self.memory.sync:
                raise _sync_off()
            try:
                if full:
                    await account.stop()
                    await account.store.drop_position(None)
            finally:
                # A store that could not note the wish is still to be synced.
                account.sync.retry()
                await account.reconnect(self._ended)
            return account

    def _check_free(self, user: str | None) -> None:
        """The place is free, or the same person signs in again because the server forgot them."""
        if not self.memory.sync:
            raise _sync_off()
        if self.broken is not None:
            raise self.broken
        if self.account is None:
            return
        identity = self.account.identity
        same = user is not None and user.lower() in (
            identity.username.lower(),
            identity.email.lower(),
        )
        if not (same and self._life.state is State.ERROR):
            raise UsageError(
                f"{identity.username} is signed in on this device.",
                code="account.signed_in",
                hint="Run `kafkaman sign-out` first; what is not synced is kept.",
            )

    async def _enter(
        self, url: str, method: str, params: dict[str, Any], device_name: str | None
    ) -> dict[str, Any]:
        name = device_name or self._settings.device_name
        params = {**params, "device_name": name, "platform": PLATFORM}
        result = await ask(url, method, params, self._life.tape)
        identity = identity_given(url, name, result)
        if self.account is not None and self.account.identity.account != identity.account:
            raise UsageError(
                "That is another account than the one on this device.",
                code="account.signed_in",
                hint="Run `kafkaman sign-out` first; what is not synced is kept.",
            )
        await self._close()
        if self._life.state.online:
            # It came back by itself while the person signed in.
            self._life.take(Input.DROPPED, RELOADING, Facts())
        path = self._home.account(identity.account)
        async with open_sound(self._home, path, self._healed) as store:
            if await store.identity() is not None:
                # Its outbox was numbered for a device that is no more.
                await store.register(identity.device, identity.token)
            await store.save_identity(identity)
        await self._open(identity.account)
        self._begin()
        assert self.account is not None
        await self.account.sync.settle(lambda: self._life.state.online, WELCOME_SECONDS_MAX)
        return self.describe()

    def describe(self) -> dict[str, Any]:
        """Return the account, device and server of this device; None for each while signed out."""
        if self.account is None:
            return {"account": None, "device": None, "server": None}
        identity = self.account.identity
        return {
            "account": {
                "id": identity.account,
                "username": identity.username,
                "email": identity.email,
            },
            "device": {"id": identity.device, "name": identity.device_name},
            "server": identity.server_url,
        }

    async def _open(self, account: str) -> bool:
        opened = await self._open_account.enter_async_context(
            Account.open(self._home, account, self._life, self._changed, self._healed)
        )
        if opened is None:
            await self._close()
            return False
        self.account = opened
        return True

    def _begin(self) -> None:
        assert self.account is not None
        if self.memory.sync:
            self.account.start(self._ended)
        else:
            self._life.take(Input.SWITCHED_OFF, SYNC_OFF, self._life.latest.facts)

    async def _close(self) -> None:
        self.account = None
        await self._open_account.aclose()
        self._open_account = AsyncExitStack()

    async def _set_aside(self, account: Account, *, discard: bool) -> Sealed:
        if discard:
            return Sealed(discarded=(await account.store.counts()).pending)
        return await account.seal(self._home, "signed_out")

    async def _tell_server(self, account: Account) -> bool:
        try:
            await account.sync.call("sign_out", {})
        except KafkamanError as error:
            _log.info("signed out without the server", code=error.code)
            return False
        return True

    async def _leave(self, account: Account) -> None:
        """Delete an account that is marked as leaving; what is worth keeping has been sealed."""
        await account.stop()
        await self._close()
        delete_files(self._home, account.identity.account)

    def _ended(self, account: Account, why: BaseException) -> None:
        """Take in why an account's sync has ended by itself."""
        if self.account is not account or account.store.leaving:
            return
        if isinstance(why, RevokedError):
            self._do(self._leave_revoked(account, why))
        elif isinstance(why, StoreError) and why.code in DAMAGED:
            self._do(self._heal(account, why))
        else:
            _log.error("sync failed", exc_info=why)
            self._do(self._stumble(account, why))

    async def _stumble(self, account: Account, error: BaseException) -> None:
        """Begin anew after a bug of ours, but not at once."""
        cause = Cause(
            "internal.error",
            f"An internal error ({type(error).__name__}) stopped the sync.",
            "Look into daemon.log; the device tries again by itself.",
        )
        self._fail(cause, await account.sync.facts())

    async def _leave_revoked(self, account: Account, revoked: RevokedError) -> None:
        async with self._turn:
            if self.account is not account:
                return
            account.store.leaving = True
            try:
                sealed = await account.seal(self._home, "revoked")
                mark_leaving(self._home, account.identity.account, "revoked", discard=True)
            except StoreError as error:
                account.store.leaving = False
                _log.warning("could not seal; everything is kept", code=error.code)
                self._fail(unsealed_cause(error), self._life.latest.facts)
                return
            await self._leave(account)
            self._life.take(Input.FAILED, revoked_cause(revoked, sealed), Facts())


def _sync_off() -> UsageError:
    return UsageError(SYNC_OFF.message, code=SYNC_OFF.code, hint=SYNC_OFF.hint)
