"""The stepper on a terminal: its keys, its panes, and what it says where there is no terminal."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from rich.console import Group
from rich.text import Text
from textual.containers import VerticalScroll
from textual.pilot import Pilot
from textual.widgets import Input, Static

from kafkaman_sync.cli.replay.step_app import StepperApp, StepperScreen
from kafkaman_sync.cli.replay.step_backstage import Backstage
from kafkaman_sync.cli.replay.step_panes import Lines
from kafkaman_sync.cli.replay.step_screens import Prompt, Sheet, footer_text
from kafkaman_sync.model.entities import Kind
from kafkaman_sync.replay.opening import open_source
from kafkaman_sync.replay.stepping import Matches, Step, Stepper
from tests.cli.stepped import API, stepped_log
from tests.replay.logs import LogFile


@pytest.fixture
def log(tmp_path: Path) -> LogFile:
    return stepped_log(tmp_path)


@dataclass
class Stepping:
    """The stepper under test, and what it shows."""

    app: StepperApp
    pilot: Pilot[None]
    backstage: Backstage

    @property
    def screen(self) -> StepperScreen:
        (found,) = [each for each in self.app.screen_stack if isinstance(each, StepperScreen)]
        return found

    def text(self, pane: str) -> str:
        shown = self.screen.query_one(f"#{pane}", Static).content
        return shown.plain if isinstance(shown, Text) else str(shown)

    def lines(self, pane: str) -> list[str]:
        return [line.plain for line in self.screen.query_one(f"#{pane}", Lines).lines]

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Let the stepper work until something holds."""
        for _ in range(500):
            await self.pilot.pause(0.01)
            if condition():
                return
        shown = [self.text(pane) for pane in ("title", "events", "event-text", "status")]
        raise AssertionError(shown)

    async def at(self, seq: int) -> None:
        await self.until(lambda: f"seq {seq} of " in self.text("title"))

    async def answer(self, text: str) -> None:
        """Answer a prompt."""
        await self.until(lambda: isinstance(self.app.screen, Prompt))
        self.app.screen.query_one(Input).value = text
        await self.press("enter")


@asynccontextmanager
async def stepping(path: Path, size: tuple[int, int] = (80, 24)) -> AsyncIterator[Stepping]:
    backstage = Backstage(partial(open_source, str(path)), None)
    try:
        await backstage.open(None)
        app = StepperApp(backstage)
        async with app.run_test(size=size) as pilot:
            found = Stepping(app, pilot, backstage)
            await found.at(backstage.log.head)
            await found.until(lambda: found.lines("tree") != [])
            yield found
    finally:
        await backstage.close()


async def test_steps_show_each_event_with_its_verdict_and_what_it_changed(log: LogFile) -> None:
    before = log.path.read_bytes()
    async with stepping(log.path) as stepper:
        assert "flag   there  ->  deleted" in stepper.text("change-text")
        await stepper.press("left", "p")
        await stepper.at(4)
        shown = stepper.text("event-text")
        assert "seq 4  update" in shown
        assert "phone  ann  op 1" in shown
        assert "accepted  url" in shown
        assert "base 3" in shown
        assert "url: nobody had written this field before" in shown
        assert "then, no event  laptop op 4  update 00000003  conflict: url (by 4)" in shown
        assert stepper.text("change-text") == "url  of the phone"
        assert [line for line in stepper.lines("events") if line.startswith(">")] == [
            "> 4 update  Ping  phone"
        ]
        await stepper.press("right")
        await stepper.at(5)
        assert stepper.text("change-text") == "place  API\\x1b[31m  ->  Users"
        await stepper.press("home")
        await stepper.at(0)
        assert "Before the first event" in stepper.text("event-text")
        await stepper.press("end", "n")
        await stepper.at(6)
    assert log.path.read_bytes() == before, "stepping writes nothing"


