"""Giving memory back after large work, so that an idle daemon is as small as a fresh one."""

from __future__ import annotations

import ctypes
import gc
from contextlib import suppress


def give_back() -> None:
    """Return what was freed to the system; glibc keeps it otherwise. Takes some milliseconds."""
    gc.collect()
    # Only glibc has it; elsewhere the allocator does this by itself.
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
