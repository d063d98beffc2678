"""Asking the server about the past, and saying when it cannot be asked."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from kafkaman_sync.device.account import Account
from kafkaman_sync.engine.states import State
from kafkaman_sync.errors import LinkError
from kafkaman_sync.protocol.reading import Record

# The most versions that one call `writes` may ask for.
WRITES_MAX: Final = 100

_LAST_TIME: Final = datetime(9999, 12, 31, tzinfo=UTC).timestamp()
_ANSWER: Final = "The server's answer about the past"

Json = dict[str, Any]


class Writers:
    """What the server tells of one account's workspaces and their past."""

    def __init__(self, account: Account) -> None:
        self._account = account

    async def ask(self, method: str, **params: Any) -> Json:
        """Make a call about the past.

        Raises RefusedError for the server's error, and LinkError, which says when the device tries
        again, when the server cannot be asked.
        """
        given = {name: value for name, value in params.items() if value is not None}
        try:
            return dict(await self._account.sync.call(method, given))
        except LinkError as error:
            if error.code != "link.offline":
                raise
            raise self._offline(error) from error

    async def of(self, workspace: str, seqs: Sequence[int]) -> dict[int, Json]:
        """Return who wrote each version that is still in the log, by seq."""
        found: dict[int, Json] = {}
        for start in range(0, len(seqs), WRITES_MAX):
            piece = list(seqs[start : start + WRITES_MAX])
            result = Record(await self.ask("writes", workspace=workspace, seqs=piece), _ANSWER)
            for write in result.items("writes", _read_write, most=WRITES_MAX):
                found[write.integer("seq")] = self.signed(write)
        return found

    def signed(self, write: Record) -> Json:
        """Return who wrote something, and when, for the control socket."""
        device = write.text("device")
        return {
            "username": write.text("username"),
            "device": device,
            "device_name": write.text("device_name"),
            "this_device": device == self._account.identity.device,
            "at": iso(write.integer("at")),
        }

    def _offline(self, error: LinkError) -> LinkError:
        latest = self._account.sync.life.latest
        hint = error.hint
        if latest.retry_at is not None:
            again = f"{latest.retry_at.astimezone():%H:%M:%S}"
            hint = f"The device tries again at {again}; `kafkaman retry` tries now."
        elif latest.after is State.CONNECTING:
            hint = "The device is trying to reach it right now; try again in a moment."
        return LinkError(
            f"The past is kept by the server, which cannot be asked now: {latest.cause.message}",
            code=error.code,
            hint=hint,
            state=latest.after.value,
            cause=latest.cause.code,
            retry_at=latest.retry_at and latest.retry_at.isoformat(),
        )


def _read_write(value: object) -> Record:
    return Record(value, "Who wrote a version")


def iso(at: int) -> str:
    """Return a time in milliseconds since 1970 as ISO 8601; one beyond all calendars as the last.

    It is what the server's clock said.
    """
    seconds = min(at / 1000, _LAST_TIME)
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
