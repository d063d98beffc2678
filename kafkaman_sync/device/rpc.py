"""JSON-RPC 2.0 over the control socket: one JSON text per line, both ends' view of it.

Most lines pass through msgspec, which takes a third of the time. What it writes is believed when
reading it gives back what was to be written; what it cannot read, and what it would write as
something else (NaN, bytes, a foreign type), is simplejson's to judge.
"""

from __future__ import annotations

import base64
from decimal import Decimal
from typing import Any, Final

import simplejson
from msgspec import MsgspecError
from msgspec.json import Decoder, Encoder

from kafkaman_sync.errors import ControlError, KafkamanError, RefusedError
from kafkaman_sync.model.limits import MIB

# An edit of the largest entity as JSON text, escapes included, and room to spare.
LINE_BYTES_MAX: Final = 64 * MIB

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
REFUSED: Final = -32000

STANDARD_CODES: Final = {
    "control.parse_error": PARSE_ERROR,
    "control.invalid_request": INVALID_REQUEST,
    "control.unknown_method": METHOD_NOT_FOUND,
    "control.invalid_params": INVALID_PARAMS,
}


_ENCODER: Final = Encoder(decimal_format="number")
_DECODER: Final = Decoder(float_hook=Decimal)


def dump_line(message: dict[str, Any]) -> bytes:
    """Return a message as one line; ControlError for what JSON has no words for."""
    return (_dump_usual(message) or _dump(message)) + b"\n"


def _dump_usual(message: dict[str, Any]) -> bytes:
    """Return JSON that says exactly this; empty when that cannot be told quickly."""
    try:
        line = _ENCODER.encode(message)
        return line if _DECODER.decode(line) == message else b""
    except (MsgspecError, ValueError, TypeError, ArithmeticError, RecursionError):
        return b""


def _dump(message: dict[str, Any]) -> bytes:
    try:
        text = simplejson.dumps(
            message,
            use_decimal=True,
            allow_nan=False,
            ignore_nan=False,
            separators=(",", ":"),
            default=_plain,
        )
    except (ValueError, TypeError, RecursionError) as error:
        raise ControlError(
            "A value cannot be written as JSON (NaN, an infinity, or a foreign type).",
            code="control.invalid_params",
        ) from error
    return text.encode("ascii")


def load_line(line: bytes) -> dict[str, Any]:
    """Return the message of one line; ControlError for anything but one JSON object."""
    try:
        message = _load(line)
    except (ValueError, RecursionError) as error:
        raise ControlError(
            "A line on the control socket is not JSON.", code="control.parse_error"
        ) from error
    if not isinstance(message, dict):
        raise ControlError(
            "A line on the control socket is not a JSON object.", code="control.invalid_request"
        )
    return message


def _load(line: bytes) -> object:
    try:
        return _DECODER.decode(line)
    except (MsgspecError, ValueError, ArithmeticError):
        return simplejson.loads(line, use_decimal=True)


def request(number: int, method: str, params: dict[str, Any]) -> bytes:
    """Return the line of a request."""
    return dump_line({"jsonrpc": "2.0", "id": number, "method": method, "params": params})


def notification(method: str, params: dict[str, Any]) -> bytes:
    """Return the line of a notification."""
    return dump_line({"jsonrpc": "2.0", "method": method, "params": params})


def answer(number: object, result: Any) -> bytes:
    """Return the line that answers a request."""
    return dump_line({"jsonrpc": "2.0", "id": number, "result": result})


def failure(number: object, error: KafkamanError) -> bytes:
    """Return the line that answers a request with an error."""
    code = STANDARD_CODES.get(error.code, REFUSED)
    body = {"code": code, "message": error.message, "data": error.as_dict()}
    return dump_line({"jsonrpc": "2.0", "id": number, "error": body})


def read_failure(error: dict[str, Any]) -> RefusedError:
    """Return the error of an answer, as the side that made it raised it."""
    data = error.get("data")
    if isinstance(data, dict):
        return RefusedError.from_dict(data)
    return RefusedError(str(error.get("message", "refused")), code="control.failed")


def _plain(value: object) -> object:
    # JSON has no byte strings; only a foreign client ever syncs one.
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    raise TypeError(f"{type(value).__name__} is not JSON")
