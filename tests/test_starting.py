"""The programs' first moments, before they can handle anything."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.abc import MetaPathFinder

import pytest

from kafkaman_server import start as server
from kafkaman_sync.cli import start as device


class Interrupting(MetaPathFinder):
    """Ctrl-C while a module is imported."""

    def __init__(self, module: str) -> None:
        self._module = module

    def find_spec(self, name: str, *_: object) -> None:
        if name == self._module:
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("main", "module", "said"),
    [
        (device.main, "kafkaman_sync.cli.main", "Error: Interrupted.\n"),
        (server.main, "kafkaman_server.cli", "kafkaman-server: Interrupted.\n"),
    ],
)
def test_an_interrupt_while_it_is_imported_is_no_traceback(
    main: Callable[[], None],
    module: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setattr(sys, "meta_path", [Interrupting(module), *sys.meta_path])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 130
    assert capsys.readouterr() == ("", said)


@pytest.mark.parametrize(
    ("main", "program"), [(device.main, "kafkaman"), (server.main, "kafkaman-server")]
)
def test_it_runs_its_command_line(
    main: Callable[[], None],
    program: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", [program, "--version"])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith(f"{program}")
