"""The order of siblings: fractional positions.

Siblings are ordered by (position, id), compared as bytes. A position is a string of base-62
digits, read as a fraction, whose last digit is not 0: so there is always room before, after and
between. The first HEAD_DIGITS digits count whole steps, so that appending does not lengthen
positions; every new position ends in random digits, so that two devices inserting at one spot
rarely collide.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from struct import iter_unpack
from typing import Final

from kafkaman_sync.errors import ModelError
from kafkaman_sync.model.limits import POSITION_BYTES_MAX

DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
HEAD_DIGITS: Final = 6
SUFFIX_DIGITS: Final = 3

_VALUE: Final = {digit: value for value, digit in enumerate(DIGITS)}
# Two digits at a time: every new entity gets a position.
_PAIRS: Final = [first + second for first in DIGITS for second in DIGITS]
_PAIR_VALUE: Final = {pair: value for value, pair in enumerate(_PAIRS)}
_BASE: Final = len(DIGITS)
_HEADS: Final = _BASE**HEAD_DIGITS
_MIDDLE: Final = _HEADS // 2
# To draw takes a call of the kernel, longer than all else that a suffix takes.
_DRAWN_BYTES: Final = 1024


def suffix_from(number: int) -> str:
    """Return SUFFIX_DIGITS digits, the last not 0, from a random integer of at least 24 bits."""
    head, last = divmod(number, _BASE - 1)
    return _PAIRS[head % len(_PAIRS)] + DIGITS[last + 1]


def suffixes(entropy: Callable[[int], bytes]) -> Iterator[str]:
    """Yield suffixes without end, from random bytes that are drawn for many at a time."""
    while True:
        for (number,) in iter_unpack(">I", entropy(_DRAWN_BYTES)):
            yield suffix_from(number)


def position_between(before: str | None, after: str | None, suffix: str) -> str:
    """Return a position after `before` and before `after`; None means the end of the list.

    `suffix` comes from suffix_from(). Raises ModelError `order.no_room` when the two are equal or
    out of order, or when the result would exceed POSITION_BYTES_MAX: space the siblings anew then.
    """
    if before is not None and after is not None and before >= after:
        raise ModelError(
            "There is no room between these two siblings.",
            code="order.no_room",
            hint="Space the siblings anew.",
        )
    head = _head_between(before, after)
    position = (_head_text(head) if head is not None else _split(before or "", after)) + suffix
    if len(position) > POSITION_BYTES_MAX:
        raise ModelError(
            "The positions of these siblings have grown too long.",
            code="order.no_room",
            hint="Space the siblings anew.",
        )
    return position


def positions_evenly(count: int, suffix: str, *, after: str | None = None) -> list[str]:
    """Return `count` ascending positions behind `after`, one whole step apart."""
    start = _MIDDLE if after is None else _head_of(after) + 1
    if start + count >= _HEADS:
        raise ModelError(
            "There is no room behind these siblings.",
            code="order.no_room",
            hint="Space the siblings anew.",
        )
    return [_head_text(start + index) + suffix for index in range(count)]


def _head_of(position: str) -> int:
    head = position[:HEAD_DIGITS].ljust(HEAD_DIGITS, "0")
    upper = _PAIR_VALUE[head[:2]] * len(_PAIRS) + _PAIR_VALUE[head[2:4]]
    return upper * len(_PAIRS) + _PAIR_VALUE[head[4:]]


def _head_text(number: int) -> str:
    upper, low = divmod(number, len(_PAIRS))
    high, middle = divmod(upper, len(_PAIRS))
    return _PAIRS[high] + _PAIRS[middle] + _PAIRS[low]


def _head_between(before: str | None, after: str | None) -> int | None:
    """Return a whole step strictly between the two, None if there is none."""
    low = -1 if before is None else _head_of(before)
    high = _HEADS if after is None else _head_of(after)
    if high - low < 2:
        return None
    if before is None and after is None:
        return _MIDDLE
    if after is None:
        return low + 1
    if before is None:
        return high - 1
    return (low + high) // 2


def _split(before: str, after: str | None) -> str:
    """Return digits after which anything may be appended and still lie between the two."""
    prefix: list[str] = []
    bounded = after is not None
    for index in range(POSITION_BYTES_MAX):
        low = _VALUE[before[index]] if index < len(before) else 0
        high = _BASE
        if bounded and after is not None:
            high = _VALUE[after[index]] if index < len(after) else 0
        if high - low > 1:
            return "".join(prefix) + DIGITS[(low + high) // 2]
        prefix.append(DIGITS[low])
        # Once a digit lies below `after`, only `before` bounds the rest.
        bounded = bounded and low == high
    return "".join(prefix)
