"""What a check finds: each thing that is wrong, told in a sentence, the first one first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from dataclasses import field as made_by
from typing import Any, Final

FINDINGS_KEPT_MAX: Final = 20
"""How many findings a report holds; one damaged place may have a thousand consequences."""

# Among findings at one seq: what cannot be read explains what cannot be judged, and so on.
_RANKS: Final = {
    "illegible": 0,
    "gap": 1,
    "seq": 2,
    "workspace": 3,
    "filed": 4,
    "device": 5,
    "op": 6,
    "rule": 7,
    "purge": 8,
    "broken": 9,
    "altered": 10,
    "value": 10,
    "digest": 11,
}
_RANK_OTHER: Final = 20


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    `code` is stable; docs/replay.md lists them. `seq` is the event that it is about (0: it belongs
    to none), `first` the earliest one that it may be about when that cannot be told exactly.
    """

    code: str
    seq: int
    message: str
    entity: str = ""
    field: str = ""
    first: int = 0
    details: dict[str, Any] = made_by(default_factory=dict)

    @property
    def order(self) -> tuple[bool, int, int]:
        """What sorts findings: by where in the log they begin; those of no event come last."""
        return self.seq == 0, self.first or self.seq, _RANKS.get(self.code, _RANK_OTHER)

    def as_dict(self) -> dict[str, Any]:
        """The finding as JSON has it."""
        facts: dict[str, Any] = {"code": self.code, "seq": self.seq or None}
        if self.first and self.first != self.seq:
            facts["first_seq"] = self.first
        for name in ("entity", "field"):
            if getattr(self, name):
                facts[name] = getattr(self, name)
        return {**facts, "message": self.message, **self.details}


class Findings:
    """The findings of one check: the first ones by the log's order, and how many there are."""

    def __init__(self, most: int = FINDINGS_KEPT_MAX) -> None:
        self.count = 0
        self._most = most
        self._kept: list[Finding] = []

    def add(self, finding: Finding) -> None:
        """Keep a finding if it is among the first ones."""
        self.count += 1
        self._kept.append(finding)
        if len(self._kept) > 4 * self._most:
            self._cut()

    def join(self, parts: Iterable[Finding], whole: Finding) -> None:
        """Tell what several findings have told of one thing in one."""
        for each in parts:
            self._kept.remove(each)
            self.count -= 1
        self.add(whole)

    def kept(self) -> list[Finding]:
        """Return the first findings, in the log's order."""
        self._cut()
        return list(self._kept)

    def _cut(self) -> None:
        self._kept = sorted(self._kept, key=lambda each: each.order)[: self._most]
