"""The server's first moments, before it can handle anything."""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder

import pytest

from kafkaman_server.start import main

MAIN = "kafkaman_server.cli"


class Interrupting(MetaPathFinder):
    """Ctrl-C while the command line is imported."""

    def find_spec(self, name: str, *_: object) -> None:
        if name == MAIN:
            raise KeyboardInterrupt


def test_an_interrupt_while_it_is_imported_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, MAIN, raising=False)
    monkeypatch.setattr(sys, "meta_path", [Interrupting(), *sys.meta_path])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 130
    assert capsys.readouterr() == ("", "kafkaman-server: Interrupted.\n")


def test_it_runs_the_command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["kafkaman-server", "--version"])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 0
    assert "kafkaman-server" in capsys.readouterr().out
