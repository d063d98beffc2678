"""Where the `kafkaman` program begins: before its imports, which take long enough to interrupt."""

from __future__ import annotations

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run `kafkaman` as a program."""
    try:
        from kafkaman_sync.cli.main import main as run  # noqa: PLC0415 - Ctrl-C while it loads is caught here

        run()
    except KeyboardInterrupt:
        # While it starts; from then on `main` hears of it itself.
        sys.stderr.write("Error: Interrupted.\n")
        sys.exit(130)