async def test_the_tree_shows_where_it_happened_and_can_be_folded(log: LogFile) -> None:
    async with stepping(log.path) as stepper:
        await stepper.press("p")
        await stepper.at(5)
        assert stepper.lines("tree") == [
            "- API\\x1b[31m  collection",
            "  - Users  folder",
            "      Ping  request",
        ]
        await stepper.press("tab", "up", "enter")
        await stepper.until(lambda: len(stepper.lines("tree")) == 2)
        assert stepper.lines("tree")[1] == "  + Users  folder"
        await stepper.press("enter", "down", "pageup", "pagedown", "space")
        await stepper.until(lambda: len(stepper.lines("tree")) == 3)
        await stepper.press("n")
        await stepper.until(lambda: "Users  folder  deleted" in stepper.lines("tree")[1])


async def test_an_entity_is_shown_whole(log: LogFile) -> None:
    log.remove_field(API, "name")
    log.update(API, {"headers": [{"key": "a\x07", "value": "b"}]})
    async with stepping(log.save()) as stepper:
        await stepper.press("v")
        await stepper.until(lambda: isinstance(stepper.app.screen, Sheet))
        shown = stepper.app.screen.query_one(Static).content
        assert isinstance(shown, Group)
        (text,) = shown.renderables
        assert isinstance(text, Text)
        assert text.plain.startswith(f"collection  {API}\nin the workspace since 1\n")
        assert "name  7  removed" in text.plain
        assert '"key": "a\\u0007",' in text.plain
        await stepper.press("v", "home", "v")
        await stepper.until(lambda: "no entity here" in stepper.text("status"))


@pytest.mark.parametrize("name", ["[draft] Auth", "[b]Auth[/b]", "[/x] Auth", "[@click=app.quit]A"])
async def test_a_name_in_brackets_is_the_title_as_it_is(tmp_path: Path, name: str) -> None:
    log = LogFile(tmp_path / "kafkaman.db")
    log.create(Kind.COLLECTION, {"name": name})
    async with stepping(log.save()) as stepper:
        await stepper.press("v")
        await stepper.until(lambda: isinstance(stepper.app.screen, Sheet))
        title = stepper.app.screen.query_one(VerticalScroll)._border_title
        assert title is not None
        assert title.plain == name


async def test_a_jump_goes_to_a_seq_or_a_time_and_says_what_is_neither(log: LogFile) -> None:
    async with stepping(log.path) as stepper:
        await stepper.press("g")
        await stepper.answer("nowhere")
        wrong = stepper.app.screen.query_one("#wrong", Static)
        await stepper.until(lambda: "is no moment" in str(wrong.content))
        await stepper.answer("99")
        await stepper.until(lambda: "has not been written yet" in str(wrong.content))
        await stepper.answer("2")
        await stepper.at(2)
        await stepper.press("g")
        await stepper.answer("2023-11-14T22:13:24.500+00:00")
        await stepper.at(4)
        await stepper.press("g", "escape")
        await stepper.until(lambda: isinstance(stepper.app.screen, StepperScreen))


async def test_it_runs_to_a_breakpoint_and_back(log: LogFile) -> None:
    async with stepping(log.path) as stepper:
        await stepper.press("c")
        await stepper.until(lambda: "no breakpoint yet" in stepper.text("status"))
        await stepper.press("b")
        await stepper.answer("nmae == 1")
        wrong = stepper.app.screen.query_one("#wrong", Static)
        await stepper.until(lambda: "Did you mean name?" in str(wrong.content))
        await stepper.answer("device == phone")
        await stepper.until(lambda: "break: device == phone" in stepper.text("status"))
        await stepper.press("C")
        await stepper.at(4)
        await stepper.press("C")
        await stepper.until(lambda: "none in this direction" in stepper.text("status"))
        await stepper.press("c")
        await stepper.at(6)


async def test_a_search_can_be_stopped(log: LogFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Matches, "look", lambda _matches, *, backward: True)
    async with stepping(log.path) as stepper:
        await stepper.press("b")
        await stepper.answer("seq == 1")
        await stepper.press("C")
        await stepper.until(lambda: "Looking on" in stepper.text("status"))
        await stepper.press("escape")
        await stepper.until(lambda: "Stopped looking" in stepper.text("status"))
        await stepper.press("C")
        await stepper.until(lambda: "Looking on" in stepper.text("status"))
        await stepper.press("p")
        await stepper.at(5)


