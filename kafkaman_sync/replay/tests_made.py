"""Regression tests out of captures, and out of seeds of the simulation that fail."""

from __future__ import annotations

import base64
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from kafkaman_sync.errors import ReplayError
from kafkaman_sync.model.entities import Entity
from kafkaman_sync.protocol.recording import Recorded, Sort, pack_facts
from kafkaman_sync.protocol.records import encode_entity
from kafkaman_sync.replay.capture import Capture, CaptureWriter
from kafkaman_sync.replay.redaction import Redaction
from kafkaman_sync.replay.rerun import load_script
from kafkaman_sync.replay.script import Script

# A larger capture is a file of its own beside the test.
EMBEDDED_BYTES_MAX: Final = 6000
_LINE: Final = 88
_AGAIN: Final = re.compile(r"^again: scripts/simulate --seed \d+ --only ([\d,]*)$", re.MULTILINE)
_SIMULATION: Final = Path("tests", "simulation", "__main__.py")
_SEED_SECONDS_MAX: Final = 1800

_FROM_CAPTURE: Final = '''\
"""A session that was recorded comes out as it was: {facts} facts of {device}."""

from __future__ import annotations

{imports}
from kafkaman_sync.replay.rerun import rerun_scratch

{capture}

async def test_{name}_comes_out_as_it_was_recorded({parameters}) -> None:
{body}    report = await rerun_scratch(path{options})
    assert report.same, report.difference
'''

_FROM_SEED: Final = '''\
"""A schedule of the simulation that failed once, made as short as it could be.

{problems}
"""

from __future__ import annotations

from tests.simulation.nature import simulated_nature
from tests.simulation.schedule import Simulator, simulation_folder

SEED = {seed}
STEPS = (
{steps}
)


def test_seed_{seed}_fails_no_more() -> None:
    with simulation_folder() as folder, simulated_nature():
        failure = Simulator(folder).run(SEED, steps=STEPS, keep_trace=True)
    assert failure is None, failure.render()
'''


@dataclass(frozen=True, slots=True)
class MadeTest:
    """The text of a test file, and the capture that must lie beside it, if any.

    `cut_off` tells whether the capture was cut off, so that the test ends there.
    """

    text: str
    capture: bytes | None = None
    cut_off: bool = False


def made_of_capture(
    path: Path, *, name: str, device: str = "", base: str | None = None, beside: str = ""
) -> MadeTest:
    """Make a test of a captured session.

    `base` as in `rerun_scratch`: what is needed of it goes with the capture, redacted like that. A
    large capture is to lie beside the test as `beside`. Raises ReplayError for what cannot be run.
    """
    script = load_script(path, device=device, base=base)
    data = path.read_bytes() if base is None else _with_base(path, script)
    facts, whose = len(script.outcome.order), f"the device {script.session.device[:8]}"
    options = f', device="{script.session.device}"' if device else ""
    embedded = len(data) <= EMBEDDED_BYTES_MAX or not beside
    imports, body = "from pathlib import Path\n", ""
    capture = f'path = Path(__file__).with_name("{beside}")\n'
    if embedded:
        lines = "\n".join(
            f'    "{part}"' for part in _split(base64.b64encode(data).decode("ascii"))
        )
        imports = f"import base64\n{imports}"
        capture = f"CAPTURE = base64.b64decode(\n{lines}\n)\n"
        body = '    path = tmp_path / "recorded.capture"\n    path.write_bytes(CAPTURE)\n'
    text = _FROM_CAPTURE.format(
        facts=facts,
        device=whose,
        imports=imports,
        capture=capture,
        name=name,
        parameters="tmp_path: Path" if embedded else "",
        body=body,
        options=options,
    )
    return MadeTest(text, None if embedded else data, script.session.cut_off)


def made_of_seed(seed: int, folder: Path) -> MadeTest:
    """Make a test of a seed, run and made small by the checkout that `folder` lies in.

    Raises ReplayError: `replay.no_checkout`, `replay.seed_passes`, `replay.seed_unclear`.
    """
    root = _checkout(folder)
    finished = _simulated(seed, root)
    if finished.returncode == 0:
        raise ReplayError(
            f"The schedule of seed {seed} does not fail: there is nothing to hold on to.",
            code="replay.seed_passes",
            hint="`scripts/simulate --schedules N --seed SEED` looks for seeds that fail.",
        )
    again = _AGAIN.search(finished.stdout)
    if again is None:
        raise ReplayError(
            f"The simulation did not say how the schedule of seed {seed} fails.",
            code="replay.seed_unclear",
            hint=f"Run `scripts/simulate --seed {seed}` and read what it says.",
        )
    steps = [each for each in again[1].split(",") if each]
    problems = [line.strip() for line in finished.stdout.splitlines() if line.startswith("  ")]
    return MadeTest(
        _FROM_SEED.format(
            seed=seed,
            problems=_docstring(problems[:3]),
            steps="\n".join(f"    {each}," for each in steps),
        )
    )


def _simulated(seed: int, root: Path) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(  # noqa: S603 - no shell: this Python, a module of ours, a number
            [sys.executable, "-m", "tests.simulation", "--schedules", "1", "--seed", str(seed)],
            cwd=root,
            capture_output=True,
            text=True,
            timeout=_SEED_SECONDS_MAX,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ReplayError(
            f"The schedule of seed {seed} does not end within {_SEED_SECONDS_MAX:,} seconds.",
            code="replay.seed_unclear",
            hint=f"Run `scripts/simulate --seed {seed}` and see where it stays.",
        ) from error


def _docstring(lines: list[str]) -> str:
    plain = (line.replace("\\", "/").replace('"""', "'''")[: _LINE - 4] for line in lines)
    return "\n".join(line.rstrip() for line in plain) or "It did not say how."


def _checkout(folder: Path) -> Path:
    for root in (folder, *folder.parents):
        if (root / _SIMULATION).is_file():
            return root
    raise ReplayError(
        "The simulation is not here: it is part of the project's tests.",
        code="replay.no_checkout",
        hint="Run this in a checkout of the project.",
    )


def _split(text: str) -> list[str]:
    return [text[at : at + _LINE] for at in range(0, len(text), _LINE)] or [""]


def _with_base(path: Path, script: Script) -> bytes:
    """Return a capture with the rows that were there before the session in it."""
    with TemporaryDirectory(prefix="kafkaman-replay-") as folder, Capture.open(path) as capture:
        changed = Path(folder) / "capture"
        redaction = Redaction(values=capture.header.values, names=True)
        with CaptureWriter.create(changed, capture.header) as writer:
            for record in _bases(script, redaction):
                writer.add(record)
            for record in capture.records():
                writer.add(record)
        return changed.read_bytes()


def _bases(script: Script, redaction: Redaction) -> list[Recorded]:
    found = []
    for workspace in script.seed.workspaces:
        rows = [encode_entity(redaction.row(row)) for row in _before(script, workspace.id)]
        facts = {"base": workspace.id, "seq": script.before[workspace.id][0], "rows": rows}
        found.append(Recorded(Sort.STATE, 0, 0, 0, pack_facts(facts)))
    return found


def _before(script: Script, workspace: str) -> list[Entity]:
    return list(script.before[workspace][1].values())
