"""The help and `docs/cli.md` tell the truth about every command."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from kafkaman_sync.cli.command import Command, CommandGroup
from kafkaman_sync.cli.exits import Exit
from kafkaman_sync.cli.main import cli

CONTRACT = {
    "up": (), "down": (),
    "sign-up": ("--server", "--email", "--username", "--password-stdin", "--device-name"),
    "sign-in": ("--server", "--user", "--password-stdin", "--device-name", "--replace"),
    "sign-out": ("--discard-unsynced",),
    "devices": (), "devices sign-out": (), "workspaces": (),
    "status": ("--watch",), "wait": ("--until", "--timeout"),
    "import": ("--workspace",), "export": ("-o",), "ls": (), "show": ("--at",),
    "trash": (), "restore": ("--to",), "history": ("--field",), "revert": ("--to",),
    "new": ("--parent",), "set": (), "mv": ("--to", "--before", "--after"), "rm": (),
    "conflicts": (), "conflicts show": (),
    "resolve": (
        "--mine", "--theirs", "--both", "--value", "--edit", "--all", "--newest", "--undo",
    ),
    "unsynced": (), "unsynced show": (), "unsynced restore": ("--into",), "unsynced rm": (),
    "reload": ("--full",), "prove": (),
}  # fmt: skip
"""The commands and options that were promised."""


def commands(
    group: click.Group = cli, above: str = ""
) -> Iterator[tuple[str, Command | CommandGroup]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        assert isinstance(found, Command | CommandGroup)
        yield f"{above}{name}", found
        if isinstance(found, CommandGroup):
            yield from commands(found, f"{above}{name} ")


COMMANDS = dict(commands())


def options(command: click.Command) -> set[str]:
    return {
        spelling
        for parameter in command.params
        if isinstance(parameter, click.Option) and not parameter.hidden
        for spelling in parameter.opts
    }


@pytest.fixture(scope="module")
def page(root: Path) -> str:
    return (root / "docs" / "cli.md").read_text(encoding="utf-8")


def section(page: str, name: str) -> str:
    """Return what the page says under a command's heading."""
    heading = f"^### `{name.split(maxsplit=1)[0]}`$"
    match = re.search(rf"{heading}(.*?)(?=^#{{2,3}} )", f"{page}\n## ", re.MULTILINE | re.DOTALL)
    assert match is not None, name
    return match[1]


@pytest.mark.parametrize("name", CONTRACT)
def test_the_promised_commands_and_options_exist(name: str) -> None:
    assert set(CONTRACT[name]) <= options(COMMANDS[name])


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_explains_itself_in_a_line_and_by_example(name: str) -> None:
    command = COMMANDS[name]
    summary = (command.help or "").partition("\n\n")[0]
    assert summary.endswith(".")
    assert len(summary) <= 66
    assert command.examples
    assert all(name in example or "    " in example for example in command.examples)


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("columns", [20, 80])
def test_help_needs_no_daemon(name: str, columns: int, tmp_path: Path) -> None:
    home = tmp_path / "home"
    result = CliRunner(env={"KAFKAMAN_HOME": str(home), "COLUMNS": str(columns)}).invoke(
        cli, [*name.split(), "-h"]
    )
    assert result.exit_code == 0
    assert "Examples:" in result.stdout
    assert "--json" in result.stdout
    assert not home.exists()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_documented(name: str, page: str) -> None:
    told = section(page, name)
    common = {"--json", "-w", "-1", "-y", "--flat", "--output"}
    assert {option for option in options(COMMANDS[name]) - common if option not in told} == set()


def test_every_documented_command_exists(page: str) -> None:
    headings = re.findall(r"^### `([a-z-]+)`$", page, re.MULTILINE)
    assert sorted(headings) == sorted(cli.list_commands(click.Context(cli)))


def test_every_example_of_a_command_in_the_documentation_parses(page: str) -> None:
    used = re.findall(r"`kafkaman ([a-z-]+)[^`]*`", page)
    assert set(used) <= set(COMMANDS)


def test_every_exit_code_is_documented(page: str) -> None:
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)}
    assert documented == {int(code) for code in Exit}


def test_every_variable_is_documented(root: Path, page: str) -> None:
    sources = (path.read_text() for path in (root / "kafkaman_sync" / "cli").glob("*.py"))
    read = {name for text in sources for name in re.findall(r'environ\.get\("(\w+)"', text)}
    assert {*read, "KAFKAMAN_HOME"} == set(re.findall(r"^\| `([A-Z_]+)` \|", page, re.MULTILINE))
