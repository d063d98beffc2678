"""Regular expressions from people: matched in time that grows only with the length of the text.

RE2 knows neither back references nor look-around, and so has no pattern that takes forever.
"""

from __future__ import annotations

import re2

PATTERN_CHARS_MAX = 500
# What a pattern may make of itself: `(a{500}){500}` is refused.
_PROGRAM_BYTES_MAX = 1 << 20


class PatternError(ValueError):
    """A pattern that cannot be used; its text says why."""


class Pattern:
    """A pattern that is looked for anywhere in a text."""

    def __init__(self, text: str) -> None:
        """Compile `text`. Raises PatternError."""
        if len(text) > PATTERN_CHARS_MAX:
            raise PatternError(
                f"it has {len(text):,} characters; allowed are {PATTERN_CHARS_MAX:,}"
            )
        options = re2.Options()
        options.log_errors = False
        options.max_mem = _PROGRAM_BYTES_MAX
        try:
            self._found = re2.compile(_utf8(text), options).search
        except re2.error as error:
            reason = error.args[0]
            told = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
            raise PatternError(told) from error

    def is_in(self, text: str) -> bool:
        """Tell whether the pattern matches somewhere in `text`."""
        return self._found(_utf8(text)) is not None


def _utf8(text: str) -> bytes:
    """Return text as bytes; half a surrogate pair, which is no character, as a question mark."""
    return text.encode("utf-8", "replace")
