"""Every error of the project, in one tree.

    KafkamanError                a stable code, a message, the next step
    +-- LocalError               our side asked for what cannot be: a bad edit or argument
    |   +-- UsageError           a command, option or parameter is wrong
    |   +-- ModelError           an entity, field or change breaks a rule of the model or a limit
    |   +-- FormatError          a file is not what it claims to be
    |   +-- StoreError           the local database cannot be used: full, damaged, locked, newer
    |   +-- ControlError         the daemon cannot be reached, or refused a call
    |   `-- ReplayError          a log, a store or a capture cannot be replayed as asked
    `-- RemoteError              the peer did, or said, something
        +-- WireError            bytes that are not a legal message
        +-- RefusedError         the peer answered a call with an error
        `-- LinkError            the connection could not be made, or broke

A code is part of the contract: `area.reason`, never renamed. A message names the cause, a hint the
next step; neither ever holds a password, a token or a field's value.
"""

from __future__ import annotations

from typing import Any, ClassVar


class KafkamanError(Exception):
    """An error a person can act on.

    `code` is stable and machine-readable, `message` names the cause, `hint` the next step (may be
    empty), and `details` holds further JSON-compatible facts such as the list of devices.
    """

    default_code: ClassVar[str] = "internal.error"

    def __init__(self, message: str, *, code: str = "", hint: str = "", **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.hint = hint
        self.details = details

    def as_dict(self) -> dict[str, Any]:
        """The error as it appears on the wire, on the control socket and under `--json`."""
        return {**self.details, "code": self.code, "message": self.message, "hint": self.hint}

    def __str__(self) -> str:
        return self.message


class LocalError(KafkamanError):
    """Our side asked for something that cannot be done."""


class UsageError(LocalError):
    """A command, option or parameter is wrong."""

    default_code = "usage.invalid"


class ModelError(LocalError):
    """An entity, field or change breaks a rule of the model or a limit."""

    default_code = "model.invalid"


class FormatError(LocalError):
    """A file is not what it claims to be."""

    default_code = "format.invalid"


class StoreError(LocalError):
    """The local database cannot be used."""

    default_code = "store.failed"


class ControlError(LocalError):
    """The daemon cannot be reached, or refused a call."""

    default_code = "control.failed"


class ReplayError(LocalError):
    """A log, a store or a capture cannot be replayed as asked."""

    default_code = "replay.failed"


class RemoteError(KafkamanError):
    """The peer did, or said, something that stops us."""


class WireError(RemoteError):
    """Bytes from the peer are not a legal message: the one error type of the codec."""

    default_code = "wire.invalid"


class RefusedError(RemoteError):
    """The peer answered a call with an error."""

    default_code = "refused"

    @classmethod
    def from_dict(cls, error: dict[str, Any]) -> RefusedError:
        """Rebuild an error that `as_dict` wrote; keys it does not know become details."""
        known = {key: error[key] for key in error if key not in ("code", "message", "hint")}
        details = {str(key).replace("-", "_"): value for key, value in known.items()}
        details.pop("self", None)
        return cls(
            str(error.get("message", "refused")),
            code=str(error.get("code", cls.default_code)),
            hint=str(error.get("hint", "")),
            **details,
        )


class LinkError(RemoteError):
    """The connection could not be made, or it broke."""

    default_code = "link.failed"
