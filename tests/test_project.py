"""The checkout as a whole keeps its own rules."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from kafkaman_sync.__about__ import __version__

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60
ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("kafkaman_sync", "server/kafkaman_server")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
PROGRAMS = sorted((ROOT / "scripts").rglob("*.py"))
LOCKS = ("runtime", "dev")

# Split, so that this file does not hold what it looks for.
REGISTRIES = re.compile(r"\b(?:pypi|python" + r"hosted|npm" + r"js|debian)\.(?:org|com)\b")
MACHINE_PATHS = re.compile(r"(?<![\w.])/(?:home/\w+|root|work|Users/\w+)/[\w.]")

REQUIREMENT = re.compile(r"[a-z0-9-]+==[A-Za-z0-9.+!]+(?: ; [a-zA-Z0-9_ .'<>=!()]+)? \\")
HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}(?: \\)?")


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def each_module() -> pytest.MarkDecorator:
    return pytest.mark.parametrize("module", MODULES, ids=name)


def tracked_files() -> list[Path]:
    listing = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [
        path for entry in listing.stdout.split("\0") if entry and (path := ROOT / entry).is_file()
    ]


def lock(level: str) -> list[str]:
    return (ROOT / "scripts" / "requirements" / f"{level}.txt").read_text().splitlines()


def pinned(level: str) -> set[str]:
    return {line.partition("==")[0] for line in lock(level) if "==" in line}


def wanted(requirements: list[str]) -> set[str]:
    names = (re.match(r"[A-Za-z0-9._-]+", requirement) for requirement in requirements)
    return {re.sub(r"[-_.]+", "-", found[0]).lower() for found in names if found}


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_no_tracked_file_names_a_registry_or_a_path_of_one_machine() -> None:
    found = []
    for path in tracked_files():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        found += [
            f"{name(path)}:{number}: {match[0]}"
            for number, line in enumerate(text.splitlines(), 1)
            for match in (REGISTRIES.search(line) or MACHINE_PATHS.search(line),)
            if match
        ]
    assert found == []


@each_module()
def test_a_module_says_what_it_is_for(module: Path) -> None:
    assert ast.get_docstring(ast.parse(module.read_text()))


@pytest.mark.parametrize("module", MODULES + PROGRAMS, ids=name)
def test_a_module_is_short_enough_to_know(module: Path) -> None:
    text = module.read_text()
    assert len(text.splitlines()) <= FILE_LINES_MAX
    functions = (
        node
        for node in ast.walk(ast.parse(text))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    )
    lengths = {node.name: (node.end_lineno or 0) - node.lineno + 1 for node in functions}
    assert {found: lines for found, lines in lengths.items() if lines > FUNCTION_LINES_MAX} == {}


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_declares_its_types(package: str) -> None:
    assert (ROOT / package / "py.typed").exists()


@pytest.mark.parametrize("level", LOCKS)
def test_a_lock_holds_only_names_versions_markers_and_hashes(level: str) -> None:
    other = [line for line in lock(level) if not REQUIREMENT.fullmatch(line)]
    assert [line for line in other if not HASH.fullmatch(line)] == []


@pytest.mark.parametrize("level", LOCKS)
def test_a_lock_pins_what_the_programs_and_their_build_need(
    level: str, project: dict[str, Any]
) -> None:
    needed = wanted(project["project"]["dependencies"])
    needed |= wanted(project["project"]["optional-dependencies"]["server"])
    needed |= wanted(project["build-system"]["requires"])
    assert needed - pinned(level) == set()


def test_the_dev_lock_pins_the_tools_too(project: dict[str, Any]) -> None:
    assert wanted(project["dependency-groups"]["dev"]) - pinned("dev") == set()


def test_the_two_locks_agree() -> None:
    runtime = {line for line in lock("runtime") if "==" in line}
    assert runtime <= set(lock("dev"))


def test_the_build_needs_the_same_backend_as_the_build_group(project: dict[str, Any]) -> None:
    assert project["dependency-groups"]["build"] == project["build-system"]["requires"]


@pytest.mark.parametrize("file", ["LICENSE", "CHANGELOG.md"])
def test_a_stranger_finds_the_usual_files(file: str) -> None:
    assert (ROOT / file).read_text().strip()


def test_the_readme_is_the_distribution_s_too(project: dict[str, Any]) -> None:
    present = (ROOT / "README.md").exists()
    assert project["project"].get("readme") == ("README.md" if present else None)


def test_every_link_between_documents_leads_somewhere() -> None:
    broken = [
        f"{name(path)}: {target}"
        for path in tracked_files()
        if path.suffix == ".md"
        for target in re.findall(r"\]\((?!\w+:)([^)#\s]+)", path.read_text())
        if not (path.parent / target).exists()
    ]
    assert broken == []


def test_the_changelog_knows_the_version() -> None:
    assert __version__ in (ROOT / "CHANGELOG.md").read_text()


def test_every_script_can_be_run() -> None:
    scripts = [path for path in (ROOT / "scripts").iterdir() if path.is_file() and not path.suffix]
    assert [name(path) for path in scripts if not path.stat().st_mode & 0o100] == []
