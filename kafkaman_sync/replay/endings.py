"""What ends a program, turned into an interruption: so that what has to be undone is undone."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final, NoReturn

_ENDINGS: Final = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def endings_interrupt() -> Iterator[None]:
    """Let what ends a program interrupt it inside the block, as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {each: signal.signal(each, _interrupt) for each in _ENDINGS}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


@contextmanager
def undisturbed() -> Iterator[None]:
    """Keep a second Ctrl-C from stopping what the first one began."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    endings = (signal.SIGINT, *_ENDINGS)
    before = {each: signal.signal(each, signal.SIG_IGN) for each in endings}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
