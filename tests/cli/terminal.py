"""A command on a terminal of its own, as a person has it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType

from tests.end_to_end.processes import BIN

# pty.spawn makes the terminal and copies between it and our pipes.
_SPAWN = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"


class Terminal:
    """A `kafkaman` command on a terminal: `see` what it says, `type` the answer."""

    def __init__(self, home: Path, *words: str) -> None:
        self.shown = ""
        self._seen = 0
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SPAWN, str(BIN / "kafkaman"), *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={
                **os.environ,
                "KAFKAMAN_HOME": str(home),
                "TERM": "dumb",
                "COLUMNS": "80",
                "NO_COLOR": "1",
            },
        )

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def see(self, text: str) -> None:
        """Read until `text` has been shown, after what was seen before."""
        assert self._process.stdout is not None
        while text not in self.shown[self._seen :]:
            read = os.read(self._process.stdout.fileno(), 4096)
            assert read, f"{text!r} was never shown: {self.shown}"
            self.shown += read.decode(errors="replace")
        self._seen = self.shown.index(text, self._seen) + len(text)

    def type(self, text: str) -> None:
        """Type a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(text.encode() + b"\n")
        self._process.stdin.flush()

    def end(self) -> int:
        """Read the rest, and return the exit code."""
        out, _ = self._process.communicate(timeout=60)
        self.shown += out.decode(errors="replace")
        assert "Traceback" not in self.shown
        return self._process.returncode
