"""The arguments that the commands of `kafkaman replay` share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import click

from kafkaman_sync.cli.invocation import Invocation
from kafkaman_sync.cli.output import note
from kafkaman_sync.cli.password import read_password
from kafkaman_sync.errors import UsageError
from kafkaman_sync.replay.opening import is_address, open_source
from kafkaman_sync.replay.records import Credentials
from kafkaman_sync.replay.source import Recorded, Source

# Whether it can be read is told by whoever opens it, with the cause.
INPUT: Final = click.Path(readable=False)
INPUT_FILE: Final = click.Path(readable=False, path_type=Path)
SOURCE: Final = click.argument("source", metavar="SOURCE", type=INPUT)
WORKSPACE: Final = click.option(
    "--workspace",
    "-w",
    metavar="W",
    help="The workspace: its id, its name, or the beginning of its id. [default: the only one]",
)


def signs_in(command: Callable[..., Any]) -> Callable[..., Any]:
    """Let a command take a server's address as its source: adds --user and --password-stdin."""
    command = click.option(
        "--password-stdin", is_flag=True, help="Read its password from the input's first line."
    )(command)
    return click.option(
        "--user", metavar="NAME", help="Who signs in, if SOURCE is ws://HOST:PORT."
    )(command)


@contextmanager
def reading(
    source: str, credentials: Credentials | None = None, *, events: bool = False
) -> Iterator[Source]:
    """Open a source, and tell a person if it is not all there."""
    with open_source(source, credentials, events=events) as found:
        if isinstance(found, Recorded) and found.cut_off:
            note(f"{source} was cut off: what came behind the cut is not in it.")
        yield found


@contextmanager
def opened(
    invocation: Invocation, source: str, user: str | None, *, password_stdin: bool
) -> Iterator[Source]:
    """Open a source of events; at a server's address the person signs in first."""
    credentials = None
    if is_address(source) and user is not None:
        credentials = Credentials(user, read_password(invocation, from_stdin=password_stdin))
    elif user is not None or password_stdin:
        raise UsageError(
            "Nobody signs in there." if user else "Whose password is it?",
            code="usage.user",
            hint="--user and --password-stdin are for a server's address, ws://HOST:PORT.",
        )
    with reading(source, credentials, events=True) as found:
        yield found
