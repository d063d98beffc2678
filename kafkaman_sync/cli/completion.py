"""Shell completion: the scripts for the shells, and the names of entities while typing."""

from __future__ import annotations

import asyncio
import re
from typing import Any, Final

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    add_completion_class,
    get_completion_class,
    shell_complete,
)

from kafkaman_sync.cli.command import command
from kafkaman_sync.cli.invocation import COMPLETE_VARIABLE, Invocation
from kafkaman_sync.cli.output import print_json
from kafkaman_sync.errors import KafkamanError

_SHELLS: Final = ("bash", "zsh", "fish")
_SECONDS_MAX: Final = 1.0
"""Longest that a person's Tab waits for the daemon."""


_ID_DIGITS: Final = 8


class QuotingBashComplete(BashComplete):
    """Bash's completion for words with spaces and other marks in them, which it does not quote."""

    # Without -r, bash would take the escapes away when it reads the answer.
    source_template = BashComplete.source_template.replace("read type", "read -r type")

    def format_completion(self, item: CompletionItem[Any]) -> str:
        """Escape what the shell would read as its own."""
        if item.type == "plain":
            item.value = re.sub(r"([^\w@%+=:,./-])", r"\\\1", str(item.value))
        return super().format_completion(item)


add_completion_class(QuotingBashComplete)


class EntityName(click.ParamType[str]):
    """An entity: its id, the beginning of its id, or its path of names."""

    name = "entity"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[Any]]:
        """Offer the names at the level that is being typed; nothing when the daemon is down."""
        try:
            return asyncio.run(_names(ctx.ensure_object(Invocation), incomplete))
        except (KafkamanError, OSError, TimeoutError):
            return []


class TrashedName(EntityName):
    """Something deleted: its id, the beginning of its id, or the path that it had."""

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[Any]]:
        """Offer the paths of what is in the trash; nothing when the daemon is down."""
        try:
            return asyncio.run(_trashed(ctx.ensure_object(Invocation), incomplete))
        except (KafkamanError, OSError, TimeoutError):
            return []


class ConflictId(click.ParamType[str]):
    """An open conflict: its id, or the beginning of it."""

    name = "conflict"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[Any]]:
        """Offer the open conflicts; nothing when the daemon is down."""
        try:
            return asyncio.run(_conflicts(ctx.ensure_object(Invocation), incomplete))
        except (KafkamanError, OSError, TimeoutError):
            return []


def answer(root: click.Command, instruction: str, invocation: Invocation) -> int:
    """Answer a shell's question for words, as its completion script asks it."""
    return shell_complete(root, {"obj": invocation}, "kafkaman", COMPLETE_VARIABLE, instruction)


ENTITY: Final = EntityName()
CONFLICT: Final = ConflictId()


async def _conflicts(invocation: Invocation, incomplete: str) -> list[CompletionItem[Any]]:
    async with asyncio.timeout(_SECONDS_MAX), invocation.client(start=False) as client:
        conflicts = await client.conflicts()
    return [
        CompletionItem(each.id[:_ID_DIGITS], help=f"{each.kind} {each.field or each.reason}")
        for each in conflicts
        if each.id.startswith(incomplete)
    ]


TRASHED: Final = TrashedName()


async def _names(invocation: Invocation, incomplete: str) -> list[CompletionItem[Any]]:
    # The last slash that is not escaped ends the path of the level above.
    above = max((found.end() for found in re.finditer(r"(?<!\\)/", incomplete)), default=0)
    path, begun = incomplete[:above], incomplete[above:].lower()
    async with asyncio.timeout(_SECONDS_MAX), invocation.client(start=False) as client:
        entities = await client.ls(path[:-1] or None, recursive=False)
    return [
        CompletionItem(f"{path}{name}", help=entity.kind)
        for entity in entities
        for name in (entity.name.replace("/", "\\/"),)
        if name.isprintable() and name.lower().startswith(begun)
    ]


async def _trashed(invocation: Invocation, incomplete: str) -> list[CompletionItem[Any]]:
    async with asyncio.timeout(_SECONDS_MAX), invocation.client(start=False) as client:
        trash = await client.trash()
    paths = ((each.path_text, each) for each in trash.entities)
    return [
        CompletionItem(path, help=each.kind)
        for path, each in paths
        if path.isprintable() and path.lower().startswith(incomplete.lower())
    ]


@command(
    "completion",
    examples=(
        'bash:  eval "$(kafkaman completion bash)"            in ~/.bashrc',
        'zsh:   eval "$(kafkaman completion zsh)"             in ~/.zshrc',
        "fish:  kafkaman completion fish > ~/.config/fish/completions/kafkaman.fish",
    ),
)
@click.argument("shell", metavar="SHELL", type=click.Choice(_SHELLS))
async def completion_command(invocation: Invocation, shell: str) -> None:
    """Print the completion script of a shell: bash, zsh or fish."""
    kind = get_completion_class(shell)
    assert kind is not None, "click knows these shells"
    root = click.get_current_context().find_root().command
    script = kind(root, {}, "kafkaman", COMPLETE_VARIABLE).source()
    if invocation.json:
        print_json({"shell": shell, "script": script})
    else:
        click.echo(script)
