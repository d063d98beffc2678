"""What the stepper's panes say of a place in a log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from rich.text import Text

from kafkaman_sync.cli.differences import difference
from kafkaman_sync.cli.history_view import ACTION_COLORS
from kafkaman_sync.cli.output import json_text, printable
from kafkaman_sync.cli.replay.what_if_text import judged_text, side_values
from kafkaman_sync.cli.wording import clock_time
from kafkaman_sync.model.changes import Action, Dispute, Event
from kafkaman_sync.model.entities import ROOT, Entity
from kafkaman_sync.model.values import REMOVED
from kafkaman_sync.replay.again import change_of
from kafkaman_sync.replay.branches import Branch, Node
from kafkaman_sync.replay.naming import name_of
from kafkaman_sync.replay.order import Edit, Move, Skip, Swap
from kafkaman_sync.replay.otherwise import Otherwise, disputed
from kafkaman_sync.replay.records import Logged, Names
from kafkaman_sync.replay.rules import ACCEPTED, field_rule, whole_rule
from kafkaman_sync.replay.stepping import Listed, Step

ID_DIGITS: Final = 8
_ARROW: Final = ("  ->  ", "dim")


@dataclass(frozen=True, slots=True)
class Told:
    """What is known of the what-if: the edits, and what comes out otherwise, by seq."""

    edits: tuple[Edit, ...] = ()
    changes: Mapping[int, Sequence[Otherwise]] = field(default_factory=dict)

    def mark(self, seq: int) -> tuple[str, str]:
        """Return the mark of an event in the list, and its style."""
        for edit in self.edits:
            if isinstance(edit, Skip) and edit.seq == seq:
                return "x", "strike dim"
            if isinstance(edit, Move) and edit.seq == seq:
                return "m", "italic"
            if isinstance(edit, Swap) and seq in (edit.one, edit.other):
                return "m", "italic"
        return ("!", "bold magenta") if seq in self.changes else (" ", "")


def event_line(listed: Listed, names: Names, told: Told, *, here: bool, digits: int) -> Text:
    """Write a line of the list of events."""
    mark, style = told.mark(listed.seq)
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(f"{'>' if here else ' '}{mark}", style="bold magenta")
    line.append(f"{listed.seq:>{digits}} ", style="bold" if here else "dim")
    entry = listed.entry
    if entry is None or entry.logged is None:
        line.append("missing" if entry is None else "unreadable", style="red")
        return line
    event = entry.logged.event
    line.append(f"{event.action.value:<7} ", style=f"{ACTION_COLORS[event.action]} {style}".strip())
    line.append(printable(listed.described.name or event.entity[:ID_DIGITS]), style=style)
    device = names.device(event.device) if event.device else "server"
    line.append(f"  {printable(device)}", style="dim")
    if here:
        line.stylize("reverse")
    return line


def branch_line(branch: Branch, *, opened: bool, here: bool, chosen: bool) -> Text:
    """Write a line of the tree."""
    node = branch.node
    sign = ("- " if opened else "+ ") if branch.has_below else "  "
    line = Text(f"{'  ' * branch.level}{sign}", no_wrap=True, overflow="ellipsis")
    style = "strike dim" if node.deleted else ("bold yellow" if here else "")
    line.append(printable(node.name or node.id[:ID_DIGITS]), style=style)
    line.append(f"  {node.kind.value.replace('_', ' ')}", style="dim")
    if node.deleted:
        line.append("  deleted", style="red")
    if branch.more > 0:
        line.append(f"  ... {branch.more:,} more", style="dim")
    if chosen:
        line.stylize("reverse")
    return line


def event_text(step: Step, path: Sequence[Node], names: Names, told: Told) -> Text:
    """Write what there is to say of an event: whose it was, what it was judged by, the verdict."""
    return Text("\n").join(_event_lines(step, path, names, told))


def _event_lines(step: Step, path: Sequence[Node], names: Names, told: Told) -> Iterator[Text]:
    entry = step.entry
    if entry is None and not step.fault:
        yield Text("Before the first event that the log has.", style="dim")
    if step.fault:
        yield Text(printable(step.fault), style="bold red")
    logged = None if entry is None else entry.logged
    if logged is not None:
        yield from _whose(logged, step, path, names)
        yield _accepted(logged)
    if step.lost is not None:
        yield Text(f"not accepted  {_lost_text(step.lost)}", style="yellow")
    for dispute in step.refused:
        device = printable(names.device(dispute.device))
        line = Text.assemble(("then, no event  ", "dim"), (device, "cyan"))
        line.append(f" op {dispute.op}  {dispute.action.value} {dispute.entity[:ID_DIGITS]}  ")
        line.append(_lost_text(dispute), style="yellow")
        yield line
    for each in told.changes.get(step.seq, ()):
        line = Text.assemble(("what if  ", "bold magenta"), f"op {each.op}: ")
        line.append(printable(judged_text(each.then)), style="magenta")
        yield line
    if logged is not None:
        yield from _judged(logged, step)


def _whose(logged: Logged, step: Step, path: Sequence[Node], names: Names) -> Iterator[Text]:
    event, entity = logged.event, step.after or step.before
    title = Text(f"seq {event.seq}  ", style="bold")
    title.append(event.action.value, style=ACTION_COLORS[event.action])
    if entity is not None:
        title.append(f"  {entity.kind.value.replace('_', ' ')}", style="dim")
        title.append(f"  {printable(name_of(entity))}")
    title.append(f"  {event.entity[:ID_DIGITS]}", style="dim")
    yield title
    if path:
        yield Text("in ", style="dim") + Text(" / ".join(printable(_title(each)) for each in path))
    if event.device:
        who = Text(printable(names.device(event.device)), style="cyan")
        who.append(f"  {printable(names.account(event.account))}  op {event.op}", style="dim")
    else:
        who = Text("the server itself", style="cyan")
    yield who.append(f"  {clock_time(event.at)}", style="dim")


def _accepted(logged: Logged) -> Text:
    accepted = ", ".join(printable(name) for name in sorted(logged.event.fields))
    verdict = Text.assemble(("accepted", "green"), f"  {accepted}" if accepted else "")
    if logged.digest is not None:
        verdict.append(f"  digest {logged.digest.hex()[:ID_DIGITS]}", style="dim")
    return verdict


def _judged(logged: Logged, step: Step) -> Iterator[Text]:
    event, basis = logged.event, logged.basis
    change = change_of(logged)
    if change is None:
        yield Text(ACCEPTED["purge"], style="dim")
        return
    if basis is None:
        yield Text(ACCEPTED["unknown"], style="dim")
    else:
        seen = f"base {basis.base}{f'  after op {basis.previous}' if basis.previous else ''}"
        yield Text(seen, style="dim")
    if event.action is not Action.UPDATE:
        yield Text(f"  {ACCEPTED[whole_rule(event, step.before, basis)]}", style="dim")
        return
    for name, edit in sorted(change.fields.items()):
        held = None if step.before is None else step.before.fields.get(name)
        rule = field_rule(held, None if basis is None else edit, edit.value)
        told = "" if basis is None or edit.base == basis.base else f" (base {edit.base})"
        yield Text.assemble(f"  {printable(name)}{told}: ", (ACCEPTED[rule], "dim"))


def _lost_text(dispute: Dispute) -> str:
    return printable(judged_text(disputed(dispute)))


def change_text(step: Step, places: Mapping[str, str]) -> Text:
    """Write what an event changed, by field; `places` has the names of parents."""
    entry = step.entry
    if entry is None or entry.logged is None:
        return Text()
    lines = list(_change_lines(entry.logged.event, step, places))
    return Text("\n").join(lines or [Text("Nothing changed.", style="dim")])


def _change_lines(event: Event, step: Step, places: Mapping[str, str]) -> Iterator[Text]:
    before, after = step.before, step.after
    if before is not None and after is None:
        yield Text("gone for good", style="red")
    if before is None and after is not None:
        yield Text(f"new in {_place(after, places)}", style="green")
    if before is not None and after is not None:
        if before.place != after.place:
            was, now = _place(before, places), _place(after, places)
            if was == now:
                was, now = f"{was} at {before.place.position}", f"at {after.place.position}"
            yield Text.assemble(("place  ", "cyan"), (was, "red"), _ARROW, (now, "green"))
        if before.deleted != after.deleted:
            words = ("there", "red"), _ARROW, ("deleted", "green")
            if before.deleted:
                words = ("deleted", "red"), _ARROW, ("there", "green")
            yield Text.assemble(("flag   ", "cyan"), *words)
    for name in sorted(event.fields):
        sides = [_side(entity, name) for entity in (before, after)]
        if before is not None and sides[0] == sides[1]:
            yield Text.assemble((printable(name), "cyan"), ("  the same again", "dim"))
            continue
        shown = difference(*(side_values(side) for side in sides), rest="v shows it whole")
        gap = "\n" if "\n" in shown.plain else "  "
        yield Text.assemble((printable(name), "cyan"), gap, shown)


def _side(entity: Entity | None, name: str) -> bytes | None:
    held = None if entity is None else entity.fields.get(name)
    return None if held is None or held.value == REMOVED else held.value


def _place(entity: Entity, places: Mapping[str, str]) -> str:
    parent = entity.place.parent
    if parent == ROOT:
        return "the workspace"
    return printable(places.get(parent, "")) or parent[:ID_DIGITS]


def _title(node: Node) -> str:
    return node.name or node.id[:ID_DIGITS]


def entity_text(entity: Entity, places: Mapping[str, str]) -> Text:
    """Write an entity whole: where it lies, and each field with the seq that last wrote it."""
    lines = [
        Text(f"{entity.kind.value.replace('_', ' ')}  {entity.id}", style="dim"),
        Text(f"in {_place(entity, places)} since {entity.place_version}"),
    ]
    if entity.deleted:
        lines.append(Text(f"deleted since {entity.deleted_version}", style="red"))
    for name, held in sorted(entity.fields.items()):
        line = Text.assemble("\n", (printable(name), "cyan"), (f"  {held.version}", "dim"))
        values = [] if held.value == REMOVED else side_values(held.value)
        for value in values:
            text = value if isinstance(value, str) else json_text(value, indent=2)
            line.append(f"\n{printable(text, lines=True)}")
        lines.append(line if values else line.append("  removed", style="red"))
    return Text("\n").join(lines)
