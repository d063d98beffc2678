"""Going on until nobody reads any more."""

from __future__ import annotations

import os
import select
import stat
import sys
from collections.abc import Iterator


def while_somebody_reads() -> Iterator[None]:
    """Yield again and again; BrokenPipeError once the output is a pipe that nobody reads.

    Without this, `log --follow | head -1` would end only at the next event.
    """
    waiting = select.poll()
    try:
        number = sys.stdout.fileno()
        if stat.S_ISFIFO(os.fstat(number).st_mode):
            waiting.register(number, 0)
    except (OSError, ValueError):
        pass  # the output is no file at all
    while True:
        if any(found & (select.POLLERR | select.POLLHUP) for _, found in waiting.poll(0)):
            raise BrokenPipeError
        yield
