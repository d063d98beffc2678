"""The `kafkaman` command: its commands by topic, and the edge where every error ends.

Whatever goes wrong, a person gets a sentence and a program gets a code: never a traceback, unless
KAFKAMAN_DEBUG is set.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final, NoReturn

import click

from kafkaman_sync.__about__ import __version__
from kafkaman_sync.cli.command import LazyGroup
from kafkaman_sync.cli.completion import answer
from kafkaman_sync.cli.exits import Exit, exit_of
from kafkaman_sync.cli.invocation import COMPLETE_VARIABLE, Invocation
from kafkaman_sync.cli.output import prepare_streams, print_error, print_json, silence_streams
from kafkaman_sync.errors import KafkamanError, LocalError, UsageError

TOPICS: Final = {
    "Account": {
        "sign-up": "account",
        "sign-in": "account",
        "sign-out": "account",
        "devices": "devices",
        "workspaces": "devices",
    },
    "Work": {
        "import": "files",
        "export": "files",
        "ls": "reads",
        "show": "reads",
        "new": "edits",
        "set": "edits",
        "mv": "edits",
        "rm": "edits",
    },
    "Past": {
        "history": "history",
        "revert": "history",
        "trash": "history",
        "restore": "history",
    },
    "Sync": {
        "status": "states",
        "wait": "states",
        "conflicts": "conflicts",
        "resolve": "conflicts",
        "unsynced": "unsynced",
        "reload": "proof",
        "prove": "proof",
        "sync": "daemon",
        "retry": "daemon",
    },
    "Daemon": {"up": "daemon", "down": "daemon", "completion": "completion"},
    "Debugging": {"replay": "replay"},
}
"""The commands by topic, each with the module of this package that defines it."""

_FOREIGN_CODES: Final = {
    click.exceptions.NoSuchOption: "usage.unknown_option",
    click.exceptions.MissingParameter: "usage.missing",
    click.exceptions.FileError: "file.unreadable",
}


class Kafkaman(LazyGroup):
    """The root group, which handles every error and exits with its code."""

    def main(self, args: Sequence[str] | None = None, *_: Any, **__: Any) -> NoReturn:
        """Run the command that the arguments name, and exit."""
        arguments = list(sys.argv[1:] if args is None else args)
        invocation = Invocation.of(arguments)
        sys.exit(self._run(arguments, invocation))

    def _run(self, arguments: list[str], invocation: Invocation) -> int:
        try:
            code = self._run_safely(arguments, invocation)
            sys.stdout.flush()
        except BrokenPipeError:
            silence_streams()
            return Exit.BROKEN_PIPE
        except OSError as error:  # the output itself cannot be written: disk full, device gone
            with suppress(OSError):
                os.write(2, f"Error: The output cannot be written: {error.strerror}.\n".encode())
            silence_streams()
            return Exit.FAILED
        return code

    def _run_safely(self, arguments: list[str], invocation: Invocation) -> int:
        try:
            return self._call(arguments, invocation)
        except click.exceptions.Exit as end:
            return end.exit_code
        except (KeyboardInterrupt, click.Abort):
            if sys.stderr.isatty():
                click.echo(err=True)  # closes the line of the terminal's ^C
            if invocation.streaming:
                return Exit.INTERRUPTED
            interrupted = LocalError("Interrupted.", code="interrupted")
            return self._fail(interrupted, invocation, Exit.INTERRUPTED)
        except KafkamanError as error:
            return self._fail(error, invocation, exit_of(error))
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.format_message())
            return Exit.USAGE
        except click.ClickException as error:
            return self._fail(_explained(error), invocation, Exit.USAGE)
        except BrokenPipeError:
            raise
        except OSError as error:
            return self._fail(_of_system(error), invocation, Exit.FAILED)
        except ExceptionGroup as group:  # tasks that failed together; one cause is enough to act on
            first = _first(group)
            return self._fail(first, invocation, exit_of(first))
        except Exception as error:  # noqa: BLE001 - a bug is told in a sentence, at the latest here
            return self._fail(_internal(error), invocation, Exit.FAILED)

    def _call(self, arguments: list[str], invocation: Invocation) -> int:
        instruction = os.environ.get(COMPLETE_VARIABLE)
        if instruction:
            return answer(self, instruction, invocation)
        with self.make_context(
            "kafkaman", arguments, obj=invocation, color=invocation.color
        ) as context:
            self.invoke(context)
        return Exit.OK

    def _fail(self, error: KafkamanError, invocation: Invocation, code: Exit) -> Exit:
        if os.environ.get("KAFKAMAN_DEBUG") and sys.exc_info()[0] is not None:
            sys.excepthook(*sys.exc_info())
        if code is Exit.USAGE and not error.hint:
            error.hint = f"See `{invocation.command} --help`."
        print_error(error, as_json=invocation.json, color=invocation.color)
        return code


def _explained(error: click.ClickException) -> KafkamanError:
    code = next((code for kind, code in _FOREIGN_CODES.items() if isinstance(error, kind)), "")
    message = error.format_message()
    return UsageError(message if message.endswith((".", "?")) else f"{message}.", code=code)


def _of_system(error: OSError) -> KafkamanError:
    name = f" ({error.filename})" if error.filename else ""
    return LocalError(
        f"The system refused: {error.strerror or type(error).__name__}{name}.", code="system.failed"
    )


def _first(group: BaseExceptionGroup[BaseException]) -> KafkamanError:
    """Give the first error of a group that a person can act on."""
    known = group.subgroup(KafkamanError)
    found: BaseException = known if known is not None else group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found if isinstance(found, KafkamanError) else _internal(found)


def _internal(error: BaseException) -> KafkamanError:
    return KafkamanError(
        f"Something unexpected happened in kafkaman itself ({type(error).__name__}).",
        hint="Set KAFKAMAN_DEBUG=1 and try again to see where; your work is safe in the store.",
    )


def _print_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if not wanted or context.resilient_parsing:
        return
    if context.ensure_object(Invocation).json:
        print_json({"version": __version__})
    else:
        click.echo(f"kafkaman {__version__}")
    context.exit()


_VERSION: Final = click.Option(
    ["--version"],
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_print_version,
    help="Print the version and exit.",
)

cli = Kafkaman(
    "kafkaman",
    topics=TOPICS,
    params=[_VERSION],
    outermost=True,
    help="API collections, environments and run results, the same on every device.",
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    examples=(
        "kafkaman import stripe.json          import a collection; no account needed",
        "kafkaman ls                          see it",
        "kafkaman sign-up --server ws://localhost:8765 --email me@example.org --username me",
        "kafkaman status --watch              see it sync",
    ),
)


def main() -> NoReturn:
    """Run `kafkaman` as a program."""
    prepare_streams()
    cli.main()
