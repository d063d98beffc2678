"""System calls of a program under strace: was everything on the disk before it was acknowledged?"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TRACED: Final = (
    "fsync,fdatasync,write,writev,pwrite64,pwritev,sendto,sendmsg,"
    "rename,renameat,renameat2,unlink,unlinkat"
)
_CALL: Final = re.compile(r"(\d+) +(\w+)\(\d+<([^>]*)>(.*)")
_RESUMED: Final = re.compile(r"(\d+) +<\.\.\. (\w+) resumed>(.*)")
_NAMED: Final = re.compile(r"(\d+) +(rename|unlink)\w*\((.*)")
_QUOTED: Final = re.compile(r'"([^"]*)"')
_SYNCS: Final = frozenset({"fsync", "fdatasync"})

# Runs a module with commits that do not wait for the disk.
_RELAXED: Final = """
import runpy, sys
from kafkaman_sync import database_connection
database_connection.PRAGMAS = tuple(
    each.replace("FULL", "NORMAL") for each in database_connection.PRAGMAS
)
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
class Step:
    """A system call: `write`, `send`, `rename` and `unlink` when it began, `synced` when it ended.

    `syncing` is the beginning of a sync, by the same thread. `file` is what it is about (for a
    rename the new name), `sent` what is sent, as strace prints it.
    """

    kind: str
    thread: str
    file: str
    sent: str = ""


def steps(lines: Iterable[str]) -> Iterator[Step]:
    """Yield what a trace tells of, in its order."""
    syncing: dict[str, str] = {}
    for line in lines:
        if named := _NAMED.match(line):
            yield Step(named[2], named[1], _QUOTED.findall(named[3])[-1])
            continue
        thread = call = rest = ""
        if resumed := _RESUMED.match(line):
            thread, call, rest = resumed.groups()
        elif made := _CALL.match(line):
            thread, call, file, rest = made.groups()
            if call in _SYNCS:
                syncing[thread] = file
                yield Step("syncing", thread, file)
            elif file.startswith("socket:"):
                yield Step("send", thread, file, rest)
            else:
                yield Step("write", thread, file)
        if call in _SYNCS and rest.endswith(" = 0"):
            yield Step("synced", thread, syncing.pop(thread))


@dataclass(frozen=True)
class Acknowledgement:
    """What the log of the database was when something was acknowledged.

    `written`: it had grown since the last one. `synced`: all that was written had reached the disk.
    """

    written: bool
    synced: bool


def acknowledgements(lines: Iterable[str], starts: str) -> list[Acknowledgement]:
    """Return each acknowledgement in a trace: what is sent with such a beginning, as printed."""
    found: list[Acknowledgement] = []
    writes = synced = seen = 0
    covered: dict[str, int] = {}
    for step in steps(lines):
        log = step.file.endswith("-wal")
        if step.kind == "write" and log:
            writes += 1
        elif step.kind == "syncing" and log:
            covered[step.thread] = writes  # what is written while it runs is not covered
        elif step.kind == "synced" and log:
            synced = max(synced, covered[step.thread])
        elif step.kind == "send" and step.sent.startswith(f', "{starts}'):
            found.append(Acknowledgement(writes > seen, synced == writes))
            seen = writes
    return found


def read_trace(trace: Path, process: int) -> list[str]:
    """Return the lines of a trace as soon as it is complete: the tracer outlives the program."""
    while True:
        lines = trace.read_text("utf-8", "replace").splitlines()
        if any(re.match(rf"{process} +\+\+\+ ", line) for line in reversed(lines)):
            return lines
        time.sleep(0.005)  # a file that grows has no event
