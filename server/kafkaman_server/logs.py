"""The call that reads a workspace's log as it is stored, for who debugs a sync: `log`.

For members only, in pieces of bounded size. What it gives are the bytes of the events with what
their changes were judged by, of the rows, and of what was not accepted.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from kafkaman_server.params import Params
from kafkaman_server.past import check_member
from kafkaman_server.storage.interface import Snapshot, Storage
from kafkaman_sync.errors import KafkamanError
from kafkaman_sync.model.entities import is_id
from kafkaman_sync.model.limits import INTEGER_MAX, MESSAGE_BYTES_TARGET

PARTS: Final = ("head", "events", "bases", "rows", "disputes")
LOG_ROWS_MAX: Final = 1000

Result = dict[str, Any]
_Method = Callable[[Params, str, str], Awaitable[Result]]


class Logs:
    """Answers the call about a whole log."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def methods(self) -> Mapping[str, _Method]:
        """Return the calls by name."""
        return {"log": self._log}

    async def _log(self, params: Params, account: str, _device: str) -> Result:
        workspace, part = params.id("workspace"), params.text("part", "events")
        if part not in PARTS:
            raise _invalid(f"'part' is none of {', '.join(PARTS)}")
        if part == "head":
            return await self._storage.read(lambda snapshot: _head(snapshot, account, workspace))
        entity = params.text("entity", "")
        if entity and not is_id(entity):
            raise _invalid("'entity' is not an id")
        counted = part in ("events", "disputes")
        after = (params.integer_or_none("after") or 0) if counted else params.text("after", "")
        upto = params.integer_or_none("upto")
        backward = params.integer_or_none("backward", most=1)
        limit = params.integer_or_none("limit", LOG_ROWS_MAX) or LOG_ROWS_MAX

        async def read(snapshot: Snapshot) -> Result:
            await check_member(snapshot, account, workspace)
            piece = await snapshot.log_piece(
                workspace,
                part,
                after=after,
                upto=INTEGER_MAX if upto is None else upto,
                entity=entity or None,
                backward=bool(backward) and part == "events",
                rows_max=limit,
                bytes_max=MESSAGE_BYTES_TARGET,
            )
            return {
                "rows": [list(row) for row in piece.rows],
                "more": piece.more,
                "head": piece.head,
                "horizon": piece.horizon,
            }

        return await self._storage.read(read)


async def _head(snapshot: Snapshot, account: str, workspace: str) -> Result:
    await check_member(snapshot, account, workspace)
    head = await snapshot.log_head(workspace)
    return {
        "name": head.name,
        "head": head.head,
        "digest": head.digest,
        "horizon": head.horizon,
        "horizon_at": head.horizon_at,
        "accounts": dict(head.accounts),
        "devices": [list(device) for device in head.devices],
    }


def _invalid(what: str) -> KafkamanError:
    return KafkamanError(f"The parameter {what}.", code="call.invalid")
