"""What a person may want to look at after an import, although nothing was lost."""

from __future__ import annotations

from collections.abc import Callable

from kafkaman_sync.formats.limits import WARNINGS_MAX


class Warnings:
    """Sentences in the order of the file: the first WARNINGS_MAX are spelt, the rest counted.

    A hostile file can earn millions of them, each with a long path.
    """

    def __init__(self) -> None:
        self._spelt: list[str] = []
        self._more = 0

    def add(self, spell: Callable[[], str]) -> None:
        """Add a sentence; `spell` is called only when it will be shown."""
        if len(self._spelt) < WARNINGS_MAX:
            self._spelt.append(spell())
        else:
            self._more += 1

    def texts(self) -> tuple[str, ...]:
        """Give the sentences, and at the end how many there are beyond them."""
        more = (f"... and {self._more} more like these.",) if self._more else ()
        return (*self._spelt, *more)
