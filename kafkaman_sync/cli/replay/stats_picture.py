"""The figures of a log as a picture."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Final

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from kafkaman_sync.replay.records import Log, Names
from kafkaman_sync.replay.statistics import SLOTS, Statistics, named

_BARS_MAX: Final = 12
_DAY_MS: Final = 86_400_000


def draw(counted: Statistics, log: Log, names: Names, path: Path) -> None:
    """Draw events over time, and by action, kind and device, into a PNG file."""
    figure = Figure(figsize=(12, 7), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(2, 3)
    over_time = figure.add_subplot(grid[0, :])
    span = (counted.last_at - counted.first_at) / SLOTS
    # matplotlib counts days since 1970, as it does without a setting of its own.
    starts = [(counted.first_at + span * slot) / _DAY_MS for slot in range(SLOTS)]
    over_time.bar(starts, counted.slots, width=max(span, 1.0) / _DAY_MS, align="edge")
    over_time.xaxis_date(tz="UTC")
    over_time.set_title(
        f"{_plain(log.name)}: {counted.total.events:,} events, {counted.disputes:,} not accepted"
    )
    over_time.set_ylabel("events")
    over_time.set_xlabel("time (UTC)")
    for column, (what, bars) in enumerate(
        (
            ("action", [(name, each.events) for name, each in named(counted.actions)]),
            ("kind", [(name or "?", each.events) for name, each in named(counted.kinds)]),
            (
                "device",
                [(names.device(name) or "the server", each.events)
                 for name, each in named(counted.devices)],
            ),
        )
    ):  # fmt: skip
        axes = figure.add_subplot(grid[1, column])
        shown = bars[:_BARS_MAX][::-1]
        # Names may be equal: the bars are told apart by their places.
        axes.barh(range(len(shown)), [number for _, number in shown])
        axes.set_yticks(range(len(shown)), [_plain(name) for name, _ in shown])
        axes.set_title(f"by {what}")
    with warnings.catch_warnings():
        # A name may have letters of which there is no picture: a frame stands for each.
        warnings.simplefilter("ignore", UserWarning)
        figure.savefig(path, format="png", dpi=100)


def _plain(text: str) -> str:
    """Keep names from being read as formulas, and from having no picture."""
    return "".join(each if each.isprintable() else "?" for each in text[:24]).replace("$", r"\$")
