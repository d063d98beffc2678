"""The stepper: what its keys do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import ClassVar, Final

from textual.app import App
from textual.binding import Binding, BindingType

from kafkaman_sync.cli.output import printable
from kafkaman_sync.cli.replay.step_backstage import Backstage, StoppedError
from kafkaman_sync.cli.replay.step_panes import Panes
from kafkaman_sync.cli.replay.step_screens import Prompt, Sheet, help_parts
from kafkaman_sync.cli.replay.step_text import ID_DIGITS, entity_text
from kafkaman_sync.cli.replay.what_if_view import outcome_lines
from kafkaman_sync.cli.wording import plural
from kafkaman_sync.errors import KafkamanError, ReplayError
from kafkaman_sync.model.moments import parse_moment
from kafkaman_sync.replay.expression import Expression, parse_expression
from kafkaman_sync.replay.naming import name_of
from kafkaman_sync.replay.order import Move, Skip, reorder
from kafkaman_sync.replay.otherwise import Outcome
from kafkaman_sync.replay.stepping import Step

Walk = Callable[[], Iterator[Step | None]]
"""A way to another place: pieces of looking for it (None), then the place."""

_SEQ_DIGITS_MAX: Final = 19
_EXAMPLE: Final = 'device == laptop and fields contains "url"'


class StepperScreen(Panes):
    """The panes, and what the keys do."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right", "step(False)", "next", priority=True),
        Binding("left", "step(True)", "back", priority=True),
        Binding("n,down,j", "step(False)", "next"),
        Binding("p,up,k", "step(True)", "back"),
        Binding("home", "edge(True)", "first"),
        Binding("end", "edge(False)", "last"),
        Binding("g", "jump", "jump"),
        Binding("b", "breakpoint", "break"),
        Binding("c", "run(False)", "run"),
        Binding("C", "run(True)", "run back"),
        Binding("s", "skip", "skip"),
        Binding("m", "move", "move"),
        Binding("u", "undo", "undo"),
        Binding("o", "outcome", "outcome"),
        Binding("v", "view", "view"),
        Binding("slash", "filter", "filter"),
        Binding("question_mark", "help", "help"),
        Binding("escape", "stop", "stop"),
        Binding("q", "app.quit", "quit"),
    ]

    def __init__(self, backstage: Backstage, found: Expression | None) -> None:
        super().__init__(backstage)
        self.breakpoint, self.break_text = found, "" if found is None else str(found)
        self._walks: asyncio.Queue[Walk] = asyncio.Queue()
        self._looking = False
        self._stopped = False

    async def on_mount(self) -> None:
        """Begin: take the first walk when there is one."""
        self.run_worker(self._walk_on(), group="walk")

    async def _walk_on(self) -> None:
        while True:
            walk = await self._walks.get()
            self._stopped = False
            try:
                await self._walk(walk())
            except KafkamanError as error:
                self.say(f"{error.message} {error.hint}".strip())
            self._looking = False
            if self._walks.empty():
                await self.refresh_panes()

    async def _walk(self, pieces: Iterator[Step | None]) -> None:
        at, looked = self.backstage.stepper.at, 0
        while await self.backstage.call(lambda: next(pieces, None)) is None:
            looked += 1
            self._looking = True
            if self._stopped:
                self.say("Stopped looking.")
                return
            self.say(f"Looking on from {at:,} (esc stops) {'.' * (looked % 20)}")
        self.say("" if self.backstage.stepper.at != at else "There is none in this direction.")

    def _go(self, walk: Walk) -> None:
        self._stopped = self._looking
        self._walks.put_nowait(walk)

    async def _jump(self, where: int | datetime) -> str:
        try:
            await self.backstage.jump(where)
        except KafkamanError as error:
            return f"{error.message} {error.hint}".strip()
        self.say("")
        await self.refresh_panes()
        return ""

    def action_step(self, backward: bool) -> None:
        """Go one event on or back."""
        self._go(lambda: self.backstage.stepper.steps(backward=backward))

    async def action_edge(self, first: bool) -> None:
        """Go before the first event, or to the last."""
        log = self.backstage.log
        await self._jump(log.horizon if first else log.head)

    def action_jump(self) -> None:
        """Ask where to go."""

        async def accept(text: str) -> str:
            try:
                where = parse_moment(text, datetime.now().astimezone())
            except KafkamanError as error:
                return f"{error.message} {error.hint}".strip()
            return await self._jump(where)

        self.app.push_screen(
            Prompt("Jump to: a seq (12), a time (10:30), how long ago (2h)", "", accept)
        )

    def action_breakpoint(self) -> None:
        """Ask for a breakpoint."""

        async def accept(text: str) -> str:
            wrong, found = _read(text)
            if not wrong:
                self.breakpoint, self.break_text = found, text
                self.say("c runs to it, C back to it." if found else "")
            return wrong

        label = f"Break where this holds, such as {_EXAMPLE}"
        self.app.push_screen(Prompt(label, self.break_text, accept))

    def action_filter(self) -> None:
        """Ask for a filter."""

        async def accept(text: str) -> str:
            wrong, found = _read(text)
            if not wrong:
                await self.backstage.call(lambda: self.backstage.stepper.filter_by(found))
                self.filter_text = text
                self.say("")
                await self.refresh_panes()
            return wrong

        label = f"Only events where this holds, such as {_EXAMPLE}"
        self.app.push_screen(Prompt(label, self.filter_text, accept))

    def action_run(self, backward: bool) -> None:
        """Run to the next breakpoint, or back to the last."""
        found = self.breakpoint
        if found is None:
            self.say("There is no breakpoint yet: b sets one.")
        else:
            self._go(lambda: self.backstage.stepper.run(found, backward=backward))

    def action_stop(self) -> None:
        """Stop what takes long."""
        self._stopped = True
        self.backstage.stop()

    async def action_view(self) -> None:
        """Show an entity whole."""
        if self.chosen is None:
            self.say("There is no entity here.")
            return
        try:
            entity = await self.backstage.entity(self.chosen)
        except KafkamanError as error:
            self.say(f"{error.message} {error.hint}".strip())
            return
        if entity is None:
            self.say("It is not there at this place.")
        else:
            title = printable(name_of(entity) or entity.id[:ID_DIGITS])
            self.app.push_screen(Sheet(title, [entity_text(entity, self.places())]))

    # What if

    def action_skip(self) -> None:
        """Skip the present event, or let it come again."""
        seq = self.backstage.stepper.at
        if Skip(seq) in self.edits:
            self.edits.remove(Skip(seq))
            self._decide()
        else:
            self._edit(Skip(seq))

    def action_move(self) -> None:
        """Ask before which event the present one is to come."""
        seq, head = self.backstage.stepper.at, self.backstage.log.head

        async def accept(text: str) -> str:
            if not text.isdecimal() or len(text) > _SEQ_DIGITS_MAX:
                return "Write the seq of an event."
            return self._edit(Move(seq, int(text)))

        label = f"What if {seq} had come before event ({head + 1}: at the end)"
        self.app.push_screen(Prompt(label, "", accept))

    def action_undo(self) -> None:
        """Take back the last edit."""
        if self.edits:
            self.say(f"Taken back: {self.edits.pop()}.")
            self._decide()
        else:
            self.say("There is nothing to take back.")

    def action_outcome(self) -> None:
        """Show what would have come out."""
        if self.outcome is None:
            self.say(
                "It is still being decided."
                if self.edits
                else "Nothing is otherwise yet: s skips an event, m moves it."
            )
            return
        parts = list(outcome_lines(self.outcome, self.backstage.names))
        self.app.push_screen(Sheet("what would have come out", parts))

    def action_help(self) -> None:
        """Show the keys."""
        self.app.push_screen(Sheet("keys", help_parts()))

    def _edit(self, edit: Skip | Move) -> str:
        """Have one thing otherwise; return what is wrong with it."""
        log = self.backstage.log
        try:
            reorder([*self.edits, edit], log.horizon + 1, log.head)
        except ReplayError as error:
            self.say(error.message)
            return f"{error.message} {error.hint}"
        self.edits.append(edit)
        self._decide()
        return ""

    def _decide(self) -> None:
        self.outcome = None
        self.backstage.stop()
        self.run_worker(self._decide_again(), group="what-if", exclusive=True)

    async def _decide_again(self) -> None:
        await self.refresh_panes()
        if not self.edits:
            return
        self.say("Deciding again (esc stops) ...")
        try:
            self.outcome = await self.backstage.decide(tuple(self.edits))
            self.say(_in_short(self.outcome))
        except StoppedError:
            self.say("Stopped deciding; s, m or u begin anew.")
        except KafkamanError as error:
            self.say(f"{error.message} {error.hint}".strip())
        await self.refresh_panes()


