"""The daemon of one home: opens the stores, keeps the account in sync, answers the socket."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar

import structlog

from kafkaman_sync.__about__ import __version__
from kafkaman_sync.device.account import finish_leaving
from kafkaman_sync.device.archives import Archives, count_kept
from kafkaman_sync.device.conflicts import ConflictQueue
from kafkaman_sync.device.control import Control, Method, Peer
from kafkaman_sync.device.desk import Desk
from kafkaman_sync.device.feed import Feed
from kafkaman_sync.device.healing import Report, open_sound
from kafkaman_sync.device.life import Life
from kafkaman_sync.device.logs import Logs
from kafkaman_sync.device.memory import Settings
from kafkaman_sync.device.network import watch_network
from kafkaman_sync.device.params import Params
from kafkaman_sync.device.past import Past
from kafkaman_sync.device.paths import Home
from kafkaman_sync.device.proof import prove, reload
from kafkaman_sync.device.signing import Signing
from kafkaman_sync.device.tape import as_params
from kafkaman_sync.device.trash import Bin
from kafkaman_sync.engine.states import Facts, Input
from kafkaman_sync.errors import StoreError
from kafkaman_sync.store import Store, ViewChange, WorkspaceState

T = TypeVar("T")
_log: Final = structlog.get_logger(__name__)

# Once an edit is on the disk the sync must hear of it, whether its client still waits or not.
_WHOLE: Final = (
    "edit",
    "import_commit",
    "resolve",
    "resolve_all",
    "reopen",
    "restore",
    "revert",
    "unsynced_restore",
)


class Daemon:
    """One device's daemon; `run` returns when it is asked to end."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._life = Life()
        self._changes = Feed("change")
        self._signing = Signing(home, self._life, Settings.load(home.config), self._changed)
        self._stopping = asyncio.Event()
        # Work that must not stop half-way when the client that asked for it goes away.
        self._whole: set[asyncio.Future[Any]] = set()

    async def run(self) -> None:
        """Serve until SIGTERM, SIGINT or the call `shutdown`."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        await self.serve()

    def stop(self) -> None:
        """Ask it to end: what is under way is finished first."""
        self._stopping.set()

    async def serve(self) -> None:
        """Serve until `stop` is called."""
        await finish_leaving(self._home)
        async with open_sound(
            self._home, self._home.scratch, self._pad_healed, local=True
        ) as scratch:
            desk = Desk(scratch, self._signing, self._changed)
            queue = ConflictQueue(self._signing, self._changed)
            methods = {**self._methods(), **desk.methods(), **queue.methods()}
            methods |= Bin(desk, self._signing).methods()
            methods |= Past(desk, self._signing).methods()
            methods |= Logs(self._signing).methods()
            methods |= Archives(self._home, desk).methods()
            methods |= {name: self._whole_call(methods[name]) for name in _WHOLE}
            methods = {name: self._guarded(call, scratch) for name, call in methods.items()}
            await self._signing.restore()
            try:
                with watch_network(self._network_changed):
                    async with Control(methods).serve(self._home.socket):
                        _log.info("started", version=__version__, pid=os.getpid())
                        await self._stopping.wait()
            finally:
                if self._whole:
                    await asyncio.wait(self._whole)
                await self._signing.close()
        _log.info("stopped")

    def _methods(self) -> dict[str, Method]:
        return {
            "status": self._status,
            "watch": self._watch,
            "changes": self._watch_changes,
            "record": self._record,
            "record_last": self._record_last,
            "sign_up": self._sign_up,
            "sign_in": self._sign_in,
            "sign_out": self._sign_out,
            "devices": self._devices,
            "devices_sign_out": self._devices_sign_out,
            "reload": self._reload,
            "prove": self._prove,
            "sync": self._sync,
            "retry": self._retry,
            "shutdown": self._shutdown,
        }

    async def _status(self, _peer: Peer, _params: Params) -> dict[str, Any]:
        latest, account = self._life.latest, self._signing.account
        states: list[WorkspaceState] = []
        with suppress(StoreError):  # the status must say what is wrong with the store
            states = [] if account is None else await account.store.workspaces()
        facts = latest.facts if account is None else await account.sync.facts()
        transition = {**latest.as_dict()}
        progress, kept = facts.progress, count_kept(self._home)
        return {
            "state": transition["to"],
            "online": transition["online"],
            "signed_in": account is not None,
            **self._signing.describe(),
            "since": transition["since"],
            "cause": transition["cause"],
            "message": transition["message"],
            "hint": transition["hint"],
            "pending": facts.pending,
            "conflicts": facts.conflicts,
            "unsynced": kept.archives,
            "damaged": kept.damaged,
            "retry_at": transition["retry_at"],
            "progress": {"done": progress.done, "total": progress.total} if progress else None,
            "workspaces": [
                {
                    "id": state.id,
                    "name": state.name,
                    "role": state.role,
                    "seq": state.cursor,
                    "digest": state.digest.hex(),
                }
                for state in states
            ],
            "version": __version__,
            "pid": os.getpid(),
            "home": str(self._home.root),
        }

    async def _watch(self, peer: Peer, _params: Params) -> dict[str, Any]:
        first = self._life.latest.as_dict()
        self._follow(peer, self._life.feed, first, None)
        return {}

    async def _watch_changes(self, peer: Peer, params: Params) -> dict[str, Any]:
        self._follow(peer, self._changes, None, params.text_or_none("workspace"))
        return {}

    async def _record(self, peer: Peer, _params: Params) -> dict[str, Any]:
        tape = self._life.tape
        began = [as_params(record) for record in tape.beginnings()]
        self._follow(peer, tape.feed, None, None)
        return {**self._recorded_device(), "records": began}

    async def _record_last(self, _peer: Peer, _params: Params) -> dict[str, Any]:
        records = [as_params(record) for record in self._life.tape.last()]
        return {**self._recorded_device(), "records": records}

    def _recorded_device(self) -> dict[str, Any]:
        account = self._signing.account
        if account is None:
            return {"device": "", "account": ""}
        return {"device": account.identity.device, "account": account.identity.account}

    def _follow(
        self, peer: Peer, feed: Feed, first: dict[str, Any] | None, topic: str | None
    ) -> None:
        subscription = peer.closing.enter_context(feed.subscribe(first, topic=topic))
        peer.begin(peer.follow(subscription))

    async def _sign_up(self, _peer: Peer, params: Params) -> dict[str, Any]:
        return await self._uncut(
            self._signing.sign_up(
                params.text("server"),
                params.text("email"),
                params.text("username"),
                params.text("password"),
                params.text_or_none("device_name"),
            )
        )

    async def _sign_in(self, _peer: Peer, params: Params) -> dict[str, Any]:
        return await self._uncut(
            self._signing.sign_in(
                params.text("server"),
                params.text("user"),
                params.text("password"),
                params.text_or_none("device_name"),
                params.text_or_none("replace"),
            )
        )

    async def _sign_out(self, _peer: Peer, params: Params) -> dict[str, Any]:
        return await self._uncut(self._signing.sign_out(discard=params.flag("discard_unsynced")))

    async def _devices(self, _peer: Peer, _params: Params) -> Any:
        return await self._signing.required().sync.call("devices", {})

    async def _devices_sign_out(self, _peer: Peer, params: Params) -> Any:
        device = {"device": params.text("id")}
        return await self._signing.required().sync.call("devices_sign_out", device)

    async def _reload(self, _peer: Peer, params: Params) -> dict[str, Any]:
        return {"workspaces": await reload(self._signing, full=params.flag("full"))}

    async def _prove(self, _peer: Peer, _params: Params) -> dict[str, Any]:
        found = await prove(self._signing.required())
        return {"equal": all(each["equal"] for each in found), "workspaces": found}

    async def _sync(self, _peer: Peer, params: Params) -> dict[str, Any]:
        await self._uncut(self._signing.switch(on=params.flag("on", default=True)))
        return {}

    async def _retry(self, _peer: Peer, _params: Params) -> dict[str, Any]:
        await self._uncut(self._signing.retry())
        return {}

    async def _shutdown(self, _peer: Peer, _params: Params) -> dict[str, Any]:
        self._stopping.set()
        return {}

    def _whole_call(self, method: Method) -> Method:
        async def call(peer: Peer, params: Params) -> Any:
            return await self._uncut(method(peer, params))

        return call

    async def _uncut(self, work: Awaitable[T]) -> T:
        """Await `work`, which goes on to its end when the caller is cancelled."""
        task = asyncio.ensure_future(work)
        self._whole.add(task)
        task.add_done_callback(self._whole.discard)
        return await asyncio.shield(task)

    def _guarded(self, method: Method, scratch: Store) -> Method:
        """Return a method that has a store healed when it finds it damaged."""

        async def call(peer: Peer, params: Params) -> Any:
            try:
                return await method(peer, params)
            except StoreError as error:
                if error.code == "store.damaged":
                    self._heal(error, scratch)
                raise

        return call

    def _heal(self, error: StoreError, scratch: Store) -> None:
        if error.details.get("path") != str(self._home.scratch):
            error.hint = "It is set aside and rebuilt now. Try again in a moment."
            self._signing.damaged(error)
            return
        error.hint = "Try again: the daemon starts anew, and takes over what can be read."
        scratch.doubted = True
        self.stop()

    def _pad_healed(self, report: Report) -> None:
        self._life.take(Input.FAILED, report.cause_for_people(), Facts())

    def _network_changed(self) -> None:
        if self._signing.account is not None:
            self._signing.account.sync.network_changed()

    def _changed(self, changes: Sequence[ViewChange]) -> None:
        """Tell those who watch what a person would see change."""
        if not self._changes:
            return
        own = self._signing.account.identity.device if self._signing.account else ""
        for change in changes:
            # What has no seq was made here; of what came by state nobody says who made it.
            local = not change.seq or change.device == own
            params = {
                "workspace": change.workspace,
                "entity": change.entity,
                "kind": change.kind.value,
                "action": change.action.value,
                "fields": list(change.fields),
                "device": own if local else change.device,
                "op": change.op,
                "seq": change.seq,
                "local": local,
            }
            self._changes.publish(params, topic=change.workspace)
