"""Messages without their secrets: what a recorder may keep of passwords, tokens and leases.

Equal secrets stay equal: each is replaced by a hash under a key that is not kept.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any, Final

from kafkaman_sync.errors import WireError
from kafkaman_sync.protocol.codec import decode, encode
from kafkaman_sync.protocol.messages import Call, Hello, Message, Notice, Reply, Welcome

HIDDEN: Final = "hidden:"
"""How what stands for a secret begins."""

_WORDS: Final = ("password", "token", "lease", "secret")
# How the messages begin that never hold a secret, behind the byte that counts their keys.
_PLAIN: Final = tuple(
    b"\xa4type" + bytes((0xA0 + len(name),)) + name
    for name in (
        b"push", b"events", b"entities", b"checkpoint", b"verdicts", b"resend", b"goodbye",
    )
)  # fmt: skip


class Veil:
    """Hides secrets under one key."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def text(self, secret: str) -> str:
        """Return what stands for a secret; what is empty, or hidden already, stays."""
        if not secret or secret.startswith(HIDDEN):
            return secret
        data = secret.encode("utf-8", "surrogatepass")
        return HIDDEN + hashlib.blake2b(data, digest_size=12, key=self._key).hexdigest()

    def message(self, message: Message) -> Message:
        """Return a message without its secrets."""
        if isinstance(message, Hello):
            return replace(message, token=self.text(message.token), lease=self.text(message.lease))
        if isinstance(message, Welcome):
            return replace(message, lease=self.text(message.lease))
        if isinstance(message, Call):
            return replace(message, params=self._plain(message.params))
        if isinstance(message, Reply):
            result = None if message.result is None else self._plain(message.result)
            error = None if message.error is None else self._plain(message.error)
            return Reply(message.id, result, error)
        if isinstance(message, Notice):
            return replace(message, details=self._plain(message.details))
        return message

    def frame(self, frame: bytes) -> bytes | None:
        """Return a frame without its secrets; None for one that is no legal message."""
        if frame.startswith(_PLAIN, 1):
            return frame
        try:
            message = decode(frame)
        except WireError:
            return None
        hidden = self.message(message)
        return frame if hidden is message else encode(hidden)

    def _plain(self, value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [self._plain(each) for each in value]
        if not isinstance(value, dict):
            return value
        return {
            key: self._secret(inner) if _is_secret(key) else self._plain(inner)
            for key, inner in value.items()
        }

    def _secret(self, value: Any) -> Any:
        return self.text(value) if isinstance(value, str) else None


def _is_secret(key: str) -> bool:
    return any(word in key.lower() for word in _WORDS)
