"""What the stepper puts over its screen: a prompt, the help, and what would have come out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import ClassVar, Final

from rich.console import Group, RenderableType
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input, Static

KEYS: Final = (
    ("n p", "step", "right, left, n, p", "to the next event, to the one before"),
    ("g", "jump", "g", "to a seq (12), a time (10:30) or how long ago (2h)"),
    ("b", "break", "b", "set a breakpoint: an expression, as in log --where"),
    ("c C", "run", "c, C", "to the next, to the previous event where it holds"),
    ("s", "skip", "s", "what if this event had never come? (again: it came)"),
    ("m", "move", "m", "what if it had come before another one?"),
    ("u", "undo", "u", "take back the last of these"),
    ("o", "outcome", "o", "what would have come out: changes, and the end"),
    ("/", "filter", "/", "only events where an expression holds; empty: all"),
    ("?", "help", "?", "this"),
    ("q", "quit", "q", "end"),
    ("", "", "home, end", "before the first event, to the last"),
    ("", "", "tab", "to the tree: up, down, enter opens and closes"),
    ("", "", "v", "the entity whole: that chosen in the tree, else that of the event"),
    ("", "", "esc", "stop what takes long"),
)
"""Keys: short for the footer, its word, and both in full for the help."""


class Prompt(ModalScreen[bool]):
    """Asks for a line; what is wrong with it is shown, and it can be mended."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "leave")]
    CSS = """
    Prompt { align: center middle; }
    Prompt > Vertical { width: 90%; max-width: 100; height: auto; border: round $accent;
                        background: $surface; padding: 0 1; }
    Prompt Input { border: none; padding: 0; height: 1; background: $surface; }
    Prompt #wrong { color: $error; height: auto; }
    """

    def __init__(self, label: str, value: str, accept: Callable[[str], Awaitable[str]]) -> None:
        """`accept` takes the line, and returns what is wrong with it: nothing, and it is done."""
        super().__init__()
        self._label = label
        self._value = value
        self._accept = accept

    def compose(self) -> ComposeResult:
        """Lay out the prompt."""
        with Vertical():
            yield Static(Text(self._label, style="bold"))
            yield Input(self._value, id="line", select_on_focus=False)
            yield Static(Text(""), id="wrong")

    async def on_input_submitted(self, event: Input.Submitted) -> None:
        """Take the line."""
        wrong = await self._accept(event.value.strip())
        if wrong:
            self.query_one("#wrong", Static).update(Text(wrong))
        else:
            self.dismiss(True)

    def action_leave(self) -> None:
        """Leave it."""
        self.dismiss(False)


class Sheet(ModalScreen[None]):
    """Shows something to read and scroll."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,o,v,question_mark,enter", "leave", "back"),
    ]
    CSS = """
    Sheet { align: center middle; }
    Sheet > VerticalScroll { width: 96%; height: 92%; border: round $accent;
                             background: $surface; padding: 0 1; }
    """

    def __init__(self, title: str, parts: Sequence[RenderableType]) -> None:
        super().__init__()
        self._title = title
        self._parts = parts

    def compose(self) -> ComposeResult:
        """Lay out the sheet."""
        with VerticalScroll() as scroll:
            scroll.border_title = Text(self._title)  # a name, and no markup
            scroll.border_subtitle = "esc: back"
            yield Static(Group(*self._parts), markup=False)

    def action_leave(self) -> None:
        """Go back."""
        self.dismiss(None)


def help_parts() -> list[RenderableType]:
    """Return the keys, for the help."""
    width = max(len(keys) for _, _, keys, _ in KEYS)
    lines = [
        Text.assemble((f"{keys:<{width}}  ", "bold"), does) for _, _, keys, does in KEYS if keys
    ]
    marks = (
        "\nIn the list: > the present event, x skipped, m moved, ! comes out otherwise.\n"
        "Nothing is written: a what-if is decided on a copy on the side."
    )
    return [*lines, Text(marks, style="dim")]


def footer_text(width: int) -> Text:
    """Return the keys that fit into a line."""
    line = Text(no_wrap=True)
    for short, word, _, _ in KEYS:
        part = Text.assemble((short, "bold reverse"), f" {word} ")
        if short and len(line) + len(part) <= width:
            line.append_text(part)
    return line
