"""Where the `kafkaman-server` program begins: before its imports, which can be interrupted."""

from __future__ import annotations

import sys


def main() -> None:
    """Run `kafkaman-server` as a program."""
    try:
        from kafkaman_server.cli import main as run  # noqa: PLC0415 - Ctrl-C while it loads is caught here

        run()
    except KeyboardInterrupt:
        # While it loads; from then on `serve` takes it for the wish to stop.
        sys.stderr.write("kafkaman-server: Interrupted.\n")
        sys.exit(130)
