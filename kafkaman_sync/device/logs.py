"""The server's log for who debugs a sync: asked for over the device's own connection."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from kafkaman_sync.device.control import Method, Peer
from kafkaman_sync.device.params import Params
from kafkaman_sync.device.signing import Signing
from kafkaman_sync.device.writers import Writers

Json = dict[str, Any]


class Logs:
    """Forwards the call `log`; bytes come as base64, for JSON has none."""

    def __init__(self, signing: Signing) -> None:
        self._signing = signing

    def methods(self) -> dict[str, Method]:
        """Return the methods by the names of the control protocol."""
        return {"log": self._log}

    async def _log(self, _peer: Peer, params: Params) -> Json:
        part = params.text_or_none("part") or "events"
        counted = part in ("events", "disputes")
        after = params.integer_or_none("after") if counted else params.text_or_none("after")
        answer = await Writers(self._signing.required()).ask(
            "log",
            workspace=params.text("workspace"),
            part=part,
            after=after,
            entity=params.text_or_none("entity"),
            **{name: params.integer_or_none(name) for name in ("upto", "backward", "limit")},
        )
        return {name: _carried(value) for name, value in answer.items()}


def _carried(value: Any) -> Any:
    """Return a value with all bytes in it as base64."""
    if isinstance(value, list):
        return [_carried(item) for item in value]
    return b64encode(value).decode("ascii") if isinstance(value, bytes) else value
