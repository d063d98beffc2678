"""Arguments that are wrong get a sentence, a hint and exit code 2, as JSON where that was asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from kafkaman_sync.__about__ import __version__
from kafkaman_sync.cli.main import cli


@pytest.fixture
def runner(tmp_path: Path) -> CliRunner:
    """Runs commands that end before any daemon is needed."""
    return CliRunner(env={"KAFKAMAN_HOME": str(tmp_path / "home")})


def error_of(result: Result) -> dict[str, Any]:
    assert result.stderr == ""
    error: dict[str, Any] = json.loads(result.stdout)["error"]
    assert error["message"]
    return error


WRONG = [
    ("frobnicate",),
    ("--frobnicate",),
    ("status", "--frobnicate"),
    ("status", "extra"),
    ("sign-in",),
    ("sign-in", "--server"),
    ("new",),
    ("new", "spaceship"),
    ("new", "collection", "nonsense"),
    ("set", "it"),
    ("set", "it", "a=1", "--unset", "a"),
    ("mv", "it"),
    ("mv", "it", "--before", "a", "--after", "b"),
    ("resolve", "it"),
    ("resolve", "it", "--mine", "--theirs"),
    ("wait",),
    ("wait", "--until", "tomorrow"),
    ("wait", "--until", "in-sync", "--timeout", "-1"),
    ("import",),
    ("import", "-", "-"),
    ("export", "it", "--format", "pdf"),
    ("ls", "--depth", "0"),
    ("sync", "sometimes"),
    ("completion", "tcsh"),
    ("devices", "frobnicate"),
]


@pytest.mark.parametrize("words", WRONG, ids=" ".join)
def test_wrong_arguments_are_told_as_json(runner: CliRunner, words: tuple[str, ...]) -> None:
    result = runner.invoke(cli, [*words, "--json"])
    assert result.exit_code == 2
    error = error_of(result)
    assert error["code"].startswith("usage.")
    assert error["hint"]


@pytest.mark.parametrize("words", WRONG, ids=" ".join)
def test_wrong_arguments_are_told_to_a_person(runner: CliRunner, words: tuple[str, ...]) -> None:
    result = runner.invoke(cli, words)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert "Hint: " in result.stderr


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("statsu", "status"), ("exprot", "export"), ("signin", "sign-in"), ("device", "devices")],
)
def test_a_typo_gets_the_nearest_command(runner: CliRunner, typed: str, meant: str) -> None:
    assert f"Did you mean {meant}" in runner.invoke(cli, [typed]).stderr


def test_without_a_command_there_is_help(runner: CliRunner) -> None:
    result = runner.invoke(cli, [])
    assert result.exit_code == 2
    assert "sign-up" in result.output


def test_json_is_accepted_before_and_after_the_command(runner: CliRunner) -> None:
    for words in (["--json", "new", "spaceship"], ["new", "--json", "spaceship"]):
        assert error_of(runner.invoke(cli, words))["code"] == "usage.invalid"


def test_after_two_hyphens_json_is_a_word_like_any_other(runner: CliRunner) -> None:
    result = runner.invoke(cli, ["new", "spaceship", "--", "--json"])
    assert result.stderr.startswith("Error: ")


def test_the_version_is_told(runner: CliRunner) -> None:
    assert runner.invoke(cli, ["--version"]).stdout == f"kafkaman {__version__}\n"
    assert json.loads(runner.invoke(cli, ["--json", "--version"]).stdout)["version"] == __version__


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_its_completion_script(runner: CliRunner, shell: str) -> None:
    result = runner.invoke(cli, ["completion", shell])
    assert result.exit_code == 0
    assert "_KAFKAMAN_COMPLETE" in result.stdout
    as_json = json.loads(runner.invoke(cli, ["completion", shell, "--json"]).stdout)
    assert as_json == {"shell": shell, "script": result.stdout.removesuffix("\n")}


@pytest.mark.parametrize(
    ("typed", "offered"),
    [("sta", "status"), ("sign", "sign-up"), ("devices sign", "sign-out"), ("new req", "request"),
     ("status --wa", "--watch"), ("completion f", "fish")],
)  # fmt: skip
def test_words_are_completed(tmp_path: Path, typed: str, offered: str) -> None:
    words = typed.split()
    environment = {
        "_KAFKAMAN_COMPLETE": "bash_complete",
        "COMP_WORDS": f"kafkaman {typed}",
        "COMP_CWORD": str(len(words)),
        "KAFKAMAN_HOME": str(tmp_path),
    }
    result = CliRunner(env=environment).invoke(cli, [])
    assert f"plain,{offered}" in result.stdout.splitlines()


@pytest.mark.parametrize(
    "words",
    [
        ("sign-up", "--server", "ws://h:1", "--email", "e", "--username", "u"),
        ("sign-in", "--server", "ws://h:1", "--user", "u"),
    ],
)
def test_without_a_terminal_a_password_must_be_piped_in(
    runner: CliRunner, words: tuple[str, ...]
) -> None:
    error = error_of(runner.invoke(cli, [*words, "--json"], input="secret\n"))
    assert error["code"] == "usage.password"
    assert "--password-stdin" in error["hint"]


@pytest.mark.parametrize("stdin", [b"", b"\n", b"\r\n", b"\xff\n", b"x" * 5000])
def test_a_password_that_is_none_is_refused(runner: CliRunner, stdin: bytes) -> None:
    words = ["sign-in", "--server", "ws://h:1", "--user", "u", "--password-stdin", "--json"]
    result = runner.invoke(cli, words, input=stdin)
    assert result.exit_code == 2
    assert error_of(result)["code"] == "usage.password"


def test_no_option_takes_a_password() -> None:
    for name in ("sign-up", "sign-in"):
        result = CliRunner().invoke(cli, [name, "--password", "secret", "--json"])
        assert error_of(result)["code"].startswith("usage.")
        assert "secret" not in result.output