async def test_a_filter_leaves_the_events_of_which_it_holds(log: LogFile) -> None:
    async with stepping(log.path) as stepper:
        await stepper.press("slash")
        await stepper.answer("action == create")
        await stepper.until(lambda: len(stepper.lines("events")) == 3)
        await stepper.press("p")
        await stepper.at(3)
        await stepper.press("slash")
        await stepper.answer("")
        await stepper.until(lambda: len(stepper.lines("events")) == 6)


async def test_a_what_if_is_decided_shown_and_taken_back(log: LogFile) -> None:
    async with stepping(log.path) as stepper:
        await stepper.press("o")
        await stepper.until(lambda: "Nothing is otherwise yet" in stepper.text("status"))
        await stepper.press("u")
        await stepper.until(lambda: "nothing to take back" in stepper.text("status"))
        await stepper.press("p", "p")
        await stepper.at(4)
        await stepper.press("s")
        await stepper.until(lambda: "1 edit, 1 otherwise" in stepper.text("title"))
        assert ">x4 update  Ping  phone" in stepper.lines("events")
        assert "what if  op 4: accepted" in stepper.text("event-text")
        await stepper.press("o")
        await stepper.until(lambda: isinstance(stepper.app.screen, Sheet))
        await stepper.press("escape")
        await stepper.press("s")
        await stepper.until(lambda: "what if" not in stepper.text("title"))
        await stepper.press("m")
        await stepper.answer("later")
        await stepper.answer("9")
        wrong = stepper.app.screen.query_one("#wrong", Static)
        await stepper.until(lambda: "no event 9" in str(wrong.content))
        await stepper.answer("7")
        await stepper.until(lambda: "1 edit, 2 otherwise" in stepper.text("title"))
        await stepper.press("u")
        await stepper.until(lambda: "what if" not in stepper.text("title"))


async def test_the_help_names_the_keys_and_the_footer_what_fits(log: LogFile) -> None:
    async with stepping(log.path) as stepper:
        await stepper.press("question_mark")
        await stepper.until(lambda: isinstance(stepper.app.screen, Sheet))
        await stepper.press("q")
        await stepper.until(lambda: isinstance(stepper.app.screen, StepperScreen))
        await stepper.press("q")
        await stepper.until(lambda: not stepper.app.is_running)
    for width in (10, 40, 80, 200):
        assert len(footer_text(width)) <= width
    assert "quit" in footer_text(100).plain


async def test_the_panes_follow_the_size_of_the_terminal(log: LogFile) -> None:
    async with stepping(log.path, (40, 12)) as stepper:
        await stepper.pilot.resize_terminal(120, 40)
        await stepper.until(lambda: "quit" in stepper.text("footer"))
        await stepper.press("p")
        await stepper.at(5)


async def test_a_damaged_log_is_stepped_through_with_what_is_wrong(log: LogFile) -> None:
    log.events = [row for row in log.events if row[0] not in (2, 3)]
    async with stepping(log.save()) as stepper:
        await stepper.press("p", "p")
        await stepper.at(4)
        assert "was not there" in stepper.text("event-text")
        await stepper.press("p")
        await stepper.at(3)
        assert stepper.text("event-text") == "The log has no event here."
        assert [line[4:] for line in stepper.lines("events")][1:3] == ["missing", "missing"]


async def test_a_fault_of_the_disk_is_said_and_stepping_goes_on(
    log: LogFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stepping(log.path) as stepper:
        with monkeypatch.context() as patch:
            patch.setattr(Stepper, "steps", _fail_to_read)
            await stepper.press("p")
            await stepper.until(lambda: "The disk reported an error." in stepper.text("status"))
        await stepper.press("p")
        await stepper.at(5)


def _fail_to_read(_stepper: Stepper, *, backward: bool) -> Iterator[Step | None]:
    yield None
    error = sqlite3.OperationalError(f"disk I/O error, {backward}")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR
    raise error
