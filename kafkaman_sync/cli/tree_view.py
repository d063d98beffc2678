"""The tree of entities on a person's terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from kafkaman_sync.cli.output import printable
from kafkaman_sync.cli.wording import plural
from kafkaman_sync.client import Listed

LINES_MAX: Final = 100
"""A longer tree is shown only down to the level that fits, unless a depth is asked for."""

ID_DIGITS_SHOWN: Final = 8

_STYLES: Final = {
    "collection": "bold",
    "folder": "blue",
    "request": "",
    "response": "green",
    "environment": "bold magenta",
    "environment_variable": "magenta",
    "global_variable": "magenta",
    "header_preset": "cyan",
    "collection_run": "yellow",
}


def print_tree(
    console: Console,
    above: str,
    listed: Sequence[Listed],
    levels: Mapping[str, int],
    depth: int | None,
) -> None:
    """Print a tree of what is listed, parents first; what is too deep is only counted."""
    if not listed:
        where = f"below {printable(above)}" if above else "in this workspace"
        console.print(Text(f"Nothing {where} yet.", style="dim"))
        return
    depth = depth or _depth_that_fits(levels)
    counts = _below(listed)
    tree = Tree(Text(printable(above), style="bold"), guide_style="dim", hide_root=not above)
    branches: dict[str, Tree] = {}
    for each in listed:
        level = levels[each.id]
        if level > depth:
            continue
        label = _label(each)
        if level == depth and counts[each.id]:
            label.append(f"  +{counts[each.id]:,}", style="dim")
        branches[each.id] = branches.get(each.parent, tree).add(label)
    console.print(tree)
    hidden = len(listed) - len(branches)
    if hidden:
        more = f"{plural(hidden, 'entity')} more below; --depth {depth + 1} shows the next level."
        console.print(Text(more, style="dim"))


def _label(entity: Listed) -> Text:
    label = Text(printable(entity.name), style=_STYLES.get(entity.kind, ""))
    label.append(f"  {entity.kind.replace('_', ' ')}", style="dim")
    label.append(f"  {entity.id[:ID_DIGITS_SHOWN]}", style="dim")
    if entity.pending:
        label.append("  pending", style="yellow")
    return label


def _depth_that_fits(levels: Mapping[str, int]) -> int:
    lines = 0
    on_level = Counter(levels.values())
    for level in sorted(on_level):
        lines += on_level[level]
        if lines > LINES_MAX:
            return max(level - 1, 1)
    return max(on_level)


def _below(listed: Sequence[Listed]) -> Counter[str]:
    """Count what lies below each entity, at any level."""
    counts: Counter[str] = Counter()
    for each in reversed(listed):  # a parent comes before what is below it
        counts[each.parent] += counts[each.id] + 1
    return counts
