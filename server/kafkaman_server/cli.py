"""The command `kafkaman-server`.

Exit codes: 0 stopped as asked, 1 failed, 2 wrong usage or settings, 3 cannot listen, 4 the data
directory cannot be used, 130 interrupted before it had begun.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, Final

import click
import structlog

from kafkaman_server.config import Config, load_config
from kafkaman_server.diary import configure_logging
from kafkaman_sync.__about__ import __version__
from kafkaman_sync.errors import KafkamanError

_EXIT_CODES: Final = {
    "config.invalid": 2,
    "server.listen": 3,
    "server.data": 4,
    "server.data_in_use": 4,
    "store.foreign": 4,
    "store.newer": 4,
    "store.damaged": 4,
    "store.unreachable": 4,
    "store.readonly": 4,
    "store.locked": 4,
    "store.full": 4,
    "store.io": 4,
}

_Command = Callable[..., Any]

# Changes have no cycles; with Python's default of 700 new objects it looks for some all the time.
# More than this would let what connections leave behind pile up.
NEW_OBJECTS_MAX: Final = 20_000


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 stopped as asked, 1 failed, 2 wrong usage or settings, 3 cannot listen, "
    "4 the data directory cannot be used, 130 interrupted before it had begun.",
)
@click.version_option(__version__, prog_name="kafkaman-server")
def main() -> None:
    """Keep people's API work in order, and bring it to all their devices."""


def _settings(command: _Command) -> _Command:
    options = [
        click.option("--config", metavar="FILE", help="Read settings from a TOML file."),
        click.option("--listen", metavar="HOST:PORT", help="Listen here (port 0: any free one)."),
        click.option("--data", metavar="DIR", help="Keep all data in this directory."),
        click.option("--log-format", metavar="FORMAT", help="auto, console or json."),
        click.option("--log-level", metavar="LEVEL", help="debug, info, warning or error."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@main.command()
@_settings
def serve(**flags: str | None) -> None:
    """Run the server until SIGTERM or SIGINT.

    Every setting can come from a flag, from the environment (KAFKAMAN_SERVER_ and its name in
    capitals) or from the file, in this order.
    """
    try:
        config = load_config(flags, os.environ)
        configure_logging(config.log_format, config.log_level)
        asyncio.run(_serve(config))
    except* KafkamanError as group:
        _fail(group)


@main.group()
def config() -> None:
    """Look at the settings."""


@config.command("check")
@_settings
def check(**flags: str | None) -> None:
    """Check the settings and show those in force, with where each came from."""
    try:
        found = load_config(flags, os.environ)
    except KafkamanError as error:
        _report(error)
        sys.exit(_EXIT_CODES[error.code])
    for key in sorted(found.sources):
        click.echo(f"{key}: from {found.sources[key]}")
    click.echo(f"Would listen on {found.host}:{found.port} with the data in {found.data}.")


async def _serve(config: Config) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        from kafkaman_server.server import run_server  # noqa: PLC0415 - argon2 may be missing
    except ModuleNotFoundError as error:
        raise KafkamanError(
            f"The package {error.name} is missing.",
            code="server.incomplete",
            hint="Install the server with `pip install 'kafkaman-sync[server]'`.",
        ) from error
    async with run_server(config) as server:
        click.echo(f"listening on {server.url}")
        structlog.get_logger("server").info("listening", url=server.url, data=str(config.data))
        # What is there now stays to the end: no collection needs to look at it again.
        gc.freeze()
        gc.set_threshold(NEW_OBJECTS_MAX, 20, 100)
        await stop.wait()


def _fail(group: BaseExceptionGroup[KafkamanError]) -> None:
    """Report the first error of a group and exit with its code."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, KafkamanError)
    _report(error)
    sys.exit(_EXIT_CODES.get(error.code, 1))


def _report(error: KafkamanError) -> None:
    click.echo(f"kafkaman-server: {error.message}", err=True)
    if error.hint:
        click.echo(f"  {error.hint}", err=True)


if __name__ == "__main__":
    main()
