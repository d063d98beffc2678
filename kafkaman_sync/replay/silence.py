"""Keeps what a server or a device logs from the output of whoever runs it for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import structlog

_CRITICAL: Final = 50


@contextmanager
def silence() -> Iterator[None]:
    """Let nothing below a crash be logged inside the block."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(_CRITICAL))
    try:
        yield
    finally:
        structlog.configure(**before)
