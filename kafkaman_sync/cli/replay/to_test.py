"""`kafkaman replay to-test`: a regression test out of a capture, or out of a failing seed."""

from __future__ import annotations

import re
from pathlib import Path

import click

from kafkaman_sync.cli.command import command
from kafkaman_sync.cli.invocation import Invocation
from kafkaman_sync.cli.output import note, print_json
from kafkaman_sync.cli.replay.sources import INPUT_FILE
from kafkaman_sync.errors import UsageError
from kafkaman_sync.replay.tests_made import MadeTest, made_of_capture, made_of_seed
from kafkaman_sync.replay.writing import check_new_file, new_file

_BESIDE = ".capture"
_NO_NAME = re.compile(r"[^a-z0-9]+")


@command(
    "to-test",
    examples=(
        "kafkaman replay to-test then.capture -o tests/test_then.py",
        "kafkaman replay to-test --seed 1234 -o tests/simulation/test_seed_1234.py",
    ),
)
@click.argument("capture", metavar="[CAPTURE]", required=False, type=INPUT_FILE)
@click.option("--seed", type=int, metavar="N", help="A seed of the simulation that fails.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Where to write the test. [default: standard output]",
)
@click.option("--as", "device", default="", metavar="ID", help="Whose session, of several devices.")
@click.option("--base", metavar="SOURCE", help="Where to find what was there before the session.")
@click.option("--force", is_flag=True, help="Write over an older test.")
def to_test_command(
    invocation: Invocation, *, capture: Path | None, seed: int | None, output: Path | None,
    device: str, base: str | None, force: bool,
) -> None:  # fmt: skip
    """Turn a capture, or a failing seed, into a regression test.

    The test runs the session again on a scratch server, as `replay run` does. A small capture is
    in the test itself, a larger one beside it. A seed is run in the checkout around this folder,
    and made as short as it still fails.
    """
    if (capture is None) == (seed is None):
        raise UsageError(
            "A test is made of a CAPTURE, or of a --seed.",
            code="usage.options",
            hint="Name one of them.",
        )
    if seed is not None:
        with invocation.working(f"Running the schedule of seed {seed}"):
            made = made_of_seed(seed, Path.cwd())
        _write(invocation, made, output, None, force=force)
        return
    assert capture is not None
    if output is not None:
        check_new_file(output, force=force, inputs=(capture,))
    if output is not None and output.suffix == _BESIDE:
        raise UsageError(
            f"A test is no {_BESIDE} file: a large capture lies beside it under that name.",
            code="usage.options",
            hint=f"Write it to {output.with_suffix('.py')}.",
        )
    beside = None if output is None else output.with_suffix(_BESIDE)
    made = made_of_capture(
        capture,
        name=_NO_NAME.sub("_", capture.stem.lower()).strip("_") or "session",
        device=device,
        base=base,
        beside="" if beside is None else beside.name,
    )
    if made.cut_off:
        note(f"{capture} was cut off: the test ends at the cut.")
    _write(invocation, made, output, beside, force=force, inputs=(capture,))


def _write(
    invocation: Invocation, made: MadeTest, output: Path | None, beside: Path | None, *,
    force: bool, inputs: tuple[Path, ...] = (),
) -> None:  # fmt: skip
    written = []
    if output is not None:
        with new_file(output, force=force, inputs=inputs) as part:
            part.write_text(made.text, encoding="utf-8")
            if made.capture is not None and beside is not None:
                with new_file(beside, force=force, inputs=inputs) as other:
                    other.write_bytes(made.capture)
                written.append(str(beside))
        written.insert(0, str(output))
    if invocation.json:
        print_json({"files": written, "test": made.text})
    elif output is None:
        click.echo(made.text, nl=False)
    else:
        click.echo("\n".join(written))
