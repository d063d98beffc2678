"""The stepper's panes: events, the tree, an event with its verdict, and what it changed."""

from __future__ import annotations

from itertools import count
from typing import ClassVar, Final

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import Screen
from textual.widgets import Static

from kafkaman_sync.cli.output import printable
from kafkaman_sync.cli.replay.step_backstage import Backstage, Seen
from kafkaman_sync.cli.replay.step_screens import footer_text
from kafkaman_sync.cli.replay.step_text import (
    Told,
    branch_line,
    change_text,
    event_line,
    event_text,
)
from kafkaman_sync.cli.wording import clock_time, plural
from kafkaman_sync.errors import KafkamanError
from kafkaman_sync.replay.expression import Expression
from kafkaman_sync.replay.order import Edit
from kafkaman_sync.replay.otherwise import Otherwise, Outcome
from kafkaman_sync.replay.stepping import Step

# Pieces of the index between two looks at how far it has come.
_SHOWN_EVERY: Final = 10


class Lines(Static, can_focus=False):
    """Lines of which those around one of them are shown, as many as there is room for."""

    def __init__(self, id: str) -> None:
        super().__init__(id=id, markup=False)
        self.lines: list[Text] = []
        self.cursor = 0

    def show(self, lines: list[Text], cursor: int) -> None:
        """Show other lines."""
        self.lines, self.cursor = lines, cursor
        self._draw()

    def on_resize(self) -> None:
        """Show as many as fit now."""
        self._draw()

    def _draw(self) -> None:
        height = max(self.size.height, 1)
        top = max(min(self.cursor - height // 2, len(self.lines) - height), 0)
        shown = Text("\n", no_wrap=True, overflow="ellipsis").join(self.lines[top : top + height])
        self.update(shown)


class TreePane(Lines, can_focus=True):
    """The tree; what is chosen in it can be opened and closed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "choose(-1)", "up", show=False),
        Binding("down", "choose(1)", "down", show=False),
        Binding("pageup", "choose(-10)", "up", show=False),
        Binding("pagedown", "choose(10)", "down", show=False),
        Binding("enter,space", "fold", "open", show=False),
    ]

    def action_choose(self, by: int) -> None:
        """Choose another line."""
        if isinstance(self.screen, Panes):
            self.screen.choose(by)

    async def action_fold(self) -> None:
        """Open or close what is chosen."""
        if isinstance(self.screen, Panes):
            await self.screen.fold()


class Panes(Screen[None]):
    """The panes, and what they show of the present place."""

    AUTO_FOCUS = ""
    CSS = """
    Lines, #title, #status { text-wrap: nowrap; text-overflow: ellipsis; }
    #title, #status, #footer { height: 1; }
    #title { text-style: bold; }
    #left { width: 45%; }
    #right { width: 55%; }
    #events, #tree, #event, #change { border: round $panel; height: 1fr; }
    #tree:focus, #event:focus, #change:focus { border: round $accent; }
    """

    def __init__(self, backstage: Backstage) -> None:
        super().__init__()
        self.backstage = backstage
        self._seen: Seen | None = None
        self.chosen: str | None = None
        self._unfolded: set[str] = set()
        self._folded: set[str] = set()
        self.breakpoint: Expression | None = None
        self.break_text = self.filter_text = ""
        self.edits: list[Edit] = []
        self.outcome: Outcome | None = None
        self._message = ""

    def compose(self) -> ComposeResult:
        """Lay out the panes."""
        yield Static(id="title", markup=False)
        with Horizontal():
            with Vertical(id="left"):
                yield Lines("events")
                yield TreePane("tree")
            with Vertical(id="right"):
                with VerticalScroll(id="event"):
                    yield Static(id="event-text", markup=False)
                with VerticalScroll(id="change"):
                    yield Static(id="change-text", markup=False)
        yield Static(id="status", markup=False)
        yield Static(id="footer", markup=False)

    async def on_mount(self) -> None:
        """Show where it begins, and make the tree's index meanwhile."""
        for pane, title in (
            ("events", "events"), ("tree", "tree"), ("event", "event"), ("change", "change"),
        ):  # fmt: skip
            self.query_one(f"#{pane}").border_title = title
        await self.refresh_panes()
        self.run_worker(self._index(), group="index")

    async def on_resize(self, event: events.Resize) -> None:
        """Show as much as fits now."""
        self.query_one("#footer", Static).update(footer_text(event.size.width))
        self.call_after_refresh(self.refresh_panes)

    async def _index(self) -> None:
        """Make the tree's index, a little at a time."""
        try:
            for pieces in count(1):
                more = await self.backstage.index()
                waiting = self._seen is not None and self._seen.branches is None
                if waiting and (pieces % _SHOWN_EVERY == 0 or not more):
                    await self.refresh_panes()
                if not more:
                    return
        except KafkamanError as error:
            self.say(error.message)

    # Showing

    async def refresh_panes(self) -> None:
        """Show the present place."""
        lines = max(self.size.height, 10)
        try:
            seen = await self.backstage.look(lines, self._unfolded, self._folded)
        except KafkamanError as error:
            self.say(error.message)
            return
        moved = self._seen is None or self._seen.step.seq != seen.step.seq
        self._seen = seen
        entity = seen.step.after or seen.step.before
        if moved:
            self.chosen = None if entity is None else entity.id
        names, told = self.backstage.names, self._told()
        self._show_events(seen, told)
        self._show_tree()
        event = self.query_one("#event-text", Static)
        event.update(event_text(seen.step, seen.path, names, told))
        self.query_one("#change-text", Static).update(change_text(seen.step, seen.places))
        if moved:
            self.query_one("#event").scroll_home(animate=False)
            self.query_one("#change").scroll_home(animate=False)
        self._show_title(seen.step)

    def _show_title(self, step: Step) -> None:
        log = self.backstage.log
        logged = None if step.entry is None else step.entry.logged
        at = "" if logged is None else f"  {clock_time(logged.event.at)}"
        title = f"{printable(log.name)}  seq {step.seq:,} of {log.head:,}{at}"
        if self.edits:
            count = self.outcome.changes_count if self.outcome is not None else 0
            come = "deciding" if self.outcome is None else f"{count:,} otherwise"
            title += f"  what if: {plural(len(self.edits), 'edit')}, {come}"
        self.query_one("#title", Static).update(Text(title, no_wrap=True, overflow="ellipsis"))
        parts = [self._message] if self._message else []
        if self.breakpoint is not None:
            parts.append(f"break: {printable(self.break_text)}")
        if self.filter_text:
            parts.append(f"filter: {printable(self.filter_text)}")
        status = Text("   ".join(parts), style="yellow", no_wrap=True, overflow="ellipsis")
        self.query_one("#status", Static).update(status)

    def _show_events(self, seen: Seen, told: Told) -> None:
        digits = len(str(self.backstage.log.head))
        lines, cursor = [], 0
        for index, each in enumerate(seen.listed):
            here = each.seq == seen.step.seq
            cursor = index if each.seq <= seen.step.seq else cursor
            lines.append(event_line(each, self.backstage.names, told, here=here, digits=digits))
        self.query_one("#events", Lines).show(lines, cursor)

    def _show_tree(self) -> None:
        seen = self._seen
        assert seen is not None, "there is something to show"
        pane = self.query_one("#tree", TreePane)
        if seen.branches is None:
            share = seen.indexed * 100 // max(self.backstage.log.head, 1)
            pane.show([Text(f"Reading the log for the tree: {share} %", style="dim")], 0)
            return
        entity = seen.step.after or seen.step.before
        lines, cursor = [], 0
        for index, each in enumerate(seen.branches):
            below = seen.branches[index + 1] if index + 1 < len(seen.branches) else None
            opened = below is not None and below.level > each.level
            here = entity is not None and entity.id == each.node.id
            chosen = self.chosen == each.node.id
            cursor = index if chosen else cursor
            lines.append(
                branch_line(each, opened=opened, here=here, chosen=chosen and pane.has_focus)
            )
        pane.show(lines or [Text("Nothing is there yet.", style="dim")], cursor)

    def on_descendant_focus(self) -> None:
        """Show what is chosen in the tree, while it is there that keys go."""
        if self._seen is not None:
            self._show_tree()

    def on_descendant_blur(self) -> None:
        """Show it no longer."""
        self.call_after_refresh(self.on_descendant_focus)

    def places(self) -> dict[str, str]:
        """Return the names of entities that are shown, by their ids."""
        branches = self._seen.branches if self._seen is not None else None
        return {each.node.id: each.node.name for each in branches or ()}

    def choose(self, by: int) -> None:
        """Choose another line of the tree."""
        seen = self._seen
        if seen is None or not seen.branches:
            return
        ids = [each.node.id for each in seen.branches]
        at = ids.index(self.chosen) if self.chosen in ids else 0
        self.chosen = ids[max(min(at + by, len(ids) - 1), 0)]
        self._show_tree()

    async def fold(self) -> None:
        """Open or close what is chosen in the tree."""
        seen = self._seen
        if seen is None or seen.branches is None or self.chosen is None:
            return
        chosen = self.chosen
        ids = [each.node.id for each in seen.branches]
        at = ids.index(chosen) if chosen in ids else len(ids)
        opened = at + 1 < len(ids) and seen.branches[at + 1].level > seen.branches[at].level
        (self._folded if opened else self._unfolded).add(chosen)
        (self._unfolded if opened else self._folded).discard(chosen)
        await self.refresh_panes()

    def _told(self) -> Told:
        changes: dict[int, list[Otherwise]] = {}
        for each in self.outcome.changes if self.outcome is not None else ():
            changes.setdefault(each.seq, []).append(each)
        return Told(tuple(self.edits), changes)

    def say(self, message: str) -> None:
        """Show a message, until there is another."""
        self._message = printable(message)
        if self._seen is not None:
            self._show_title(self._seen.step)
