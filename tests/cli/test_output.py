"""Whatever a name or value holds, the terminal and the pipe stay whole."""

from __future__ import annotations

import io
import json
import sys
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from kafkaman_sync.cli.invocation import Invocation
from kafkaman_sync.cli.output import json_text, print_error, printable
from kafkaman_sync.errors import KafkamanError


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Ping", "Ping"),
        ("größe 注文 🚀", "größe 注文 🚀"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\tb\nc", "a\\tb\\nc"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\x9b2J", "\\x9b2J"),
    ],
)
def test_control_characters_are_shown_not_obeyed(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(text=st.text())
def test_a_row_is_one_line(text: str) -> None:
    assert len(printable(text).splitlines()) <= 1
    assert "\t" not in printable(text)


def test_text_of_lines_keeps_its_lines() -> None:
    assert printable("a\n\tb\x07", lines=True) == "a\n\tb\\x07"


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_json_is_json_in_every_encoding(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    value = {"größe": ["注文", "\ud83d", Decimal("1.10"), 2**70]}
    written = io.BytesIO()
    stream = io.TextIOWrapper(written, encoding=encoding, errors="backslashreplace")
    monkeypatch.setattr(sys, "stdout", stream)
    stream.write(json_text(value))
    stream.flush()
    read = json.loads(written.getvalue().decode(encoding), parse_float=Decimal)
    assert read == value


def test_an_error_is_one_json_object_with_its_details(capsys: pytest.CaptureFixture[str]) -> None:
    error = KafkamanError("It broke.", code="area.reason", hint="Mend it.", line=3)
    print_error(error, as_json=True, color=None)
    out, err = capsys.readouterr()
    expected = {"code": "area.reason", "message": "It broke.", "hint": "Mend it.", "line": 3}
    assert json.loads(out) == {"error": expected}
    assert list(json.loads(out)["error"])[:3] == ["code", "message", "hint"]
    assert err == ""


def test_an_error_for_a_person_leaves_the_output_clean(capsys: pytest.CaptureFixture[str]) -> None:
    error = KafkamanError("It\x1b broke.", code="area.reason", hint="Mend it.")
    print_error(error, as_json=False, color=None)
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "Error: It\\x1b broke.\nHint: Mend it.\n"


def test_what_takes_its_time_is_named_without_control_characters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True, width=80)
    monkeypatch.setattr(Invocation, "console", lambda *_, **__: console)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with Invocation().working("Verifying \x1b]0;title\x07"):
        pass
    assert "Verifying \\x1b]0;title\\x07 ..." in shown.getvalue()
