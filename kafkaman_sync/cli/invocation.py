"""What holds for one run of the command: the home, JSON or text, colour; and the options for it.

Every command accepts these options, and so does `kafkaman` itself before the command's name.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from kafkaman_sync.cli import terminal
from kafkaman_sync.cli.output import printable

if TYPE_CHECKING:
    from kafkaman_sync.cli.console import Console
    from kafkaman_sync.client import Client

COMPLETE_VARIABLE: Final = "_KAFKAMAN_COMPLETE"
"""How the shells' completion scripts ask."""


@dataclass(slots=True)
class Invocation:
    """The settings of a run. `home` None: KAFKAMAN_HOME, else the usual place of the platform.

    `streaming`: the command goes on until it is interrupted, so that is no error to tell.
    `command`: its name, as far as the arguments have been read.
    """

    home: Path | None = None
    json: bool = False
    no_color: bool = False
    streaming: bool = False
    command: str = "kafkaman"

    @classmethod
    def of(cls, arguments: Sequence[str]) -> Invocation:
        """Begin with what must hold even when the arguments turn out to be wrong."""
        options = list(arguments)
        if "--" in options:
            del options[options.index("--") :]
        return cls(json="--json" in options, no_color="--no-color" in options)

    @property
    def color(self) -> bool | None:
        """False: never; None: where the stream is a terminal."""
        return False if self.no_color or os.environ.get("NO_COLOR") else None

    @property
    def decorated(self) -> bool:
        """Whether a person reads: tables and trees instead of plain lines or JSON."""
        return not self.json and sys.stdout.isatty()

    @property
    def interactive(self) -> bool:
        """Whether a person can be asked."""
        return not self.json and sys.stdin.isatty() and sys.stderr.isatty()

    def client(self, *, start: bool = True) -> AbstractAsyncContextManager[Client]:
        """Connect to the daemon, and start it when it is not running (unless told otherwise)."""
        from kafkaman_sync.client import Client  # noqa: PLC0415 - 55 of 205 ms that replays are spared

        return Client.open(self.home, start=start)

    def console(self, *, stderr: bool = False) -> Console:
        """Make a console for decorated output."""
        return terminal.console.Console(
            stderr=stderr,
            no_color=self.color is False or None,
            highlight=False,
            markup=False,
            emoji=False,
        )

    @contextmanager
    def working(self, what: str) -> Iterator[None]:
        """Show a person that something takes its time."""
        if self.json or not sys.stderr.isatty():
            yield
            return
        with self.console(stderr=True).status(f"{printable(what)} ..."):
            yield


def _keep(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    assert parameter.name is not None, "every option has a name"
    if value:
        setattr(context.ensure_object(Invocation), parameter.name, value)


def shared_options(*, hidden: bool) -> list[click.Parameter]:
    """Make the options that every command accepts; `hidden` where the root's help has them."""
    return [
        click.Option(
            ["--json"],
            is_flag=True,
            expose_value=False,
            is_eager=True,
            callback=_keep,
            help="Print JSON, errors too.",
        ),
        click.Option(
            ["--home"],
            type=click.Path(file_okay=False, path_type=Path),
            metavar="DIR",
            expose_value=False,
            is_eager=True,
            callback=_keep,
            hidden=hidden,
            help="Folder that holds this device wholly. [default: KAFKAMAN_HOME]",
        ),
        click.Option(
            ["--no-color"],
            is_flag=True,
            expose_value=False,
            is_eager=True,
            callback=_keep,
            hidden=hidden,
            help="No colours (as does the variable NO_COLOR).",
        ),
    ]


workspace_option = click.option(
    "--workspace", "-w", metavar="W", help="The workspace: its id or name. [default: your own]"
)
"""The option of commands that look into one workspace."""
