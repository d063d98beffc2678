"""`kafkaman replay export` and `import`: a log as JSON lines, and back."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import click

from kafkaman_sync.cli.command import command
from kafkaman_sync.cli.invocation import Invocation
from kafkaman_sync.cli.output import note, print_json
from kafkaman_sync.cli.replay.sources import INPUT_FILE, SOURCE, WORKSPACE, opened, signs_in
from kafkaman_sync.cli.wording import plural
from kafkaman_sync.errors import ReplayError
from kafkaman_sync.replay.line_file import import_lines
from kafkaman_sync.replay.lines import MARK, check_exportable, write_lines
from kafkaman_sync.replay.opening import open_source, read_head
from kafkaman_sync.replay.records import Log
from kafkaman_sync.replay.source import choose_log
from kafkaman_sync.replay.writing import new_file

FORCE: Final = click.option("--force", is_flag=True, help="Write over a file that is there.")


@command(
    "export",
    examples=(
        "kafkaman replay export ./srv -o log.jsonl",
        "kafkaman replay export ./srv | zstd > log.jsonl.zst",
        "kafkaman replay export ./srv -w Personal | jq -c 'select(.event.action == \"delete\")'",
    ),
)
@SOURCE
@WORKSPACE
@signs_in
@click.option("-o", "--output", metavar="FILE", type=click.Path(path_type=Path), help="Write here.")
@FORCE
def export_command(
    invocation: Invocation,
    *,
    source: str,
    workspace: str | None,
    user: str | None,
    password_stdin: bool,
    output: Path | None,
    force: bool,
) -> None:
    """Write a log as JSON lines, with every stored byte.

    All workspaces, or one. Every command of replay reads the file as a source. It holds the values
    of all fields; passwords and tokens are not in it.
    """
    with opened(invocation, source, user, password_stdin=password_stdin) as found:
        check_exportable(found)
        logs = found.logs() if workspace is None else [choose_log(found, workspace)]
        if output is None:
            for line in write_lines(found, logs):
                sys.stdout.buffer.write(line)
            sys.stdout.buffer.flush()
            return
        with (
            new_file(output, force=force, inputs=(Path(source),)) as part,
            part.open("wb") as file,
            invocation.working("Exporting"),
        ):
            file.writelines(write_lines(found, logs))
        _told(invocation, output, logs)


@command(
    "import",
    examples=(
        "kafkaman replay import log.jsonl -o log.db",
        "kafkaman replay log log.jsonl        # works as well, but reads the whole file first",
    ),
)
@click.argument("file", metavar="FILE", type=INPUT_FILE)
@click.option(
    "-o", "--output", metavar="NEW.DB", required=True, type=click.Path(path_type=Path),
    help="Write the database here.",
)  # fmt: skip
@FORCE
def import_command(invocation: Invocation, *, file: Path, output: Path, force: bool) -> None:
    """Make a database of an exported log.

    It is laid out as a server's, for replay: as nobody can sign in to it, no server can use it.
    """
    if not read_head(file).startswith(MARK):
        raise ReplayError(
            f"{file} is no exported log.",
            code="replay.foreign",
            hint="It takes what `kafkaman replay export` writes.",
        )
    with new_file(output, force=force, inputs=(file,)) as part, invocation.working("Importing"):
        import_lines(file, part)
    with open_source(str(output)) as opened:
        _told(invocation, output, opened.logs())


def _told(invocation: Invocation, output: Path, logs: list[Log]) -> None:
    if invocation.json:
        print_json(
            {
                "file": str(output),
                "workspaces": [
                    {
                        "id": log.workspace,
                        "name": log.name,
                        "head": log.head,
                        "horizon": log.horizon,
                    }
                    for log in logs
                ],
            }
        )
        return
    events = plural(sum(log.head - log.horizon for log in logs), "event")
    note(f"{output}: {plural(len(logs), 'workspace')}, {events}.")
