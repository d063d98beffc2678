"""Commands and their groups: shared options, examples in the help, modules loaded when used."""

from __future__ import annotations

import asyncio
import functools
import importlib
from collections.abc import Callable, Coroutine, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final

import click

from kafkaman_sync.cli.invocation import Invocation, shared_options

Body = Callable[..., Coroutine[Any, Any, None] | None]
"""What a command does, of the invocation and the command's parameters: a coroutine function.

A plain function asks a person or reads files before it returns a coroutine: while the event loop
runs, the first Ctrl-C only cancels the task, which such a call would not notice.
"""

_PACKAGE: Final = "kafkaman_sync.cli"


class _Documented(click.Command):
    """The shared options, and examples at the end of the help."""

    def __init__(
        self, *args: Any, examples: Sequence[str] = (), outermost: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.examples = examples
        self.params.extend(shared_options(hidden=not outermost))

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Begin to read the arguments; from here on an error's hint can name the command."""
        if parent is not None:
            invocation = parent.ensure_object(Invocation)
            invocation.command = f"{parent.command_path} {info_name}"
        return super().make_context(info_name, args, parent, **extra)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples."""
        super().format_epilog(ctx, formatter)
        if self.examples:
            with formatter.section("Examples"):
                for example in self.examples:
                    formatter.write(f"{'':{formatter.current_indent}}{example}\n")


class Command(_Documented):
    """A command without commands of its own."""


class CommandGroup(_Documented, click.Group):
    """A command that has commands of its own; a mistyped one gets a suggestion."""

    command_class = Command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; where there is none, suggest the nearest."""
        name = str(args[0])
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            if ctx.resilient_parsing:
                return None, None, args[1:]
            close = get_close_matches(name, self.list_commands(ctx), n=2, cutoff=0.5)
            suggestion = f" Did you mean {' or '.join(close)}?" if close else ""
            raise click.UsageError(f"There is no command {name!r}.{suggestion}", ctx)
        return super().resolve_command(ctx, args)


class LazyGroup(CommandGroup):
    """A group that imports a command's module when it is asked for, and lists by topic.

    `topics` has, for each heading of the help, the commands and the module that defines each.
    """

    def __init__(
        self,
        *args: Any,
        topics: Mapping[str, Mapping[str, str]],
        package: str = _PACKAGE,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.topics = topics
        self._package = package
        self._modules = {
            name: module for topic in topics.values() for name, module in topic.items()
        }

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name every command, in the order of the help."""
        return list(self._modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        module = self._modules.get(cmd_name)
        if module is None:
            return None
        variable = f"{cmd_name.replace('-', '_')}_command"
        found: click.Command = getattr(
            importlib.import_module(f"{self._package}.{module}"), variable
        )
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands under their topics."""
        for topic, names in self.topics.items():
            rows = []
            for name in names:
                command = self.get_command(ctx, name)
                assert command is not None, f"{name} is listed and so defined"
                rows.append((name, command.get_short_help_str(formatter.width)))
            with formatter.section(topic):
                formatter.write_dl(rows)


def command(
    name: str, *, examples: Sequence[str] = (), group: click.Group | None = None
) -> Callable[[Body], Command]:
    """Make a command of a function, whose docstring is its help."""

    def decorate(body: Body) -> Command:
        made = click.command(name, cls=Command, examples=examples)(runs(body))
        if group is not None:
            group.add_command(made)
        return made

    return decorate


def runs(body: Body) -> Callable[..., None]:
    """Make the plain function that click calls: runs the body with the invocation."""

    @functools.wraps(body)
    def callback(*args: Any, **kwargs: Any) -> None:
        invocation = click.get_current_context().ensure_object(Invocation)
        coroutine = body(invocation, *args, **kwargs)
        if coroutine is not None:
            asyncio.run(coroutine)

    return callback
