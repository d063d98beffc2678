"""The arguments that the commands of `kafkaman replay` share."""

from __future__ import annotations

from typing import Final

import click

SOURCE: Final = click.argument("source", metavar="SOURCE", type=click.Path())
WORKSPACE: Final = click.option(
    "--workspace",
    "-w",
    metavar="W",
    help="The workspace: its id, its name, or the beginning of its id. [default: the only one]",
)
