"""What every test may use: hypothesis profiles and the shared sample files."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent
SHARED_DATA = ROOT.parent / "shared" / "data"

# No deadlines: the machines are small and shared, and a slow example is not a wrong one.
COMMON = settings(
    deadline=None,
    derandomize=False,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
for profile, examples in {"quick": 20, "ci": 100, "thorough": 5000}.items():
    settings.register_profile(profile, COMMON, max_examples=examples)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

# Who runs us in the background lets us ignore Ctrl-C, and what we start would inherit that: tests
# interrupt the programs that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the one option that sizes the slowest tests."""
    parser.addoption(
        "--effort",
        type=float,
        default=1.0,
        help="multiplies the sizes of the proof: simulation, crash and hostile (default 1)",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that asks for `shared_file` once for each sample file.

    The samples lie beside the checkout and not in it. Where they are absent, there is nothing to
    run, and the test is deselected instead of skipped.
    """
    if "shared_file" in metafunc.fixturenames:
        files = sorted(SHARED_DATA.rglob("*.json"))
        metafunc.parametrize("shared_file", files, ids=[file.name for file in files])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the tests that were parametrised over no file."""
    absent = [item for item in items if item.name.endswith("[NOTSET]")]
    if absent:
        config.hook.pytest_deselected(items=absent)
        items[:] = [item for item in items if item not in absent]


@pytest.fixture(scope="session")
def effort(pytestconfig: pytest.Config) -> float:
    """By how much to multiply the sizes of the slowest tests."""
    return float(pytestconfig.getoption("effort"))


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of sample files, which may be absent: see `shared_file`."""
    return SHARED_DATA
