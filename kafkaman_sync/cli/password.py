"""Passwords: by a hidden prompt or from standard input, never as an argument."""

from __future__ import annotations

import sys
from typing import Final

import click

from kafkaman_sync.cli.invocation import Invocation
from kafkaman_sync.errors import UsageError

_BYTES_MAX: Final = 4096


def read_password(invocation: Invocation, *, from_stdin: bool, twice: bool = False) -> str:
    """Get the password; `twice`: a new one, which the prompt asks for again.

    Raises UsageError `usage.password` when there is none, or nobody to ask.
    """
    if from_stdin:
        return _from_stdin()
    if not sys.stdin.isatty():
        raise UsageError(
            "There is no terminal to ask for the password.",
            code="usage.password",
            hint="Pipe it in: add --password-stdin.",
        )
    password: str = click.prompt(
        "Password", hide_input=True, confirmation_prompt="Again" if twice else False, err=True
    )
    return password


def _from_stdin() -> str:
    line = sys.stdin.buffer.readline(_BYTES_MAX + 1)
    if len(line) > _BYTES_MAX:
        raise UsageError(f"The password is longer than {_BYTES_MAX} bytes.", code="usage.password")
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError("The password is not UTF-8 text.", code="usage.password") from error
    password = text.removesuffix("\n").removesuffix("\r")
    if not password:
        raise UsageError(
            "Standard input holds no password.",
            code="usage.password",
            hint="Write it on the first line.",
        )
    return password
