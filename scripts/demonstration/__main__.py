"""Run the demo; exit 0 only if everything it shows held."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from pathlib import Path

from kafkaman_sync import KafkamanError
from kafkaman_sync.formats import Draft
from scripts.demonstration import acts
from scripts.demonstration.stage import DemoFailed, Stage


def main() -> int:
    """Read the command line, run the acts, and say how it went."""
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    parser.add_argument("collection", nargs="?", type=Path, help="a collection to import")
    parser.add_argument("--keep", action="store_true", help="leave server and devices running")
    arguments = parser.parse_args()
    chosen = [arguments.collection] if arguments.collection else acts.EXAMPLES.glob("*.json")
    begun = time.perf_counter()
    failures: list[BaseException] = []
    try:
        files = [acts.load(file) for file in sorted(chosen)]
        asyncio.run(play(files, keep=arguments.keep))
    except* (DemoFailed, KafkamanError, OSError) as group:
        failures = leaves(group)
    for error in failures:
        acts.console.print(f"\n[red]The demo failed:[/] {error}")
        acts.console.print(f"  {getattr(error, 'hint', '')}")
    if failures:
        return 1
    acts.console.print(f"\n[green]Everything held.[/] {time.perf_counter() - begun:.0f} seconds.")
    return 0


async def play(files: list[tuple[Path, bytes, Draft]], *, keep: bool) -> None:
    """Play all acts on one stage."""
    async with Stage.open() as stage:
        await acts.sign_up(stage)
        root = await acts.import_files(stage, files)
        await acts.edit_live(stage, root)
        await acts.work_apart(stage, root)
        await acts.go_back(stage, root)
        await acts.refuse_the_fourth(stage)
        await acts.leave_and_return(stage, root)
        await acts.prove(stage)
        if keep:
            stage.keep = True
            explain(stage)


def explain(stage: Stage) -> None:
    """Tell how to play with what is left running."""
    acts.scene("Left running")
    kafkaman = Path(sys.executable).parent / "kafkaman"
    acts.say(f"server {stage.url}, process {stage.server_pid}; account dana, password")
    acts.say(f"{stage.password}. Try, in two terminals:")
    print(f"\n    KAFKAMAN_HOME={stage.place}/desktop {kafkaman} status --watch")
    print(f"    KAFKAMAN_HOME={stage.place}/laptop {kafkaman} new collection name=Hello\n")
    acts.say("To end it all:")
    print()
    for name in stage.devices:
        print(f"    KAFKAMAN_HOME={stage.place}/{name} {kafkaman} down")
    print(f"    kill {stage.server_pid}; rm -r {stage.place}")


def leaves(group: BaseExceptionGroup[Exception]) -> list[BaseException]:
    """Return the single errors of a group, however nested."""
    found: list[BaseException] = []
    for error in group.exceptions:
        found.extend(leaves(error) if isinstance(error, BaseExceptionGroup) else [error])
    return found


if __name__ == "__main__":
    sys.exit(main())
