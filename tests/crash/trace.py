"""System calls of a program under strace: was everything on the disk before it was acknowledged?"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TRACED: Final = "fsync,fdatasync,write,writev,pwrite64,pwritev,sendto,sendmsg"
_CALL: Final = re.compile(r"(\d+) +(\w+)\(\d+<([^>]*)>(.*)")
_RESUMED: Final = re.compile(r"(\d+) +<\.\.\. (\w+) resumed>(.*)")
_WRITES: Final = frozenset({"write", "writev", "pwrite64", "pwritev"})
_SENDS: Final = frozenset({"sendto", "sendmsg", "write", "writev"})
_SYNCS: Final = frozenset({"fsync", "fdatasync"})

# Runs a module with commits that do not wait for the disk.
_RELAXED: Final = """
import runpy, sys
from kafkaman_sync import database
database._PRAGMAS = tuple(each.replace("FULL", "NORMAL") for each in database._PRAGMAS)
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""


def traced(command: Sequence[str], trace: Path) -> list[str]:
    """Return the command that runs another one under strace; the process is still the program."""
    # -D makes the tracer the grandchild, so that signals reach the program itself.
    options = ["-D", "-f", "--seccomp-bpf", "-y", "-s", "64", "-e", f"trace={_TRACED}"]
    return ["strace", *options, "-o", str(trace), *command]


def relaxed(command: Sequence[str]) -> list[str]:
    """Return the command that runs a Python module with synchronous=NORMAL."""
    python, module = [sys.executable, "-m"], list(command[2:])
    assert list(command[:2]) == python
    return [sys.executable, "-c", _RELAXED, *module]


@dataclass(frozen=True)
class Acknowledgement:
    """What the log of the database was when something was acknowledged.

    `written`: it had grown since the last one. `synced`: all that was written had reached the disk.
    """

    written: bool
    synced: bool


def acknowledgements(
    lines: Iterable[str], acknowledges: Callable[[str], bool]
) -> list[Acknowledgement]:
    """Return each acknowledgement in a trace; `acknowledges` looks at what is sent, as printed."""
    found: list[Acknowledgement] = []
    writes = synced = seen = 0
    begun: dict[str, int] = {}
    for line in lines:
        if resumed := _RESUMED.match(line):
            thread, call, rest = resumed.groups()
        elif made := _CALL.match(line):
            thread, call, target, rest = made.groups()
            log = target.endswith("-wal")
            if call in _WRITES and log:
                writes += 1
            elif call in _SYNCS and log:
                begun[thread] = writes  # what is written while it runs is not covered
            elif call in _SENDS and acknowledges(rest):
                found.append(Acknowledgement(writes > seen, synced == writes))
                seen = writes
        else:
            continue
        if call in _SYNCS and thread in begun and rest.endswith(" = 0"):
            synced = max(synced, begun.pop(thread))
    return found


def read_trace(trace: Path, process: int) -> list[str]:
    """Return the lines of a trace as soon as it is complete: the tracer outlives the program."""
    while True:
        lines = trace.read_text("utf-8", "replace").splitlines()
        if any(re.match(rf"{process} +\+\+\+ ", line) for line in reversed(lines)):
            return lines
        time.sleep(0.005)  # a file that grows has no event