class StepperApp(App[None]):
    """The stepper as a program on the terminal."""

    ENABLE_COMMAND_PALETTE = False
    TITLE = "kafkaman replay step"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+c,ctrl+q", "quit", "quit", priority=True, show=False)
    ]

    def __init__(self, backstage: Backstage, found: Expression | None = None) -> None:
        super().__init__(ansi_color=True)  # the terminal's own colours; none with NO_COLOR
        self.theme = "ansi-dark"
        self._backstage = backstage
        self._breakpoint = found

    def on_mount(self) -> None:
        """Show the panes."""
        self.push_screen(StepperScreen(self._backstage, self._breakpoint))

    @property
    def failure(self) -> Exception | None:
        """The error that ended it, None when a person did."""
        return self._exception

    def _fatal_error(self) -> None:
        """End without Textual's traceback, which shows values: whoever runs it tells `failure`."""
        self._close_messages_no_wait()


def _in_short(outcome: Outcome) -> str:
    if not outcome.changes_count and not outcome.entities_count:
        return "What if: all comes out as it did."
    changes = plural(outcome.changes_count, "change")
    return f"What if: {changes} otherwise, {plural(outcome.entities_count, 'entity')} at the end: o"


def _read(text: str) -> tuple[str, Expression | None]:
    """Read an expression, none for nothing; return what is wrong with it, or what it is."""
    if not text:
        return "", None
    try:
        return "", parse_expression(text)
    except KafkamanError as error:
        return printable(f"{error.message} {error.hint}".strip()), None
