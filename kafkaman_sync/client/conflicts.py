"""The client's calls about what could not be merged."""

from __future__ import annotations

from typing import Any

from kafkaman_sync.client.connection import Connection
from kafkaman_sync.client.records import Conflict, Resolution
from kafkaman_sync.model.values import Value


class Conflicts:
    """The part of a client that lists conflicts, resolves them, and takes that back."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def conflicts(self, *, resolved: bool = False) -> list[Conflict]:
        """Return the open conflicts; or those that a person has resolved."""
        found = (await self._connection.call("conflicts", resolved=resolved))["conflicts"]
        return [Conflict.read(one) for one in found]

    async def conflict(self, conflict: str) -> Conflict:
        """Return one conflict, open or closed, with who wrote the other side if that is known.

        It is named by its id, or by the beginning of it. While online the server is asked who wrote
        theirs; `note` says why that is not known.
        """
        return Conflict.read(await self._connection.call("conflict", id=conflict))

    async def resolve(
        self,
        conflict: str,
        *,
        mine: bool,
        both: bool = False,
        to: str | None = None,
        version: int | None = None,
    ) -> str:
        """Close a conflict with mine, else with theirs; return its whole id.

        With `both`, beside `mine`, one value holds the two, or a copy with mine is put beside the
        entity; `to` names the parent where what was created, moved or brought back shall lie. With
        the `version` of a `Conflict` that you have looked at, RefusedError `conflict.changed` is
        raised when theirs has changed since.
        """
        take = ("both" if both else "mine") if mine else "theirs"
        return await self._resolve(conflict, take, to=to, version=version)

    async def resolve_with(
        self, conflict: str, value: Value, *, to: str | None = None, version: int | None = None
    ) -> str:
        """Close a conflict about one field with another value; return its whole id."""
        return await self._resolve(conflict, "value", to=to, version=version, value=[value])

    async def _resolve(self, conflict: str, take: str, **more: Any) -> str:
        result = await self._connection.call("resolve", id=conflict, take=take, **more)
        return str(result["id"])

    async def resolve_all(self, take: str) -> list[Resolution]:
        """Close every conflict with `mine`, `theirs`, or the `newest` of both by their times.

        Where not both times are known, the newest is theirs, which came later to the log. What
        cannot be resolved stays open, and its Resolution says why.
        """
        result = await self._connection.call("resolve_all", take=take)
        return [Resolution.read(one) for one in result["resolved"]]

    async def reopen(self, conflict: str) -> str:
        """Take a resolution back, until the server has answered it; return the conflict's id."""
        return str((await self._connection.call("reopen", id=conflict))["id"])
