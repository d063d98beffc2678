"""Faults for a session that is run again, drawn by a seed."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final

_DELAY_SECONDS_MAX: Final = 0.05


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to one message; on a connection, what is dropped ends it.

    `cut_before`: it is dropped, and the connection with it. `cut_after`: the connection is, once it
    was sent. `twice`: it comes twice.
    """

    delay: float = 0.0
    cut_before: bool = False
    cut_after: bool = False
    twice: bool = False

    @property
    def names(self) -> list[str]:
        """What happens, in words."""
        told = {
            "delayed": bool(self.delay),
            "dropped": self.cut_before,
            "cut": self.cut_after,
            "doubled": self.twice,
        }
        return [name for name, happens in told.items() if happens]


class Faults:
    """Draws a fault for each message; none without a seed."""

    def __init__(self, seed: int | None = None) -> None:
        self._chance = None if seed is None else Random(seed)  # noqa: S311 - the same seed has to draw the same faults
        self.counts: dict[str, int] = {}

    def draw(self, *, twice: bool = True) -> Fault:
        """Return what happens to the next message; `twice`: whether it can come twice."""
        chance = self._chance
        if chance is None:
            return Fault()
        kind = chance.choices(("none", "delay", "drop", "cut", "twice"), (4, 2, 2, 2, 2 * twice))[0]
        fault = Fault(
            delay=chance.uniform(0, _DELAY_SECONDS_MAX) if kind == "delay" else 0.0,
            cut_before=kind == "drop",
            cut_after=kind == "cut",
            twice=kind == "twice",
        )
        for name in fault.names:
            self.counts[name] = self.counts.get(name, 0) + 1
        return fault
