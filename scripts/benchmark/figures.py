"""What was measured, against what was to be reached: the arithmetic and the table."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure and its target.

    `value` is what the target is about: a ratio, or an absolute figure where there is no baseline.
    `ours` and `baseline` are the medians of which it is the ratio, in `unit`. `batched` is the
    median of the second baseline, which is shown and has no target.
    """

    name: str
    value: float
    limit: float
    at_least: bool
    unit: str
    ours: float
    baseline: float | None = None
    batched: float | None = None
    samples: dict[str, list[float]] = field(default_factory=dict)
    notes: dict[str, float] = field(default_factory=dict)

    @property
    def reached(self) -> bool:
        """Whether the target holds."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    @property
    def target(self) -> str:
        """The target in words."""
        bound = "≥" if self.at_least else "≤"
        unit = f" {self.unit}" if self.baseline is None else " x baseline"
        return f"{bound} {self.limit:g}{unit}"

    def as_dict(self) -> dict[str, Any]:
        """The figure as `--json` writes it."""
        return {
            "name": self.name,
            "value": self.value,
            "limit": self.limit,
            "at_least": self.at_least,
            "reached": self.reached,
            "unit": self.unit,
            "ours": self.ours,
            "baseline": self.baseline,
            "batched": self.batched,
            "samples": self.samples,
            "notes": self.notes,
        }


def ratio_figure(
    name: str,
    *,
    ours: Sequence[float],
    baseline: Sequence[float],
    batched: Sequence[float] = (),
    limit: float,
    at_least: bool,
    unit: str,
    notes: Mapping[str, float] | None = None,
) -> Figure:
    """Return the figure of our median over the baseline's median."""
    middle, reference = statistics.median(ours), statistics.median(baseline)
    return Figure(
        name=name,
        value=middle / reference,
        limit=limit,
        at_least=at_least,
        unit=unit,
        ours=middle,
        baseline=reference,
        batched=statistics.median(batched) if batched else None,
        samples={"ours": list(ours), "baseline": list(baseline), "batched": list(batched)},
        notes=dict(notes or {}),
    )


def absolute_figure(
    name: str, value: float, *, limit: float, unit: str, notes: Mapping[str, float] | None = None
) -> Figure:
    """Return the figure of a measure that must not exceed `limit`."""
    return Figure(
        name=name,
        value=value,
        limit=limit,
        at_least=False,
        unit=unit,
        ours=value,
        notes=dict(notes or {}),
    )


def latencies(calls: Sequence[float], arrivals: Sequence[tuple[float, int]]) -> list[float]:
    """Return how long after its call each record arrived, in seconds.

    `arrivals` says when how many had arrived; they arrive in the order of the calls.
    """
    found: list[float] = []
    for at, count in arrivals:
        found.extend(at - called for called in calls[len(found) : count])
    return found


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the value that `percent` in a hundred do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def show(figures: Sequence[Figure], console: Console) -> None:
    """Print the table."""
    table = Table(title="kafkaman sync against the bare pipeline", title_justify="left")
    for heading in ("measure", "target", "measured", "ours", "baseline", "reached"):
        table.add_column(heading, justify="left" if heading == "measure" else "right")
    for figure in figures:
        relative = figure.baseline is not None
        table.add_row(
            figure.name,
            figure.target,
            f"{figure.value:.2f}{' x' if relative else f' {figure.unit}'}",
            f"{_number(figure.ours)} {figure.unit}" if relative else "",
            f"{_number(figure.baseline)} {figure.unit}" if figure.baseline is not None else "",
            "[green]yes[/]" if figure.reached else "[red]NO[/]",
        )
    console.print(table)
    for figure in figures:
        if figure.batched is not None:
            console.print(
                f"{figure.name}: {figure.ours / figure.batched:.2f} x of bare, batched"
                f" ({_number(figure.batched)} {figure.unit}); no target",
                style="dim",
            )
        if figure.notes:
            notes = ", ".join(f"{name} {_number(value)}" for name, value in figure.notes.items())
            console.print(f"{figure.name}: {notes}", style="dim")


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
