"""What only a person's terminal shows: views, each imported when it is first used.

They are drawn by Rich, which takes an eighth of what a command takes to start (20 of 160 ms). With
`--json` or into a pipe nothing here is touched, and a program that asks often does not pay for it.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from kafkaman_sync.cli import (
        conflict_view,
        console,
        entity_view,
        history_view,
        tree_view,
        views,
    )
    from kafkaman_sync.cli.replay import at_view, diff_view, log_table, stats_view, what_if_view

__all__ = [
    "at_view",
    "conflict_view",
    "console",
    "diff_view",
    "entity_view",
    "history_view",
    "log_table",
    "stats_view",
    "tree_view",
    "views",
    "what_if_view",
]

_OF_REPLAY: Final = frozenset({"at_view", "diff_view", "log_table", "stats_view", "what_if_view"})


def __getattr__(name: str) -> ModuleType:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    package = "kafkaman_sync.cli.replay" if name in _OF_REPLAY else "kafkaman_sync.cli"
    return import_module(f"{package}.{name}")
