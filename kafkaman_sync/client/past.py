"""The client's calls about the trash and the past."""

from __future__ import annotations

from datetime import datetime

from kafkaman_sync.client.connection import Connection
from kafkaman_sync.client.past_records import Blame, History, Reverted, ShownAt, Trash
from kafkaman_sync.client.records import Listed


class Past:
    """The part of a client that looks back, and goes back.

    What is deleted is named as it was: by id, by the beginning of one, or by the path that it had.
    """

    _connection: Connection

    async def trash(self, *, workspace: str | None = None) -> Trash:
        """Return what was deleted, the latest first, and who did it if the server can be asked."""
        return Trash.read(await self._connection.call("trash", workspace=workspace))

    async def restore(
        self, id: str, *, to: str | None = None, workspace: str | None = None
    ) -> Listed:
        """Bring something back that was deleted, with all below it; `to` names another parent.

        Raises RefusedError `parent.deleted` when what it lies in is deleted too, `parent.gone` when
        that was removed for good: name another parent then.
        """
        found = await self._connection.call("restore", id=id, to=to, workspace=workspace)
        return Listed.read(found)

    async def history(
        self,
        id: str,
        *,
        field: str | None = None,
        before: int | None = None,
        limit: int | None = None,
        workspace: str | None = None,
    ) -> History:
        """Return what happened to an entity, newest first; needs the server.

        With `field` only what wrote that field. A page has at most 200 events; go on with its
        `next` as `before` until that is None. Raises RefusedError `link.offline` with the time of
        the next try.
        """
        found = await self._connection.call(
            "history", id=id, field=field, before=before, limit=limit, workspace=workspace
        )
        return History.read(found)

    async def blame(
        self, id: str, *, field: str | None = None, workspace: str | None = None
    ) -> Blame:
        """Return who last wrote each field; needs the server.

        With `field`, who last wrote each part of its value: each item of a list of keyed things,
        each key of a map, each line of a text.
        """
        found = await self._connection.call("blame", id=id, field=field, workspace=workspace)
        return Blame.read(found)

    async def show_at(
        self, id: str, moment: int | datetime, *, workspace: str | None = None
    ) -> ShownAt:
        """Return an entity as it was at a seq or at a time; needs the server.

        Raises RefusedError `entity.not_found` when it was not there, `history.purged` when the
        moment lies before what the server still keeps.
        """
        seq, at = _moment(moment)
        found = await self._connection.call("show_at", id=id, seq=seq, at=at, workspace=workspace)
        return ShownAt.read(found)

    async def revert(
        self,
        id: str,
        moment: int | datetime,
        *,
        to: str | None = None,
        workspace: str | None = None,
    ) -> Reverted:
        """Make an entity what it was at a seq or at a time, by new edits; needs the server.

        Its fields and, if that is still there, its place. What is deleted is restored. `to` names
        the parent where it shall lie instead.
        """
        seq, at = _moment(moment)
        found = await self._connection.call(
            "revert", id=id, seq=seq, at=at, to=to, workspace=workspace
        )
        return Reverted.read(found)


def _moment(moment: int | datetime) -> tuple[int | None, int | None]:
    if isinstance(moment, datetime):
        return None, round(moment.timestamp() * 1000)
    return moment, None
