"""Field values: JSON-like on the outside, canonical MessagePack bytes on the inside.

Canonical means that equal values have equal bytes: maps are sorted by their UTF-8 keys, numbers are
written by value (what is an integer of 64 bits as one, else a float64 if its shortest decimal form
is exact, else tagged digits), NaN and the infinities are refused. An integer beyond 64 bits stays
one: as a float it would no longer compare equal. The server never decodes these bytes; it only
compares and hashes them.
"""

from __future__ import annotations

import hashlib
import math
from decimal import Decimal
from typing import Any, Final

import msgpack
from msgspec.msgpack import Encoder

from kafkaman_sync.errors import ModelError
from kafkaman_sync.model.limits import INTEGER_BITS_MAX, VALUE_DEPTH_MAX

Value = None | bool | int | float | Decimal | str | bytes | list["Value"] | dict[str, "Value"]
"""A field's value as people and formats see it."""

REMOVED: Final = b""
"""The bytes of a field that was removed; no canonical value is empty."""

_DECIMAL_TAG: Final = 1
_INTEGER_TAG: Final = 2
# A sign and as many digits as INTEGER_BITS_MAX bits can take.
_INTEGER_DIGITS_MAX: Final = 4097
_INTEGER_MIN: Final = -(2**63)
_INTEGER_END: Final = 2**64
# Made once: a union written where it is asked for is built each time.
_PLAIN: Final = (str, bool, bytes)
_NUMBERS: Final = (int, float, Decimal)
_ARRAYS: Final = (list, tuple)

_pack: Final = msgpack.Packer(unicode_errors="surrogatepass").pack
_pack_sorted: Final = Encoder(order="deterministic").encode
# To copy the hash of nothing takes half of what it takes to begin one.
_unhashed: Final = hashlib.blake2b(digest_size=16).copy


def encode_value(value: Value) -> bytes:
    """Return the canonical bytes of `value`.

    Raises ModelError `value.invalid` for what has no canonical form (NaN, an infinity, a key that
    is not a string, a foreign type) and `value.too_deep` beyond VALUE_DEPTH_MAX levels.
    """
    # Most values are strings, and `type` is the quickest question.
    if type(value) is str:
        return _pack(value)
    if _is_flat(value):
        try:
            return _pack_sorted(value)
        except UnicodeEncodeError:
            pass  # half a surrogate pair is for the patient way
    return _pack(_canonical(value, 0))


def decode_value(data: bytes) -> Value:
    """Return the value of canonical bytes; ModelError `value.invalid` for anything else."""
    try:
        value: Value = msgpack.unpackb(
            data, unicode_errors="surrogatepass", ext_hook=_decode_tagged
        )
        # Writing it again is the whole check: duplicate keys, NaN, foreign types, other spellings.
        if encode_value(value) == data:
            return value
    except (ModelError, ValueError, ArithmeticError, msgpack.UnpackException):
        pass
    raise ModelError(
        "A field value is not in canonical form.",
        code="value.invalid",
        hint="The store or the peer may be damaged; run `kafkaman prove`.",
    )


def read_value(data: bytes) -> Value:
    """Return the value of a field as people see it: what is no canonical value, as its bytes.

    A server takes any bytes from any device; one that writes nonsense must not stop the others.
    """
    try:
        return decode_value(data)
    except ModelError:
        return data


def hash_value(data: bytes) -> bytes:
    """Return the 16-byte fingerprint of a value's bytes that a change carries as `prior`."""
    digest = _unhashed()
    digest.update(data)
    return digest.digest()


def _is_flat(value: object) -> bool:
    """Tell whether a value is a map of text to text or a list of such, as headers are."""
    for part in value if type(value) is list else (value,):
        if type(part) is not dict:
            return False
        for key, text in part.items():
            if type(key) is not str or type(text) is not str:
                return False
    return True


def _canonical(value: object, depth: int) -> object:
    if value is None or isinstance(value, _PLAIN):
        return value
    if isinstance(value, _NUMBERS):
        return _canonical_number(value)
    if depth >= VALUE_DEPTH_MAX:
        raise ModelError(
            f"A value is nested more than {VALUE_DEPTH_MAX} levels deep.",
            code="value.too_deep",
            hint="Flatten the value, or keep it as text.",
        )
    if isinstance(value, dict):
        return _canonical_map(value, depth)
    if isinstance(value, _ARRAYS):
        return [_canonical(item, depth + 1) for item in value]
    raise ModelError(
        f"A value of type {type(value).__name__} cannot be synced.", code="value.invalid"
    )


def _canonical_map(value: dict[Any, object], depth: int) -> dict[str, object]:
    if not all(isinstance(key, str) for key in value):
        raise ModelError("A map key is not a string.", code="value.invalid")
    # Strings are compared by code point, which is the order of their UTF-8 bytes.
    return {key: _canonical(value[key], depth + 1) for key in sorted(value)}


def _canonical_number(value: int | float | Decimal) -> object:
    if isinstance(value, int):
        if _INTEGER_MIN <= value < _INTEGER_END:
            return value
        if value.bit_length() > INTEGER_BITS_MAX:
            raise ModelError(
                f"An integer has more than {INTEGER_BITS_MAX:,} bits.",
                code="value.invalid",
                hint="Keep it as text.",
            )
        return msgpack.ExtType(_INTEGER_TAG, str(value).encode("ascii"))
    exact = value if isinstance(value, Decimal) else Decimal(repr(value))
    if not exact.is_finite():
        raise ModelError(
            "NaN and infinities are not JSON numbers and cannot be synced.",
            code="value.invalid",
            hint="Use null or a string instead.",
        )
    if not exact:
        return 0
    # The exponent is checked first: an integer of a billion digits must never be built.
    if exact.adjusted() < 20 and exact == exact.to_integral_value():
        integer = int(exact)
        if _INTEGER_MIN <= integer < _INTEGER_END:
            return integer
    shortest = float(exact)
    if math.isfinite(shortest) and Decimal(repr(shortest)) == exact:
        return shortest
    return msgpack.ExtType(_DECIMAL_TAG, _decimal_text(exact).encode("ascii"))


def _decimal_text(value: Decimal) -> str:
    """Return one text for each number: digits without trailing zeros, then the exponent."""
    sign, digits, exponent = value.as_tuple()
    text = "".join(map(str, digits))
    stripped = text.rstrip("0")
    scale = int(exponent) + len(text) - len(stripped)
    return f"{'-' if sign else ''}{stripped}E{scale}"


def _decode_tagged(tag: int, data: bytes) -> Decimal | int:
    if tag == _INTEGER_TAG:
        # Only plain digits: a forged exponent could name an integer of a billion of them. And
        # not too many: turning digits into an integer takes time that grows with their square.
        if len(data) > _INTEGER_DIGITS_MAX or not data.removeprefix(b"-").isdigit():
            raise ValueError("not an integer")
        return int(data)
    if tag != _DECIMAL_TAG:
        raise ValueError(f"unknown extension type {tag}")
    number = Decimal(data.decode("ascii"))
    if not number.is_finite():
        raise ValueError("not a finite number")
    return number
