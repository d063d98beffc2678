r"""The library: an async client of this device's daemon.

    async with Client.open() as client:
        await client.create("collection", fields={"name": "Orders"})
        await client.wait("in-sync", timeout=10)

Entities are named by id, by a unique prefix of one, or by a path of names (`Orders/Refunds`, a
slash inside a name written `\/`). A workspace is named by its id or its name; the Scratch Pad is
`scratch`. Left out, it is the personal one, or the Scratch Pad while nobody is signed in.
Every error is a KafkamanError with a stable code.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, Final

from kafkaman_sync.client import trees
from kafkaman_sync.client.conflicts import Conflicts
from kafkaman_sync.client.connection import Connection, subscribe
from kafkaman_sync.client.past import Past
from kafkaman_sync.client.records import (
    Device,
    Imported,
    Listed,
    Proof,
    Reloaded,
    Shown,
    SignedIn,
    SignedOut,
    Status,
    ViewChange,
    Workspace,
)
from kafkaman_sync.client.unsynced import SealedWork
from kafkaman_sync.device.paths import Home
from kafkaman_sync.engine.states import State, Transition
from kafkaman_sync.errors import ControlError, UsageError
from kafkaman_sync.formats import Draft
from kafkaman_sync.model.entities import ROOT
from kafkaman_sync.model.values import Value

WAITABLE: Final[Mapping[str, frozenset[State]]] = {
    "offline": frozenset({State.OFFLINE}),
    "connecting": frozenset({State.CONNECTING}),
    "syncing": frozenset({State.SYNCING}),
    "online": frozenset({State.SYNCING, State.IN_SYNC}),
    "in-sync": frozenset({State.IN_SYNC}),
    "error": frozenset({State.ERROR}),
}
"""What `Client.wait` can wait for, and the states that end the wait."""


class Client(Conflicts, Past, SealedWork):
    """An open client; made by `Client.open` only."""

    def __init__(self, home: Home, connection: Connection) -> None:
        super().__init__(connection)
        self._home = home

    @classmethod
    @asynccontextmanager
    async def open(
        cls, home: Path | str | None = None, *, start: bool = True
    ) -> AsyncIterator[Client]:
        """Connect to the daemon of `home` (default: KAFKAMAN_HOME, else the platform's place).

        With `start` the daemon is started when it does not run; without, ControlError
        `daemon.not_running` is raised then.
        """
        found = Home.find(home)
        async with Connection.open(found, start=start) as connection:
            yield cls(found, connection)

    # The device.

    async def status(self) -> Status:
        """Return how the device is."""
        return Status.read(await self._connection.call("status"))

    async def wait(self, until: str, timeout: float) -> Status:  # noqa: ASYNC109 - how long is part of the question: its error tells the state then
        """Wait for one of WAITABLE and return the status then.

        Raises ControlError `wait.timeout` (details: the state it is in) after `timeout` seconds.
        """
        if until not in WAITABLE:
            raise UsageError(
                f"{until!r} is not something to wait for.",
                hint=f"Choose one of {', '.join(WAITABLE)}.",
            )
        try:
            async with asyncio.timeout(timeout), aclosing(self.transitions()) as transitions:
                async for transition in transitions:
                    if transition.after in WAITABLE[until]:
                        return await self.status()
        except TimeoutError:
            pass
        status = await self.status()
        raise ControlError(
            f"After {timeout:g} s the device is {status.state}: {status.message}",
            code="wait.timeout",
            hint=status.hint,
            state=status.state.value,
            cause=status.cause,
        )

    async def transitions(self) -> AsyncGenerator[Transition, None]:
        """Yield the current state (as a transition into it), then each transition, in order."""
        stream = subscribe(self._home, "watch", {}, start=False)
        async with aclosing(stream) as notifications:
            async for method, params in notifications:
                if method == "transition":
                    yield Transition.from_dict(params)

    async def changes(self, workspace: str | None = None) -> AsyncGenerator[ViewChange, None]:
        """Yield each change to what a person sees, from now on, in the order it became visible."""
        params = {} if workspace is None else {"workspace": workspace}
        async with aclosing(subscribe(self._home, "changes", params, start=False)) as notifications:
            async for method, values in notifications:
                if method == "change":
                    yield ViewChange.read(values)

    async def retry(self) -> None:
        """Try to connect now."""
        await self._connection.call("retry")

    async def sync(self, on: bool) -> None:
        """Switch sync on or off; off means no network at all, until it is switched on again."""
        await self._connection.call("sync", on=on)

    async def shutdown(self) -> None:
        """End the daemon; returns once it has taken the request."""
        await self._connection.call("shutdown")

    # The account.

    async def sign_up(
        self,
        *,
        server: str,
        email: str,
        username: str,
        password: str,
        device_name: str | None = None,
    ) -> SignedIn:
        """Create an account on `server` and sign this device in."""
        result = await self._connection.call(
            "sign_up",
            server=server,
            email=email,
            username=username,
            password=password,
            device_name=device_name,
        )
        return SignedIn.read(result)

    async def sign_in(
        self,
        *,
        server: str,
        user: str,
        password: str,
        device_name: str | None = None,
        replace: str | None = None,
    ) -> SignedIn:
        """Sign this device in; `replace` names the device to sign out instead.

        The restore goes on in the background. RefusedError `auth.device_limit` has the signed-in
        devices in its details.
        """
        result = await self._connection.call(
            "sign_in",
            server=server,
            user=user,
            password=password,
            device_name=device_name,
            replace=replace,
        )
        return SignedIn.read(result)

    async def sign_out(self, *, discard_unsynced: bool = False) -> SignedOut:
        """Sign this device out and delete the account's data from it.

        What the server has not acknowledged is sealed into an archive first, unless it is to be
        discarded.
        """
        result = await self._connection.call("sign_out", discard_unsynced=discard_unsynced)
        return SignedOut.read(result)

    async def devices(self) -> list[Device]:
        """Return the account's signed-in devices; needs the server."""
        return [Device.read(one) for one in (await self._connection.call("devices"))["devices"]]

    async def sign_out_device(self, device: str) -> None:
        """Sign another device of the account out."""
        await self._connection.call("devices_sign_out", id=device)

    async def workspaces(self) -> list[Workspace]:
        """Return the workspaces on this device, the Scratch Pad last."""
        found = (await self._connection.call("workspaces"))["workspaces"]
        return [Workspace.read(one) for one in found]

    # Editing. Every edit is on the disk when its call returns, online or not.

    async def edit(
        self, edits: Sequence[Mapping[str, Any]], *, workspace: str | None = None
    ) -> list[str]:
        """Make several edits in one transaction, all or nothing; return each one's entity id.

        An edit is a mapping with the key `action`: create {kind, parent, fields, id, before,
        after}, update {id, fields, removed}, move {id, parent, before, after}, delete {id} or
        restore {id, parent}.
        """
        params = [dict(one) for one in edits]
        result = await self._connection.call("edit", workspace=workspace, edits=params)
        return list(result["ids"])

    async def create(
        self,
        kind: str,
        parent: str = ROOT,
        fields: Mapping[str, Value] | None = None,
        *,
        workspace: str | None = None,
        before: str | None = None,
        after: str | None = None,
    ) -> str:
        """Create an entity, as the last of its siblings unless told otherwise; return its id."""
        edit = {"action": "create", "kind": kind, "parent": parent, "fields": dict(fields or {})}
        edit |= _given(before=before, after=after)
        return (await self.edit([edit], workspace=workspace))[0]

    async def update(
        self,
        id: str,
        fields: Mapping[str, Value] | None = None,
        removed: Iterable[str] = (),
        *,
        workspace: str | None = None,
    ) -> str:
        """Set and remove fields; return the entity's id."""
        edit = {
            "action": "update",
            "id": id,
            "fields": dict(fields or {}),
            "removed": list(removed),
        }
        return (await self.edit([edit], workspace=workspace))[0]

    async def move(
        self,
        id: str,
        parent: str | None = None,
        *,
        before: str | None = None,
        after: str | None = None,
        workspace: str | None = None,
    ) -> str:
        """Move an entity to another parent, or to another spot among its siblings."""
        edit = {"action": "move", "id": id, **_given(parent=parent, before=before, after=after)}
        return (await self.edit([edit], workspace=workspace))[0]

    async def delete(self, id: str, *, workspace: str | None = None) -> str:
        """Delete an entity, with what is below it."""
        return (await self.edit([{"action": "delete", "id": id}], workspace=workspace))[0]

    async def import_drafts(
        self, roots: Sequence[Draft], *, workspace: str | None = None, parent: str = ROOT
    ) -> list[Imported]:
        """Create what files hold, all of them or nothing, in order; memory stays bounded."""
        return await trees.import_drafts(self._connection, roots, workspace, parent)

    async def export_draft(self, id: str, *, workspace: str | None = None) -> Draft:
        """Return an entity with everything below it, for `formats.render`."""
        return await trees.export_draft(self._connection, id, workspace)

    # Reading. What a person sees: confirmed plus pending. Needs no server.

    async def ls(
        self, path: str | None = None, *, workspace: str | None = None, recursive: bool = True
    ) -> list[Listed]:
        """Return what lies below `path` (default: the workspace), flat and depth-first."""
        result = await self._connection.call(
            "ls", path=path, workspace=workspace, recursive=recursive
        )
        return [Listed.read(one) for one in result["entities"]]

    async def show(self, id: str, *, workspace: str | None = None) -> Shown:
        """Return an entity with its fields."""
        return Shown.read(await self._connection.call("show", id=id, workspace=workspace))

    async def find(self, text: str, *, workspace: str | None = None) -> Listed:
        """Return the one entity that an id, a prefix of one or a path of names stands for.

        Raises RefusedError `entity.not_found`, or `entity.ambiguous` with `candidates`.
        """
        found = await self._connection.call("resolve_name", text=text, workspace=workspace)
        return Listed.read(found)

    # Being sure.

    async def reload(self, *, full: bool = False) -> list[Reloaded]:
        """Fetch what is newer and compare digests; with `full`, rebuild the copy from the server.

        The outbox and the conflicts stay. Raises RefusedError with the cause when that cannot be
        finished, for instance `link.offline`.
        """
        result = await self._connection.call("reload", full=full)
        return [Reloaded.read(one) for one in result["workspaces"]]

    async def prove(self) -> list[Proof]:
        """Recompute every workspace's digest from its rows, on both sides at the same seq."""
        result = await self._connection.call("prove")
        return [Proof.read(one) for one in result["workspaces"]]


def _given(**values: str | None) -> dict[str, str]:
    return {name: value for name, value in values.items() if value is not None}
