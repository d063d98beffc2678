"""The console that a person's terminal is drawn on."""

from __future__ import annotations

from rich import console


class Console(console.Console):
    """Leaves it to the program's edge to end when nobody reads any more."""

    def on_broken_pipe(self) -> None:
        """Say so."""
        raise BrokenPipeError
